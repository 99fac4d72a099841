"""Fresh utterances of unseen voices: `python -m models.recipe.unseen`.

What the eval sets do not show: spoken form beside number form, each domain apart, noise by degrees.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np

from models.recipe import evaluate, phrases, speech, texts

SEED: Final = 9_001
COUNT: Final = 100
DOMAINS: Final = {
    "hotline, digits": texts.BASE,
    "meetings, additions": texts.MORE,
    "what v1 never heard": phrases.ONLY_V2,
}
NOISE: Final = {"clean": None, "20 dB": 20.0, "10 dB": 10.0}

Spoken = tuple[texts.Text, speech.Samples]


def speak(patterns: Sequence[str], count: int) -> list[Spoken]:
    out = []
    for index in range(count):
        rng = Random(f"{SEED}-{len(patterns)}-{index}")
        text = texts.compose(patterns, rng, 4, 20)
        out.append((text, speech.utter(text.parts, speech.a_voice(rng, speech.TEST_VOICES), rng)))
    return out


def at(snr_db: float | None, spoken: Sequence[Spoken]) -> list[speech.Samples]:
    """With pink noise, or as it is."""
    noise = np.random.default_rng(SEED)
    return [
        speech.gain(
            s if snr_db is None else speech.mix(s, speech.coloured(s.size, noise, 1.0), snr_db), 0.6
        )
        for _, s in spoken
    ]


def rates(model: Any, spoken: Sequence[Spoken], sounds: Sequence[speech.Samples]) -> str:
    """Spoken form / number form, in percent."""
    out = []
    for itn in (False, True):
        heard = evaluate.transcribe(model, sounds, use_itn=itn)
        rows = [
            evaluate.Heard("", "", frozenset(), text.written if itn else text.spoken, said)
            for (text, _), said in zip(spoken, heard, strict=True)
        ]
        out.append(f"{evaluate.cer(rows):.2f}")
    return " / ".join(out)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, help="default: models/demo-*")
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args(arguments)
    speech.require_espeak()
    domains = {name: speak(patterns, options.count) for name, patterns in DOMAINS.items()}
    print("| CER %, spoken form / number form | " + " | ".join(NOISE) + " |")
    print("|---|" + "---|" * len(NOISE))
    for path in options.models or sorted(Path("models").glob("demo-*")):
        model = evaluate.load(path)
        for name, spoken in domains.items():
            cells = [rates(model, spoken, at(snr, spoken)) for snr in NOISE.values()]
            print(f"| {path.name} on {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
