import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.scoring import normalised
from controller.core.scoring.numbers import numbers_as_digits

HAN = "零一二三四五六七八九"
ALIKE = [
    ("250元", "二百五十元"),
    ("250块", "两百五十块"),
    ("¥250", "二百五十元"),
    ("1,000元", "一千元"),
    ("50%", "百分之五十"),
    ("3.5%", "百分之三点五"),
    ("3.14", "三点一四"),
    ("37.5度", "三十七点五度"),
    ("3/4", "四分之三"),
    ("12:30", "十二点三十分"),
    ("12点30分", "十二点半"),
    ("9:05", "九点零五分"),
    ("20:00", "二十点"),
    ("3月5号", "三月五号"),
    ("2024年3月15日", "二零二四年三月十五日"),
    ("2024-03-05", "二零二四年三月五日"),
    ("2个", "两个"),
    ("第23", "第二十三"),
    ("15000", "一万五"),
    ("2.3万", "两万三千"),
    ("5万", "五万"),
    ("1.5亿", "一亿五千万"),
    ("700000000", "七亿"),
    ("100000001", "一亿零一"),
    ("1234567", "一百二十三万四千五百六十七"),
    ("7楼302", "七楼三零二"),
    ("尾号63", "尾号六三"),
    ("57349138", "五七三四九一三八"),
    ("18629967841", "幺八六二九九六七八四幺"),
    ("10086", "一萬零八十六"),
]
WORDS = ["请拨打", "，", "wifi", "一下", "啊"]
PIECES = st.sampled_from([text for pair in ALIKE for text in pair] + WORDS)


def by_value(text: str) -> str:
    return normalised(text, "numbers")


def in_words(number: int) -> str:
    """10086 is 一万零八十六. Below 10**12."""
    text, gap = "", False
    for exponent in range(11, -1, -1):
        digit = number // 10**exponent % 10
        if digit:
            text += "零" if gap and text else ""
            text += HAN[digit] + ("", "十", "百", "千")[exponent % 4]
        gap = digit == 0
        if exponent in {8, 4} and number // 10**exponent % 10**4:
            text += "亿" if exponent == 8 else "万"
    return text.removeprefix("一") if text.startswith("一十") else text


@pytest.mark.parametrize("spoken", ["一零零八六", "幺零零八六", "一万零八十六", "10086"])
def test_10086_is_10086_however_it_was_written(spoken: str) -> None:
    assert by_value(f"请拨打{spoken}。") == "请拨打10086"


def test_1086_is_another_number() -> None:
    assert by_value("请拨打一千零八十六") == by_value("请拨打1086") == "请拨打1086"


@pytest.mark.parametrize(("written", "spoken"), ALIKE)
def test_spoken_and_written_numbers_become_alike(written: str, spoken: str) -> None:
    assert by_value(written) == by_value(spoken)


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("一下", "1下"),
        ("万一", "万1"),
        ("千万不要", "千万不要"),
        ("wifi5", "wifi5"),
        ("十七八个", "十七八个"),
    ],
)
def test_words_with_a_digit_in_them_do_not_grow(text: str, compared: str) -> None:
    assert by_value(text) == compared


def test_a_digit_that_is_missing_is_one_error_also_where_one_is_left() -> None:
    assert len(by_value("10点10分")) == len(by_value("1点10分")) + 1


def test_what_stands_beside_a_number_is_not_touched() -> None:
    assert by_value("嗯啊一百公里啊") == "嗯啊100公里啊"


def test_every_number_below_a_million_millions_is_read_back() -> None:
    dice = random.Random(7)
    numbers = [dice.randrange(10, 10 ** dice.randint(2, 12)) for _ in range(60)]
    assert [by_value(in_words(number)) for number in numbers] == [str(n) for n in numbers]


@given(st.text(alphabet=string.digits, min_size=2, max_size=30))
def test_a_string_of_digits_is_never_changed(digits: str) -> None:
    assert by_value(digits) == digits


@given(st.lists(PIECES, max_size=5).map("请".join))
def test_what_is_normalised_stays_as_it_is(text: str) -> None:
    assert by_value(by_value(text)) == by_value(text)


@given(st.text(alphabet="请拨打abc，", max_size=20))
def test_text_without_numbers_is_left_alone(text: str) -> None:
    assert numbers_as_digits(text) == text
