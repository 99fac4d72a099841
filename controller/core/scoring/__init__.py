"""Error rates of transcripts: how many edits turn what was heard into what was said."""

from controller.core.scoring.score import (
    GAP,
    Alignment,
    Errors,
    Score,
    UtteranceScore,
    align,
    align_units,
    characters,
    combined,
    display_width,
    normalised,
    score,
    tokens,
)

__all__ = [
    "GAP",
    "Alignment",
    "Errors",
    "Score",
    "UtteranceScore",
    "align",
    "align_units",
    "characters",
    "combined",
    "display_width",
    "normalised",
    "score",
    "tokens",
]
