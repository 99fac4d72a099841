"""The eval sets: `python -m models.recipe.eval_sets --out eval_sets`.

Voices, seeds and kinds of noise are others than those of the training data.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np

from models.recipe import audio, phrases, speech, texts

SEED: Final = 7_001
SHORTEST, LONGEST = 1.8, 6.5  # seconds
FAST, SLOW = 235, 175  # words a minute, as espeak-ng counts them


@dataclass(frozen=True, slots=True)
class EvalSet:
    """`repeated`: how many of 100 utterances hold a digit twice in a row."""

    name: str
    size: int
    patterns: tuple[str, ...]
    repeated: int


SETS: Final = (
    EvalSet("digits", 200, texts.DIGITS, 70),
    EvalSet("meetings", 200, (*phrases.MEETING, *phrases.MEETING_MORE), 5),
    EvalSet(
        "service", 600,
        (*phrases.SERVICE, *phrases.SERVICE_DIGITS, *phrases.SERVICE_MORE), 4,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clip:
    samples: speech.Samples
    text: texts.Text
    tags: tuple[str, ...]


def a_clip(wanted: EvalSet, index: int) -> Clip:
    """The first draw of the right length and with, or without, a repeated digit."""
    rng = Random(f"{SEED}-{wanted.name}-{index}")
    repeated = index % 100 * wanted.repeated % 100 < wanted.repeated  # spread evenly
    while True:
        text = texts.compose(wanted.patterns, rng, 5, 22, counts=(1, 2, 2, 3))
        if texts.has_repeats(text.written) is not repeated:
            continue
        voice = speech.a_voice(rng, speech.TEST_VOICES)
        samples = speech.utter(text.parts, voice, rng)
        if SHORTEST <= samples.size / speech.RATE <= LONGEST:
            return spoil(Clip(samples, text, tags(text, voice)), rng)


def tags(text: texts.Text, voice: speech.Voice) -> tuple[str, ...]:
    found = set(text.tags) - {"number"}
    if texts.has_repeats(text.written):
        found.add("repeated-digits")
    if voice.speed >= FAST:
        found.add("fast")
    if voice.speed <= SLOW:
        found.add("slow")
    return (*sorted(found), f"voice:{voice.variant}")


def spoil(clip: Clip, rng: Random) -> Clip:
    """Noise for two in five: brown, or a fan."""
    loudness = rng.uniform(0.3, 0.9)
    if rng.random() >= 0.4:
        return Clip(speech.gain(clip.samples, loudness), clip.text, clip.tags)
    source = np.random.default_rng(rng.randrange(2**32))
    size = clip.samples.size
    noise = speech.coloured(size, source, 2.0) if rng.random() < 0.5 else speech.fan(size, source)
    noisy = speech.mix(clip.samples, noise, rng.uniform(12, 25))
    return Clip(speech.gain(noisy, loudness), clip.text, ("noise", *clip.tags))


def write(wanted: EvalSet, folder: Path) -> None:
    """Audio and manifest.jsonl; `source` is relative to the manifest."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for row in rows(wanted, folder):
            manifest.write(json.dumps(row, ensure_ascii=False) + "\n")


def rows(wanted: EvalSet, folder: Path) -> Iterator[dict[str, Any]]:
    for index in range(wanted.size):
        clip, key = a_clip(wanted, index), f"{wanted.name}-{index:04d}"
        source = f"audio/{key}.ogg"
        audio.write_opus(folder / source, clip.samples)
        yield {
            "key": key,
            "source": source,
            "source_len": round(clip.samples.size / speech.RATE * 1000),
            "target": clip.text.written,
            "target_len": len(clip.text.written),
            "tags": list(clip.tags),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("eval_sets"))
    options = parser.parse_args(arguments)
    speech.require_espeak()
    for wanted in SETS:
        write(wanted, options.out / wanted.name)
        print(f"{wanted.name}: {wanted.size} utterances", flush=True)


if __name__ == "__main__":
    main()
