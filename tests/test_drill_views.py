"""Drills as a person and as Markdown."""

from __future__ import annotations

from dataclasses import replace

from controller import drill_views
from controller.core.drill.catalogue import DRILLS
from controller.core.drill.report import Numbers, Outcome, Report
from controller.drills.keeper import in_words
from controller.drills.markdown import markdown

REPORT = Report(
    "20260101t033000z-kill-stable", "kill-stable", "ann", "process",
    "2026-01-01T03:30:00+00:00", "2026-01-01T03:31:00+00:00", Outcome.PASSED,
    fault_at="2026-01-01T03:30:10+00:00", hit=("v1-1",), eval_set="digits", clients=6,
    numbers=Numbers(
        requests=40, requests_logged=40, retried=2, slowest_seconds=0.9, detection_seconds=0.05,
        retry_seconds=0.05, probe_seconds=0.6, switch_seconds=0.4, recovery_seconds=8.0,
        backup_requests=3, backup_error_rate=0.0125,
    ),
    bounds=DRILLS["kill-stable"].bounds,
)  # fmt: skip


def late(month: str, recovery: float | None) -> Report:
    numbers = replace(REPORT.numbers, recovery_seconds=recovery, failed=1)
    return replace(
        REPORT, began_at=f"{month}-02T03:30:00+00:00", outcome=Outcome.FAILED, numbers=numbers,
        reasons=("all was as before not at all; the bound is 300 s",),
    )  # fmt: skip


def test_a_report_tells_people_every_number() -> None:
    text = markdown(REPORT)
    assert text.startswith("# Drill kill-stable: passed\n")
    for words in (
        "| detection | 0.05 s (bound 3.5 s) |",
        "| requests sent | 40 (40 in the",
        "| the backup's character error rate | 1.25 % |",
        "| restored | yes |",
    ):
        assert words in text


def test_a_report_begins_with_what_was_wrong() -> None:
    assert "- all was as before not at all" in markdown(late("2026-01", None))
    assert drill_views.ended(late("2026-01", None).to_dict()).splitlines()[1].startswith("  ! all")


def test_what_failed_and_was_allowed_to_is_told_from_what_was_not() -> None:
    allowed = replace(REPORT, numbers=replace(REPORT.numbers, failed=3, failed_allowed=2))
    assert "| failed | 3, of which the promise allows 2 |" in markdown(allowed)
    assert "3 failed (2 of them may)" in drill_views.ended(allowed.to_dict())
    assert "3 failed (2 of them may)" in drill_views.history([allowed.to_dict()], 20, 1000)
    assert "0 failed," in drill_views.ended(REPORT.to_dict())


def test_the_trend_has_medians_by_month() -> None:
    reports = [late("2026-02", 30.0), late("2026-01", None), late("2026-01", 10.0), REPORT]
    newest, oldest = drill_views.trend([report.to_dict() for report in reports])
    assert (newest["month"], newest["recovery_seconds"], newest["passed"]) == ("2026-02", 30.0, 0)
    assert (oldest["month"], oldest["recovery_seconds"]) == ("2026-01", 9.0)
    assert (oldest["drills"], oldest["passed"], oldest["failed"]) == (3, 1, 2)


def test_the_history_has_the_ids_and_each_drills_months_below_one_another() -> None:
    router = replace(late("2026-02", 1.0), drill="kill-router", id="20260202t033000z-kill-router")
    reports = [late("2026-02", 30.0), router, late("2026-01", 10.0)]
    shown = drill_views.history([report.to_dict() for report in reports], 2, 1000).splitlines()
    assert REPORT.id in shown[0]
    assert "… and 1 older ones (`--limit` shows more)" in shown
    by_month = [line[:11].strip() for line in shown[shown.index("") + 2 :]]
    assert by_month == ["kill-router", "2026-02", "kill-stable", "2026-02", "2026-01"]


def test_a_history_of_which_there_may_be_more_says_so() -> None:
    reports = [REPORT.to_dict()] * 3
    cut, whole = (drill_views.history(reports, 2, most) for most in (3, 4))
    assert "… and 1 or more older ones" in cut
    assert "by month (of the newest 3; medians" in cut
    assert "… and 1 older ones" in whole
    assert "by month (medians" in whole


def test_what_broke_nothing_is_in_the_history_and_not_in_the_trend() -> None:
    refused = replace(REPORT, fault_at=None, outcome=Outcome.REFUSED, reasons=("too small",))
    assert drill_views.trend([refused.to_dict()]) == []
    assert "too small" in drill_views.history([refused.to_dict()], 20, 1000)


def test_the_audit_has_one_line() -> None:
    assert in_words(REPORT) == (
        "kill-stable passed: 0 of 40 requests failed, all as before after 8.0 s"
    )
    assert in_words(late("2026-01", None)).startswith("kill-stable failed: all was as before")
