"""Who gives a command, for the audit. Standard library only."""

from __future__ import annotations

import getpass
import os
import re


def user_name() -> str:
    """Of the account, without what could be mistaken for something else in a log."""
    try:
        return re.sub(r"[^\w.@ -]", "_", getpass.getuser())[:64]
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
