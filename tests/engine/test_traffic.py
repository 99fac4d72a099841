import json

import pytest

from controller.engine.records import Served
from controller.engine.traffic import KEYS_FOR_AN_HONEST_PERCENTAGE, Traffic

NODES = {"127.0.0.1:9001": "v1-1", "127.0.0.1:9002": "v2-1"}
STABLE, CANARY = "127.0.0.1:9001", "127.0.0.1:9002"


def served(
    pool: str = "stable", key: str = "k", decided_by: str = "percent", **rest: object
) -> Served:
    address = CANARY if pool == "canary" else STABLE
    values = {"status": 200, "attempts": ((address, 200),)} | rest
    return Served(pool, decided_by, key, **values)


def counted(*requests: Served) -> dict[str, object]:
    traffic = Traffic(NODES.get)
    for request in requests:
        traffic.take(request)
    return traffic.summary()


def test_the_actual_share_is_that_of_random_traffic() -> None:
    summary = counted(served(), served(), served(), served("canary"))
    assert (summary["requests"], summary["canary_percent_actual"]) == (4, 25.0)


def test_the_actual_share_of_a_baseline_is_told_where_there_is_one() -> None:
    assert counted(served(), served("baseline"))["baseline_percent_actual"] == 50.0
    assert counted(served(), served("canary"))["baseline_percent_actual"] is None


def test_opted_in_requests_are_counted_apart() -> None:
    summary = counted(served(), served("canary", decided_by="cookie"))
    assert (summary["canary_percent_actual"], summary["opted_in"]) == (0.0, 1)


def test_a_canary_failure_that_stable_rescued_is_a_canary_failure() -> None:
    rescued = served("canary", attempts=((CANARY, 503), (STABLE, 200)))
    summary = counted(rescued)
    assert (summary["failed"], summary["rescued"]) == (0, 1)
    assert summary["failed_attempts_by_node"] == {"v2-1": 1}


def test_a_client_that_left_is_no_nodes_failure() -> None:
    summary = counted(served("canary", status=499, attempts=((CANARY, None),)))
    assert (summary["requests"], summary["rescued"]) == (1, 0)
    assert summary["failed_attempts_by_node"] == {}


def test_few_keys_are_warned_of_and_many_are_not() -> None:
    assert "only 1 sticky keys" in str(counted(served())["warning"])
    many = [served(key=str(n)) for n in range(KEYS_FOR_AN_HONEST_PERCENTAGE)]
    assert counted(*many)["warning"] is None


def test_a_new_share_begins_a_new_count() -> None:
    traffic = Traffic(NODES.get)
    traffic.take(served("canary"))
    traffic.begin_anew()
    assert traffic.summary()["canary_percent_actual"] is None


async def test_a_canary_that_is_away_for_a_moment_keeps_what_it_was_counted_for() -> None:
    traffic = Traffic(NODES.get)
    for share in (5, 5, 0, 0, 5, 5):
        await traffic.observe([served("canary")], share, "r-1")
    assert traffic.canary_requests(5) == 5  # all but what was logged before the share was seen


async def test_another_share_or_another_rollout_begins_a_new_count() -> None:
    traffic = Traffic(NODES.get)
    for share, rollout_id, counted_now in (
        (5, "r-1", 0),
        (5, "r-1", 1),
        (50, "r-1", 0),
        (50, "r-1", 1),
        (50, "r-2", 0),
    ):
        await traffic.observe([served("canary")], share, rollout_id)
        assert traffic.canary_requests(share) == counted_now


async def test_late_answers_of_the_canary_before_are_not_this_ones() -> None:
    traffic = Traffic(NODES.get)
    await traffic.observe([], 5, "r-2", "v3")
    await traffic.observe(
        [served("canary", group="v2"), served("canary", group="v3")], 5, "r-2", "v3"
    )
    assert traffic.canary_requests(5) == 1


async def test_late_answers_of_an_aborted_canary_are_no_share_of_the_traffic() -> None:
    traffic = Traffic(NODES.get)
    await traffic.observe([], 0)
    await traffic.observe([served("canary", group="v2"), served(group="v1")], 0)
    assert traffic.summary()["canary_percent_actual"] == 0.0


async def test_counts_go_on_with_the_next_controller() -> None:
    before = Traffic(NODES.get)
    await before.observe([], 5, "r-1", "v2")
    failed = served("canary", attempts=((CANARY, 503), (STABLE, 200)))
    await before.observe([served(), failed, served("canary", decided_by="cookie")], 5, "r-1", "v2")
    after = Traffic(NODES.get)
    assert after.resume("r-1", json.loads(json.dumps(before.to_json())))
    await after.observe([served("canary")], 5, "r-1", "v2")
    assert after.canary_requests(5) == 2
    assert after.summary() == before.summary() | {"requests": 3, "canary_percent_actual": 66.67}


UNDERSTOOD = Traffic(NODES.get).to_json()


@pytest.mark.parametrize(
    "state", [{"share": 5}, UNDERSTOOD | {"keys": None}, UNDERSTOOD | {"failed": "many"}]
)
def test_counts_of_another_version_of_the_program_are_not_gone_on_with(
    state: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    traffic = Traffic(NODES.get)
    assert not traffic.resume("r-1", state)
    assert traffic == Traffic(NODES.get)
    assert "not_understood rollout=r-1" in caplog.text
