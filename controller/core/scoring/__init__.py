"""Error rates of transcripts: how many edits turn what was heard into what was said."""

from controller.core.gate import Form, Measure
from controller.core.scoring.alignment import GAP, Alignment, align, display_width
from controller.core.scoring.edits import Errors, align_units, count_edits
from controller.core.scoring.normalisation import Normalisation, normalisation, normalised
from controller.core.scoring.numbers import numbers_unavailable
from controller.core.scoring.score import Score, UtteranceScore, combined, score
from controller.core.scoring.units import characters, sentence, tokens, words

__all__ = [
    "GAP",
    "Alignment",
    "Errors",
    "Form",
    "Measure",
    "Normalisation",
    "Score",
    "UtteranceScore",
    "align",
    "align_units",
    "characters",
    "combined",
    "count_edits",
    "display_width",
    "normalisation",
    "normalised",
    "numbers_unavailable",
    "score",
    "sentence",
    "tokens",
    "words",
]
