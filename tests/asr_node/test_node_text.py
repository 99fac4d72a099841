from __future__ import annotations

import pytest

from asr_node.recognizers.funasr_recognizer import known_languages, plain_text, spoken_language


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<|zh|><|NEUTRAL|><|Speech|><|withitn|>请拨打10086。", "请拨打10086。"),
        ("<|zh|><|Speech|>你好。 <|zh|><|HAPPY|><|BGM|><|Speech|>再见。", "你好。再见。"),
        ("<|en|><|Speech|>call me <|en|><|Speech|>later", "call me later"),
        ("<|zh|><|Speech|>打开wifi 开关", "打开wifi 开关"),
        ("<|nospeech|><|EMO_UNKNOWN|>", ""),
        ("", ""),
        ("<|zh|><|NEUTRAL|><|Speech|><|withitn|>。", ""),
    ],
)
def test_tags_leave_neither_emoji_nor_gaps(raw: str, text: str) -> None:
    assert plain_text(raw) == text


def test_the_language_heard_is_the_first_tag() -> None:
    assert spoken_language("<|yue|><|NEUTRAL|>x <|zh|>y") == "yue"
    assert spoken_language("<|nospeech|>") is None


def test_a_model_knows_the_languages_of_its_vocabulary() -> None:
    assert known_languages(["<blank>", "<|zh|>", "<|Speech|>", "一"]) == {"auto", "zh"}


@pytest.mark.parametrize("tokens", [None, [], ["<blank>", "一"]])
def test_a_vocabulary_without_tags_says_nothing(tokens: list[str] | None) -> None:
    assert known_languages(tokens) == {"auto", "zh", "en", "yue", "ja", "ko"}
