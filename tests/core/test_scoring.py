import sys
from collections.abc import Iterator

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import Refused
from controller.core.eval_set import EvalSet, Utterance
from controller.core.scoring import (
    GAP,
    Errors,
    Form,
    Measure,
    Score,
    align,
    characters,
    combined,
    display_width,
    normalisation,
    normalised,
    numbers_unavailable,
    score,
    tokens,
    words,
)

MEASURES: list[Measure] = ["cer", "wer", "mer", "ser"]
FORMS: list[Form] = ["written", "numbers"]

SPOKEN = st.text(alphabet="请拨打一零八六abc 0168，。", max_size=20)
REFERENCES = SPOKEN.filter(lambda text: bool(characters(text)))


def a_set(*references: str, name: str = "digits") -> EvalSet:
    utterances = (Utterance(f"u{i}", "u.wav", text) for i, text in enumerate(references))
    return EvalSet(name, tuple(utterances), "digest")


def scored(reference: str, hypothesis: str | None) -> Score:
    return score(a_set(reference), {"u0": hypothesis})


def test_a_dropped_digit_is_one_deletion_in_eight_characters() -> None:
    assert scored("请拨打10086", "请拨打1086").errors("cer") == Errors(0, 1, 0, 8)


def test_substitutions_insertions_and_deletions_are_told_apart() -> None:
    result = score(
        a_set("一二三", "四五六", "七八九"), {"u0": "一三", "u1": "四五零六", "u2": "七八六"}
    )
    assert result.errors("cer") == Errors(substitutions=1, deletions=1, insertions=1, length=9)
    assert result.rate("cer") == pytest.approx(3 / 9)


def test_punctuation_case_and_width_do_not_count() -> None:
    assert scored("打开WiFi，谢谢。", "打开ｗｉｆｉ谢谢!").errors("cer").total == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("３．１４", "3.14"),  # a decimal point changes the number
        ("1,000元", "1000元"),
        ("Don't stop", "dont stop"),
        ("50%", "50%"),
        ("well-known", "well known"),
        ("你好。Hello!", "你好 hello"),
        ("。，！", ""),
        ("<|zh|><|NEUTRAL|>你好<|/x|>", "你好"),
        ("請撥打電話", "请拨打电话"),
        ("乾隆", "乾隆"),  # OpenCC knows words, not only characters
    ],
)
def test_text_is_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_a_cjk_character_is_a_token_and_so_is_a_run_of_letters() -> None:
    assert tokens("打开 wifi 5，It's カ") == ["打", "开", "wifi", "5", "its", "カ"]


def test_each_measure_counts_in_its_unit() -> None:
    result = scored("打开 wifi", "打开 wife")
    assert result.errors("cer") == Errors(1, 0, 0, 6)
    assert result.errors("mer") == Errors(1, 0, 0, 3)
    assert result.errors("wer") == Errors(1, 0, 0, 2)
    assert result.errors("ser") == Errors(1, 0, 0, 1)


def test_a_failed_request_counts_as_all_deletions() -> None:
    result = scored("请拨打10086", None)
    assert result.errors("cer") == Errors(0, 8, 0, 8)
    assert result.rate() == 1
    assert result.failed == 1


def test_an_empty_answer_counts_as_all_deletions_but_did_not_fail() -> None:
    result = scored("请拨打10086", "")
    assert result.errors("cer") == Errors(0, 8, 0, 8)
    assert result.failed == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_whatever_the_measure_a_failed_request_is_all_deletions(measure: Measure) -> None:
    errors = scored("请拨打 10086", None).errors(measure)
    assert errors == Errors(deletions=errors.length, length=errors.length)
    assert errors.length > 0


@pytest.mark.parametrize(("measure", "insertions"), [("cer", 4), ("wer", 1), ("mer", 4)])
def test_text_on_silence_is_inserted(measure: Measure, insertions: int) -> None:
    assert scored("", "谢谢观看").errors(measure) == Errors(insertions=insertions)
    assert scored("", "谢谢观看").rate(measure) == insertions


@pytest.mark.parametrize("measure", ["cer", "wer", "mer"])
@pytest.mark.parametrize("hypothesis", ["", "。", None])
def test_nothing_heard_in_silence_is_no_error(measure: Measure, hypothesis: str | None) -> None:
    assert scored("", hypothesis).errors(measure) == Errors()


def test_silence_is_a_sentence_that_text_or_a_failure_makes_wrong() -> None:
    assert scored("", "").errors("ser") == Errors(length=1)
    assert scored("", "谢谢").errors("ser") == Errors(insertions=1, length=1)
    assert scored("", None).errors("ser") == Errors(deletions=1, length=1)


def test_a_sentence_is_wrong_or_right_as_a_whole() -> None:
    result = score(
        a_set("一二", "一二", "一二", "一二"), {"u0": "一 二", "u1": "一三", "u2": "", "u3": None}
    )
    assert result.errors("ser") == Errors(substitutions=1, deletions=2, length=4)


def test_numbers_count_as_written_and_by_value() -> None:
    result = scored("请拨打10086", "请拨打一零零八六")
    assert result.forms == ("written", "numbers")
    assert result.rate("cer", "written") == pytest.approx(5 / 8)
    assert result.rate("cer", "numbers") == 0


@pytest.fixture
def without_wetextprocessing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "itn", None)
    numbers_unavailable.cache_clear()
    yield
    numbers_unavailable.cache_clear()


@pytest.mark.usefixtures("without_wetextprocessing")
def test_without_wetextprocessing_numbers_are_left_out_and_the_reason_is_told() -> None:
    result = scored("拨打10010", "拨打10010")
    assert result.forms == ("written",)
    assert "pip install 'asr-rollout[numbers]'" in (numbers_unavailable() or "")
    with pytest.raises(Refused, match="WeTextProcessing is not installed"):
        result.errors("cer", "numbers")


def test_a_chain_has_a_name_and_a_version() -> None:
    names = [normalisation(form).name for form in ("written", "numbers")]
    assert names == ["zh-basic/1", "zh-numbers/1"]


def test_a_score_knows_its_slices() -> None:
    spoken = (
        Utterance("a", "a.wav", "一", ("noise", "digits")),
        Utterance("b", "b.wav", "一", ("noise",), language="zh"),
    )
    result = score(EvalSet("digits", spoken, "digest"), {"a": "二", "b": "一"})
    assert result.tags == ("noise", "digits", "language:zh")
    assert result.tagged("noise").rate() == pytest.approx(1 / 2)
    assert result.tagged("digits").rate() == 1
    assert result.tagged("music").utterances == ()


def test_an_utterance_keeps_what_the_comparison_needs() -> None:
    spoken = Utterance("a", "a.wav", "一", duration_ms=900, speaker="s", hotwords=("一",))
    (found,) = score(EvalSet("calls", (spoken,), "digest"), {"a": "一"}, {"a": 0.2}).utterances
    assert (found.block, found.duration_ms, found.hotwords) == ("s", 900, ("一",))
    assert found.seconds == 0.2


def test_more_words_than_were_said_can_exceed_100_percent() -> None:
    assert scored("一", "一二三四").rate() == 3


def test_an_utterance_without_a_transcript_is_refused_not_left_out() -> None:
    with pytest.raises(Refused, match="1 of 2 utterances have no transcript"):
        score(a_set("一", "二"), {"u0": "一"})


def test_scores_of_several_sets_are_one_score_with_parts() -> None:
    digits = score(a_set("一二", name="digits"), {"u0": "一"})
    service = score(a_set("一二", name="service"), {"u0": "一二"})
    both = combined([digits, service])
    assert both.eval_sets == ("digits", "service")
    assert both.rate() == pytest.approx(1 / 4)
    assert both.of("service").rate() == 0
    assert both.of("digits") == digits


def test_the_worst_come_first_and_right_ones_never() -> None:
    result = score(a_set("一二三", "一二三", "一二三"), {"u0": "一二", "u1": None, "u2": "一二三"})
    assert [u.key for u in result.worst(5)] == ["u1", "u0"]
    assert [u.key for u in result.worst(1)] == ["u1"]


@given(SPOKEN, st.sampled_from(MEASURES), st.sampled_from(FORMS))
def test_an_identical_transcript_has_no_errors(text: str, measure: Measure, form: Form) -> None:
    assert scored(text, text).errors(measure, form).total == 0


@given(st.text(max_size=30))
def test_what_is_normalised_stays_as_it_is(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(SPOKEN, SPOKEN, st.sampled_from(FORMS))
def test_edits_lead_from_the_one_length_to_the_other(said: str, heard: str, form: Form) -> None:
    for measure, units in (("cer", characters), ("wer", words), ("mer", tokens)):
        errors = scored(said, heard).errors(measure, form)
        assert errors.length == len(units(said, form))
        assert errors.length - errors.deletions + errors.insertions == len(units(heard, form))
        assert errors.substitutions + errors.deletions <= errors.length


@given(SPOKEN, SPOKEN, st.sampled_from(FORMS))
def test_a_sentence_is_right_exactly_where_no_character_is_wrong(
    said: str, heard: str, form: Form
) -> None:
    result = scored(said, heard)
    wrong = result.errors("cer", form).total > 0
    assert result.errors("ser", form).total == wrong
    assert result.errors("ser", form).length == 1


@given(REFERENCES, SPOKEN)
def test_cer_is_jiwers(reference: str, hypothesis: str) -> None:
    expected = jiwer.cer("".join(characters(reference)), "".join(characters(hypothesis)))
    assert scored(reference, hypothesis).rate("cer") == pytest.approx(expected)


@given(REFERENCES, SPOKEN)
def test_mer_and_wer_are_jiwers(reference: str, hypothesis: str) -> None:
    mixed = jiwer.wer(" ".join(tokens(reference)), " ".join(tokens(hypothesis)))
    assert scored(reference, hypothesis).rate("mer") == pytest.approx(mixed)
    spaced = jiwer.wer(normalised(reference), normalised(hypothesis))
    assert scored(reference, hypothesis).rate("wer") == pytest.approx(spaced)


@given(SPOKEN, SPOKEN, st.none() | SPOKEN)
def test_aligned_texts_are_equally_wide_and_complete(
    reference: str, stable: str, canary: str | None
) -> None:
    alignment = align(reference, stable, canary)
    assert len({display_width(line) for line in alignment.lines()}) == 1
    for row, text in zip(alignment.rows, (reference, stable, canary), strict=True):
        assert [cell for cell in row if cell != GAP] == characters(text or "")


@given(REFERENCES, SPOKEN)
def test_the_aligned_columns_show_the_errors_that_were_counted(
    reference: str, hypothesis: str
) -> None:
    said, heard = align(reference, hypothesis).rows
    wrong = sum(a != b for a, b in zip(said, heard, strict=True))
    assert wrong == scored(reference, hypothesis).errors("cer").total


def test_a_dropped_digit_shows_as_a_gap() -> None:
    assert align("请拨打10086", "请拨打10086", "请拨打1086").lines() == (
        "请拨打10086",
        "请拨打10086",
        "请拨打10-86",
    )


def test_wide_characters_are_padded_to_two_cells() -> None:
    assert align("请打", None).lines() == ("请打", "- - ")
    assert align("一1", "一").lines() == ("一1", "一-")


def test_an_insertion_opens_a_column_in_every_row() -> None:
    assert align("ab", "axb", "ab").lines() == ("a-b", "axb", "a-b")


def test_words_are_aligned_by_token() -> None:
    assert align("open the door", "open door", measure="wer").lines() == (
        "open the door",
        "open -   door",
    )


def test_aligned_text_carries_no_terminal_controls() -> None:
    assert align("一", "\x1b[31m一\x07").lines()[1].isprintable()


def test_combining_marks_take_no_cell_and_wide_characters_two() -> None:
    assert display_width("e\u0301") == 1
    assert display_width("请a") == 3


def test_half_a_surrogate_pair_in_a_transcript_is_no_reason_to_fail() -> None:
    assert normalised("你好\ud800吗") == "你好 吗"
