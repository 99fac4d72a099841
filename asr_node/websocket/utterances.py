"""Cuts a stream at its pauses, by its energy alone.

It runs in the process that answers everybody, for every piece of every stream, so it must cost
next to nothing. Whatever is not quiet goes to the model: a pause that is missed in noise costs a
longer utterance, while speech taken for a pause would be lost."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asr_node.recognizer import SAMPLE_RATE, Samples

FRAME: Final = SAMPLE_RATE // 50  # 20 ms
PAUSE_FRAMES: Final = 40  # 0.8 s, FunASR's max_end_silence_time
SPEECH_FRAMES: Final = 3  # shorter is a click
PAUSE_SECONDS: Final = PAUSE_FRAMES / 50
MARGIN_FRAMES: Final = 15  # kept before and after the speech
MARGIN_SECONDS: Final = MARGIN_FRAMES / 50
LONGEST_SECONDS: Final = 30
LONGEST_FRAMES: Final = LONGEST_SECONDS * 50
CUT_FRAMES: Final = 250  # in the last 5 s of a longest utterance lies the place to cut
FLOOR_FRAMES: Final = 250  # the noise is as loud as the quietest frame of the last 5 s
LOUDEST_FLOOR_DB: Final = -50.0  # whatever is louder may be speech without a pause
ABOVE_FLOOR_DB: Final = 8.0
QUIETEST_SPEECH_DB: Final = -60.0  # of full scale


class Utterances:
    """Of one file or conversation. Holds at most one utterance, of 30 s at the longest."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, dtype=np.float32)  # less than a frame
        self._frames: list[Samples] = []
        self._decibels: list[float] = []
        self._recent: deque[float] = deque(maxlen=FLOOR_FRAMES)
        self._loud = 0  # frames of speech in the utterance
        self._quiet = 0  # frames since the last of them
        self._start = 0  # frames of the stream before the utterance

    @property
    def speaking(self) -> bool:
        """An utterance has begun and not ended."""
        return self._loud >= SPEECH_FRAMES

    @property
    def seconds(self) -> float:
        """Length of the utterance so far, 0 while nobody speaks."""
        return len(self._frames) * FRAME / SAMPLE_RATE if self.speaking else 0.0

    def so_far(self) -> Samples:
        return np.concatenate([np.zeros(0, dtype=np.float32), *self._frames])

    def hear(self, samples: Samples) -> list[tuple[float, Samples]]:
        """The utterances that ended meanwhile: start in seconds of the stream, and samples."""
        heard = np.concatenate([self._rest, samples])
        count = heard.size // FRAME
        self._rest = heard[count * FRAME :]
        frames = heard[: count * FRAME].reshape(count, FRAME)
        ended = []
        for frame, loudness in zip(frames, _decibels(frames), strict=True):
            self._add(frame, float(loudness))
            if self._loud and self._quiet >= PAUSE_FRAMES:
                ended.append(self._take(len(self._frames) - self._quiet + MARGIN_FRAMES))
            elif len(self._frames) >= LONGEST_FRAMES:
                ended.append(self._take(self._quietest_place(), speaking_on=True))
        return [utterance for utterance in ended if utterance is not None]

    def end_at(self, place: float) -> tuple[float, Samples] | None:
        """Somebody with better ears found a pause, so many seconds into the utterance."""
        return self._take(int(place * SAMPLE_RATE) // FRAME, speaking_on=True)

    def forget(self) -> None:
        """Somebody with better ears heard nobody speak."""
        self._loud = 0
        self._drop(max(0, len(self._frames) - MARGIN_FRAMES))

    def end(self) -> tuple[float, Samples] | None:
        """What is left at the end of the stream, if somebody spoke."""
        self._frames.append(self._rest)
        self._decibels.append(LOUDEST_FLOOR_DB)
        self._rest = self._rest[:0]
        return self._take(len(self._frames))

    def _add(self, frame: Samples, loudness: float) -> None:
        self._recent.append(loudness)
        floor = min(LOUDEST_FLOOR_DB, *self._recent)
        self._frames.append(frame)
        self._decibels.append(loudness)
        if loudness > max(floor + ABOVE_FLOOR_DB, QUIETEST_SPEECH_DB):
            self._loud += 1
            self._quiet = 0
        else:
            self._quiet += 1
        if not self._loud and len(self._frames) > MARGIN_FRAMES:
            self._drop(len(self._frames) - MARGIN_FRAMES)

    def _take(self, count: int, *, speaking_on: bool = False) -> tuple[float, Samples] | None:
        spoken = self.speaking
        start = self._start * FRAME / SAMPLE_RATE
        samples = np.concatenate(self._frames[:count])
        self._drop(count)
        self._loud = SPEECH_FRAMES if speaking_on else 0
        self._quiet = 0 if speaking_on else self._quiet
        return (start, samples) if spoken else None

    def _drop(self, count: int) -> None:
        del self._frames[:count], self._decibels[:count]
        self._start += count

    def _quietest_place(self) -> int:
        """The middle of the quietest 0.2 s."""
        last = np.array(self._decibels[-CUT_FRAMES:])
        smooth = np.convolve(last, np.ones(10), mode="valid")
        return len(self._decibels) - len(last) + int(smooth.argmin()) + 5


def _decibels(frames: Samples) -> NDArray[np.float64]:
    """Of full scale."""
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    decibels: NDArray[np.float64] = 10 * np.log10(power + 1e-10)
    return decibels
