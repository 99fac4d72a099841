"""How far two versions disagree, for people: overall and by slice, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.judge import Rate, Tally, rate_of

_LEVEL: Final = 0.025  # a 95 % interval
_WAYS: Final = {
    "tokens": DisagreementGate(measure="mer"),
    "tokens_by_value": DisagreementGate(measure="mer", form="numbers"),
    "texts": DisagreementGate(measure="ser"),
    "texts_by_value": DisagreementGate(measure="ser", form="numbers"),
}


def overview(tallies: Sequence[Tally]) -> dict[str, Any]:
    """`rate` and `interval` (95 %, None where nothing can be said) are ratios: of the tokens that
    differ, and of the requests whose texts do; with numbers as written, and by value."""
    names = sorted({name for tally in tallies for name in tally.slices})
    return {
        "pairs": sum(tally.pairs for tally in tallies),
        "keys": len({tally.key for tally in tallies}),
        **_rates(tallies),
        "slices": [_slice(name, tallies) for name in names],
    }


def _slice(name: str, tallies: Sequence[Tally]) -> dict[str, Any]:
    own = [tally for tally in tallies if name in tally.slices]
    pairs = sum(tally.pairs for tally in own)
    return {"slice": name, "pairs": pairs, "keys": len({t.key for t in own}), **_rates(own)}


def _rates(tallies: Sequence[Tally]) -> dict[str, Any]:
    return {way: _plain(rate_of(gate, tallies, _LEVEL)) for way, gate in _WAYS.items()}


def _plain(rate: Rate) -> dict[str, Any]:
    known = all(math.isfinite(end) for end in rate.interval)
    return {"rate": rate.rate, "interval": list(rate.interval) if known else None}
