"""How fast the paired bootstrap is, and how often its verdicts are wrong at the bound.

    .venv/bin/python benchmarks/bootstrap.py [--runs 1000] [--seed 1]

Versions are drawn whose true difference is known, and the bound is put exactly there, where both
answers are wrong: at 95 % each should come in 2.5 % of the runs. about ten minutes on one core."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

if __name__ == "__main__":  # as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from controller.core.comparison.bootstrap import (
    Floats,
    in_blocks,
    paired_bootstrap,
    unseen_errors,
)
from controller.core.comparison.sample_size import required

_POPULATION: Final = 400_000
_RESAMPLES: Final = 2_000  # for the many runs; verdicts take 10,000
_PER_SPEAKER: Final = 20
_LEVEL: Final = 0.025

Population = tuple[Floats, Floats, Floats]  # errors of stable and of the canary, lengths
Draw = Callable[[np.random.Generator], Population]


def bootstrap_seconds(utterances: int = 10_000, resamples: int = 10_000) -> float:
    """Processor seconds of one comparison; NumPy may use more cores than one for products."""
    stable, canary, lengths = _sample(alike(np.random.default_rng(1)), utterances, 1)
    began = time.process_time()
    paired_bootstrap(stable, canary, lengths, resamples=resamples)
    return time.process_time() - began


def alike(random: np.random.Generator) -> Population:
    """Both have about 3 % errors, most of them the same."""
    lengths, ease = _lengths(random), random.gamma(0.3, 1 / 0.3, _POPULATION)
    stable = random.binomial(lengths, np.minimum(0.03 * ease, 0.9))
    other = random.binomial(lengths, np.minimum(0.03 * ease, 0.9))
    return _floats(stable, np.where(random.random(_POPULATION) < 0.7, stable, other), lengths)


def hardly_wrong(random: np.random.Generator) -> Population:
    """0.5 % errors; the canary has more."""
    lengths = _lengths(random)
    stable = random.binomial(lengths, 0.1) * (random.random(_POPULATION) < 0.05)
    more = random.binomial(lengths, 0.15) * (random.random(_POPULATION) < 0.006)
    return _floats(stable, stable + more, lengths)


def drops_digits(random: np.random.Generator) -> Population:
    """The canary loses one or two characters of one recording in ten, as the demo's v3 does."""
    lengths = _lengths(random)
    stable = random.binomial(lengths, 0.005)
    lost = random.integers(1, 3, _POPULATION) * (random.random(_POPULATION) < 0.1)
    return _floats(stable, stable + lost, lengths)


def loses(share: float) -> Draw:
    """The canary loses this share of the recordings whole."""

    def draw(random: np.random.Generator) -> Population:
        lengths = _lengths(random)
        stable = random.binomial(lengths, 0.02)
        lost = random.random(_POPULATION) < share
        return _floats(stable, np.where(lost, lengths, stable), lengths)

    return draw


def speakers(random: np.random.Generator) -> Population:
    """The canary is better or worse by speaker, by two points either way; twenty recordings of
    each stand side by side."""
    lengths = _lengths(random)
    tendency = np.repeat(random.normal(0.01, 0.02, _POPULATION // _PER_SPEAKER), _PER_SPEAKER)
    more, fewer = np.maximum(tendency, 0), np.maximum(-tendency, 0)
    shared = random.binomial(lengths, 0.03)
    stable, canary = random.binomial(lengths, fewer), random.binomial(lengths, more)
    return _floats(shared + stable, shared + canary, lengths)


@dataclass(frozen=True, slots=True)
class Row:
    """Of verdicts whose bound is the true difference; `half_width_points` of the interval."""

    versions: str
    utterances: int
    wrong_fail_percent: float
    wrong_pass_percent: float
    half_width_points: float


CASES: Final[tuple[tuple[str, Draw, tuple[int, ...], int], ...]] = (
    ("alike, 3 % errors", alike, (30, 100, 200, 600, 2000), 1),
    ("hardly any errors", hardly_wrong, (30, 100, 200, 600, 2000), 1),
    ("canary drops digits", drops_digits, (30, 100, 200, 600, 2000), 1),
    ("canary loses 3 % whole", loses(0.03), (100, 200, 600, 2000), 1),
    ("canary loses 1 % whole", loses(0.01), (100, 200, 600, 2000), 1),
    ("by speaker, 20 of each", speakers, (200, 600, 2000), _PER_SPEAKER),
)


def rows(runs: int, seed: int) -> Iterator[Row]:
    for title, draw, sizes, per_block in CASES:
        population = draw(np.random.default_rng(seed))
        truth = float((population[1].sum() - population[0].sum()) / population[2].sum())
        for size in sizes:
            yield _row(title, population, truth, size, per_block, runs, seed)


def _row(
    title: str,
    population: Population,
    truth: float,
    size: int,
    per_block: int,
    runs: int,
    seed: int,
) -> Row:
    failed = passed = 0
    width = 0.0
    for run in range(runs):
        sample = _sample(population, size, seed + run, per_block)
        found = paired_bootstrap(*sample, resamples=_RESAMPLES)
        low, high = found.interval(1 - 2 * _LEVEL)
        failed += found.p_at_most(truth) <= _LEVEL
        passed += found.p_above(truth) <= _LEVEL
        width += (high - low) / 2
    return Row(title, size, 100 * failed / runs, 100 * passed / runs, 100 * width / runs)


def power(runs: int, seed: int) -> dict[str, float]:
    """How often an equally good version passes, at the size that is said to let 80 % pass."""
    population = alike(np.random.default_rng(seed))
    differences = population[1] - population[0]
    truth = float(differences.sum() / population[2].sum())
    spread = float(np.std(differences - truth * population[2]) / population[2].mean())
    unseen = unseen_errors(*_sample(population, 300, seed)) / float(population[2].mean())
    found = {}
    for bound in (0.01, 0.005):
        size = required(bound, spread, unseen=unseen)
        passed = 0
        for run in range(runs):
            sample = _sample(population, size, seed + run)
            passed += (
                paired_bootstrap(*sample, resamples=_RESAMPLES).p_above(truth + bound) <= _LEVEL
            )
        found[f"{100 * bound:g} points, {size:,} utterances"] = 100 * passed / runs
    return found


def _sample(population: Population, size: int, seed: int, per_block: int = 1) -> Population:
    """`size` recordings, as sums of blocks of neighbours."""
    random = np.random.default_rng(seed)
    blocks = random.integers(len(population[0]) // per_block, size=size // per_block)
    chosen = (blocks[:, None] * per_block + np.arange(per_block)).ravel()
    numbers = np.arange(len(chosen)) // per_block
    stable, canary, lengths = (in_blocks(column[chosen], numbers) for column in population)
    return stable, canary, lengths


def _lengths(random: np.random.Generator) -> np.ndarray:
    return random.integers(4, 30, _POPULATION)


def _floats(stable: np.ndarray, canary: np.ndarray, lengths: np.ndarray) -> Population:
    return stable.astype(float), canary.astype(float), lengths.astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000, help="draws of each row (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = bootstrap_seconds()
    found = list(rows(options.runs, options.seed))
    passes = power(options.runs, options.seed)
    _print(seconds, found, passes)
    print(
        json.dumps(
            {
                "bootstrap_seconds": round(seconds, 3),
                "rows": [asdict(row) for row in found],
                "equal_version_passes_percent": passes,
            }
        )
    )


def _print(seconds: float, found: list[Row], passes: dict[str, float]) -> None:
    table = Table(title="verdicts with the bound at the true difference, at 95 %")
    for column in ("versions", "utterances", "wrong fail %", "wrong pass %", "half width, points"):
        table.add_column(column, justify="left" if column == "versions" else "right")
    for row in found:
        numbers = (row.wrong_fail_percent, row.wrong_pass_percent, row.half_width_points)
        table.add_row(row.versions, f"{row.utterances:,}", *(f"{n:.2f}" for n in numbers))
    console = Console()
    console.print(table)
    for size, percent in passes.items():
        console.print(f"an equally good version passes a bound of {size}: {percent:.1f} %")
    console.print(f"10,000 utterances x 10,000 resamples: {seconds:.2f} s on one core")


if __name__ == "__main__":
    main()
