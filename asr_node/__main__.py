"""`asr-node`, and `python -m asr_node`."""

import os
import signal
import sys
from types import FrameType


def run() -> None:
    """Until the server drains on them, Ctrl-C and SIGTERM end the start in silence: nothing has
    begun yet that must be ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from asr_node.cli import main  # takes a while

    sys.exit(main())


def _leave(_: int, __: FrameType | None) -> None:
    os._exit(0)


if __name__ == "__main__":
    run()
