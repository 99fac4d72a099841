"""Drills: when they may begin, what is measured, and what is made of it."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from controller.core.drill.catalogue import DRILLS, NO_DRILLS, Drill, Hit, drill_named
from controller.core.drill.measures import (
    Attempt,
    Logged,
    Look,
    Observations,
    Sent,
    errors_of,
    noticed_by_probe,
    noticed_by_retry,
    recovered,
    streams_cut,
    switched,
)
from controller.core.drill.options import DrillOptions, ScheduledDrill, Window
from controller.core.drill.report import Outcome, Report, judge, numbers_of, suffering
from controller.core.drill.situation import (
    Circumstances,
    Situation,
    objections,
    situation_of,
    victims,
)
from controller.core.errors import InvalidConfig, NotFound, Refused

KILL = DRILLS["kill-stable"]
FAULT_AT = 1000.0
A_NODE, ANOTHER = "127.0.0.1:1", "127.0.0.1:2"
A_FLEET = Situation("process", ("v1-1", "v1-2"), 2, ("backup-v1-1",), 1, settled=True)


def a_drill(hit: Hit) -> Drill:
    return next(drill for drill in DRILLS.values() if drill.hit is hit)


def sent(number: int, began: float, status: int | None = 200, **more: Any) -> Sent:
    took = more.pop("took", 0.5)
    return Sent(f"drill-x-{number}", began, began + took, status, **{"node": "v1-2"} | more)


def logged(number: int, ended: float, *attempts: Attempt, status: int = 200) -> Logged:
    seconds = sum(attempt.seconds or 0.0 for attempt in attempts)
    return Logged(f"drill-x-{number}", ended, seconds, status, attempts)


def seen(**more: Any) -> Observations:
    """v1-1 is killed at 1000 s, seen 2 s later, and back after 9 s; all requests succeed."""
    return replace(
        Observations(
            fault_at=FAULT_AT,
            fault_ended=FAULT_AT,
            hit=frozenset({"v1-1"}),
            hit_addresses=frozenset({A_NODE}),
            sent=(sent(1, 998.0, node="v1-1"), sent(2, 999.9), sent(3, 1000.2), sent(4, 1008.0)),
            logged=(
                logged(1, 998.5, Attempt(A_NODE, 200, 0.5)),
                logged(2, 1000.4, Attempt(A_NODE, 502, 0.15), Attempt(ANOTHER, 200, 0.3)),
                logged(3, 1000.7, Attempt(ANOTHER, 200, 0.5)),
                logged(4, 1008.5, Attempt(ANOTHER, 200, 0.5)),
            ),
            looks=(
                Look(999.0, hurt=False, whole=True),
                Look(1000.5, hurt=False, whole=True),  # nobody has noticed yet
                Look(1002.0, hurt=True, whole=False),
                Look(1008.0, hurt=True, whole=False),
                Look(1009.0, hurt=False, whole=True),
            ),
        ),
        **more,
    )


def numbers(observations: Observations, drill: Drill = KILL) -> Any:
    return numbers_of(drill, drill.bounds, observations, "drill-x-", ("backup-v1-1",), {})


def reasons(observations: Observations, drill: Drill = KILL) -> tuple[str, ...]:
    return judge(drill, drill.bounds, observations, numbers(observations, drill))


# -- may it begin ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRILLS.keys() - {"kill-controller"})
def test_every_drill_may_begin_in_a_whole_fleet_of_containers(name: str) -> None:
    assert objections(DRILLS[name], replace(A_FLEET, runtime="docker"), Circumstances()) == ()


@pytest.mark.parametrize(
    ("situation", "circumstances", "word"),
    [
        (replace(A_FLEET, stable=("v1-1",)), Circumstances(), "only 1 of 2 stable nodes"),
        (replace(A_FLEET, settled=False), Circumstances(), "newest changes"),
        (replace(A_FLEET, failed_over=True), Circumstances(), "backup serves already"),
        (replace(A_FLEET, helped=True), Circumstances(), "helps stable on"),
        (replace(A_FLEET, problem="no node is ready"), Circumstances(), "no node is ready"),
        (replace(A_FLEET, rollout="v2-7"), Circumstances(), "rollout v2-7 is under way"),
        (replace(A_FLEET, backup_problem="too small"), Circumstances(), "too small"),
        (A_FLEET, Circumstances(running="all-stable"), "all-stable is under way"),
        (A_FLEET, Circumstances(closed="it is noon"), "it is noon"),
    ],
)
def test_a_drill_is_refused_with_the_reason(
    situation: Situation, circumstances: Circumstances, word: str
) -> None:
    found = objections(KILL, situation, circumstances)
    assert len(found) == 1
    assert word in found[0]


def test_a_rollout_under_way_may_be_allowed() -> None:
    under_way = replace(A_FLEET, rollout="v2-7")
    assert objections(KILL, under_way, Circumstances(during_rollout=True)) == ()


def test_the_last_node_that_serves_is_not_hit() -> None:
    alone = replace(A_FLEET, stable=("v1-1",), stable_wanted=1, backup=(), backup_wanted=0)
    assert "no second healthy node" in objections(KILL, alone, Circumstances())[0]
    no_backup = replace(A_FLEET, backup=(), backup_wanted=0)
    assert objections(KILL, no_backup, Circumstances()) == ()
    assert "no healthy backup" in objections(DRILLS["all-stable"], no_backup, Circumstances())[0]


def test_a_controller_that_nobody_starts_again_is_not_killed() -> None:
    drill = DRILLS["kill-controller"]
    assert "supervisor" in objections(drill, A_FLEET, Circumstances())[0]
    assert objections(drill, A_FLEET, Circumstances(supervised=True)) == ()


def test_what_works_on_containers_only_is_refused_for_processes_by_name() -> None:
    rules = Circumstances(supervised=True)
    refused = {name: objections(drill, A_FLEET, rules) for name, drill in DRILLS.items()}
    assert [name for name, why in refused.items() if why] == ["network-cut"]
    assert "network-cut works in the docker runtime only" in refused["network-cut"][0]


def test_victims_are_those_that_the_drill_names() -> None:
    assert victims(a_drill(Hit.ONE), A_FLEET) == ("v1-1",)
    assert victims(a_drill(Hit.STABLE), A_FLEET) == ("v1-1", "v1-2")
    assert victims(a_drill(Hit.ALL), A_FLEET) == ("v1-1", "v1-2", "backup-v1-1")
    assert victims(a_drill(Hit.NONE), A_FLEET) == ()


def test_the_situation_is_read_from_the_status() -> None:
    nodes = [{"name": "v1-1", "health": "healthy"}, {"name": "v1-2", "health": "starting"}]
    status: dict[str, Any] = {
        "runtime": "process",
        "router": {"running": True, "settled": True, "failed_over": False},
        "pools": {
            "stable": {"nodes": nodes},
            "backup": {"nodes": [{"name": "backup-v1-1", "health": "healthy"}]},
        },
        "failover": {"problem": None, "help": "none"},
        "alarm": None,
        "rollout": {"id": "v2-1", "phase": "promoted"},
    }
    found = situation_of(status)
    assert found == replace(A_FLEET, stable=("v1-1",))
    assert not found.whole
    status["failover"]["problem"] = "too small"
    assert situation_of(status).backup_problem == "too small"
    status["rollout"] = {"id": "v2-1", "phase": "holding"}
    assert situation_of(status).rollout == "v2-1"


@pytest.mark.parametrize("name", NO_DRILLS)
def test_what_could_not_be_put_back_is_refused_by_name_with_what_to_do_instead(name: str) -> None:
    with pytest.raises(Refused, match=f"{name} is no drill, and nothing was broken: .*; ") as found:
        drill_named(name)
    assert not isinstance(found.value, NotFound)


def test_an_unknown_drill_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="kill-stable"):
        drill_named("kill-everybody")


# -- when -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "hour", "is_open"),
    [
        ("01:00-05:00", 3, True),
        ("01:00-05:00", 5, False),
        ("22:00-05:00", 23, True),
        ("22:00-05:00", 4, True),
        ("22:00-05:00", 12, False),
    ],
)
def test_a_window_is_open_in_its_hours(window: str, hour: int, is_open: bool) -> None:
    now = datetime.datetime(2026, 1, 1, hour, tzinfo=datetime.UTC)
    assert (Window(window).closed(now) is None) == is_open


def test_a_window_is_one_of_its_own_time_zone() -> None:
    now = datetime.datetime(2026, 1, 1, 18, tzinfo=datetime.UTC)  # 02:00 there
    assert Window("01:00-05:00", "Asia/Shanghai").closed(now) is None


def test_what_cannot_be_scheduled_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="HH:MM"):
        Window("1-5")
    with pytest.raises(InvalidConfig, match="never open"):
        Window("00:00-00:00")
    with pytest.raises(NotFound, match="no drill"):
        ScheduledDrill("no-such", "0 3 * * *")
    with pytest.raises(InvalidConfig, match="cron"):
        ScheduledDrill("kill-stable", "at night")


# -- what was measured ------------------------------------------------------------------------


def test_detection_is_the_earlier_of_a_retry_and_a_probe() -> None:
    found = numbers(seen())
    assert found.retry_seconds == pytest.approx(0.1)  # began at 999.95, 0.15 s until given up
    assert found.probe_seconds == pytest.approx(2.0)
    assert found.detection_seconds == found.retry_seconds


def test_a_retry_elsewhere_or_before_the_fault_notices_nothing() -> None:
    elsewhere = logged(9, 1003.0, Attempt(ANOTHER, 502, 0.1), Attempt(A_NODE, 200, 0.1))
    earlier = logged(8, 990.0, Attempt(A_NODE, 502, 0.1), Attempt(ANOTHER, 200, 0.1))
    assert noticed_by_retry(seen(logged=(elsewhere, earlier))) is None


def test_the_switch_is_the_first_answer_by_another_to_what_was_sent_after_the_fault() -> None:
    assert switched(seen()) == pytest.approx(0.7)
    by_the_dead = seen(sent=(sent(1, 1000.1, node="v1-1"), sent(2, 1004.0)))
    assert switched(by_the_dead) == pytest.approx(4.5)


def test_what_was_answered_before_the_last_loss_is_no_switch() -> None:
    lost = sent(2, 1001.0, None, error="refused")
    found = seen(sent=(sent(1, 1000.1), lost, sent(3, 1001.5)))  # killed a moment after the fault
    assert switched(found) == pytest.approx(2.0)
    assert switched(seen(sent=(sent(1, 1000.1), lost))) is None


def test_where_all_were_hit_the_switch_is_the_first_answer_of_one_that_came_back() -> None:
    all_hit = seen(sent=(sent(1, 1001.9, node="v1-1"), sent(2, 1008.0, node="v1-1")))
    assert switched(all_hit) == pytest.approx(8.5)


def test_recovery_is_not_the_moment_before_anybody_noticed() -> None:
    assert recovered(seen(), must_be_noticed=True) == pytest.approx(9.0)
    unnoticed = seen(looks=(Look(1000.5, hurt=False, whole=True),))
    assert recovered(unnoticed, must_be_noticed=True) is None
    assert recovered(unnoticed, must_be_noticed=False) == pytest.approx(0.5)
    assert noticed_by_probe(unnoticed) is None


def test_recovery_is_the_last_one_and_must_last() -> None:
    relapse = (Look(1010.0, hurt=True, whole=False), Look(1012.0, hurt=False, whole=True))
    again = seen(looks=(*seen().looks, *relapse))
    assert recovered(again, must_be_noticed=True) == pytest.approx(12.0)
    later = replace(again, looks=(*again.looks, Look(1018.0, hurt=False, whole=True)))
    assert recovered(again, True, quiet_seconds=6.0) is None
    assert recovered(later, True, quiet_seconds=6.0) == pytest.approx(12.0)


def test_recovery_follows_the_end_of_a_fault_that_lasts() -> None:
    assert recovered(seen(fault_ended=1008.5), must_be_noticed=True) == pytest.approx(9.0)
    assert recovered(seen(fault_ended=1010.0), must_be_noticed=True) is None


def test_streams_that_end_with_their_node_were_cut() -> None:
    cut = logged(8, 1000.1, Attempt(A_NODE, 101, 60.0), status=101)
    ended_before = logged(9, 999.0, Attempt(A_NODE, 101, 60.0), status=101)
    elsewhere = logged(7, 1000.1, Attempt(ANOTHER, 101, 60.0), status=101)
    assert streams_cut(seen(logged=(cut, ended_before, elsewhere)), 300) == 1


def test_the_backups_error_rate_is_of_its_own_answers() -> None:
    answers = (
        sent(1, 1001.0, node="backup-v1-1", clip="a", text="一二三五"),
        sent(2, 1001.0, node="v1-2", clip="a", text=""),
        sent(3, 1001.0, status=503, node="backup-v1-1", clip="a"),
    )
    found = errors_of(answers, {"backup-v1-1"}, {"a": "一二三四"})
    assert (found.total, found.length) == (1, 4)


# -- what is made of it -----------------------------------------------------------------------


def test_a_drill_in_which_nothing_failed_and_all_was_in_time_passes() -> None:
    assert reasons(seen()) == ()
    found = numbers(seen())
    assert (found.requests, found.requests_logged, found.failed, found.retried) == (4, 4, 0, 1)


def test_one_failed_request_fails_it() -> None:
    failed = seen(sent=(*seen().sent, sent(5, 1001.0, None, error="reset")))
    assert "drill-x-5: reset" in reasons(failed)[0]
    assert numbers(failed).failed == 1


@pytest.mark.parametrize(
    ("observations", "word"),
    [
        (seen(looks=seen().looks[:2], logged=()), "noticed not at all"),
        (seen(sent=(sent(1, 1007.0),)), "answered again only after 7.5 s"),
        (seen(looks=seen().looks[:-1]), "as before not at all"),
    ],
)
def test_too_late_is_a_failure(observations: Observations, word: str) -> None:
    assert any(word in reason for reason in reasons(observations))


def test_a_killed_router_may_lose_what_was_in_flight_and_no_more() -> None:
    router = DRILLS["kill-router"]
    nobody = {"hit": frozenset(), "hit_addresses": frozenset()}
    in_flight = sent(5, 999.9, None, error="reset")
    at_once = sent(6, 1000.5, None, error="refused")
    later = sent(7, 1004.0, None, error="refused")
    again = sent(8, 1000.6)
    tolerated = seen(sent=(*seen().sent, in_flight, at_once, again), **nobody)
    assert reasons(tolerated, router) == ()
    found = numbers(tolerated, router)
    assert (found.failed, found.failed_allowed) == (2, 2)  # told, though tolerated
    assert "1 of 5" in reasons(seen(sent=(*seen().sent, later), **nobody), router)[0]


def test_with_everything_dead_a_request_is_refused_but_not_lost() -> None:
    everything = DRILLS["everything"]
    refused = sent(5, 1001.0, 503)
    accepted = sent(6, 1001.0, 202)
    hangs = sent(7, 1001.0, None, error="no answer after 60 s")
    assert reasons(seen(sent=(*seen().sent, refused, accepted)), everything) == ()
    assert "hangs" not in reasons(seen(sent=(*seen().sent, hangs)), everything)[0]


def test_it_stops_when_its_own_or_users_requests_fail() -> None:
    def why(observations: Observations) -> str | None:
        return suffering(KILL, KILL.bounds, observations, "drill-x-", 990.0)

    assert why(seen()) is None
    assert "its own" in (why(seen(sent=(sent(1, 1001.0, 502),))) or "")
    user = replace(logged(1, 1003.0, Attempt(A_NODE, 502, 0.1), status=502), request_id="user-1")
    assert "1 of 1 requests of users" in (why(seen(logged=(user,))) or "")
    failing_before = tuple(replace(user, ended=at) for at in (991.0, 995.0, 1003.0))
    assert why(seen(logged=failing_before)) is None


def test_options_replace_bounds() -> None:
    options = DrillOptions(detect_within_seconds=9.0, recover_within_seconds=60.0)
    bounds = options.bounds(KILL)
    assert (bounds.detect, bounds.switch, bounds.recover) == (9.0, KILL.bounds.switch, 60.0)
    assert options.bounds(DRILLS["reload-storm"]).detect is None  # nobody has to notice


def test_a_report_is_read_as_it_was_written() -> None:
    report = Report(
        "x", "kill-stable", "ann", "process", "2026-01-01T03:00:00+00:00",
        "2026-01-01T03:01:00+00:00", Outcome.FAILED, ("late",), hit=("v1-1",),
        numbers=numbers(seen()), bounds=KILL.bounds,
    )  # fmt: skip
    assert Report.from_dict(report.to_dict()) == report
    with pytest.raises(ValueError, match="unknown: colour"):
        Report.from_dict(report.to_dict() | {"colour": "red"})
