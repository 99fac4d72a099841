"""`rollout status`, `history` and `events`: what is, and what was."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller import views
from controller.client import Client
from controller.options import Json, StateDir, show
from controller.recorded import ask_or_read
from controller.settings import DEFAULT_STATE_DIR

if TYPE_CHECKING:
    from controller.adapters.store import SqlStore

_WATCH_SECONDS: Final = 0.5
_MOST: Final = 50  # rollouts, events


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
    """List the rollouts, newest first; needs no controller."""
    found = ask_or_read(state_dir, lambda client: client.get("/api/rollouts"), _rollouts)
    show(found, as_json, views.history)


def _rollouts(store: SqlStore) -> list[dict[str, Any]]:
    from controller.api.status import rollout_summary  # only here: imports the whole engine

    return [rollout_summary(rollout) for rollout in store.rollouts(_MOST)]


def events(
    follow: Annotated[bool, typer.Option(help="Go on with those that come.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Show the audit: who, when, what, why; needs no controller but to --follow."""
    client = Client(state_dir)
    if not follow:
        show(ask_or_read(state_dir, _newest_events, _recorded_events), as_json, views.events)
        return
    found, last = _newest_events(client), 0
    while True:
        if found:
            show(found, as_json, views.events)
        last = found[-1]["id"] if found else last
        time.sleep(0.5)
        found = client.get("/api/events", after=last)


def _newest_events(client: Client) -> Any:
    return client.get("/api/events", limit=_MOST)


def _recorded_events(store: SqlStore) -> list[dict[str, Any]]:
    from controller.api.status import event_summary  # only here: imports the whole engine

    return [event_summary(event) for event in store.last_events(_MOST)]
