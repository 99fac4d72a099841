"""Training data: texts spoken by many voices, as features ready for the encoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.recipe import speech, texts

FRONTEND: Final[dict[str, Any]] = {
    "fs": speech.RATE,
    "window": "hamming",
    "n_mels": 80,
    "frame_length": 25,
    "frame_shift": 10,
    "lfr_m": 7,
    "lfr_n": 6,
    "dither": 0.0,
}
COUNTS: Final = {"first": 3500, "more": 4500}  # the two parts, in utterances
SEEDS: Final = {"first": "2026-v1", "more": "2026-v2"}
COPIES: Final = 3  # one clean, the others with noise


@dataclass(frozen=True, slots=True)
class Sample:
    """`features`: frames of 60 ms x 560, float16, not yet normalised; one entry a copy."""

    features: tuple[torch.Tensor, ...]
    spoken: str
    written: str


def frontend() -> Any:
    from funasr.frontends.wav_frontend import WavFrontend

    return WavFrontend(**FRONTEND)


def features(samples: speech.Samples, extract: Any) -> torch.Tensor:
    found, _ = extract(torch.from_numpy(samples)[None], torch.tensor([samples.size]))
    half: torch.Tensor = found[0].to(torch.float16)
    return half


def a_text(rng: Random, part: str) -> texts.Text:
    """A third are digit strings; the second part dwells on what the first lacks."""
    if rng.random() < 0.35:
        return texts.compose(texts.DIGITS, rng, 4, 20)
    if part == "first":
        return texts.compose(texts.BASE, rng, 2, 20)
    return texts.compose(texts.MORE if rng.random() < 0.6 else texts.ALL, rng, 2, 20)


def make(part: str, index: int) -> Sample:
    rng = Random(f"{SEEDS[part]}-{index}")
    noise = np.random.default_rng(rng.randrange(2**32))
    text = a_text(rng, part)
    clean = speech.utter(text.parts, speech.a_voice(rng, speech.TRAIN_VOICES), rng)
    copies = [clean, *(speech.augment(clean, noise) for _ in range(COPIES - 1))]
    extract = frontend()
    return Sample(tuple(features(c, extract) for c in copies), text.spoken, text.written)


def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.multiprocessing.set_sharing_strategy("file_system")


def generate(part: str, workers: int = 2) -> list[Sample]:
    speech.require_espeak()
    job = partial(make_plain, part)
    with get_context("spawn").Pool(workers, _one_thread) as pool:
        return [as_sample(p) for p in pool.imap(job, range(COUNTS[part]), chunksize=32)]


Plain = tuple[list[NDArray[np.float16]], str, str]


def make_plain(part: str, index: int) -> Plain:
    """As numpy, which crosses processes by value: tensors would go through shared memory."""
    sample = make(part, index)
    return [f.numpy() for f in sample.features], sample.spoken, sample.written


def as_sample(plain: Plain) -> Sample:
    found, spoken, written = plain
    return Sample(tuple(torch.from_numpy(f) for f in found), spoken, written)


def load_or_generate(work: Path, part: str) -> list[Sample]:
    path = work / f"{part}.pt"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        torch.save(generate(part), path)
    return list(torch.load(path, weights_only=False))


def cmvn(samples: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift and scale over all copies, in the sense of am.mvn: (x + shift) * scale."""
    total = square = torch.zeros(FRONTEND["n_mels"] * FRONTEND["lfr_m"], dtype=torch.float64)
    frames = 0
    for found in _all_features(samples):
        total = total + found.sum(0, dtype=torch.float64)
        square = square + found.double().square().sum(0)
        frames += found.shape[0]
    mean = total / frames
    return -mean.float(), (square / frames - mean**2).rsqrt().float()


def _all_features(samples: Sequence[Sample]) -> Iterator[torch.Tensor]:
    for sample in samples:
        yield from (f.float() for f in sample.features)


def hours(samples: Sequence[Sample]) -> float:
    return sum(s.features[0].shape[0] for s in samples) * 0.06 / 3600
