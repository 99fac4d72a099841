"""Nodes that fall again and again."""

from hypothesis import given
from hypothesis import strategies as st

from controller.core.failover import FailoverRules
from controller.core.flapping import Steadiness, let_in, watch

RULES = FailoverRules(falls=3, within_seconds=100, hold_seconds=60, longest_hold_seconds=200)


def seen(
    *story: tuple[float, bool], before: dict[str, Steadiness] | None = None
) -> dict[str, Steadiness]:
    nodes = before or {}
    for now, ready in story:
        nodes = watch(nodes, {"v1-1": ready}, now, RULES)
    return nodes


def falls(*times: float) -> list[tuple[float, bool]]:
    """Ready a second before each, and down then."""
    return [step for at in times for step in ((at - 1, True), (at, False))]


def test_a_node_that_starts_has_not_fallen() -> None:
    assert seen((0, False), (50, False), (99, True))["v1-1"].falls == ()


def test_the_third_fall_within_the_time_holds_it_out() -> None:
    assert not seen(*falls(10, 20))["v1-1"].held
    assert seen(*falls(10, 20, 30))["v1-1"].hold_seconds == 60


def test_falls_that_are_far_apart_do_not() -> None:
    assert not seen(*falls(10, 90, 180))["v1-1"].held


def test_it_is_let_in_once_it_was_well_for_long_without_a_break() -> None:
    held = seen(*falls(10, 20, 30), (40, True))
    assert seen((99, True), before=held)["v1-1"].held
    assert not seen((100, True), before=held)["v1-1"].held
    assert seen((90, False), (91, True), (120, True), before=held)["v1-1"].held


def test_each_time_it_is_held_out_for_twice_as_long() -> None:
    node = seen(*falls(10, 20, 30), (40, True), (100, True))
    node = seen(*falls(110, 120, 130), before=node)
    assert node["v1-1"].hold_seconds == 120
    node = seen((131, True), (251, True), *falls(260, 270, 280), before=node)
    assert node["v1-1"].hold_seconds == 200  # the longest


def test_what_is_long_past_is_forgiven() -> None:
    node = seen(*falls(10, 20, 30), (40, True), (100, True), (640, True))
    assert seen(*falls(650, 660, 670), before=node)["v1-1"].hold_seconds == 60


def test_a_node_that_is_gone_is_forgotten() -> None:
    assert watch(seen(*falls(10, 20, 30)), {}, 40, RULES) == {}


@given(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_holding_out_never_empties_a_pool(ready: set[int], held: set[int]) -> None:
    names, out = {f"v1-{n}" for n in ready}, {f"v1-{n}" for n in held}
    allowed = let_in(names, out)
    assert bool(allowed) == bool(names)
    assert allowed <= names
    assert not allowed & out or allowed == names
