"""`rollout copies`: what both versions heard of the same requests, and where they differ most."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from controller import views
from controller.client import Client, Rejected
from controller.options import Json, StateDir, show
from controller.settings import DEFAULT_STATE_DIR


def copies(
    rollout: Annotated[str | None, typer.Argument(help="Its id; the newest without.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=500, help="So many of the worst pairs.")] = 20,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Compare what both versions heard of copied requests: the texts of users."""
    client = Client(state_dir)
    if rollout is None:
        newest = client.get("/api/rollouts", limit=1)
        if not newest:
            raise Rejected("no rollout yet: `rollout start VERSION --plan shadow-first` begins one")
        rollout = str(newest[0]["id"])
    show(client.get(f"/api/rollouts/{quote(rollout, safe='')}/copies", limit=limit), as_json, text)


def text(value: dict[str, Any]) -> str:
    """The rates, by slice, then the worst pairs in columns."""
    from controller.report.words import (
        plain,  # with all of the report, which no other command needs
    )

    lines = [views.copies(value)]
    lines += [
        f"  #{part['slice']:<20} {100 * part['texts']['rate']:6.2f} % of {part['pairs']:,} texts, "
        f"{100 * part['tokens']['rate']:6.2f} % of the tokens"
        for part in value["slices"]
    ]
    for pair in value["worst"]:
        tags = "".join(f" #{name}" for name in pair["slices"])
        lines.append(f"\n{pair['request_id']}{tags}: {pair['edits']} tokens differ")
        names = (value["stable"], value["canary"])
        lines += [f"  {n:<12} {line}" for n, line in zip(names, pair["aligned"], strict=True)]
        if pair["canary"]["text"] is None:
            lines.append(f"  {names[1]} gave no text")
    return "\n".join(plain(line) for whole in lines for line in whole.split("\n"))
