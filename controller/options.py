"""What the command line's modules share: options, and how an answer is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

StateDir = Annotated[
    Path, typer.Option("--state-dir", envvar="ASR_ROLLOUT_STATE_DIR", help="The state folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def show(value: Any, as_json: bool, view: Callable[[Any], str]) -> None:
    print(json.dumps(value, ensure_ascii=False) if as_json else view(value))


def message(value: Any) -> str:
    return str(value["message"])
