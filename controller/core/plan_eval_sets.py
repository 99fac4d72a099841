"""Whether the eval sets that a plan needs are there, and are enough for its gates."""

from __future__ import annotations

from collections.abc import Callable

from controller.core.comparison.sample_size import check_eval_sets
from controller.core.errors import NotFound
from controller.core.eval_set import EvalSet
from controller.core.plan import Plan


def check_plan(plan: Plan, eval_set: Callable[[str], EvalSet]) -> None:
    """Raises NotFound where an eval set that the plan needs is not there, and Refused where one
    is too small for a gate, or has no recording of a slice. `eval_set`: by name."""
    try:
        eval_sets = [eval_set(name) for name in plan.eval_sets]
        if plan.load_check is not None:
            eval_set(plan.load_check.eval_set)
    except NotFound as error:
        raise NotFound(
            f"{error}. Plan {plan.name} needs it and cannot begin without: name the folder with "
            f"`eval_sets:` in fleet.yaml, or take a --plan of your own"
        ) from error
    for gate in plan.gates:
        check_eval_sets(gate, eval_sets)
