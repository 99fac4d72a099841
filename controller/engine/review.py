"""What raters are asked, what they say, and what is forgotten: the requests of people.

A rater sees two texts and no version; sides and order come from a seed that only the store has."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from controller.core.errors import NotFound, Refused
from controller.core.eval_set import EvalSet
from controller.core.review.pairs import (
    SAMPLE,
    Difference,
    ReviewPair,
    canary_is_left,
    differences,
    next_pair,
    queue,
    shown,
)
from controller.core.review.votes import Choice, Opinion, Vote, opinion, preference
from controller.core.rollout import Rollout
from controller.engine.gates import Evaluator
from controller.engine.ports.reviews import Reviews
from controller.engine.records import CastVote, Evaluation, Event, ReviewQueue

COPIES_SUFFIX: Final = "+copies"  # of a rollout's id: the name of its review of copies
LONGEST_CORRECTION: Final = 2000  # characters
Forgetting = Callable[[str, Sequence[Difference]], Awaitable[None]]  # of the review of a name


@dataclass(frozen=True, slots=True)
class Question:
    """A pair as its rater is to see it: nothing tells the versions apart. `voted`: how many of
    `of` pairs this rater has voted on."""

    pair: str
    left: str
    right: str
    voted: int
    of: int


class Review:
    """Raises NotFound for a rollout without a queue, and for an unknown or forgotten pair."""

    def __init__(
        self,
        reviews: Reviews,
        evaluator: Evaluator,
        now: Callable[[], datetime.datetime],
        changed: Callable[[], None],
        on_forget: Forgetting | None = None,
    ) -> None:
        """`on_forget` is told of what is to vanish beside the review's own texts."""
        self.on_forget = on_forget
        self._reviews = reviews
        self._evaluator = evaluator
        self._now = now
        self._changed = changed
        self._changes = asyncio.Lock()  # one at a time: what is weighed is all there is
        self._queues: dict[str, ReviewQueue] = {}  # by rollout; only `forget` changes one
        self.opinions: dict[str, Opinion] = {}  # likewise, of queues used since the start

    async def open(self, rollout: Rollout, actor: str) -> ReviewQueue:
        """The queue, made of the transcripts that are kept where there is none yet. Raises Refused
        where a version was not evaluated on the plan's eval sets."""
        try:
            known = await self._queue(rollout.id)
        except NotFound:
            found = await self._differences(rollout)
            known = await self.make(rollout.id, found, actor)
        await self.recall(rollout.id)
        return known

    async def recall(self, rollout_id: str) -> None:
        """Weigh the votes on a queue that there is already."""
        async with self._changes:
            await self._weigh(rollout_id)

    async def make(
        self, name: str, found: Sequence[Difference], actor: str, sample: int = SAMPLE
    ) -> ReviewQueue:
        """A queue of these differences, of which so many are sampled, unless there is one."""
        seed = secrets.token_hex(16)
        made = ReviewQueue(name, seed, self._now(), queue(found, seed, sample))
        message = f"{len(made.pairs)} of {len(found)} recordings with different texts to compare"
        event = self._event("review.opened", name, message, actor)
        async with self._changes:
            await asyncio.to_thread(self._reviews.save_queue, made, event)
        return await self._queue(name)  # another may have been quicker

    async def ask(self, rollout_id: str, rater: str) -> Question | None:
        """The next pair for this rater; None when they have voted on all."""
        found, votes = await self._queue(rollout_id), await self._votes(rollout_id)
        done = {vote.pair for vote in votes if vote.rater == rater}
        pair = next_pair(found.pairs, done, rater, found.seed)
        return None if pair is None else _question(found, pair, rater, done)

    async def ask_next(self, rater: str, under_way: str | None = None) -> Question | None:
        """Of the newest review, then of the same rollout's other one; then of those of the rollout
        `under_way`, whose gate waits for votes."""
        newest = await self.newest()
        rollouts = [_rollout(newest), *([under_way] if under_way is not None else [])]
        names = [newest, *(name for r in rollouts for name in (r, r + COPIES_SUFFIX))]
        for name in dict.fromkeys(names):
            with contextlib.suppress(NotFound):  # no review of that name
                if question := await self.ask(name, rater):
                    return question
        return None

    async def ask_again(self, pair_id: str, rater: str) -> Question:
        """A pair that this rater has seen, as they saw it: a vote may be changed."""
        pair = await self.pair(pair_id)
        rollout_id = await self.rollout_of(pair_id)
        found, votes = await self._queue(rollout_id), await self._votes(rollout_id)
        done = {vote.pair for vote in votes if vote.rater == rater}
        return _question(found, pair, rater, done)

    async def vote(
        self, pair_id: str, rater: str, choice: Choice, corrected: str | None = None
    ) -> None:
        """A rater's newest vote on a pair counts."""
        rollout_id, text = await self.rollout_of(pair_id), _correction(corrected)
        seed = (await self._queue(rollout_id)).seed
        said = preference(choice, canary_is_left(pair_id, rater, seed))
        event = self._event("review.voted", rollout_id, f"voted on pair {pair_id}", rater)
        cast = CastVote(Vote(pair_id, rater, said, text), choice, event.at)
        async with self._changes:
            await self.pair(pair_id)  # is it there still?
            await asyncio.to_thread(self._reviews.add_vote, rollout_id, cast, event)
            await self._weigh(rollout_id)

    async def pair(self, pair_id: str) -> ReviewPair:
        """A pair whose texts are still there."""
        queue_of = await self._queue(await self.rollout_of(pair_id))
        pair = next(pair for pair in queue_of.pairs if pair.id == pair_id)
        if pair.difference is None:
            raise NotFound(f"pair {pair_id} was forgotten; nothing was saved")
        return pair

    async def rollout_of(self, pair_id: str) -> str:
        found = await asyncio.to_thread(self._reviews.rollout_of, pair_id)
        if found is None:
            raise NotFound(f"there is no pair {pair_id!r} to compare; nothing was saved")
        return found

    async def newest(self) -> str:
        """The review whose pairs were chosen last."""
        found = await asyncio.to_thread(self._reviews.newest)
        if found is None:
            raise NotFound("there is nothing to compare yet; `rollout review open` chooses pairs")
        return found

    async def forget(self, rollout_id: str, pair_ids: Sequence[str] | None, actor: str) -> int:
        """Remove texts and corrections of these pairs, or of all; how many."""
        async with self._changes:
            return await self._forget(rollout_id, pair_ids, actor)

    async def _forget(self, rollout_id: str, pair_ids: Sequence[str] | None, actor: str) -> int:
        found = await self._queue(rollout_id)
        kept = [pair.id for pair in found.pairs if pair.difference is not None]
        gone = kept if pair_ids is None else list(dict.fromkeys(pair_ids))
        if unknown := [pair_id for pair_id in gone if pair_id not in kept]:
            raise NotFound(
                f"{', '.join(unknown)}: no pairs of {rollout_id}, or forgotten already; nothing "
                f"was forgotten"
            )
        message = f"forgot texts and corrections of {len(gone)} pairs"
        event = self._event("review.forgotten", rollout_id, message, actor)
        vanishing = [p.difference for p in found.pairs if p.id in gone and p.difference]
        if self.on_forget is not None:  # first: what fails here is still known
            await self.on_forget(rollout_id, vanishing)
        await asyncio.to_thread(self._reviews.forget, rollout_id, gone, event)
        self._queues[rollout_id] = _without(found, gone)
        await self._weigh(rollout_id)
        return len(gone)

    async def results(self, rollout_id: str) -> tuple[ReviewQueue, list[Vote], Opinion]:
        """All that is known, versions and all: not for who still votes."""
        found, votes = await self._queue(rollout_id), await self._votes(rollout_id)
        return found, votes, await asyncio.to_thread(opinion, found.pairs, votes)

    async def _queue(self, rollout_id: str) -> ReviewQueue:
        if rollout_id not in self._queues:
            found = await asyncio.to_thread(self._reviews.queue, rollout_id)
            if found is None:
                raise NotFound(
                    f"rollout {rollout_id} has no review; `rollout review open {rollout_id}` makes "
                    f"one once both versions have transcribed the plan's eval sets"
                )
            self._queues.setdefault(rollout_id, found)  # read before a `forget` that was quicker?
        return self._queues[rollout_id]

    async def _votes(self, rollout_id: str) -> list[Vote]:
        return await asyncio.to_thread(self._reviews.votes, rollout_id)

    async def _differences(self, rollout: Rollout) -> list[Difference]:
        names = rollout.plan.eval_sets
        if not names:
            raise Refused(f"plan {rollout.plan.name} names no eval_sets: there is nothing to hear")
        before = await self._evaluator.kept(rollout.from_version, names)
        after = await self._evaluator.kept(rollout.version, names)
        if before is None or after is None:
            sets = " ".join(f"--eval-set {name}" for name in names)
            raise Refused(
                f"{rollout.from_version} and {rollout.version} have not both transcribed the "
                f"eval sets of plan {rollout.plan.name}, so there is nothing to compare yet: "
                f"`rollout evaluate {rollout.from_version} {rollout.version} {sets}`"
            )
        if not any(map(_both_heard, before, after)):
            raise Refused(
                f"{rollout.from_version} and {rollout.version} gave a text of no recording both, "
                f"so there is nothing to compare"
            )
        found: list[Difference] = []
        for (eval_set, old), (_, new) in zip(before, after, strict=True):
            found += await asyncio.to_thread(differences, eval_set, old.hypotheses, new.hypotheses)
        return found

    async def _weigh(self, rollout_id: str) -> None:
        """While nothing else changes."""
        _, _, self.opinions[rollout_id] = await self.results(rollout_id)
        self._changed()

    def _event(self, kind: str, rollout_id: str, message: str, actor: str) -> Event:
        return Event(kind, rollout_id, message, actor, self._now())


def _both_heard(before: tuple[EvalSet, Evaluation], after: tuple[EvalSet, Evaluation]) -> bool:
    """Any recording."""
    old, new = before[1].hypotheses, after[1].hypotheses
    return any(text is not None and new.get(key) is not None for key, text in old.items())


def _rollout(name: str) -> str:
    return name.removesuffix(COPIES_SUFFIX)


def _without(found: ReviewQueue, gone: Collection[str]) -> ReviewQueue:
    pairs = (replace(p, difference=None) if p.id in gone else p for p in found.pairs)
    return replace(found, pairs=tuple(pairs))


def _question(found: ReviewQueue, pair: ReviewPair, rater: str, done: Collection[str]) -> Question:
    assert pair.difference is not None
    canary, stable = shown(pair.difference.canary), shown(pair.difference.stable)
    left = canary_is_left(pair.id, rater, found.seed)
    sides = (canary, stable) if left else (stable, canary)
    kept = {p.id for p in found.pairs if p.difference is not None}
    return Question(pair.id, *sides, voted=len(done), of=len(kept | set(done)))


def _correction(text: str | None) -> str | None:
    """On one line; None where nothing was written. Raises Refused where it is too long."""
    said = " ".join((text or "").split())
    if len(said) > LONGEST_CORRECTION:
        raise Refused(
            f"the corrected text has {len(said):,} characters, and {LONGEST_CORRECTION:,} are the "
            f"most; nothing was saved"
        )
    return said or None
