"""A plan checked against files: needs no controller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from controller.adapters.eval_sets import read_eval_set
from controller.adapters.fleet_file import read_fleet
from controller.adapters.plan_files import load_plan
from controller.core.plan import Plan
from controller.core.plan_eval_sets import check_plan
from controller.resources import rollouts_dir

EVAL_SETS: Final = Path("eval_sets")  # where there is no fleet file that names a folder


def check(plan: str, fleet_path: Path) -> Plan:
    """The plan, by name or path, checked also against the eval sets that it would meet: those of
    the fleet's file, or of the folder `eval_sets` here.

    Raises NotFound, InvalidName, InvalidConfig or Refused."""
    fleet = read_fleet(fleet_path) if fleet_path.exists() else None
    own = fleet.plans_dir if fleet is not None else None
    folders = [folder for folder in (own, rollouts_dir()) if folder is not None]
    found = load_plan(plan, folders)
    eval_sets = fleet.eval_sets_dir if fleet is not None else EVAL_SETS
    if fleet is None and not eval_sets.is_dir():
        print(
            f"rollout: there is neither {fleet_path} nor a folder {EVAL_SETS}: the plan's eval "
            f"sets were not looked at",
            file=sys.stderr,
        )
    else:
        check_plan(found, lambda name: read_eval_set(eval_sets, name))
    return found
