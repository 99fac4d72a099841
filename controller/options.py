"""What the command line's modules share: options, exit statuses, and how an answer is printed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from controller.client import Rejected

FAILED, VERDICT_FAIL, VERDICT_INCONCLUSIVE, UNREACHABLE = 1, 3, 4, 5
DEFAULT_FLEET: Final = Path("fleet.yaml")

StateDir = Annotated[
    Path, typer.Option("--state-dir", envvar="ASR_ROLLOUT_STATE_DIR", help="The state folder.")
]
FleetFile = Annotated[Path, typer.Option("--fleet", help="The fleet's file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def show(value: Any, as_json: bool, view: Callable[[Any], str]) -> None:
    print(json.dumps(value, ensure_ascii=False) if as_json else view(value))


def message(value: Any) -> str:
    return str(value["message"])


def plan_path(name: str) -> str:
    """A path is the caller's: the controller may run in another folder."""
    return str(Path(name).absolute()) if "/" in name or name.endswith((".yaml", ".yml")) else name


@contextlib.contextmanager
def left_alone(what_holds: str) -> Iterator[None]:
    """Ctrl-C ends only the waiting for what the controller does."""
    try:
        yield
    except KeyboardInterrupt:
        raise Rejected(f"not waited for: {what_holds}") from None
