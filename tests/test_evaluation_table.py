"""The report of an evaluation and its table."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.api.evaluation_report import report
from controller.core.scoring import Score, UtteranceScore, numbers_unavailable
from controller.evaluation_table import table

SAID = ["请拨打10086", "我要退款", "你好谢谢再见", ""]
V1 = ["请拨打10086", "我要退货", "你好谢谢再见", ""]
V2 = ["请拨打一零零八六", "", "你好谢谢再见", "谢谢观看"]
TAGS = [("digits", "noise"), ("noise",), (), ("silence",)]


def a_score(heard: list[str], eval_set: str = "calls") -> Score:
    texts = zip(SAID, heard, TAGS, strict=True)
    return Score(
        tuple(
            UtteranceScore(
                eval_set, f"u{i}", said, heard, tags, duration_ms=2000, seconds=0.1 * (i + 1)
            )
            for i, (said, heard, tags) in enumerate(texts)
        )
    )


def test_a_report_has_rates_in_every_unit_and_form_and_the_measures_of_their_own() -> None:
    (version,) = report(["v2"], [a_score(V2)])["versions"]
    (calls,) = version["eval_sets"]
    assert (calls["eval_set"], calls["utterances"], calls["failed"]) == ("calls", 4, 0)
    assert calls["errors"]["cer"]["written"] == {
        "rate": 13 / 18, "substitutions": 5, "deletions": 4, "insertions": 4, "length": 18,
    }  # fmt: skip
    assert calls["cer"] == 13 / 18
    assert calls["errors"]["cer"]["numbers"]["rate"] == 8 / 18
    assert calls["ser"] == 3 / 4
    assert calls["number_accuracy"]["written"] == {"count": 0, "of": 1, "rate": 0}
    assert calls["number_accuracy"]["numbers"]["rate"] == 1
    assert calls["empty_outputs"]["count"] == 1
    assert calls["text_on_silence"] == {"count": 1, "of": 1, "rate": 1}
    assert calls["real_time_factor"] == pytest.approx(1 / 8)
    assert calls["latency_p95_seconds"] == pytest.approx(0.4)


def test_each_eval_set_has_its_slices_the_largest_first() -> None:
    (version,) = report(["v1"], [a_score(V1)])["versions"]
    slices = {part["tag"]: part for part in version["eval_sets"][0]["slices"]}
    assert list(slices) == ["noise", "digits", "silence"]
    assert slices["noise"]["cer"] == 1 / 12
    assert slices["digits"]["cer"] == 0


def test_a_report_names_the_chains_and_can_be_written_as_json() -> None:
    found = report(["v1", "v2"], [a_score(V1), a_score(V2)])
    assert found["normalisation"] == {"written": "zh-basic/1", "numbers": "zh-numbers/1"}
    assert {item["gate"] for item in found["differences"]} >= {"cer overall", "mer calls"}
    json.dumps(found, allow_nan=False)


def test_a_version_is_not_compared_with_deletions_of_the_first() -> None:
    first = replace(a_score(V1).utterances[0], hypothesis=None)
    scores = [Score((first, *a_score(V1).utterances[1:])), a_score(V2)]
    assert "differences" not in report(["v1", "v2"], scores)
    assert "differences" in report(["v2", "v1"], scores[::-1])


def test_versions_stand_under_one_another_with_the_slices_in_which_they_differ() -> None:
    lines = table(report(["v1", "v2"], [a_score(V1), a_score(V2)]))
    assert [line.split()[:2] for line in lines[1:7]] == [
        ["calls", "(4"],
        ["v1", "5.56"],
        ["v2", "72.22"],
        ["#silence", "(1)"],
        ["v1", "0.00"],
        ["v2", "400.00"],
    ]
    assert lines[-1].endswith("normalised by zh-basic/1, zh-numbers/1")


def test_columns_stand_under_their_titles() -> None:
    title, _, row, *_ = table(report(["v1"], [a_score(V1)]))
    assert title.index("S/D/I") + len("S/D/I") == row.index("1/0/0") + len("1/0/0")
    assert "CER % by value" in title


def test_what_never_happened_has_no_column() -> None:
    (title, *_) = table(report(["v1"], [a_score(V1)]))
    assert not any(word in title for word in ("empty", "loops", "failed", "hotwords"))


def test_a_slice_without_errors_is_left_out() -> None:
    assert not any("#digits" in line for line in table(report(["v1"], [a_score(V1)])))


def test_a_slice_that_is_the_whole_set_is_left_out() -> None:
    whole = Score((UtteranceScore("calls", "u0", "一", "二", ("digits",)),))
    assert not any("#digits" in line for line in table(report(["v1"], [whole])))


@pytest.fixture
def without_wetextprocessing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "itn", None)
    numbers_unavailable.cache_clear()
    yield
    numbers_unavailable.cache_clear()


@pytest.mark.usefixtures("without_wetextprocessing")
def test_without_wetextprocessing_the_table_says_what_is_left_out() -> None:
    lines = table(report(["v1"], [a_score(V1)]))
    assert not any("by value" in line for line in lines[:-1])
    assert "WeTextProcessing is not installed" in lines[-1]
