import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import InvalidConfig, InvalidName
from controller.core.gate import ErrorRateGate
from controller.core.plan import Plan, Step

TENTHS = st.integers(1, 1000).map(lambda tenths: tenths / 10)


def a_plan(*percents: float, **keys: object) -> Plan:
    steps = tuple(Step(percent, hold_seconds=percent) for percent in percents)
    return Plan("a-plan", steps, **keys)  # type: ignore[arg-type]


def percents(plan: Plan) -> list[float]:
    return [step.percent for step in plan.steps]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (2, [2, 20, 50, 100]),
        (5, [5, 20, 50, 100]),
        (20, [20, 50, 100]),
        (30, [30, 50, 100]),
        (100, [100]),
    ],
)
def test_a_percentage_replaces_the_first_step_and_skips_lower_ones(
    first: float, expected: list[float]
) -> None:
    assert percents(a_plan(5, 20, 50, 100).starting_at(first)) == expected


def test_starting_at_its_own_first_step_changes_nothing() -> None:
    plan = a_plan(5, 20, 50, 100)
    assert plan.starting_at(5) == plan


def test_a_replaced_step_is_held_as_long_as_the_one_it_stands_in_for() -> None:
    plan = a_plan(5, 20, 50, 100)
    assert plan.starting_at(30).steps[0].hold_seconds == 20
    assert plan.starting_at(2).steps[0].hold_seconds == 5


def test_a_plan_of_one_step_can_still_begin_lower() -> None:
    assert percents(a_plan(100).starting_at(5)) == [5, 100]


@given(st.sets(TENTHS, min_size=1, max_size=8), TENTHS)
def test_starting_anywhere_keeps_the_steps_ascending_to_100(
    shares: set[float], first: float
) -> None:
    after = percents(a_plan(*sorted(shares | {100})).starting_at(first))
    assert after[0] == first
    assert after[-1] == 100
    assert after == sorted(set(after))


@pytest.mark.parametrize("percent", [0, -5, 0.05, 100.1, 33.33, float("nan"), float("inf")])
def test_a_share_that_the_router_cannot_give_is_refused(percent: float) -> None:
    with pytest.raises(InvalidConfig, match=r"^percent: "):
        Step(percent)


def test_starting_at_a_share_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"^percent: 0 is not"):
        a_plan(5, 100).starting_at(0)


def test_a_step_that_does_not_rise_is_refused_by_its_key() -> None:
    with pytest.raises(InvalidConfig, match=r"^steps\.2\.percent: 20 does not exceed 20"):
        a_plan(5, 20, 20, 100)


def test_a_plan_that_ends_below_100_is_refused_by_its_key() -> None:
    with pytest.raises(InvalidConfig, match=r"^steps\.1\.percent: the last step must be 100"):
        a_plan(5, 50)


def test_a_plan_without_steps_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"^steps: "):
        a_plan()


def test_a_gate_on_an_eval_set_that_the_plan_lacks_is_refused_by_its_key() -> None:
    gates = (ErrorRateGate(eval_sets=("digits", "music")),)
    with pytest.raises(InvalidConfig, match=r"^gates\.0\.eval_sets: 'music'"):
        a_plan(100, gates=gates, eval_sets=("digits",))


def test_a_gate_without_any_eval_set_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"^eval_sets: "):
        a_plan(100, gates=(ErrorRateGate(),))


def test_two_gates_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"^gates: 'error-rate' is named twice"):
        a_plan(100, gates=(ErrorRateGate(), ErrorRateGate()), eval_sets=("digits",))


@pytest.mark.parametrize("bound", [0, -1, 101, float("nan")])
def test_a_bound_that_nothing_or_everything_passes_is_refused(bound: float) -> None:
    with pytest.raises(InvalidConfig, match=r"^max_increase_points: "):
        ErrorRateGate(max_increase_points=bound)


@pytest.mark.parametrize(
    ("key", "value"),
    [("start_deadline_seconds", 0.0), ("rollback_window_seconds", -1.0)],
)
def test_a_time_that_cannot_be_is_refused(key: str, value: float) -> None:
    with pytest.raises(InvalidConfig, match=key.removesuffix("_seconds")):
        a_plan(100, **{key: value})


def test_names_that_could_leave_a_folder_are_refused() -> None:
    with pytest.raises(InvalidName):
        a_plan(100, eval_sets=("../digits",))
