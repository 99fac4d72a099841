"""What stays of a rollout when it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from controller.core.fleet import Fleet
from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from controller.engine.audit import command_event, rollout_events, verdict_data
from controller.engine.commands import State, carry_out
from controller.engine.records import Event, Intent, Served
from controller.engine.traffic import Traffic
from tests.core.rollouts import NOON, a_rollout, a_verdict
from tests.engine.conftest import Driver
from tests.engine.fakes import CONFIG

PASS, FAIL = a_verdict(), a_verdict(Outcome.FAIL)
HOLDING = a_rollout(phase=Phase.HOLDING)


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def changes(before: object, after: object, told: tuple[object, ...] = ()) -> list[Event]:
    return rollout_events(before, after, told, Traffic(lambda _: None), "ann", NOON)


def test_a_rollback_given_while_no_controller_ran_stands_with_the_time_of_its_giving() -> None:
    intent = Intent(1, "rollback", {"to": None}, "ann", NOON)
    late = command_event(intent, "rolled back", None, NOON + timedelta(seconds=30), refused=False)
    assert late.message == f"rolled back (asked for at {NOON:%Y-%m-%d %H:%M:%S} UTC)"
    assert late.data["asked_at"] == NOON.isoformat()
    assert command_event(intent, "rolled back", None, NOON, refused=False).message == "rolled back"


def test_so_does_the_rollout_that_it_ended() -> None:
    intent = Intent(1, "rollback", {"to": None}, "ann", NOON)
    state = State(CONFIG, Fleet("v1"), HOLDING, frozenset({"v1", "v2"}))
    late, _ = carry_out(intent, state, NOON + timedelta(hours=1))
    assert late.rollout is not None
    asked = f"{NOON:%Y-%m-%d %H:%M:%S} UTC"
    assert late.rollout.reason == f"rolled back by ann (asked for at {asked})"
    at_once, _ = carry_out(intent, state, NOON + timedelta(seconds=1))
    assert at_once.rollout is not None
    assert at_once.rollout.reason == "rolled back by ann"


def test_a_verdict_is_written_down_with_all_its_numbers() -> None:
    judged = replace(HOLDING, verdicts=(FAIL,))
    (event,) = changes(HOLDING, judged)
    assert (event.kind, event.message) == ("rollout.judged", "gates: 1 fail")
    assert event.data["verdicts"] == [verdict_data(FAIL)]
    assert (event.data["step"], event.data["version"]) == (0, "v2")
    assert event.data["changed"] == ["error-rate digits"]


def test_numbers_that_move_without_another_outcome_do_not_fill_the_audit() -> None:
    before = replace(HOLDING, verdicts=(PASS,))
    moved = replace(HOLDING, verdicts=(replace(PASS, samples=201),))
    assert changes(before, moved, told=(PASS,)) == []


def test_the_numbers_that_a_step_ends_on_are_written_down() -> None:
    moved = (replace(PASS, samples=201),)
    before = replace(HOLDING, verdicts=moved)
    after = replace(before, phase=Phase.WAITING)
    assert kinds(changes(before, after, told=(PASS,))) == [
        "rollout.judged",
        "rollout.phase_changed",
    ]
    assert kinds(changes(before, after, told=moved)) == ["rollout.phase_changed"]


def test_verdicts_belong_to_the_step_whose_share_flows_not_to_the_one_prepared() -> None:
    preparing = a_rollout(step=2, full=True, reached_percent=5.0)
    (event,) = changes(preparing, replace(preparing, verdicts=(FAIL,)))
    assert (event.data["step"], event.data["percent"]) == (0, 5.0)
    second = replace(preparing, step=1, phase=Phase.HOLDING, reached_percent=50.0)
    assert changes(second, replace(second, verdicts=(FAIL,)))[0].data["step"] == 1


def test_a_change_of_phase_says_what_was_before() -> None:
    (began,) = changes(None, a_rollout())
    (went_on,) = changes(a_rollout(), HOLDING)
    assert (began.data["was"], went_on.data["was"]) == (None, "preparing")


def test_a_number_that_is_none_is_null() -> None:
    verdict = verdict_data(replace(PASS, interval=(float("-inf"), float("nan"))))
    assert verdict["interval"] == [None, None]


async def test_each_step_keeps_its_verdicts_and_what_the_canary_really_got(driver: Driver) -> None:
    await driver.start()
    await driver.until(lambda loop: loop.rollout.phase is Phase.WAITING)
    request = Served("canary", "percent", "k", 200, ())
    await driver.loop.observe_traffic()
    driver.world.served = [request, replace(request, pool="stable")]
    await driver.loop.observe_traffic()
    await driver.command("promote")
    rollout = driver.loop.rollout
    events = driver.store.rollout_events(rollout.id, 100)
    assert [e.data["step"] for e in events if e.kind == "rollout.judged"] == [0]
    traffic = events[-1].data["traffic"]
    assert (traffic["share"], traffic["canary_percent_actual"]) == (5, 50.0)


async def test_a_command_is_written_down_with_who_gave_it_and_to_which_rollout(
    driver: Driver,
) -> None:
    await driver.start()
    await driver.command("pause")
    await driver.command("pause")
    found = [e for e in driver.store.events() if e.kind.startswith("command.")]
    assert kinds(found) == ["command.start", "command.pause", "command.refused"]
    assert {e.data["rollout"] for e in found} == {driver.loop.rollout.id}
    assert {e.actor for e in found} == {"ann"}
    assert found[0].data["arguments"] == {"version": "v2", "force": False}


async def test_a_restart_does_not_write_the_same_verdicts_down_again(driver: Driver) -> None:
    await driver.start()
    await driver.until(lambda loop: loop.rollout.phase is Phase.WAITING)
    await driver.crash_and_restart()
    await driver.until_settled()
    await driver.command("promote")
    events = driver.store.rollout_events(driver.loop.rollout.id, 100)
    assert kinds(events).count("rollout.judged") == 1


async def test_what_the_gates_were_measured_on_stays(driver: Driver) -> None:
    driver.world.heard["v3"] = "请拨打一零八六"
    await driver.start("v3")
    await driver.until(lambda loop: loop.rollout.ended)
    events = driver.store.rollout_events(driver.loop.rollout.id, 100)
    (measured,) = [event.data for event in events if event.kind == "gates.measured"]
    assert measured["canary"] == {"version": "v3", "digest": "digest of v3"}
    assert measured["eval_sets"] == [{"name": "digits", "digest": "e" * 64, "utterances": 400}]
    assert len(measured["worst"]) == 12
    assert measured["worst"][0] == {
        "eval_set": "digits", "key": "u0", "tags": [], "more_errors": 1,
        "reference": "请拨打一零零八六", "stable": "请拨打一零零八六", "canary": "请拨打一零八六",
    }  # fmt: skip
