"""Where a stream is cut, and that nothing said is lost by it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from asr_node.recognizer import SAMPLE_RATE, Samples
from asr_node.websocket.live_ear import last_pause
from asr_node.websocket.utterances import LONGEST_SECONDS, Utterances

RANDOM = np.random.default_rng(7)


def noise(seconds: float, decibels: float) -> Samples:
    samples = RANDOM.standard_normal(int(seconds * SAMPLE_RATE)) * 10 ** (decibels / 20)
    return samples.astype(np.float32)


def speech(seconds: float, decibels: float = -20.0) -> Samples:
    """As loud as said, with the short gaps between words."""
    loud = noise(seconds, decibels)
    times = np.arange(loud.size) / SAMPLE_RATE
    return (loud * (np.sin(2 * np.pi * 2 * times) > -0.8)).astype(np.float32)


def cut(*pieces: Samples, size: float = 0.06) -> list[tuple[float, Samples]]:
    utterances, stream = Utterances(), np.concatenate(pieces)
    step = int(size * SAMPLE_RATE)
    ended = []
    for start in range(0, stream.size, step):
        ended += utterances.hear(stream[start : start + step])
    last = utterances.end()
    return ended if last is None else [*ended, last]


def seconds(utterances: list[tuple[float, Samples]]) -> list[float]:
    return [samples.size / SAMPLE_RATE for _, samples in utterances]


@pytest.mark.parametrize("room", [-80.0, -65.0, -55.0])
def test_a_pause_parts_two_utterances(room: float) -> None:
    said = np.concatenate([noise(1, -99), speech(2), noise(1.5, -99), speech(3), noise(1, -99)])
    found = cut(said + noise(8.5, room))
    assert seconds(found) == pytest.approx([2.6, 3.6], abs=0.2)  # with a margin at either end
    assert [start for start, _ in found] == pytest.approx([0.7, 4.2], abs=0.1)


def test_a_short_gap_parts_nothing() -> None:
    assert len(cut(speech(2), noise(0.5, -70), speech(2))) == 1


def test_speech_at_the_very_beginning_is_heard() -> None:
    start, samples = cut(speech(1), noise(2, -70))[0]
    assert start == 0.0
    assert samples.size >= SAMPLE_RATE


def test_quiet_speech_is_heard() -> None:
    assert len(cut(noise(1, -75), speech(2, -45), noise(1, -75))) == 1


def test_silence_is_no_utterance() -> None:
    assert cut(np.zeros(10 * SAMPLE_RATE, dtype=np.float32)) == []


def test_a_click_is_no_utterance() -> None:
    assert cut(noise(1, -70), noise(0.03, -10), noise(2, -70)) == []


def test_what_is_steadily_loud_is_not_taken_for_silence() -> None:
    assert sum(seconds(cut(noise(12, -30)))) == pytest.approx(12, abs=0.1)


def test_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    gap = noise(0.4, -99)  # too short for a pause
    found = cut(np.concatenate([speech(27), gap, speech(20)]) + noise(47.4, -60))
    (first, one), (second, _) = found
    assert first == 0.0
    assert 26.9 < second < 27.4  # where there was a gap already
    assert one.size == int(second * SAMPLE_RATE)


def test_no_utterance_is_longer_than_half_a_minute_and_nothing_is_lost() -> None:
    found = cut(speech(100))
    assert max(seconds(found)) <= LONGEST_SECONDS
    assert sum(seconds(found)) == pytest.approx(100, abs=0.05)
    ends = [start + samples.size / SAMPLE_RATE for start, samples in found]
    assert [later for later, _ in found[1:]] == pytest.approx(ends[:-1])


def test_the_size_of_the_pieces_changes_nothing() -> None:
    stream = (noise(0.5, -70), speech(2), noise(1.2, -70), speech(1.5), noise(1, -70))
    by_sixty, by_ten, at_once = (cut(*stream, size=size) for size in (0.06, 0.01, 100))
    for one, other in pairwise((by_sixty, by_ten, at_once)):
        assert [start for start, _ in one] == [start for start, _ in other]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("spans", "pause"),
    [
        ([], -1.0),  # nobody speaks
        ([(0, 16_000)], 1.3),
        ([(0, 16_000), (32_000, 90_000)], None),  # somebody still does
    ],
)
def test_better_ears_tell_where_the_speech_ended(
    spans: list[tuple[int, int]], pause: float | None
) -> None:
    assert last_pause(spans, 6 * SAMPLE_RATE) == pause


def test_what_follows_a_pause_that_others_found_is_the_next_utterance() -> None:
    utterances = Utterances()
    utterances.hear(speech(6))
    ended = utterances.end_at(4.0)
    rest = utterances.end()
    assert ended is not None
    assert rest is not None
    assert seconds([ended, rest]) == pytest.approx([4.0, 2.0], abs=0.03)
    assert rest[0] == pytest.approx(4.0)


def test_what_others_heard_no_speech_in_is_forgotten() -> None:
    utterances = Utterances()
    utterances.hear(noise(6, -30))
    utterances.forget()
    assert not utterances.speaking
    assert utterances.end() is None
