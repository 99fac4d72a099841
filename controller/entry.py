"""The command `rollout`: begins before its imports, which take up to a second."""

from __future__ import annotations

import sys

INTERRUPTED = 130  # as a shell says of what Ctrl-C ended


def main() -> None:
    """Ctrl-C ends it with a status and without a traceback, from the first moment on."""
    try:
        from controller.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
