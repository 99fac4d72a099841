"""`rollout plan …`: plans in words."""

from __future__ import annotations

import typer

from controller import plan_views
from controller.options import DEFAULT_FLEET, FleetFile, Json, plan_path, show

plan_app = typer.Typer(help="Plans: the steps and gates of a rollout.", no_args_is_help=True)


@plan_app.command("check")
def checkplan_path(
    plan: str,
    fleet: FleetFile = DEFAULT_FLEET,
    as_json: Json = False,
) -> None:
    """Explain a plan in words, or say what is wrong with it."""
    from controller.plan_check import check  # reads YAML and eval sets

    found = check(plan_path(plan), fleet)
    show(found, False, plan_views.plan) if not as_json else print(plan_views.plan_json(found))
