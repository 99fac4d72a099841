"""Who goes next and with whom; and where long recordings are cut."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from asr_node.errors import Busy
from asr_node.recognition import Priority
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions
from asr_node.scheduler import MAX_BATCH, Item, Operation, Request, Scheduler, batch_of
from asr_node.utterances import EARLIEST_CUT, PAUSE, WINDOW, cut

OPTIONS = DecodeOptions("auto", itn=True)
SECOND = SAMPLE_RATE


def a_request(seconds: float = 3.0, priority: Priority = Priority.LIVE) -> Request:
    return Request("r", np.zeros(int(seconds * SECOND), np.float32), priority)


def an_item(
    seconds: float = 3.0,
    priority: Priority = Priority.LIVE,
    options: DecodeOptions = OPTIONS,
    number: int = 0,
    operation: Operation = Operation.TRANSCRIBE,
) -> Item:
    request = a_request(seconds, priority)
    return Item(request, operation, request.samples, options, number)


def lengths(batch: list[Item]) -> list[float]:
    return [item.samples.size / SECOND for item in batch]


async def test_similar_lengths_go_together() -> None:
    waiting = [an_item(seconds) for seconds in (3, 4, 9, 6, 2, 5)]
    assert lengths(batch_of(waiting, MAX_BATCH)) == [3, 4, 6, 5]


async def test_short_ones_are_all_alike() -> None:
    waiting = [an_item(seconds) for seconds in (0.1, 0.9, 2.0)]
    assert lengths(batch_of(waiting, MAX_BATCH)) == [0.1, 0.9, 2.0]


async def test_a_batch_has_a_limit() -> None:
    assert len(batch_of([an_item() for _ in range(20)], MAX_BATCH)) == MAX_BATCH
    assert len(batch_of([an_item() for _ in range(20)], 3)) == 3


async def test_the_padded_length_of_a_batch_has_a_limit() -> None:
    assert lengths(batch_of([an_item(30) for _ in range(4)], MAX_BATCH)) == [30, 30]


async def test_other_options_wait_for_a_batch_of_their_own() -> None:
    other = DecodeOptions("zh", itn=True)
    waiting = [an_item(1), an_item(1.1, options=other), an_item(1.2)]
    assert lengths(batch_of(waiting, MAX_BATCH)) == [1, 1.2]


async def test_what_can_wait_does_not_lengthen_the_batch_of_what_cannot() -> None:
    assert lengths(batch_of([an_item(1), an_item(1, Priority.SHADOW)], MAX_BATCH)) == [1]


async def test_speech_is_looked_for_alone() -> None:
    looking = an_item(operation=Operation.SPEECH)
    assert batch_of([looking, an_item()], MAX_BATCH) == [looking]
    assert looking not in batch_of([an_item(), looking, an_item()], MAX_BATCH)


async def test_who_has_ended_a_worker_goes_alone() -> None:
    suspect = an_item()
    suspect.request.suspect = True
    assert batch_of([suspect, an_item()], MAX_BATCH) == [suspect]
    assert suspect not in batch_of([an_item(), suspect, an_item()], MAX_BATCH)


async def test_urgent_work_goes_first_and_equals_by_arrival() -> None:
    scheduler = Scheduler(64, lambda: 0)
    for number, priority in enumerate([Priority.SHADOW, Priority.BATCH, Priority.LIVE]):
        scheduler.put(an_item(number + 1, priority, number=number))
    scheduler.put(an_item(9, number=9))
    assert [lengths(scheduler.take()) for _ in range(4)] == [[3], [9], [2], [1]]


async def test_what_comes_back_goes_first_again() -> None:
    scheduler = Scheduler(64, lambda: 0)
    first = an_item(1, number=0)
    scheduler.put(an_item(9, number=1))
    scheduler.put(first)
    assert scheduler.take() == [first]


async def test_idle_workers_share_what_waits() -> None:
    scheduler = Scheduler(64, lambda: 0)
    for number in range(8):
        scheduler.put(an_item(number=number))
    scheduler.idle = 1
    assert [len(scheduler.take()), len(scheduler.take())] == [4, 2]


async def test_a_full_line_is_refused_and_recovers() -> None:
    scheduler = Scheduler(1, lambda: 0)
    with (
        scheduler.entered(a_request()),
        scheduler.entered(a_request()),
        pytest.raises(Busy),
        scheduler.entered(a_request()),
    ):
        pass
    scheduler.check_room()


async def test_shadows_take_no_place_from_live_requests() -> None:
    scheduler = Scheduler(1, lambda: 0)
    shadow = a_request(priority=Priority.SHADOW)
    with scheduler.entered(shadow), scheduler.entered(a_request(priority=Priority.SHADOW)):
        with pytest.raises(Busy), scheduler.entered(a_request(priority=Priority.SHADOW)):
            pass
        with scheduler.entered(a_request()):
            assert scheduler.requests == 3


async def test_who_gives_up_leaves_the_line() -> None:
    scheduler = Scheduler(64, lambda: 0)
    request = a_request()
    run = scheduler.run(request, Operation.TRANSCRIBE, request.samples, OPTIONS)
    waiting = asyncio.create_task(run)
    await asyncio.sleep(0)
    assert scheduler.waiting == 1
    waiting.cancel()
    await asyncio.wait({waiting})
    assert scheduler.waiting == 0


async def test_a_batch_waits_a_moment_for_who_is_on_the_way() -> None:
    arriving = 2
    scheduler = Scheduler(64, lambda: arriving)
    scheduler.put(an_item(number=0))

    async def arrive() -> None:
        nonlocal arriving
        scheduler.put(an_item(number=1))
        arriving = 0

    gathering = asyncio.create_task(scheduler.gather())
    await asyncio.sleep(0)
    assert not gathering.done()
    await arrive()
    await gathering
    assert len(scheduler.take()) == 2


async def test_the_wait_for_who_never_arrives_is_short() -> None:
    scheduler = Scheduler(64, lambda: 99)
    scheduler.put(an_item())
    async with asyncio.timeout(10):
        await scheduler.gather()


def spans(*seconds: tuple[float, float]) -> list[tuple[int, int]]:
    return [(int(start * SECOND), int(end * SECOND)) for start, end in seconds]


def test_a_window_is_cut_in_its_longest_late_pause() -> None:
    speech = spans((0, 4), (6, 14), (14.4, 20), (20.2, 30))
    assert cut(speech, WINDOW, last=False) == (spans((0, 4), (6, 14)), int(14.2 * SECOND))


def test_an_early_pause_is_no_place_to_cut() -> None:
    _, end = cut(spans((0, 3), (8, 20), (20.1, 30)), WINDOW, last=False)
    assert end == int(20.05 * SECOND)
    assert end > EARLIEST_CUT


def test_speech_without_a_pause_is_cut_at_the_end_of_the_window() -> None:
    assert cut(spans((0, 30)), WINDOW, last=False) == (spans((0, 30)), WINDOW)


def test_pure_silence_is_dropped() -> None:
    utterances, end = cut([], WINDOW, last=False)
    assert utterances == []
    assert EARLIEST_CUT < end <= WINDOW
    assert cut([], WINDOW, last=True) == ([], WINDOW)


def test_a_long_pause_parts_utterances_and_a_short_one_does_not() -> None:
    pause = PAUSE / SECOND
    speech = spans((0, 1), (1.5, 2), (2 + pause, 4))
    assert cut(speech, 5 * SECOND, last=True) == (spans((0, 2), (2 + pause, 4)), 5 * SECOND)


@pytest.mark.parametrize("seed", range(5))
def test_no_speech_is_lost_or_heard_twice(seed: int) -> None:
    """Any speech, window after window: whatever is loud lies in exactly one utterance."""
    random = np.random.default_rng(seed)
    edges = np.unique(random.integers(0, 100 * SECOND, 2 * int(random.integers(1, 40))))
    loud = np.zeros(100 * SECOND, bool)
    for start, end in zip(edges[::2], edges[1::2], strict=False):
        loud[start:end] = True
    heard = np.zeros(loud.size, np.int8)
    start = 0
    while start < loud.size:
        window = loud[start : start + WINDOW]
        steps = np.flatnonzero(np.diff(np.concatenate([[0], window.astype(np.int8), [0]])))
        speech = [(int(a), int(b)) for a, b in zip(steps[::2], steps[1::2], strict=True)]
        found, end = cut(speech, window.size, start + window.size == loud.size)
        for begin, stop in found:
            assert stop - begin <= WINDOW
            heard[start + begin : start + stop] += 1
        assert end > 0
        start += end
    assert heard.max() <= 1
    assert heard[loud].all()
