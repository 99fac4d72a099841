"""Recordings of users: only with consent, for a time, and gone when they are to be gone."""

from __future__ import annotations

import asyncio
import datetime
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.review_audio import ReviewAudio
from controller.adapters.store import SqlStore
from controller.core.errors import NotFound, Refused
from controller.core.review.votes import Choice
from controller.core.shadow.pair import Heard, counted
from controller.engine.copies_review import CopiesReview
from controller.engine.records import Event, ReviewQueue
from controller.engine.review import Review
from tests.core.review_pairs import pairs
from tests.core.rollouts import NOON

HOUR = datetime.timedelta(hours=1)
ENTRY = Event("review.opened", "r1", "10 pairs", "ann", NOON)


class Desk:
    """Copies that two nodes heard, the folders that they left, and the review."""

    def __init__(self, folder: Path, days: float | None = 14.0) -> None:
        self.folder = folder
        self.store = SqlStore.in_folder(folder)
        self.recordings = ReviewAudio(folder)
        review = Review(self.store.reviews, None, lambda: NOON, lambda: None)  # type: ignore[arg-type]
        self.copies = CopiesReview(review, self.store, self.recordings, days, lambda: NOON)

    def hear(self, request: str, old: str, new: str, age_days: float = 0.0) -> Path:
        """A request whose copy the canary's node kept."""
        stable = Heard("v1-1", 1, f"{request}-s", request, "v1", old, False, 2.0)
        canary = Heard("v2-1", 1, f"{request}-c", request, "v2", new, True, 2.0, "zh")
        for heard in (stable, canary):
            self.store.shadows.take("r1", heard.node, heard.cursor, [heard])
        self.store.shadows.compared("r1", {request: counted(stable, canary)})
        kept = self.folder / "nodes" / "v2-1" / "audio" / f"20261121T120000.0Z_{request}-c.wav"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(f"voice of {request}".encode())
        at = time.time() - age_days * 86400
        os.utime(kept, (at, at))
        return kept

    def holds(self, secret: str) -> list[str]:
        """The files in which it stands, or whose name has it."""
        return [
            path.name
            for path in self.folder.rglob("*")
            if path.is_file() and (secret.encode() in path.read_bytes() or secret in path.name)
        ]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


async def test_people_hear_the_copies_whose_texts_differ(desk: Desk) -> None:
    desk.hear("q1", "请拨打一零零八六", "请拨打10086")
    desk.hear("q2", "好的", "好的")
    queue = await desk.copies.open("r1", "ann")
    (pair,) = queue.pairs
    assert pair.difference is not None
    source = Path(pair.difference.utterance.source)
    assert source.parent == desk.recordings.folder
    assert desk.holds("voice of q1") == [source.name]  # moved: there is one
    question = await desk.copies.review.ask("r1+copies", "ann")
    assert question is not None
    assert {question.left, question.right} == {"请拨打一零零八六", "请拨打10086"}


async def test_who_has_voted_on_all_copies_is_asked_of_eval_sets_and_of_no_older_rollout(
    desk: Desk,
) -> None:
    desk.hear("q1", "一", "二")
    review = desk.copies.review
    for number, name in enumerate(("r0", "r1")):
        made = ReviewQueue(name, "seed", NOON - HOUR * (2 - number), pairs(10, seed=name))
        await asyncio.to_thread(desk.store.reviews.save_queue, made, ENTRY)
    await desk.copies.open("r1", "ann")
    asked = []
    while question := await review.ask_next("ann"):
        asked.append(await review.rollout_of(question.pair))
        await review.vote(question.pair, "ann", Choice.SAME)
    assert asked == ["r1+copies"] + ["r1"] * 10


async def test_copies_of_an_older_rollout_do_not_keep_raters_from_the_one_under_way(
    desk: Desk,
) -> None:
    review = desk.copies.review
    for number, name in enumerate(("r1", "r0+copies")):
        made = ReviewQueue(name, "seed", NOON - HOUR * (2 - number), pairs(2, seed=name))
        await asyncio.to_thread(desk.store.reviews.save_queue, made, ENTRY)
    asked = []
    while question := await review.ask_next("ann", under_way="r1"):
        asked.append(await review.rollout_of(question.pair))
        await review.vote(question.pair, "ann", Choice.SAME)
    assert asked == ["r0+copies"] * 2 + ["r1"] * 2


async def test_opening_again_finds_the_same(desk: Desk) -> None:
    desk.hear("q1", "一", "二")
    assert await desk.copies.open("r1", "ann") == await desk.copies.open("r1", "bob")


async def test_two_who_open_at_once_find_the_same(desk: Desk) -> None:
    desk.hear("q1", "一", "二")
    one, other = await asyncio.gather(*(desk.copies.open("r1", name) for name in ("ann", "bob")))
    assert one == other


async def test_recordings_that_a_controller_took_before_its_end_are_found_by_the_next(
    desk: Desk,
) -> None:
    recording = desk.hear("q1", "一", "二")
    desk.recordings.keep("q1-c", recording)
    assert len((await desk.copies.open("r1", "ann")).pairs) == 1
    assert len(desk.holds("voice of q1")) == 1


async def test_without_consent_nothing_is_opened_and_what_is_there_goes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, days=None)
    desk.hear("q1", "一", "二")
    with pytest.raises(Refused, match="keep_audio: true"):
        await desk.copies.open("r1", "ann")
    await desk.copies.sweep()
    assert desk.holds("voice of q1") == []
    desk.store.close()


async def test_without_recordings_the_reason_is_said(desk: Desk) -> None:
    desk.hear("q1", "一", "二").unlink()
    with pytest.raises(Refused, match="of 1 copied requests of r1 with different texts no record"):
        await desk.copies.open("r1", "ann")


async def test_what_is_forgotten_is_gone_from_the_disk(desk: Desk) -> None:
    desk.hear("q1", "the old text of q1", "the new text for q1")
    (pair,) = (await desk.copies.open("r1", "ann")).pairs
    await desk.copies.review.vote(pair.id, "ann", Choice.NEITHER, "what q1 truly said")
    assert await desk.copies.review.forget("r1+copies", [pair.id], "ann") == 1
    for secret in ("voice of q1", "old text of q1", "new text for q1", "q1 truly said", "q1-c"):
        assert desk.holds(secret) == [], secret
    events = await asyncio.to_thread(desk.store.last_events, 1)
    assert (events[0].kind, events[0].actor) == ("review.forgotten", "ann")


async def test_no_text_is_forgotten_while_its_recording_stays(desk: Desk, tmp_path: Path) -> None:
    desk.hear("q1", "一", "二")
    (pair,) = (await desk.copies.open("r1", "ann")).pairs
    assert pair.difference is not None
    elsewhere = tmp_path / "elsewhere.wav"
    elsewhere.write_bytes(b"voice of q1")
    heard = replace(pair.difference.utterance, source=str(elsewhere))
    odd = replace(pair, id="f00", difference=replace(pair.difference, utterance=heard))
    queue = ReviewQueue("r2+copies", "seed", NOON, (odd,))
    await asyncio.to_thread(desk.store.reviews.save_queue, queue, ENTRY)
    with pytest.raises(Refused, match=r"elsewhere\.wav .* no text was forgotten"):
        await desk.copies.review.forget("r2+copies", None, "ann")
    assert await desk.copies.review.pair("f00") == odd


async def test_after_the_retention_time_recordings_and_texts_go_by_themselves(desk: Desk) -> None:
    desk.hear("old", "一一", "二二", age_days=15)
    desk.hear("new", "三三", "四四", age_days=13)
    queue = await desk.copies.open("r1", "ann")
    unopened = desk.hear("left", "五五", "六六", age_days=15)
    await desk.copies.sweep()
    assert not unopened.exists()
    assert desk.holds("voice of old") == []
    assert len(desk.holds("voice of new")) == 1
    (left,) = [p for p in queue.pairs if await is_there(desk, p.id)]
    assert left.difference is not None
    assert left.difference.utterance.key == "new"
    kinds = [event.kind for event in await asyncio.to_thread(desk.store.last_events, 2)]
    assert kinds == ["review.forgotten", "review.audio_deleted"]  # told once it is so
    await desk.copies.sweep()  # nothing is left to tell
    assert len(await asyncio.to_thread(desk.store.last_events, 9)) == 3


async def is_there(desk: Desk, pair: str) -> bool:
    try:
        return bool(await desk.copies.review.pair(pair))
    except NotFound:
        return False


@pytest.mark.parametrize("node", ["..", ".", "", "a/b", "../nodes/v2-1"])
async def test_no_file_beside_the_nodes_folders_is_taken(desk: Desk, node: str) -> None:
    desk.hear("q1", "一", "二")
    assert desk.recordings.find(node, "q1-c") is None
    assert desk.recordings.find("v2-1", "*") is None
    assert desk.recordings.find("v2-1", "q1-c") is not None


async def test_only_kept_copies_are_removed(desk: Desk, tmp_path: Path) -> None:
    clip = tmp_path / "eval_sets" / "digits" / "audio" / "1.ogg"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"clip")
    assert desk.recordings.remove([clip, tmp_path / "state.db"]) == 0
    assert clip.exists()
