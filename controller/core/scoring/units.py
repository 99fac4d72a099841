"""What is counted: characters, words, both mixed, or whole sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from controller.core.gate import Form, Measure
from controller.core.scoring.normalisation import normalised

# Scripts written without spaces: Han (with extensions), kana, compatibility ideographs.
_UNSPACED: Final = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def characters(text: str, form: Form = "written") -> list[str]:
    """The units of CER: the characters of the normalised text, without spaces."""
    return list(normalised(text, form).replace(" ", ""))


def words(text: str, form: Form = "written") -> list[str]:
    """The units of WER: what stands between spaces. For languages that write them."""
    return normalised(text, form).split()


def tokens(text: str, form: Form = "written") -> list[str]:
    """The units of MER: each Han or kana character is one, and so is each run of others between
    spaces (`打开 wifi 5` is 打, 开, wifi, 5; `wifi5` is one)."""
    return _TOKEN.findall(normalised(text, form))


def sentence(text: str, form: Form = "written") -> list[str]:
    """The unit of SER: all of it, as one; none where it is empty. Spaces make no difference."""
    whole = "".join(characters(text, form))
    return [whole] if whole else []


UNITS: Final[Mapping[Measure, Callable[[str, Form], list[str]]]] = {
    "cer": characters,
    "wer": words,
    "mer": tokens,
    "ser": sentence,
}
