import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.scoring import Score, UtteranceScore
from controller.core.scoring.measures import (
    Share,
    by_tag,
    empty_outputs,
    false_hotwords,
    hotword_recall,
    latency_seconds,
    loop,
    number_accuracy,
    real_time_factor,
    repetition_loops,
    text_on_silence,
)


def a_score(*pairs: tuple[str, str | None], hotwords: tuple[str, ...] = ()) -> Score:
    return Score(
        tuple(
            UtteranceScore("calls", f"u{i}", said, heard, hotwords=hotwords)
            for i, (said, heard) in enumerate(pairs)
        )
    )


def timed(*times: float | None, duration_ms: int = 2000) -> Score:
    return Score(
        tuple(
            UtteranceScore("calls", f"u{i}", "一", "一", duration_ms=duration_ms, seconds=seconds)
            for i, seconds in enumerate(times)
        )
    )


def test_a_number_counts_only_as_a_whole() -> None:
    assert number_accuracy(a_score(("请拨打10086", "请拨打1086"))) == Share(0, 1)
    assert number_accuracy(a_score(("请拨打10086", "拨打10086号"))) == Share(1, 1)


def test_a_number_in_words_is_right_by_its_value_only() -> None:
    result = a_score(("请拨打10086，付50%", "请拨打一零零八六付50%"))
    assert number_accuracy(result) == Share(1, 2)
    assert number_accuracy(result, "numbers") == Share(2, 2)


def test_numbers_must_come_in_the_order_in_which_they_were_said() -> None:
    assert number_accuracy(a_score(("从12到34再到56", "从34到12再到56"))) == Share(2, 3)


def test_a_failed_request_has_lost_its_numbers() -> None:
    assert number_accuracy(a_score(("12和34", None))) == Share(0, 2)


def test_single_digits_are_not_counted_as_numbers() -> None:
    assert number_accuracy(a_score(("等1下", "等一下"))).rate is None


def test_hotwords_that_were_said_are_looked_for() -> None:
    result = a_score(("请找张伟和李娜", "请找章伟和李娜"), hotwords=("张伟", "李娜"))
    assert hotword_recall(result) == Share(1, 2)
    assert false_hotwords(result) == Share(0, 1)


def test_a_hotword_that_nobody_said_is_false() -> None:
    heard = [("请找章伟", "请找张伟"), ("张伟在吗", "张伟在吗")]
    assert false_hotwords(a_score(*heard, hotwords=("张伟",))) == Share(1, 2)


def test_a_hotword_counts_as_often_as_it_was_said() -> None:
    result = a_score(("小爱小爱", "小爱"), ("小爱", "小爱小爱"), hotwords=("小爱",))
    assert hotword_recall(result) == Share(2, 3)
    assert false_hotwords(result) == Share(1, 3)


def test_a_hotword_of_letters_is_a_word_not_a_part_of_one() -> None:
    result = a_score(("modern Art", "modern party"), hotwords=("art",))
    assert hotword_recall(result) == Share(0, 1)
    assert false_hotwords(result) == Share(0, 0)


def test_empty_answers_are_counted_where_text_was_expected() -> None:
    result = a_score(("一", ""), ("一", "。"), ("一", "一"), ("一", None), ("", ""))
    assert empty_outputs(result) == Share(2, 3)


def test_text_on_silence_is_counted_where_silence_was_expected() -> None:
    result = a_score(("", "谢谢观看"), ("", "。"), ("", None), ("一", "一"))
    assert text_on_silence(result) == Share(1, 2)


@pytest.mark.parametrize(
    ("said", "heard", "repeated"),
    [
        ("请稍等", "请稍等请稍等请稍等请稍等", "请稍等"),
        ("好", "好，the the the the", "the"),
        ("你好", "你好" + "哈" * 8, "哈哈"),
        ("你好", "你好哈哈哈哈", ""),  # laughter
        ("对对", "对对对", ""),
        ("拨888888888", "拨8888888888", ""),  # the reference repeats it, too
        ("一二三四", "一二三四", ""),
    ],
)
def test_what_goes_round_and_round_is_a_loop(said: str, heard: str, repeated: str) -> None:
    assert loop(said, heard) == repeated
    assert repetition_loops(a_score((said, heard))) == Share(int(repeated != ""), 1)


def test_a_failed_request_is_no_loop() -> None:
    assert repetition_loops(a_score(("一", None))) == Share(0, 0)


@given(st.text(alphabet="一二a8", max_size=60))
def test_what_was_really_said_is_never_a_loop(text: str) -> None:
    assert loop(text, text) == ""


def test_the_real_time_factor_is_seconds_of_work_per_second_of_audio() -> None:
    assert real_time_factor(timed(0.5, 1.5, None)) == pytest.approx(0.5)
    assert real_time_factor(timed(None)) is None
    assert real_time_factor(timed(1.0, duration_ms=0)) is None


def test_latency_is_the_time_within_which_that_share_was_answered() -> None:
    result = timed(*(i / 100 for i in range(100, 0, -1)), None)
    assert (latency_seconds(result, 0.5), latency_seconds(result, 0.95)) == (0.5, 0.95)
    assert latency_seconds(timed(None), 0.5) is None


def test_slices_come_by_tag_the_largest_first() -> None:
    tags = [("noise",), ("noise", "digits"), ("digits",), ("noise",), ()]
    result = Score(tuple(UtteranceScore("a", f"u{i}", "一", "一", t) for i, t in enumerate(tags)))
    slices = by_tag(result)
    assert {tag: len(part.utterances) for tag, part in slices.items()} == {"noise": 3, "digits": 2}
    assert list(slices) == ["noise", "digits"]
