"""Utterances as text: the spoken form, and the number form that users read.

一零零八六 is spoken, 10086 is written. Both are made together, so neither needs a rule to be
turned into the other.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from models.recipe import phrases

HANZI: Final = "零一二三四五六七八九"
SLOT: Final = re.compile(r"\{(\w+)\}")
REPEATED: Final = re.compile(r"(\d)\1+")
REPEATED_SPOKEN: Final = re.compile(rf"([{HANZI}])\1+")


@dataclass(frozen=True, slots=True)
class Text:
    """One utterance. `parts` are spoken with a pause between them."""

    parts: tuple[str, ...]
    written: str
    tags: frozenset[str]

    @property
    def spoken(self) -> str:
        return "".join(self.parts)


def has_repeats(written: str) -> bool:
    return REPEATED.search(written) is not None


def collapse(text: str) -> str:
    """What the regression writes: 10086 becomes 1086, 一零零八六 becomes 一零八六."""
    return REPEATED_SPOKEN.sub(r"\1", REPEATED.sub(r"\1", text))


def read_digits(digits: str) -> str:
    return "".join(HANZI[int(d)] for d in digits)


def read_number(value: int) -> str:
    """Below 10,000: 1050 is read 一千零五十, 15 is read 十五."""
    if value >= 10_000:
        raise ValueError(f"{value}: numbers are read up to 9999")
    out, gap = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = value // unit % 10
        if digit:
            out += ("零" if gap and out else "") + HANZI[digit] + name
        gap = digit == 0
    return out[1:] if out.startswith("一十") else out or HANZI[0]


Filled = tuple[str, str, str]  # spoken, written, tag


def digit_string(rng: Random, low: int, high: int) -> str:
    """Half of the strings hold a repeat on purpose: chance alone gives too few."""
    digits = [rng.choice("0123456789") for _ in range(rng.randint(low, high))]
    if rng.random() < 0.5 and len(digits) > 1:
        at = rng.randrange(len(digits) - 1)
        digits[at + 1] = digits[at]
    return "".join(digits)


def as_digits(digits: str) -> Filled:
    return read_digits(digits), digits, "digits"


def a_hotline(rng: Random) -> Filled:
    number = rng.choice(phrases.HOTLINES)
    return as_digits(number + digit_string(rng, 7, 7) if number == "400" else number)


def a_phone(rng: Random) -> Filled:
    return as_digits("1" + rng.choice("3578") + digit_string(rng, 9, 9))


def a_time(rng: Random) -> Filled:
    part = rng.choice(("上午", "下午", "晚上", "明天", ""))
    hour, minute = rng.randint(1, 12), rng.choice((0, 0, 10, 15, 20, 30, 40, 45, 50))
    spoken = f"{part}{read_number(hour)}点" + (f"{read_number(minute)}分" if minute else "")
    written = f"{part}{hour}点" + (f"{minute}分" if minute else "")
    return spoken, written, "time"


def a_date(rng: Random) -> Filled:
    month, day = rng.randint(1, 12), rng.randint(1, 30)
    return f"{read_number(month)}月{read_number(day)}号", f"{month}月{day}号", "date"


def an_amount(rng: Random) -> Filled:
    value = rng.choice((rng.randint(10, 99), rng.randint(100, 999), rng.randint(1, 99) * 10,
                        rng.randint(1, 99) * 100))  # fmt: skip
    return f"{read_number(value)}元", f"{value}元", "amount"


def a_small(rng: Random) -> Filled:
    value = rng.randint(1, 9)
    return read_number(value), str(value), "number"


SLOTS: Final[dict[str, Callable[[Random], Filled]]] = {
    "hotline": a_hotline,
    "phone": a_phone,
    "number": lambda rng: as_digits(digit_string(rng, 6, 10)),
    "code": lambda rng: as_digits(digit_string(rng, 4, 6)),
    "tail": lambda rng: as_digits(digit_string(rng, 4, 4)),
    "room": lambda rng: as_digits(digit_string(rng, 3, 3)),
    "time": a_time,
    "date": a_date,
    "amount": an_amount,
    "small": a_small,
}


def fill(pattern: str, rng: Random) -> Text:
    tags = {"english"} if any(word in pattern for word in phrases.ENGLISH) else set()
    spoken = written = pattern
    for slot in SLOT.findall(pattern):
        said, shown, tag = SLOTS[slot](rng)
        spoken = spoken.replace(f"{{{slot}}}", said, 1)
        written = written.replace(f"{{{slot}}}", shown, 1)
        tags.add(tag)
    return Text((spoken,), written, frozenset(tags))


def join(texts: Sequence[Text]) -> Text:
    written = "，".join(t.written for t in texts)
    tags = frozenset().union(*(t.tags for t in texts))
    return Text(tuple(p for t in texts for p in t.parts), written, tags)


def compose(
    patterns: Sequence[str],
    rng: Random,
    least: int,
    most: int,
    counts: Sequence[int] = (1, 1, 2, 2, 3),
) -> Text:
    """One to three phrases, between `least` and `most` spoken characters, none said twice."""
    while True:
        count = rng.choice(counts)
        chosen = rng.sample(patterns, min(count, len(patterns)))
        text = join([fill(p, rng) for p in chosen])
        if least <= len(text.spoken) <= most:
            return text


DIGITS: Final = (*phrases.SERVICE_DIGITS, "{number}", "{phone}", "{code}")
BASE: Final = (*phrases.SERVICE_DIGITS, *phrases.SERVICE, *phrases.MEETING)
MORE: Final = (*phrases.SERVICE_MORE, *phrases.MEETING_MORE)
ALL: Final = (*BASE, *MORE)


def only_v2(written: str) -> bool:
    """Whether it holds a sentence that v1 never heard. None of these has a slot."""
    return any(phrase in written for phrase in phrases.ONLY_V2)


def vocabulary() -> list[str]:
    """One list of tokens for all versions, so that v2 and v3 can start from v1's weights."""
    tags = ["<|zh|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>", "<|woitn|>"]
    hanzi = set("".join(ALL)) | set(HANZI + "点分月号元百千十上下午晚明天，。")
    bare = {c for c in hanzi if not c.isascii()}
    digits = list("0123456789")
    return ["<blank>", "<s>", "</s>", *tags, *phrases.ENGLISH, *digits, *sorted(bare), "<unk>"]
