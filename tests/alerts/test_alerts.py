"""The alert rules, by Prometheus' own tool, and what they lead to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.metric_families import PREFIX
from tests.alerts.prometheus_tools import promtool
from tests.api.scraping import a_scraped_controller

ROOT = Path(__file__).parents[2]
RULES = ROOT / "alerts" / "asr-rollout.rules.yml"
TESTS = sorted((ROOT / "alerts" / "tests").glob("*.yml"))
NAME = re.compile(rf"\b(?:{PREFIX}|process)_\w+")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_prometheus_takes_the_rules() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(RULES))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_a_rule_fires_when_it_should_and_not_otherwise(path: Path) -> None:
    promtool("test", "rules", str(path))


def test_every_rule_is_shown_to_fire_and_not_to_fire() -> None:
    for path in TESTS:
        tests = yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        asked = [case for test in tests for case in test["alert_rule_test"]]
        assert {case["alertname"] for case in asked} == {path.stem}
        assert {bool(case["exp_alerts"]) for case in asked} == {True, False}, path.name
    assert {rule["alert"] for rule in alerts()} == {path.stem for path in TESTS}


def test_every_rule_says_how_bad_it_is_and_waits() -> None:
    assert {rule["labels"]["severity"] for rule in alerts()} == {"critical", "warning"}
    assert [rule["alert"] for rule in alerts() if "for" not in rule] == []


@pytest.mark.parametrize("name", ["docs/operations.md", "docs/operations.zh-CN.md"])
def test_every_rule_leads_to_what_to_do_in_both_languages(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    anchors = {title.lower() for title in re.findall(r"^#+ (\w+)$", text, re.MULTILINE)}
    for rule in alerts():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor == rule["alert"].lower()
        assert anchor in anchors


async def test_rules_ask_for_nothing_that_the_controller_does_not_tell(tmp_path: Path) -> None:
    async with a_scraped_controller(tmp_path) as scraped:
        told = re.findall(r"^# TYPE (\w+)", await scraped.text(), re.MULTILINE)
    asked = {name for rule in alerts() for name in NAME.findall(rule["expr"])}
    assert asked <= set(told)


async def test_the_metrics_are_as_prometheus_wants_them(tmp_path: Path) -> None:
    async with a_scraped_controller(tmp_path) as scraped:
        promtool("check", "metrics", given=await scraped.text())
