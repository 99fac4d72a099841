"""Recordings of which two versions gave different texts."""

from collections.abc import Sequence

from controller.core.eval_set import EvalSet, Utterance
from controller.core.review.pairs import ReviewPair, differences, queue
from controller.core.review.votes import Preference, Vote


def an_eval_set(count: int = 100, speakers: int = 0) -> EvalSet:
    return EvalSet(
        "service",
        tuple(
            Utterance(
                f"u{n:03}",
                f"/sets/service/{n}.ogg",
                "请拨打一零零八六",
                ("digits",),
                speaker=f"s{n % speakers}" if speakers else "",
            )
            for n in range(count)
        ),
        "e" * 64,
    )


def pairs(
    count: int = 100, seed: str = "seed", speakers: int = 0, sample: int = 300
) -> tuple[ReviewPair, ...]:
    """All of them differ; the larger its number, the more of a recording does."""
    eval_set = an_eval_set(count, speakers)
    stable = {f"u{n:03}": "好" for n in range(count)}
    canary = {f"u{n:03}": "好" * (n + 2) for n in range(count)}
    return queue(differences(eval_set, stable, canary), seed, sample)


def votes(
    sample: Sequence[ReviewPair], said: Sequence[Preference], rater: str = "ann"
) -> list[Vote]:
    """One on each pair of the sample, in its order."""
    placed = sorted((p for p in sample if p.sample is not None), key=lambda p: p.sample or 0)
    return [Vote(pair.id, rater, choice) for pair, choice in zip(placed, said, strict=False)]
