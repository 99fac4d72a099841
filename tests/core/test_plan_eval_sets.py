"""What a plan needs is looked for before anything is started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.errors import NotFound
from controller.core.eval_set import EvalSet
from controller.core.plan_eval_sets import check_plan
from controller.core.preflight import LoadCheck
from tests.engine.fakes import DIGITS, PLAN


def known(name: str) -> EvalSet:
    if name != DIGITS.name:
        raise NotFound(f"there is no eval set {name!r}")
    return DIGITS


def test_a_plan_whose_eval_sets_are_there_may_begin() -> None:
    check_plan(replace(PLAN, load_check=LoadCheck("digits")), known)


@pytest.mark.parametrize(
    "missing", [{"eval_sets": ("digits", "digit")}, {"load_check": LoadCheck("digit")}]
)
def test_a_plan_that_names_an_unknown_eval_set_is_refused(missing: dict[str, object]) -> None:
    with pytest.raises(NotFound, match=r"'digit'\. Plan test needs it"):
        check_plan(replace(PLAN, **missing), known)
