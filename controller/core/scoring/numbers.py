"""Numbers by value: 10086, 一零零八六 and 一万零八十六 become alike, as do 50% and 百分之五十.

Spoken numbers are written in digits by WeTextProcessing's grammar (Zhang et al. 2022, WeNet 2.0).
It is given the numeral alone, never its surroundings, since there it would do more than count:
drop 啊, write ¥ for 元, 10km for 十公里. What the grammar lacks is done here: strings of digits of
any length, sums such as 123万4567, and times and dates in symbols.

Words such as 一下 get a digit, too. That is of no harm: it happens to both sides."""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
from decimal import Decimal
from typing import Any, Final

from controller.core.errors import Refused

_DIGITS: Final = "零〇幺一二两三四五六七八九"
_TO_ARABIC: Final = str.maketrans(_DIGITS, "0011223456789")
_NUMERAL: Final = f"(?:[{_DIGITS}十百万亿]|千(?![米克瓦卡赫伏]))++"
_SPOKEN: Final = re.compile(
    rf"百分之{_NUMERAL}(?:点[{_DIGITS}]++)?"
    rf"|{_NUMERAL}分之{_NUMERAL}"
    rf"|{_NUMERAL}点[{_DIGITS}]++(?![十百千万亿点分半整刻钟])"  # 三点一四, but not 三点二十
    rf"|{_NUMERAL}"
)
_RANGE: Final = re.compile("[~-]")
_UNITS: Final = {"百": 2, "千": 3, "万": 4, "百万": 6, "千万": 7, "亿": 8, "百亿": 10, "千亿": 11}
_TERM: Final = re.compile(r"(\d+(?:\.\d+)?)([百千]?[万亿]|[百千])?")
_SUM: Final = re.compile(
    r"(?<![\d.])(?:\d{1,15}(?:\.\d{1,15})?(?:[百千]?[万亿]|百|千(?![米克瓦卡赫伏])))+"
    r"(?:\d{1,8}(?![\d.]))?"
)
_CLOCK: Final = re.compile(r"(?<![\d:])(\d{1,2}):([0-5]\d)(?::([0-5]\d))?(?![\d:])")
_DATE: Final = re.compile(r"(?<![\d/-])(\d{4})([/-])(\d{1,2})\2(\d{1,2})(?![\d/-])")
_YUAN: Final = re.compile(r"¥(\d+(?:\.\d+)?)")
_ALONE: Final = re.compile(rf"(?<![\d.{_DIGITS}])[{_DIGITS}](?![\d.{_DIGITS}])")


@functools.cache  # each look for a package costs a millisecond
def numbers_unavailable() -> str | None:
    """Why there is no form "numbers" here; None where there is."""
    if importlib.util.find_spec("itn") is not None:
        return None
    return (
        "rates by the value of numbers are left out: WeTextProcessing is not installed "
        "(pip install 'asr-rollout[numbers]')"
    )


def numbers_as_digits(text: str) -> str:
    """`text` in half width, lower case and simplified characters, with its numbers alike.

    Raises Refused where WeTextProcessing is not installed."""
    reason = numbers_unavailable()
    if reason is not None:
        raise Refused(reason)
    digits = _SPOKEN.sub(lambda found: _in_digits(found[0]), _without_symbols(text))
    summed = _SUM.sub(lambda found: _sum(found[0]), digits)
    return _ALONE.sub(lambda found: found[0].translate(_TO_ARABIC), summed)


def _without_symbols(text: str) -> str:
    """12:30 is 12点30分, 2024-3-5 is 2024年3月5日, ¥250 is 250元."""
    text = _CLOCK.sub(_clock, text.replace("点半", "点30分"))
    text = _DATE.sub(lambda found: f"{found[1]}年{int(found[3])}月{int(found[4])}日", text)
    return _YUAN.sub(r"\1元", text)


def _clock(found: re.Match[str]) -> str:
    hour, minute, second = int(found[1]), found[2], found[3]
    minutes = "" if minute == "00" and not second else f"{minute}分"
    return f"{hour}点{minutes}" + (f"{second}秒" if second else "")


@functools.lru_cache(maxsize=2**14)
def _in_digits(numeral: str) -> str:
    if len(numeral) == 1 and numeral != "十":
        return numeral
    if all(character in _DIGITS for character in numeral):
        return numeral.translate(_TO_ARABIC)
    if "亿" in numeral[1:]:
        return _hundred_millions(*numeral.split("亿", 1))
    written = str(_grammar().normalize(numeral)).replace(" ", "")
    return numeral if _RANGE.search(written) else written  # 十七八 is no number, but about one


def _hundred_millions(before: str, behind: str) -> str:
    """The grammar leaves 七亿 and the tail of 一亿零五 as they are."""
    tail = _in_digits(behind.lstrip("零")).translate(_TO_ARABIC)
    return f"{_in_digits(before).translate(_TO_ARABIC)}亿{tail}"


def _sum(terms: str) -> str:
    """123万4567 is 1234567."""
    value = sum(
        Decimal(number).scaleb(_UNITS.get(unit, 0)) for number, unit in _TERM.findall(terms)
    )
    return f"{Decimal(value).normalize():f}"


@functools.cache
def _grammar() -> Any:
    from itn.chinese.inverse_normalizer import InverseNormalizer  # 0.2 s

    logging.getLogger("wetext").setLevel(logging.WARNING)  # it tells where its files are
    return InverseNormalizer()
