from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import Refused
from controller.core.routing import BUCKETS, Routing


def at(canary: float, baseline: float) -> Routing:
    return Routing("v1", "v2", canary, baseline="baseline", baseline_percent=baseline)


def test_a_routing_with_a_baseline_is_the_same_after_it_was_written_and_read() -> None:
    assert Routing.from_dict(at(5, 5).to_dict()) == at(5, 5)


def test_a_routing_that_an_older_controller_wrote_has_no_baseline() -> None:
    written = Routing("v1", "v2", 5).to_dict()
    for key in ("baseline", "baseline_percent", "baseline_buckets"):
        del written[key]
    assert Routing.from_dict(written) == Routing("v1", "v2", 5)


@given(st.integers(0, 500).map(lambda tenths: tenths / 10))
def test_equal_shares_are_equal_in_buckets(percent: float) -> None:
    routing = at(percent, percent)
    assert routing.canary_buckets == routing.baseline_buckets <= BUCKETS / 2


@pytest.mark.parametrize(("canary", "baseline"), [(5, 5.1), (0, 1), (60, 40.1), (5, -1)])
def test_a_baseline_with_more_than_the_canary_or_than_is_left_is_refused(
    canary: float, baseline: float
) -> None:
    with pytest.raises(Refused, match="baseline"):
        at(canary, baseline)


def test_a_share_needs_a_baseline_to_go_to() -> None:
    with pytest.raises(Refused, match="needs a baseline"):
        Routing("v1", "v2", 5, baseline_percent=5)
