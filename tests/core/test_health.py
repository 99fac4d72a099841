from hypothesis import given
from hypothesis import strategies as st

from controller.core.health import (
    Health,
    NodeHealth,
    Probe,
    ProbeLimits,
    Weight,
    Witness,
    answered,
    observe,
    silent,
    unclear,
    weigh,
)

LIMITS = ProbeLimits(unhealthy_after=3, healthy_after=2)
OK = Probe(ready=True, digest="d")
SILENT, DOUBTED, VOID, FIRST = Weight.COUNTS, Weight.DOUBTED, Weight.VOID, Weight.FIRST
ALIVE = "it lives"


def after(*probes: Probe | Weight | str, begin: NodeHealth | None = None) -> NodeHealth:
    """A word of the node, a silence of some weight, or an answer that it lives."""
    node = begin or NodeHealth("i1")
    for at, probe in enumerate(probes, 100):
        if isinstance(probe, Probe):
            node = observe(node, probe, LIMITS)
        elif isinstance(probe, Weight):
            node = silent(node, "no answer", at, probe, LIMITS)
        else:
            node = answered(node)
    return node


def test_a_node_is_healthy_when_it_first_says_that_it_is_ready() -> None:
    assert after(Probe(ready=False, reason="loading")).health is Health.STARTING
    assert after(Probe(ready=False, reason="loading"), OK).health is Health.HEALTHY


def test_a_starting_node_owes_no_answer() -> None:
    assert after(*[SILENT] * 10).health is Health.STARTING


def test_two_failures_in_a_row_are_forgiven_and_three_are_not() -> None:
    assert after(OK, SILENT, SILENT, ALIVE, SILENT, SILENT).health is Health.HEALTHY
    failed = after(OK, SILENT, SILENT, SILENT)
    assert failed.health is Health.UNHEALTHY
    assert failed.is_silent(LIMITS)
    assert failed.failing_since == 101
    assert "3 probes in a row failed" in failed.reason


def test_its_word_shows_that_a_node_lives() -> None:
    assert after(OK, SILENT, SILENT, OK, SILENT, SILENT).health is Health.HEALTHY


def test_it_takes_two_answers_in_a_row_to_be_healthy_again() -> None:
    failed = after(OK, SILENT, SILENT, SILENT)
    assert after(OK, begin=failed).health is Health.UNHEALTHY
    assert after(OK, SILENT, OK, begin=failed).health is Health.UNHEALTHY
    assert after(OK, OK, begin=failed).health is Health.HEALTHY


def test_a_node_that_says_it_is_not_ready_gets_no_traffic_at_once_and_is_not_dead() -> None:
    draining = after(OK, Probe(ready=False, reason="draining"))
    assert not draining.takes_traffic
    assert not after(SILENT, SILENT, begin=draining).is_silent(LIMITS)


def test_a_node_that_lives_and_says_nothing_clear_gets_no_traffic_and_is_not_dead() -> None:
    node = after(OK)
    for _ in range(LIMITS.unhealthy_after):
        assert node.takes_traffic
        node = unclear(node, "500", LIMITS)
    assert node.health is Health.UNHEALTHY
    assert not node.is_silent(LIMITS)
    assert "did not say whether it is ready" in node.reason


def test_doubted_failures_count_once_somebody_agrees() -> None:
    doubted = after(OK, DOUBTED, DOUBTED)
    assert doubted.takes_traffic
    assert after(SILENT, begin=doubted).is_silent(LIMITS)


def test_doubt_ends_when_it_goes_on_and_nothing_speaks_against_it() -> None:
    doubted = after(OK, *[DOUBTED] * (LIMITS.believed_after - 1))
    assert doubted.takes_traffic
    assert after(DOUBTED, begin=doubted).is_silent(LIMITS)


def test_a_failure_while_users_are_answered_is_the_first() -> None:
    node = after(OK, SILENT, SILENT, FIRST)
    assert (node.failures, node.failing_since) == (1, 103)
    assert after(*[SILENT, FIRST] * 9, begin=node).takes_traffic


@given(st.lists(st.sampled_from([VOID, FIRST]), max_size=50))
def test_what_is_our_own_fault_or_contradicted_kills_nobody(weights: list[Weight]) -> None:
    assert after(OK, *weights).takes_traffic


def test_what_a_failed_probe_is_worth() -> None:
    for late, crowd in [(False, False), (False, True), (True, False), (True, True)]:
        assert weigh(Witness.DEAD, late, crowd) is Weight.COUNTS
        assert weigh(Witness.ALIVE, late, crowd) is Weight.FIRST
    assert weigh(Witness.NOTHING, late=False, crowd=False) is Weight.COUNTS
    assert weigh(Witness.NOTHING, late=False, crowd=True) is Weight.DOUBTED
    assert weigh(Witness.NOTHING, late=True, crowd=False) is Weight.VOID
    assert weigh(Witness.NOTHING, late=True, crowd=True) is Weight.VOID
