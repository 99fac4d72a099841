"""What counts as said: a chain of steps that reference and transcript go through alike.

A chain has a name with a version: rates that were counted by different chains do not compare. A
step that changes what counts gives its chain a new version."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opencc import OpenCC

from controller.core.gate import Form
from controller.core.scoring.numbers import numbers_as_digits

_TAG: Final = re.compile(r"<\|[^<>|]*\|>")
_JOINT: Final = re.compile(r"(?<=\d),(?=\d{3})|(?<=\w)['’](?=\w)")
_DECIMAL_POINT: Final = re.compile(r"(?<=\d)\.(?=\d)")


@dataclass(frozen=True, slots=True)
class Normalisation:
    """A named chain, such as zh-basic/1; its steps are taken in order."""

    name: str
    steps: tuple[Callable[[str], str], ...]

    def __call__(self, text: str) -> str:
        return functools.reduce(lambda said, step: step(said), self.steps, text)


def whole(text: str) -> str:
    """Half of a pair of surrogates, which JSON can carry, is no character and becomes one `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def without_tags(text: str) -> str:
    """SenseVoice's <|zh|><|NEUTRAL|> are not spoken."""
    return _TAG.sub(" ", text)


def half_width(text: str) -> str:
    """Unicode NFKC: ＡＢＣ１ is ABC1."""
    return unicodedata.normalize("NFKC", text)


def lower_case(text: str) -> str:
    return half_width(text.lower())  # a few letters fall apart in lower case


def without_joints(text: str) -> str:
    """The comma of 1,000 and the apostrophe of don't vanish without a gap."""
    return _JOINT.sub("", text)


def simplified(text: str) -> str:
    """Traditional characters become simplified ones (OpenCC's t2s)."""
    return str(_traditional_to_simplified().convert(text))


@functools.cache
def _traditional_to_simplified() -> OpenCC:
    return OpenCC("t2s")


def without_punctuation(text: str) -> str:
    """Letters, digits and `%`, with one space between runs. A decimal point stays: 3.14 is not
    314."""
    return " ".join(".".join(map(_spoken, _DECIMAL_POINT.split(text))).split())


def _spoken(text: str) -> str:
    return text.translate(_SPOKEN)


class _Spoken(dict[int, str]):
    """For str.translate: each character is looked up in Unicode's tables once."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        spoken = character == "%" or unicodedata.category(character)[0] in "LMN"
        return self.setdefault(code, character if spoken else " ")


_SPOKEN: Final = _Spoken()


_TO_LETTERS: Final = (whole, without_tags, half_width, lower_case, without_joints, simplified)
WRITTEN: Final = Normalisation("zh-basic/1", (*_TO_LETTERS, without_punctuation))
NUMBERS: Final = Normalisation(
    "zh-numbers/1", (*_TO_LETTERS, numbers_as_digits, without_punctuation)
)


def normalisation(form: Form) -> Normalisation:
    """The chain of a form: "written" compares numbers as they are written, "numbers" by value."""
    return NUMBERS if form == "numbers" else WRITTEN


@functools.lru_cache(maxsize=2**16)
def normalised(text: str, form: Form = "written") -> str:
    """The text as it is compared. Raises Refused for "numbers" where wetextprocessing is not
    installed."""
    return normalisation(form)(text)
