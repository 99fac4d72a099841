"""Runs `rollout up` and starts it again when it crashes. Nodes and router outlive a crash, and
the next controller adopts them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Final

_ENDED_ON_PURPOSE: Final = frozenset({0, 1, 2})  # done, refused, wrong usage
_LONGEST_PAUSE_SECONDS: Final = 30.0
_STABLE_SECONDS: Final = 60.0


def main() -> None:
    sys.exit(supervise([sys.executable, "-m", "controller.cli", "up", *sys.argv[1:]]))


def supervise(command: list[str]) -> int:
    """Run the command until it ends on purpose; its exit status."""
    pause = 0.5
    while True:
        began = time.monotonic()
        status = _run(command)
        if status in _ENDED_ON_PURPOSE:
            return status
        print(f"supervisor: the controller ended with status {status}; starting it again",
              file=sys.stderr, flush=True)  # fmt: skip
        time.sleep(pause)
        long_lived = time.monotonic() - began > _STABLE_SECONDS
        pause = 0.5 if long_lived else min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _run(command: list[str]) -> int:
    child = subprocess.Popen(command)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    return child.wait()


if __name__ == "__main__":
    main()
