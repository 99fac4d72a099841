"""What was recorded is read by asking the controller, or, where none runs, in its state folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from controller.client import Client, Unreachable

if TYPE_CHECKING:
    from controller.adapters.store import SqlStore

T = TypeVar("T")


def ask_or_read(state_dir: Path, ask: Callable[[Client], T], read: Callable[[SqlStore], T]) -> T:
    """The controller's answer, or the folder's, with what waits there for the next controller on
    the error stream. Raises Unreachable where there is neither."""
    try:
        return ask(Client(state_dir))
    except Unreachable:
        if os.environ.get("ASR_ROLLOUT_URL") or not (state_dir / "state.db").is_file():
            raise
    from controller.adapters.store import SqlStore  # only here: imports the whole engine

    store = SqlStore.in_folder(state_dir)
    try:
        for intent in store.pending_intents():
            print(
                f"rollout: a {intent.command} of {intent.at:%Y-%m-%d %H:%M:%S} UTC by "
                f"{intent.actor} is not in this yet: the next controller carries it out",
                file=sys.stderr,
            )
        return read(store)
    finally:
        store.close()
