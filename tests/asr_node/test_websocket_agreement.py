"""Interim text only grows, whatever the model thinks in between."""

from __future__ import annotations

import pytest

from asr_node.websocket.agreement import Agreement


def told(*hypotheses: str, final: str) -> str:
    agreement = Agreement()
    return "".join(agreement.hear(text) for text in hypotheses) + agreement.rest(final)


def test_one_hypothesis_is_not_enough() -> None:
    agreement = Agreement()
    assert agreement.hear("今天") == ""
    assert agreement.silent


def test_what_two_agree_on_is_told_once() -> None:
    agreement = Agreement()
    heard = [agreement.hear(text) for text in ("今天", "今天天", "今天天气", "今天天气好")]
    assert heard == ["", "今天", "天", "气"]
    assert not agreement.silent


def test_a_full_stop_at_the_end_of_the_audio_is_not_told() -> None:
    assert told("你好。", "你好。", "你好，世界。", final="你好，世界。") == "你好，世界。"


def test_words_are_told_whole() -> None:
    agreement = Agreement()
    agreement.hear("hello wor")
    assert agreement.hear("hello world") == "hello"
    assert agreement.hear("hello world again") == " world"


def test_the_final_text_completes_what_was_told() -> None:
    assert told("good", "good morning", "good morning all", final="Good morning, all.") != ""
    assert told("好的", "好的没", final="好的没问题") == "好的没问题"


def test_without_interim_results_the_final_text_is_told_whole() -> None:
    assert told(final="好的 ok.") == "好的 ok."


@pytest.mark.parametrize(
    ("heard", "final", "result"),
    [
        ("我要一零", "我要10086", "我要一零"),
        ("我想退货", "我要退货谢谢", "我想退货谢谢"),
        ("卡号", "卡号是五五", "卡号是五五"),
        ("嗯你好", "你好吗", "嗯你好吗"),
    ],
)
def test_a_final_text_that_differs_goes_on_where_it_meets(
    heard: str, final: str, result: str
) -> None:
    """Nothing can be taken back; but nothing is said twice, and the end is not lost."""
    assert told(heard, heard, final=final) == result


def test_nothing_comes_of_nothing() -> None:
    assert told("", "", final="") == ""
