import datetime

import pytest

from controller.core.errors import NotFound, Refused
from controller.core.fleet import Fleet, FleetConfig
from tests.core.rollouts import NOON

HOUR = datetime.timedelta(hours=1)


def config(**changes: object) -> FleetConfig:
    return FleetConfig(service="asr", versions={}, initial_version="v1", **changes)


def test_rollback_after_a_promotion_goes_to_the_version_before_and_marks_the_other_bad() -> None:
    back = Fleet("v1").promoted("v2", NOON + HOUR).rolled_back(None, NOON + HOUR)
    assert (back.stable, back.retired, back.bad) == ("v1", "v2", frozenset({"v2"}))


def test_rollback_without_a_version_before_is_refused() -> None:
    with pytest.raises(NotFound, match="--to VERSION"):
        Fleet("v1").rolled_back(None, NOON)


def test_rollback_to_what_is_stable_already_is_refused() -> None:
    with pytest.raises(Refused, match="stable already"):
        Fleet("v1").rolled_back("v1", NOON)


def test_rollback_to_a_version_that_never_was_stable_asks_for_force() -> None:
    with pytest.raises(Refused, match="never stable here"):
        Fleet("v1").rolled_back("v2", NOON)
    assert Fleet("v1").rolled_back("v2", NOON, force=True).stable == "v2"


def test_rollback_to_a_version_that_was_rolled_back_asks_for_force() -> None:
    back = Fleet("v1").promoted("v2", NOON).rolled_back(None, NOON)
    with pytest.raises(Refused, match="marked bad"):
        back.rolled_back("v2", NOON)
    assert back.rolled_back("v2", NOON, force=True).stable == "v2"


def test_rollback_to_any_version_that_was_stable_before_works() -> None:
    fleet = Fleet("v1").promoted("v2", NOON).promoted("v3", NOON)
    assert fleet.rolled_back("v1", NOON).stable == "v1"


def test_the_retired_version_is_given_up_when_its_time_is_over() -> None:
    fleet = Fleet("v1").promoted("v2", NOON + HOUR)
    assert fleet.expired(NOON).retired == "v1"
    assert fleet.expired(NOON + HOUR).retired is None


@pytest.mark.parametrize(("percent", "nodes"), [(5, 1), (50, 2), (51, 3), (100, 4)])
def test_the_canary_has_as_many_nodes_as_its_share_takes(percent: float, nodes: int) -> None:
    assert config(stable_nodes=4).canary_nodes_for(percent) == nodes


def test_too_few_devices_are_refused_with_the_sum() -> None:
    with pytest.raises(Refused, match="needs 6 devices"):
        config(devices=("cuda:0", "cuda:1")).check_capacity(3600)


def test_shared_devices_are_enough() -> None:
    config(devices=("cuda:0",), share_devices=True).check_capacity(3600)
