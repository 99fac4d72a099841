"""`rollout status`, `history` and `events`: what is, and what was."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated, Any, Final

import typer

from controller import views
from controller.client import Client
from controller.options import Json, StateDir, show
from controller.settings import DEFAULT_STATE_DIR

_WATCH_SECONDS: Final = 0.5


def status(
    watch: Annotated[bool, typer.Option(help="Again and again.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Show router, pools and rollout."""
    client = Client(state_dir)
    if not watch:
        show(client.get("/api/status"), as_json, views.status)
        return
    _watch(client, as_json)


def _watch(client: Client, as_json: bool) -> None:
    """The status again and again: in place on a terminal, else a line for each change."""
    shown = ""
    while True:
        value: dict[str, Any] = client.get("/api/status")
        text = json.dumps(value, ensure_ascii=False) if as_json else views.status(value)
        if text != shown:
            clear = "\033[H\033[J" if sys.stdout.isatty() and not as_json else ""
            print(clear + text, flush=True)
            shown = text
        time.sleep(_WATCH_SECONDS)


def history(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """List the rollouts, newest first."""
    show(Client(state_dir).get("/api/rollouts"), as_json, views.history)


def events(
    follow: Annotated[bool, typer.Option(help="Go on with those that come.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Show the audit: who, when, what, why."""
    client = Client(state_dir)
    found = client.get("/api/events", limit=50)
    last = 0
    while True:
        if found or not follow:
            show(found, as_json, views.events)
        if not follow:
            return
        last = found[-1]["id"] if found else last
        time.sleep(0.5)
        found = client.get("/api/events", after=last)
