from controller.core.health import Health, NodeHealth, Probe, ProbeLimits, observe

LIMITS = ProbeLimits(unhealthy_after=3, healthy_after=2)
OK = Probe(ready=True, digest="d")
SILENT = Probe(error="no answer")


def after(*probes: Probe, begin: NodeHealth | None = None) -> NodeHealth:
    node = begin or NodeHealth("i1")
    for probe in probes:
        node = observe(node, probe, LIMITS)
    return node


def test_a_node_is_healthy_when_it_first_says_that_it_is_ready() -> None:
    assert after(Probe(ready=False, reason="loading")).health is Health.STARTING
    assert after(Probe(ready=False, reason="loading"), OK).health is Health.HEALTHY


def test_a_starting_node_owes_no_answer() -> None:
    assert after(*[SILENT] * 10).health is Health.STARTING


def test_two_failures_in_a_row_are_forgiven_and_three_are_not() -> None:
    assert after(OK, SILENT, SILENT, OK, SILENT, SILENT).health is Health.HEALTHY
    failed = after(OK, SILENT, SILENT, SILENT)
    assert failed.health is Health.UNHEALTHY
    assert "3 probes in a row failed" in failed.reason


def test_it_takes_two_answers_in_a_row_to_be_healthy_again() -> None:
    failed = after(OK, SILENT, SILENT, SILENT)
    assert after(OK, begin=failed).health is Health.UNHEALTHY
    assert after(OK, SILENT, OK, begin=failed).health is Health.UNHEALTHY
    assert after(OK, OK, begin=failed).health is Health.HEALTHY


def test_a_node_that_says_it_is_not_ready_gets_no_traffic_at_once() -> None:
    assert not after(OK, Probe(ready=False, reason="draining")).takes_traffic
