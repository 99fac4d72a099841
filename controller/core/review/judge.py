"""The verdict of a preference gate: a test of non-inferiority, like those on eval sets."""

from __future__ import annotations

import math

from controller.core.review.gate import PreferenceGate
from controller.core.review.votes import Opinion
from controller.core.verdict import Outcome, Verdict


def judge(gate: PreferenceGate, opinion: Opinion) -> Verdict:
    """pass: the whole interval is above the bound, or no text differs; fail: it is below it; else
    inconclusive, with the votes that are missing. `stable` and `canary` are the shares of
    preference; `samples` counts pairs, `keys` the people. Raises nothing."""
    low, high = opinion.interval
    missing = _missing(gate, opinion)
    if not opinion.chosen or (not missing and low > gate.bound):
        outcome = Outcome.PASS
    elif not missing and high < gate.bound:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.INCONCLUSIVE
    return Verdict(
        gate=gate.name,
        verdict=outcome,
        stable=1 - opinion.share,
        canary=opinion.share,
        difference=2 * opinion.share - 1,
        interval=(2 * low - 1, 2 * high - 1),
        samples=opinion.pairs,
        reason=f"{_said(gate, opinion)}{_lacks(gate, opinion, outcome, missing)}",
        confidence=95.0,
        blocks=opinion.blocks,
        keys=opinion.raters,
    )


def _missing(gate: PreferenceGate, opinion: Opinion) -> str:
    """What is needed before anything is decided, in words."""
    votes = min(gate.min_votes, opinion.chosen * gate.min_raters)  # few may differ
    if opinion.votes < votes:
        return f"{votes - opinion.votes} votes are missing (of {votes})"
    if opinion.raters < gate.min_raters:
        return f"votes of {gate.min_raters - opinion.raters} more people are missing"
    if gate.min_agreement is None:
        return ""
    if opinion.agreement is None:
        return "nobody voted on the same pairs in different ways, so agreement is not known"
    if opinion.agreement < gate.min_agreement:
        return (
            f"people agree too little (alpha {opinion.agreement:.2f}, {gate.min_agreement:g} is "
            f"needed): tell them what to look at"
        )
    return ""


def _said(gate: PreferenceGate, opinion: Opinion) -> str:
    if not opinion.chosen:
        return "both versions wrote the same of every recording: there is nothing to prefer"
    if not opinion.pairs:
        return f"no group of the random sample is complete ({opinion.uncounted} votes so far)"
    low, high = (100 * end for end in opinion.interval)
    agreement = "" if opinion.agreement is None else f", agreement {opinion.agreement:.2f}"
    return (
        f"the new version is preferred in {100 * opinion.share:.0f} % of the pairs (95 % interval "
        f"{low:.0f} to {high:.0f}; {opinion.votes} votes of {opinion.raters} people on "
        f"{opinion.pairs} pairs{agreement}), more than {100 * gate.bound:g} % is needed"
    )


def _lacks(gate: PreferenceGate, opinion: Opinion, outcome: Outcome, missing: str) -> str:
    if outcome is not Outcome.INCONCLUSIVE:
        return ""
    return f"; {missing or _more(gate, opinion)}"


def _more(gate: PreferenceGate, opinion: Opinion) -> str:
    """The interval's half width shrinks with the root of the pairs."""
    low, high = opinion.interval
    distance = abs(opinion.share - gate.bound)
    if distance < 0.005:
        return "so near the bound that more votes will hardly decide it"
    half = opinion.share - low if opinion.share > gate.bound else high - opinion.share
    needed = math.ceil(opinion.pairs * (half / distance) ** 2)
    if needed > opinion.sampled:
        return (
            f"it would take votes on about {needed:,} pairs, and the sample has {opinion.sampled:,}"
        )
    return f"votes on about {max(1, needed - opinion.pairs):,} more pairs are missing"
