"""Runs `rollout up` and starts it again when it crashes. Nodes and router outlive a crash, and
the next controller adopts them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Final

DONE, REFUSED, WRONG_USAGE = 0, 1, 2
_LONGEST_PAUSE_SECONDS: Final = 30.0
_STABLE_SECONDS: Final = 60.0


def main() -> None:
    sys.exit(supervise([sys.executable, "-P", "-m", "controller.cli", "up", *sys.argv[1:]]))


def supervise(command: list[str]) -> int:
    """Run the command until it ends on purpose; its exit status.

    A refusal ends it only at the first start: later the same words may mean that an engine or
    a port is not free again yet."""
    ending = threading.Event()
    pause, status = 0.5, _run(command, ending)
    if status == REFUSED:
        return status
    while status not in {DONE, WRONG_USAGE} and not ending.is_set():
        print(
            f"supervisor: the controller ended with status {status}; starting it again",
            file=sys.stderr,
            flush=True,
        )
        if ending.wait(pause):
            break
        began = time.monotonic()
        status = _run(command, ending)
        long_lived = time.monotonic() - began > _STABLE_SECONDS
        pause = 0.5 if long_lived else min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return status


def _run(command: list[str], ending: threading.Event) -> int:
    child = subprocess.Popen(command)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        ending.set()
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    return child.wait()


if __name__ == "__main__":
    main()
