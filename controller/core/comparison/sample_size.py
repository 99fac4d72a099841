"""How many recordings decide a bound."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from controller.core.comparison.student import NORMAL
from controller.core.errors import Refused
from controller.core.eval_set import EvalSet, Utterance
from controller.core.gate import ErrorRateGate
from controller.core.scoring import numbers_unavailable

POWER: Final = 0.80
# Per utterance, in points: the standard deviation of the difference between two versions that are
# nearly equally good, and what one may differ that was not seen; as of the demo's v2 and v3 on
# `service`. Yours are measured as soon as there are transcripts.
EXPECTED_SPREAD_POINTS: Final = 2.4
EXPECTED_UNSEEN_POINTS: Final = 22.0
_UNSEEN: Final = 2  # a Poisson count of one, added to the spread, weighs about so much
MINIMUM_UTTERANCES: Final = 30  # below, intervals promise too much, whatever their method
MINIMUM_BLOCKS: Final = 10  # likewise, of speakers or recordings


def required(margin: float, spread: float, confidence: float = 0.95, unseen: float = 0.0) -> int:
    """So many recordings let a version that is `margin` below the bound pass in 80 % of cases.

    `margin` and `spread` (the standard deviation of the difference, per recording) are in one
    unit; half the margin takes four times the recordings. `unseen`: what a recording that was not
    in the sample may add, in the same unit (`comparison.bootstrap`)."""
    return _solve(margin, (quantile(confidence) + NORMAL.inv_cdf(POWER)) * spread, unseen)


def decisive(margin: float, spread: float, confidence: float = 0.95, unseen: float = 0.0) -> int:
    """So many let the interval end before the bound, if the difference stays what it is."""
    return _solve(margin, quantile(confidence) * spread, unseen)


def quantile(confidence: float) -> float:
    """Two-sided: 1.96 for 0.95."""
    return NORMAL.inv_cdf((1 + confidence) / 2)


def _solve(margin: float, spread: float, unseen: float) -> int:
    """The n of `spread / sqrt(n) + _UNSEEN * unseen / n = margin`."""
    root = math.sqrt(spread**2 + 4 * _UNSEEN * unseen * margin)
    return math.ceil(((spread + root) / (2 * margin)) ** 2)


def required_utterances(
    bound_points: float,
    spread_points: float = EXPECTED_SPREAD_POINTS,
    unseen_points: float = EXPECTED_UNSEEN_POINTS,
    confidence: float = 0.95,
) -> int:
    """How many utterances let an equally good version pass a bound in about 80 % of cases."""
    return required(bound_points, spread_points, confidence, unseen_points)


def check_eval_sets(gate: ErrorRateGate, eval_sets: Sequence[EvalSet]) -> None:
    """Refuse a gate that even an equally good version could hardly pass on these sets.

    Raises Refused with what it would take."""
    mine = [s for s in eval_sets if not gate.eval_sets or s.name in gate.eval_sets]
    utterances = [u for s in mine for u in s.utterances]
    tags = Counter(tag for u in utterances for tag in u.slices)
    check_size(gate, {s.name: len(s.utterances) for s in mine}, tags)
    for s in mine:
        _check_speakers(f"eval set {s.name}", s.utterances)
    for tag in gate.slices:
        _check_speakers(f"slice {tag}", [u for u in utterances if tag in u.slices])


def _check_speakers(title: str, utterances: Sequence[Utterance]) -> None:
    found = len({u.block for u in utterances})
    if found < MINIMUM_BLOCKS:
        raise Refused(
            f"{title} has {len(utterances):,} utterances of only {found} speakers or recordings, "
            f"as its manifest names them: it takes at least {MINIMUM_BLOCKS}; nothing was started. "
            f"Add other voices"
        )


def check_size(
    gate: ErrorRateGate, sizes: Mapping[str, int], tags: Mapping[str, int] | None = None
) -> None:
    """Refuse a gate by the numbers of utterances alone.

    `sizes`: utterances by eval set; `tags`: by tag, over the gate's eval sets; None where they are
    not known. A relative bound is held to the minimum only: what it is in points, stable's rate
    decides, which is not known yet. Raises Refused with the number it would take."""
    if gate.form == "numbers" and (missing := numbers_unavailable()):
        raise Refused(
            f"gate {gate.name}: numbers cannot be compared by value: {missing}; nothing was started"
        )
    for name in gate.eval_sets or sizes:
        if name not in sizes:
            raise Refused(f"gate {gate.name}: no eval set {name!r}; nothing was started")
        _check_part(gate, f"eval set {name}", name, sizes[name])
    for tag in gate.slices if tags is not None else ():
        _check_slice(gate, tag, tags or {})


def _check_slice(gate: ErrorRateGate, tag: str, tags: Mapping[str, int]) -> None:
    if tag not in tags:
        raise Refused(
            f"gate {gate.name}: no recording has the tag {tag!r} (there is: "
            f"{', '.join(sorted(tags)) or 'none'}); nothing was started"
        )
    _check_part(gate, f"slice {tag}", f"slice {tag}", tags[tag])


def _check_part(gate: ErrorRateGate, title: str, name: str, size: int) -> None:
    needed = _least(gate)
    if size < needed:
        raise Refused(
            f"{title} has {size:,} utterances, too few for a bound of {gate.allowed}: it takes "
            f"about {about(needed)}; nothing was started. {_remedy(gate, name, size)}"
        )


def _least(gate: ErrorRateGate) -> int:
    if gate.max_increase_points is None:
        return MINIMUM_UTTERANCES
    confidence = gate.confidence / 100
    needed = required_utterances(gate.max_increase_points, confidence=confidence)
    return max(MINIMUM_UTTERANCES, needed)


def _remedy(gate: ErrorRateGate, name: str, size: int) -> str:
    leave_out = f"leave {name} out of gate {gate.name}"
    if size < MINIMUM_UTTERANCES:
        return f"Add recordings, or {leave_out}"
    z = quantile(gate.confidence / 100) + NORMAL.inv_cdf(POWER)
    points = z * EXPECTED_SPREAD_POINTS / math.sqrt(size) + _UNSEEN * EXPECTED_UNSEEN_POINTS / size
    bound = math.ceil(10 * points) / 10
    return f"Add recordings, raise max_increase_points to {bound:g}, or {leave_out}"


def about(number: int) -> str:
    """Three significant digits, rounded up: 1129 is 1,130."""
    unit = 10 ** max(0, len(str(number)) - 3)
    return f"{math.ceil(number / unit) * unit:,}"
