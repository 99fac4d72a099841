"""What Prometheus is told of faults and how they were borne."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from controller.adapters.drill_folder import DrillFolder
from controller.api.failover_families import of_drills, of_spool
from controller.api.metric_families import PREFIX
from controller.core.drill.report import Outcome, Report
from tests.api.scraping import a_scraped_controller

NIGHTS = {1: "2026-11-01T03:30:00+00:00", 2: "2026-11-02T03:30:00+00:00"}
SECONDS = {1: 1793503800.0, 2: 1793590200.0}


def samples(families: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix(f"{PREFIX}_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def a_report(night: int, outcome: Outcome, drill: str = "kill-stable") -> Report:
    at = NIGHTS[night]
    return Report(f"2026110{night}t033000z-{drill}", drill, "schedule", "process", at, at, outcome)


def test_a_drill_has_its_newest_outcome_and_its_newest_success() -> None:
    found = samples(of_drills([a_report(2, Outcome.STOPPED), a_report(1, Outcome.PASSED)]))
    assert found["drill_last_passed", "kill-stable"] == 0
    assert found["drill_last_end_timestamp_seconds", "kill-stable"] == SECONDS[2]
    assert found["drill_last_success_timestamp_seconds", "kill-stable"] == SECONDS[1]


def test_a_refused_drill_changes_nothing() -> None:
    found = samples(of_drills([a_report(2, Outcome.REFUSED), a_report(1, Outcome.PASSED)]))
    assert found["drill_last_passed", "kill-stable"] == 1
    assert found["drill_last_end_timestamp_seconds", "kill-stable"] == SECONDS[1]


def kept(folder: Path, report: Report, content: str | None = None) -> None:
    """Its report, as a drill leaves it, without waiting for the disk."""
    path = DrillFolder(folder).of(report.id) / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(content or json.dumps(report.to_dict()))


async def test_a_drill_is_told_of_until_it_passes_again_however_many_others_run(
    tmp_path: Path,
) -> None:
    kept(tmp_path, a_report(1, Outcome.PASSED))
    for n in range(36 * 7):
        other = a_report(2, Outcome.PASSED, "kill-router")
        kept(tmp_path, replace(other, id=f"20261102t03{n // 60:02}{n % 60:02}z-kill-router"))
    async with a_scraped_controller(tmp_path) as scraped:
        found = await scraped.samples()
    assert found["drill_last_success_timestamp_seconds", "kill-stable"] == SECONDS[1]
    assert found["drill_last_success_timestamp_seconds", "kill-router"] == SECONDS[2]


def test_what_a_drill_did_before_it_passed_is_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passed = a_report(2, Outcome.PASSED)
    kept(tmp_path, passed)
    kept(tmp_path, a_report(1, Outcome.PASSED), "damaged")
    assert DrillFolder(tmp_path).newest_of_each() == [passed]
    assert "report_unreadable" not in caplog.text


def test_the_spool_tells_its_depth_its_age_and_what_became_of_requests() -> None:
    outcomes = ("answered", "given_up", "expired", "withdrawn", "refused", "dropped")
    counted = dict.fromkeys(outcomes, 0)
    summary = {"waiting": 3, "waiting_bytes": 999, "oldest_seconds": 61.5, "accepted": 4}
    found = samples(of_spool(summary | counted))
    assert (found["spool_requests",], found["spool_bytes",]) == (3, 999)
    assert found["spool_oldest_age_seconds",] == 61.5
    assert found["spooled_requests_total", "accepted"] == 4
    assert samples(of_spool({**summary, "oldest_seconds": None} | counted))[
        "spool_oldest_age_seconds",
    ] == 0  # fmt: skip


async def test_a_scrape_has_failover_spool_and_drills(tmp_path: Path) -> None:
    DrillFolder(tmp_path).create("20261101t033000z-kill-stable")
    DrillFolder(tmp_path).finish(a_report(1, Outcome.PASSED), "")
    async with a_scraped_controller(tmp_path) as scraped:
        found = await scraped.samples()
        assert (found["backup_help", "none"], found["backup_problem",]) == (1, 0)
        assert found["spool_requests",] == 0
        assert found["drill_last_passed", "kill-stable"] == 1
        for name in ("v1-1", "v1-2"):
            scraped.driver.world.end(name)
        scraped.driver.world.broken.add("v1")
        await scraped.driver.round()
        found = await scraped.samples()
    assert (found["backup_help", "serves"], found["failovers_total",]) == (1, 1)
