"""What people said, for JSON: the opinion, and the pairs that disagree most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from controller.core.review.pairs import ReviewPair, shown
from controller.core.review.votes import Opinion, Preference, Vote
from controller.engine.records import ReviewQueue


def results_summary(found: ReviewQueue, votes: Sequence[Vote], opinion: Opinion) -> dict[str, Any]:
    """`share` is of the random sample; the worst pairs stand apart and are not in it."""
    by_pair: dict[str, list[Vote]] = {pair.id: [] for pair in found.pairs}
    for vote in votes:
        by_pair[vote.pair].append(vote)
    return {
        "rollout": found.rollout_id,
        "opened_at": found.at.isoformat(),
        **asdict(opinion),
        "raters_all": sorted({vote.rater for vote in votes}),
        "pairs_all": [_pair(pair, by_pair[pair.id]) for pair in _worst_first(found.pairs)],
    }


def _worst_first(pairs: Sequence[ReviewPair]) -> list[ReviewPair]:
    return sorted(pairs, key=lambda p: (-p.difference.disagreement if p.difference else 1.0, p.id))


def _pair(pair: ReviewPair, votes: Sequence[Vote]) -> dict[str, Any]:
    known = pair.difference
    return {
        "pair": pair.id,
        "worst": pair.worst,
        "random": pair.sample is not None,
        "eval_set": known.eval_set if known else None,
        "key": known.utterance.key if known else None,
        "tags": list(known.utterance.slices) if known else [],
        "disagreement": round(known.disagreement, 4) if known else None,
        "reference": known.utterance.target if known else None,
        "stable": shown(known.stable) if known else None,
        "canary": shown(known.canary) if known else None,
        "votes": {kind.value: sum(v.prefers is kind for v in votes) for kind in Preference},
        "corrected": [v.corrected for v in votes if v.corrected],
    }
