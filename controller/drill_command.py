"""`rollout drill …`: break something on purpose, and see what users would have felt."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from controller import drill_views
from controller.client import Client, Unreachable
from controller.options import Json, StateDir, left_alone, show
from controller.settings import DEFAULT_STATE_DIR

drill_app = typer.Typer(
    help="Faults injected on purpose, and what became of them.", no_args_is_help=True
)
_AWAY_SECONDS: Final = 120.0  # a drill may kill the controller
_MOST: Final = 1000  # reports that the controller hands over at once
STATUSES: Final = {"passed": 0, "failed": 3}


@drill_app.command("list")
def list_drills(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """What there is, when it is due, and whether it may be done now."""
    show(Client(state_dir).get("/api/drills"), as_json, drill_views.catalogue)


@drill_app.command("run")
def run_drill(
    name: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    eval_set: Annotated[
        str | None, typer.Option(help="Whose recordings are sent meanwhile.")
    ] = None,
    clients: Annotated[int | None, typer.Option(help="How many send them.")] = None,
    anytime: Annotated[bool, typer.Option(help="Also outside of its window.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Do one now, and wait for its end."""
    client = Client(state_dir)
    body = {
        "drill": name, "eval_set": eval_set, "clients": clients, "anytime": anytime,
        "dry_run": dry_run,
    }  # fmt: skip
    begun = client.post("/api/drills", body)
    if dry_run:
        show(begun, as_json, drill_views.plan)
        raise typer.Exit(1 if begun["objections"] else 0)
    if not as_json:
        print(begun["message"], flush=True)
    with left_alone(
        "the drill goes on and restores what it breaks; `rollout drill history` tells its end"
    ):
        report = _ended(client, begun["id"])
    show(report, as_json, drill_views.ended)
    raise typer.Exit(STATUSES.get(report["outcome"], 1))


def _ended(client: Client, drill_id: str) -> dict[str, Any]:
    """Its report, once it has ended; also over a controller that is away for a while."""
    away_since: float | None = None
    while True:
        try:
            found = client.get(f"/api/drills/{quote(drill_id, safe='')}")
            away_since = None
        except Unreachable:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _AWAY_SECONDS:
                raise
            found = {"state": "running"}
        if found["state"] == "ended":
            report: dict[str, Any] = found["report"]
            return report
        if sys.stderr.isatty():
            print(f"\r{drill_id} …", end="", file=sys.stderr, flush=True)
        time.sleep(0.5)


@drill_app.command("history")
def drill_history(
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="So many of the newest.")] = 20,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """The drills that were, newest first, and the trend by month of the newest 1,000."""
    wanted = limit if as_json else _MOST
    reports = Client(state_dir).get("/api/drills/history", limit=wanted)
    show(reports, as_json, lambda found: drill_views.history(found, limit, _MOST))


@drill_app.command("report")
def drill_report(
    drill: Annotated[str, typer.Argument(help="Its id, as `rollout drill history` has it.")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """All that one drill measured, as Markdown."""
    client, path = Client(state_dir), f"/api/drills/{quote(drill, safe='')}"
    if as_json:
        show(client.get(path), as_json, str)
    else:
        print(client.text(f"{path}/report"))
