"""`rollout evaluate`: error rates of one or two versions on eval sets."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from controller import views
from controller.client import Client, Rejected
from controller.options import Json, StateDir, left_alone, show
from controller.settings import DEFAULT_STATE_DIR


def evaluate(
    version: str,
    other: Annotated[str | None, typer.Argument(help="Compared with the first.")] = None,
    eval_set: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Transcribe eval sets with one or two versions, and compare their error rates."""
    if not eval_set:
        raise typer.BadParameter("name at least one with --eval-set")
    client = Client(state_dir)
    body = {"versions": [v for v in (version, other) if v], "eval_sets": eval_set}
    number = client.post("/api/evaluations", body)["id"]
    with left_alone("it goes on in the controller; give the command again to see the result"):
        result = _evaluated(client, number)
    if result["state"] == "failed":
        raise Rejected(f"the evaluation failed: {result['reason']}")
    show(result, as_json, views.evaluation)


def _evaluated(client: Client, number: int) -> dict[str, Any]:
    """When it has ended."""
    while True:
        result: dict[str, Any] = client.get(f"/api/evaluations/{number}")
        if result["state"] != "running":
            return result
        if sys.stderr.isatty():
            print(f"\r{result['progress']:<70}", end="", file=sys.stderr, flush=True)
        time.sleep(0.3)
