"""People's votes, from a real store, in the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.core.errors import NotFound, Refused
from controller.core.eval_set import EvalSet
from controller.core.gate import ErrorRateGate
from controller.core.plan import Plan, Step
from controller.core.review.gate import PreferenceGate
from controller.core.review.votes import Choice
from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from controller.engine.gates import Evaluator
from controller.engine.records import Evaluation, Event
from controller.engine.review import Review
from tests.core.rollouts import NOON, a_rollout
from tests.engine.conftest import Driver
from tests.engine.fakes import DIGITS, PLAN, as_json

PEOPLE = PreferenceGate(min_votes=14, min_raters=2, margin_points=30)
ASKING = replace(
    PLAN,
    steps=(Step(5, 3600), Step(100)),
    gates=(ErrorRateGate(max_increase_points=90),),
    preference_gates=(PEOPLE,),
)
HEARD = {"v1": "请拨打一零零八六", "v2": "<|zh|>请拨打10086"}

Say = Callable[[str, str], Choice]


async def started(driver: Driver, plan: Plan = ASKING) -> Review:
    """A rollout whose pairs were chosen."""
    driver.world.heard.update(HEARD)
    await driver.command("start", version="v2", plan=as_json(plan), force=False)
    await driver.until(lambda loop: bool(loop.review.opinions))
    return driver.loop.review


def rollout_id(driver: Driver) -> str:
    assert driver.loop.rollout is not None
    return driver.loop.rollout.id


async def vote(driver: Driver, rater: str, say: Say, count: int = 40) -> None:
    review, rollout = driver.loop.review, rollout_id(driver)
    for _ in range(count):
        question = await review.ask(rollout, rater)
        assert question is not None
        choice = say(question.left, question.right)
        await review.vote(question.pair, rater, choice)


def prefers(text: str) -> Say:
    return lambda left, _right: Choice.LEFT if text in left else Choice.RIGHT


async def test_a_rollout_goes_back_when_people_surely_prefer_the_old_version(
    driver: Driver,
) -> None:
    await started(driver)
    await vote(driver, "ann", prefers("一零零八六"))
    await vote(driver, "bob", prefers("一零零八六"))
    await driver.until(lambda loop: loop.rollout is not None and loop.rollout.ended)
    rollout = driver.loop.rollout
    assert rollout is not None
    assert rollout.phase is Phase.ROLLED_BACK
    assert "gate preference failed: the new version is preferred in 0 %" in rollout.reason


async def test_a_step_ends_well_when_people_like_the_new_version(driver: Driver) -> None:
    await started(driver)
    await vote(driver, "ann", prefers("10086"))
    await vote(driver, "bob", prefers("10086"))
    driver.clock.pass_seconds(3600)
    await driver.until(lambda loop: loop.rollout is not None and loop.rollout.phase != "holding")
    assert driver.loop.rollout is not None
    assert driver.loop.rollout.reason.startswith("all 3 gates passed")


async def test_without_votes_a_person_is_asked_and_retry_takes_those_that_came(
    driver: Driver,
) -> None:
    await started(driver)
    driver.clock.pass_seconds(3600)
    await driver.until(lambda loop: loop.rollout is not None and loop.rollout.phase == "waiting")
    assert driver.loop.rollout is not None
    assert "14 votes are missing" in driver.loop.rollout.reason
    for rater in ("ann", "bob"):
        await vote(driver, rater, prefers("10086"))
    await driver.command("retry")
    driver.clock.pass_seconds(3600)
    await driver.until(lambda loop: loop.rollout is not None and "passed" in loop.rollout.reason)


async def test_votes_outlive_the_controller(driver: Driver) -> None:
    await started(driver)
    await vote(driver, "ann", prefers("10086"), count=20)
    before = driver.loop.verdicts(driver.loop.rollout)[-1]  # type: ignore[arg-type]
    await driver.crash_and_restart()
    assert driver.loop.rollout is not None
    assert driver.loop.verdicts(driver.loop.rollout)[-1] == before  # before the first tick


async def test_until_pairs_are_chosen_nothing_passes(driver: Driver) -> None:
    driver.world.slow.add("v2")
    await driver.command("start", version="v2", plan=as_json(ASKING), force=False)
    assert driver.loop.rollout is not None
    verdict = driver.loop.verdicts(driver.loop.rollout)[-1]
    assert (verdict.verdict, verdict.is_live) == (Outcome.INCONCLUSIVE, True)
    assert "the pairs are being chosen" in verdict.reason


async def test_no_text_is_asked_of_nodes_again_where_gates_have_heard_it(driver: Driver) -> None:
    await started(driver)
    assert len(driver.world.asked) == 2 * len(DIGITS.utterances)


async def test_a_plan_with_no_other_gate_has_its_recordings_transcribed(driver: Driver) -> None:
    await started(driver, replace(ASKING, gates=()))
    assert driver.loop.review.opinions[rollout_id(driver)].sampled == 400


async def test_a_rater_sees_no_version_and_either_text_on_both_sides(driver: Driver) -> None:
    review = await started(driver)
    question = await review.ask(rollout_id(driver), "ann")
    assert question is not None
    assert {question.left, question.right} == {"请拨打一零零八六", "请拨打10086"}
    sides = set()
    for rater in map(str, range(12)):
        asked = await review.ask(rollout_id(driver), rater)
        assert asked is not None
        sides.add(asked.left)
    assert len(sides) == 2


async def test_a_changed_vote_counts_once_and_the_first_stays_in_the_audit(driver: Driver) -> None:
    review, rollout = await started(driver), rollout_id(driver)
    question = await review.ask(rollout, "ann")
    assert question is not None
    for choice in (Choice.LEFT, Choice.SAME):
        await review.vote(question.pair, "ann", choice)
    assert [v.prefers for v in (await review.results(rollout))[1]] == ["same"]
    events = await asyncio.to_thread(driver.store.last_events, 2)
    assert [(event.kind, event.actor) for event in events] == [("review.voted", "ann")] * 2


async def test_what_is_forgotten_is_not_asked_any_more(driver: Driver) -> None:
    review, rollout = await started(driver), rollout_id(driver)
    question = await review.ask(rollout, "ann")
    assert question is not None
    assert await review.forget(rollout, [question.pair], "ann") == 1
    with pytest.raises(NotFound):
        await review.vote(question.pair, "ann", Choice.SAME)
    assert (await review.forget(rollout, None, "ann")) > 200
    assert await review.ask(rollout, "ann") is None


@pytest.mark.parametrize("pair", ["", "0", "../../etc"])
async def test_a_vote_on_an_unknown_pair_is_refused(driver: Driver, pair: str) -> None:
    review = await started(driver)
    with pytest.raises(NotFound):
        await review.vote(pair, "ann", Choice.SAME)


async def test_a_correction_without_end_is_refused(driver: Driver) -> None:
    review, rollout = await started(driver), rollout_id(driver)
    question = await review.ask(rollout, "ann")
    assert question is not None
    with pytest.raises(Refused, match="2,001 characters"):
        await review.vote(question.pair, "ann", Choice.NEITHER, "字" * 2001)


async def test_a_version_that_gave_no_text_wrote_not_the_same_as_the_old(driver: Driver) -> None:
    def kept(version: str, text: str | None) -> tuple[EvalSet, Evaluation]:
        heard = dict.fromkeys((u.key for u in DIGITS.utterances), text)
        return DIGITS, Evaluation(version, version * 32, "digits", DIGITS.digest, NOON, heard)

    for evaluation in (kept("v1", "好")[1], kept("v2", None)[1]):
        event = Event("evaluation.finished", evaluation.version, "heard", "ann", NOON)
        await asyncio.to_thread(driver.store.save_evaluation, evaluation, event)
    digests = {"v1": "v1" * 32, "v2": "v2" * 32}
    evaluator = Evaluator(driver.store, None, lambda _: (), digests, lambda _: DIGITS)  # type: ignore[arg-type]
    review = Review(driver.store.reviews, evaluator, lambda: NOON, lambda: None)
    with pytest.raises(Refused, match="v1 and v2 gave a text of no recording both"):
        await review.open(a_rollout(plan=ASKING), "ann")


async def test_a_review_before_both_versions_were_heard_says_what_to_do(driver: Driver) -> None:
    plan = replace(PLAN, steps=(Step(5, 3600), Step(100)))
    driver.world.slow.add("v2")
    await driver.command("start", version="v2", plan=as_json(plan), force=False)
    assert driver.loop.rollout is not None
    with pytest.raises(Refused, match="rollout evaluate v1 v2 --eval-set digits"):
        await driver.loop.review.open(driver.loop.rollout, "ann")
    with pytest.raises(NotFound, match="rollout review open"):
        await driver.loop.review.ask(rollout_id(driver), "ann")
