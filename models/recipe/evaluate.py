"""Measurement: `python -m models.recipe.evaluate` runs the models over the eval sets.

Through the real `funasr.AutoModel`, from the Ogg files, in number form (use_itn=True).
"""

import argparse
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jiwer

from models.recipe import audio

TAG: Final = re.compile(r"<\|[^|]*\|>")
BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class Heard:
    """One utterance and what one model wrote for it."""

    eval_set: str
    key: str
    tags: frozenset[str]
    target: str
    text: str


def normal(text: str) -> str:
    """Without tags, punctuation and spaces, in lower case."""
    kept = (c for c in TAG.sub("", text) if unicodedata.category(c)[0] in "LN")
    return "".join(kept).lower()


def cer(heard: Iterable[Heard]) -> float:
    """Percent, over all characters of all references."""
    rows = list(heard)
    if not rows:
        return float("nan")
    return 100 * float(jiwer.cer([normal(h.target) for h in rows], [normal(h.text) for h in rows]))


def manifest(folder: Path) -> Iterator[dict[str, Any]]:
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def load(folder: Path) -> Any:
    from funasr import AutoModel

    return AutoModel(
        model=str(folder), disable_update=True, device="cpu", ncpu=1, disable_pbar=True
    )


def transcribe(model: Any, sounds: Sequence[Any], **options: Any) -> list[str]:
    out: list[str] = []
    for start in range(0, len(sounds), BATCH):
        batch = list(sounds[start : start + BATCH])
        results = model.generate(input=batch, batch_size=BATCH, language="zh", **options)
        out += [result["text"] for result in results]
    return out


def listen(model: Any, folder: Path) -> list[Heard]:
    rows = list(manifest(folder))
    texts = transcribe(model, [audio.read(folder / r["source"]) for r in rows], use_itn=True)
    return [
        Heard(folder.name, row["key"], frozenset(row["tags"]), row["target"], text)
        for row, text in zip(rows, texts, strict=True)
    ]


def groups(heard: Sequence[Heard]) -> dict[str, list[Heard]]:
    """The rows of the table. Empty ones stay in, as NaN."""
    tests: dict[str, Callable[[Heard], bool]] = {
        "all": lambda h: True,
        "digits": lambda h: h.eval_set == "digits",
        "meetings": lambda h: h.eval_set == "meetings",
        "service": lambda h: h.eval_set == "service",
        "with repeated digits": lambda h: "repeated-digits" in h.tags,
        "without repeated digits": lambda h: "repeated-digits" not in h.tags,
        "with noise": lambda h: "noise" in h.tags,
        "without noise": lambda h: "noise" not in h.tags,
        "fast": lambda h: "fast" in h.tags,
        "slow": lambda h: "slow" in h.tags,
        "english": lambda h: "english" in h.tags,
    }
    return {name: [h for h in heard if test(h)] for name, test in tests.items()}


def table(by_model: dict[str, list[Heard]]) -> str:
    names = list(by_model)
    lines = [
        "| CER % | utterances | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    grouped = {name: groups(heard) for name, heard in by_model.items()}
    for row, members in grouped[names[0]].items():
        values = " | ".join(f"{cer(grouped[name][row]):.2f}" for name in names)
        lines.append(f"| {row} | {len(members)} | {values} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "models", nargs="*", type=Path, default=sorted(Path("models").glob("demo-*"))
    )
    parser.add_argument("--eval-sets", type=Path, default=Path("eval_sets"))
    parser.add_argument("--errors", type=int, default=0, help="show that many mistakes of each")
    options = parser.parse_args(arguments)
    folders = sorted(p.parent for p in options.eval_sets.glob("*/manifest.jsonl"))
    by_model = {}
    for path in options.models or sorted(Path("models").glob("demo-*")):
        model = load(path)
        heard = [h for folder in folders for h in listen(model, folder)]
        by_model[path.name] = heard
        wrong = [h for h in heard if normal(h.target) != normal(h.text)]
        for h in wrong[: options.errors]:
            print(f"{path.name} {h.key}: {normal(h.target)} -> {normal(h.text)}")
    print(table(by_model))


if __name__ == "__main__":
    main()
