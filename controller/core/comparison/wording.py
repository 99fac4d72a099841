"""A verdict's reason, in words and percentage points."""

from __future__ import annotations

import math
from typing import Final

from controller.core.comparison.bootstrap import Bootstrap
from controller.core.comparison.pairs import Compared
from controller.core.comparison.sample_size import (
    MINIMUM_BLOCKS,
    MINIMUM_UTTERANCES,
    about,
    decisive,
    required,
)
from controller.core.gate import ErrorRateGate

_HOPELESS: Final = 1_000_000  # times as many recordings
_NO_SPREAD: Final = 1.5  # what was not seen weighs more where nothing else varies


def passed(gate: ErrorRateGate, compared: Compared) -> str:
    return f"{changed(gate, compared)}: surely within the {_bound(gate)} allowed"


def failed(gate: ErrorRateGate, compared: Compared) -> str:
    return f"{changed(gate, compared)}: surely more than the {_bound(gate)} allowed"


def inconclusive(gate: ErrorRateGate, compared: Compared, one_of: int) -> str:
    """`one_of`: how many parts were looked at."""
    if compared.samples == 0:
        return "no utterance was scored: nothing is known"
    if compared.points is None:
        return "no words are expected here, so there is no rate of them: take `measure: ser`"
    if compared.bounded is None:
        return (
            f"stable made no error in {compared.samples:,} utterances, so there is nothing to take "
            f"a percentage of: use max_increase_points"
        )
    return (
        f"{changed(gate, compared)}; {_bound(gate)} are allowed: "
        f"{_missing(gate, compared, compared.bounded, one_of)}"
    )


def changed(gate: ErrorRateGate, compared: Compared) -> str:
    """What was measured: `CER changed by +5.05 points (95 % interval +4.08 to +6.03, …)`."""
    found, points = compared.bounded, compared.points
    if found is None or points is None:  # said in other words
        return ""
    low, high = (100 * end for end in found.interval(gate.confidence / 100))
    by_value = " with numbers by value" if gate.form == "numbers" else ""
    also = f", {100 * found.estimate:+.1f} % of stable's" if gate.is_relative else ""
    unit = " %" if gate.is_relative else ""
    return (
        f"{gate.measure.upper()}{by_value} changed by {100 * points.estimate:+.2f} points{also} "
        f"({gate.confidence:g} % interval {low:+.2f} to {high:+.2f}{unit}, {_sample(compared)})"
    )


def _bound(gate: ErrorRateGate) -> str:
    return gate.allowed.removesuffix(" points")


def _sample(compared: Compared) -> str:
    utterances = f"{compared.samples:,} utterances"
    if compared.blocks == compared.samples:
        return utterances
    return f"{utterances} of {compared.blocks:,} speakers or recordings"


def _missing(gate: ErrorRateGate, compared: Compared, found: Bootstrap, one_of: int) -> str:
    """What it would take to know."""
    if compared.samples >= MINIMUM_UTTERANCES and compared.blocks < MINIMUM_BLOCKS:
        return (
            f"so few speakers or recordings decide nothing: it takes at least {MINIMUM_BLOCKS}, "
            f"and more of them rather than more of each"
        )
    if found.interval(gate.confidence / 100)[0] > gate.bound and one_of > 1:
        return (
            f"more, but among the {one_of} parts that were looked at one may look so by chance "
            f"(Holm); more utterances would tell"
        )
    return _utterances_missing(gate, compared, found)


def _utterances_missing(gate: ErrorRateGate, compared: Compared, found: Bootstrap) -> str:
    samples, confidence = compared.samples, gate.confidence / 100
    spread = found.error * math.sqrt(samples)
    unseen = compared.unseen * samples / compared.blocks * (1 if found.error else _NO_SPREAD)
    distance = abs(gate.bound - found.estimate)
    needed = required(max(gate.bound, distance), spread, confidence, unseen)
    if max(MINIMUM_UTTERANCES, needed) > samples:
        return f"it takes about {about(max(MINIMUM_UTTERANCES, needed))} utterances to know"
    enough = decisive(max(distance, gate.bound / _HOPELESS), spread, confidence, unseen)
    if enough > _HOPELESS * samples:
        return "the difference lies at the bound: no number of utterances would tell"
    return f"so near the bound it takes about {about(max(samples + 1, enough))} utterances to know"
