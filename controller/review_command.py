"""`rollout review …` and `rollout eval-set …`: whom to ask, what they said, what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from controller import review_views
from controller.client import Client
from controller.options import Json, StateDir, message, show
from controller.settings import DEFAULT_STATE_DIR

review_app = typer.Typer(help="People compare both versions' texts, blind.", no_args_is_help=True)
eval_set_app = typer.Typer(help="Eval sets.", no_args_is_help=True)
Rollout = Annotated[
    str | None, typer.Option("--rollout", help="Its id; the newest review without.")
]


@review_app.command("open")
def open_review(
    rollout: Annotated[str | None, typer.Argument(help="Its id; the newest without.")] = None,
    copies: Annotated[
        bool, typer.Option("--copies", help="Of copied requests; needs review.keep_audio.")
    ] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Choose the pairs of a rollout; a preference gate does it by itself."""
    body = {"rollout": rollout, "copies": copies}
    show(Client(state_dir).post("/api/review", body), as_json, message)


@review_app.command()
def invite(
    rater: Annotated[str, typer.Argument(help="The name that their votes will bear.")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Make the link under which one person votes, and does nothing else."""
    client = Client(state_dir)
    answer = client.post("/api/review/raters", {"rater": rater})
    answer["url"] = f"{client.url}{answer['path']}"
    show(answer, as_json, lambda value: str(value["url"]))
    if hint := review_views.reach(answer["url"]):
        typer.echo(hint, err=True)


@review_app.command("list")
def list_pairs(
    rollout: Rollout = None, state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False
) -> None:
    """List the pairs, those that disagree most first, without their texts."""
    _results(rollout, state_dir, as_json, review_views.pairs)


@review_app.command()
def results(
    rollout: Rollout = None, state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False
) -> None:
    """Show what people prefer; not for who still votes."""
    _results(rollout, state_dir, as_json, review_views.results)


def _results(rollout: str | None, state_dir: Path, as_json: bool, view: Any) -> None:
    query = {"rollout": rollout} if rollout else {}
    show(Client(state_dir).get("/api/review/results", **query), as_json, view)


@review_app.command()
def forget(
    pair: Annotated[list[str] | None, typer.Argument(help="Their ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All pairs of the review.")] = False,
    rollout: Rollout = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Remove texts and corrections of pairs, for good."""
    if bool(pair) == everything:
        raise typer.BadParameter("name pairs, or --all")
    body = {"rollout": rollout, "pairs": pair or None}
    show(Client(state_dir).post("/api/review/forget", body), as_json, message)


@eval_set_app.command("add-corrected")
def add_corrected(
    name: Annotated[str, typer.Argument(help="The eval set; it may be new.")],
    rollout: Annotated[
        str | None, typer.Option("--from", help="The rollout; the newest review without.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="A folder of eval sets; without, the fleet's.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Add the recordings whose text people corrected to an eval set."""
    body = {"rollout": rollout, "into": str(into.absolute()) if into is not None else None}
    path = f"/api/eval-sets/{quote(name, safe='')}/corrected"
    show(Client(state_dir).post(path, body), as_json, message)
