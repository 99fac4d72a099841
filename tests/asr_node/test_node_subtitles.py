from __future__ import annotations

import pytest

from asr_node.protocols.hotwords import hotwords
from asr_node.protocols.subtitles import LONGEST_SECONDS, WIDEST, cues, srt, vtt
from asr_node.recognition import Segment
from asr_node.recognizer import Word
from tests.asr_node.node_fakes import spoken

SENTENCE = "今天天气很好，我们去公园玩。请拨打10086。"


def chinese(text: str, seconds: float = 0.2) -> tuple[Word, ...]:
    """Each character is spoken for `seconds`, and so is the pause at punctuation."""
    return tuple(
        Word(i * seconds, (i + 1) * seconds, character)
        for i, character in enumerate(text)
        if character not in "，。"
    )


def test_a_short_segment_is_one_cue() -> None:
    segments = [Segment(0.5, 2.25, "你好"), Segment(3661.0, 3662.0, "再见")]
    assert srt(segments) == (
        "1\n00:00:00,500 --> 00:00:02,250\n你好\n\n2\n01:01:01,000 --> 01:01:02,000\n再见\n"
    )


def test_a_long_segment_is_cut_after_its_clauses() -> None:
    text = SENTENCE * 3
    found = list(cues([Segment(0.0, len(text) * 0.2, text, chinese(text))]))
    assert len(found) > 1
    assert all(cue.text[-1] in "，。" for cue in found)
    assert "".join(cue.text for cue in found) == text
    assert all(cue.end - cue.start <= LONGEST_SECONDS for cue in found)


def test_cues_follow_each_other_within_their_segment() -> None:
    text = SENTENCE * 4
    segment = Segment(10.0, 10.0 + len(text) * 0.2, text, ())
    words = tuple(Word(w.start + 10, w.end + 10, w.text) for w in chinese(text))
    found = list(cues([Segment(segment.start, segment.end, text, words)]))
    times = [time for cue in found for time in (cue.start, cue.end)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (segment.start, segment.end)


def test_a_long_clause_without_punctuation_is_cut_between_words() -> None:
    text = "word " * 59 + "word"
    found = list(cues([Segment(0.0, 6.0, text, spoken(text))]))
    assert all(set(cue.text.split()) == {"word"} for cue in found)
    assert all(len(cue.text) <= WIDEST for cue in found)
    assert sum(len(cue.text.split()) for cue in found) == 60


def test_numbers_are_not_cut_at_their_points() -> None:
    text = "it costs 3.14 or 10,086 of them " * 5
    for cue in cues([Segment(0.0, 20.0, text, spoken(text))]):
        assert cue.text.count("3.14") == cue.text.count("3")


def test_words_that_are_written_otherwise_cost_no_text() -> None:
    """ITN writes 10086 for five spoken characters."""
    text = "请拨打10086，" * 8
    words = chinese("请拨打一零零八六，" * 8)
    found = list(cues([Segment(0.0, 16.0, text, words)]))
    assert len(found) > 1
    assert "".join(cue.text for cue in found) == text


def test_a_segment_without_times_of_words_stays_whole() -> None:
    text = SENTENCE * 4
    assert [cue.text for cue in cues([Segment(0.0, 30.0, text)])] == [text]


def test_silence_has_no_cues() -> None:
    assert srt([Segment(0.0, 1.0, " ")]) == ""
    assert vtt([]) == "WEBVTT\n"


def test_text_cannot_break_the_format() -> None:
    text = vtt([Segment(0.0, 1.0, "a < b\n\n--> & c")])
    assert text.splitlines()[-1] == "a &lt; b --&gt; &amp; c"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("张三,李四，王五、赵六", ("张三", "李四", "王五", "赵六")),
        ("阿里巴巴 通义", ("阿里巴巴", "通义")),
        ("阿里巴巴　通义", ("阿里巴巴", "通义")),
        ("Open Sesame, FunASR", ("Open Sesame", "FunASR")),
        ("阿里巴巴 FunASR", ("阿里巴巴", "FunASR")),
        ("one\r\ntwo\n\n", ("one", "two")),
        ("again, again", ("again",)),
        (" , ", ()),
    ],
)
def test_hotwords_are_parted_as_people_write_them(text: str, words: tuple[str, ...]) -> None:
    assert hotwords(text) == words
