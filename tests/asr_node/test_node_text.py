from __future__ import annotations

import pytest

from asr_node.funasr_recognizer import plain_text, spoken_language


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<|zh|><|NEUTRAL|><|Speech|><|withitn|>请拨打10086。", "请拨打10086。"),
        ("<|zh|><|Speech|>你好。 <|zh|><|HAPPY|><|BGM|><|Speech|>再见。", "你好。再见。"),
        ("<|en|><|Speech|>call me <|en|><|Speech|>later", "call me later"),
        ("<|zh|><|Speech|>打开wifi 开关", "打开wifi 开关"),
        ("<|nospeech|><|EMO_UNKNOWN|>", ""),
        ("", ""),
    ],
)
def test_tags_leave_neither_emoji_nor_gaps(raw: str, text: str) -> None:
    assert plain_text(raw) == text


def test_the_language_heard_is_the_first_tag() -> None:
    assert spoken_language("<|yue|><|NEUTRAL|>x <|zh|>y") == "yue"
    assert spoken_language("<|nospeech|>") is None
