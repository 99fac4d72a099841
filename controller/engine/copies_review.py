"""Reviews of copied requests: real recordings of users, so only where consent is switched on
(`review.keep_audio` in fleet.yaml), for a retention time, and deletion is real."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller.core.errors import Refused
from controller.core.eval_set import Utterance
from controller.core.review.pairs import SAMPLE, Difference, disagreement
from controller.core.shadow.pair import Disagreement
from controller.engine.ports.reviews import Recordings
from controller.engine.ports.store import Store
from controller.engine.records import Event, ReviewQueue
from controller.engine.review import COPIES_SUFFIX, Review

COPIES: Final = "copies"  # stands for the eval set
_KEPT: Final = 500  # pairs with their texts that the store has of a rollout, at most


@dataclass(slots=True)
class CopiesReview:
    """`days` is the retention time; None: no recording is to be kept."""

    review: Review
    store: Store
    recordings: Recordings
    days: float | None
    now: Callable[[], datetime.datetime]
    changes: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.review.on_forget = self.vanish

    async def open(self, rollout_id: str, actor: str) -> ReviewQueue:
        """A queue of the copied requests of which both texts differ and the recording is kept.
        Raises Refused without consent, and where there are none."""
        if self.days is None:
            raise Refused(
                "fleet.yaml does not say `review: {keep_audio: true}`, so no recording of a user "
                "is kept, and there is nothing to hear; nothing was opened"
            )
        async with self.changes:
            return await self._open(rollout_id, actor)

    async def _open(self, rollout_id: str, actor: str) -> ReviewQueue:
        name = rollout_id + COPIES_SUFFIX
        opened = await asyncio.to_thread(self.store.reviews.queue, name)
        if opened is not None:
            return opened
        known = await asyncio.to_thread(self.store.shadows.disagreements, rollout_id, _KEPT)
        found = await asyncio.to_thread(self._kept, known)
        if not found:
            raise Refused(
                f"of {len(known)} copied requests of {rollout_id} with different texts no "
                f"recording is kept; nothing was opened. Nodes that start from now on keep them"
            )
        # Where more differ than the store keeps, these are the worst and no random sample.
        sample = SAMPLE if len(known) < _KEPT else 0
        made = await self.review.make(name, found, actor, sample)
        asked = {pair.difference.utterance.source for pair in made.pairs if pair.difference}
        unasked = [Path(d.utterance.source) for d in found if d.utterance.source not in asked]
        await asyncio.to_thread(self.recordings.remove, unasked)
        return made

    async def sweep(self) -> None:
        """Delete what is kept for too long, with its texts; without consent, all."""
        await asyncio.to_thread(self.store.reviews.leave_no_trace)
        days = self.days if self.days is not None else 0.0
        old = await asyncio.to_thread(self.recordings.older_than, days)
        if not old:
            return
        why = f"older than {days:g} days" if self.days is not None else "keep_audio is off"
        message = f"{len(old)} recordings of copied requests deleted: {why}"
        asked = await asyncio.to_thread(self.store.reviews.of_recordings, [str(p) for p in old])
        for name, pairs in asked.items():
            await self.review.forget(name, pairs, "controller")
        await asyncio.to_thread(self.recordings.remove, old)
        event = Event("review.audio_deleted", "review", message, "controller", self.now())
        await asyncio.to_thread(self.store.save, [event])

    async def vanish(self, name: str, differences: Sequence[Difference]) -> None:
        """Recordings, and the texts that are kept of the copies themselves. Raises Refused where a
        recording stays."""
        of_copies = [d for d in differences if copied(d)]
        if not of_copies:
            return
        paths = [Path(d.utterance.source) for d in of_copies]
        await asyncio.to_thread(self.recordings.remove, paths)
        if left := await asyncio.to_thread(_those_there, paths):
            raise Refused(
                f"{left[0]} is not in this fleet's folders of recordings and was not deleted, so "
                f"no text was forgotten. Delete it, then forget again ({len(left)} such files)"
            )
        ids = [d.utterance.key for d in of_copies]
        rollout_id = name.removesuffix(COPIES_SUFFIX)
        await asyncio.to_thread(self.store.shadows.forget_texts, rollout_id, ids)

    def _kept(self, known: Sequence[Disagreement]) -> list[Difference]:
        found = (self._difference(pair) for pair in known)
        return [difference for difference in found if difference is not None]

    def _difference(self, pair: Disagreement) -> Difference | None:
        """None where nothing is to be compared, or to be heard."""
        stable, canary = pair.stable.text, pair.canary.text
        if stable is None or canary is None or not (share := disagreement(stable, canary)):
            return None
        recording = self.recordings.find(pair.canary.node, pair.canary.entry_id)
        if recording is None:
            return None
        seconds = pair.canary.audio_seconds or 0.0
        utterance = Utterance(
            key=pair.request_id,
            source=str(self.recordings.keep(pair.canary.entry_id, recording)),
            target="",
            tags=(COPIES,),
            duration_ms=round(1000 * seconds),
            speaker=pair.key_hash or "",
            language=pair.canary.language or "",
        )
        return Difference(COPIES, utterance, stable, canary, share)


def copied(difference: Difference) -> bool:
    """Whether it is a user's request, and no recording of an eval set."""
    return difference.eval_set == COPIES


def _those_there(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]
