"""The report as a page and as Markdown: whole, self-contained, and safe against its contents."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from controller.core.rollout import Phase
from controller.engine.records import Served
from controller.report import content_policy, html, markdown
from tests.report.reports import PLAN, History, hostile, promoted_and_rolled_back

VOID = {"meta", "rect", "line", "circle"}
FETCHING = {"src", "href", "xlink:href", "action", "srcset", "data", "poster", "background"}


class Page(HTMLParser):
    """Tags, attributes and text; refuses what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.mark.parametrize("record", [promoted_and_rolled_back, hostile, History().record])
def test_the_page_fetches_nothing_and_runs_nothing(record: object) -> None:
    page = Page(html(record()))  # type: ignore[operator]
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "a"}
    attributes = {name for _, given in page.tags for name in given}
    assert not attributes & (FETCHING | {"style"})
    assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in html(record())  # type: ignore[operator]


def test_the_page_allows_its_own_style_and_nothing_else() -> None:
    text = html(promoted_and_rolled_back())
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert content_policy() == f"default-src 'none'; style-src 'sha256-{digest}'"
    policies = [given.get("content") for tag, given in Page(text).tags if tag == "meta"]
    assert content_policy() in policies


def test_what_comes_from_outside_stays_text_on_the_page() -> None:
    text = html(hostile())
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\u202e" not in text
    assert text.encode()


def test_the_page_has_every_gate_phase_and_version() -> None:
    text = Page(html(promoted_and_rolled_back())).text
    for part in (
        "v2 was rolled back to v1", "Gates at step 1 (5 %)", "error-rate digits", "Fail.",
        "+3.20 [+2.10, +4.30] points", "words overall", "4 more errors", "1" * 64, "2" * 64,
        "promoted by ann, all the way", "Commands by ann: promote; bob: rollback",
        "plan default: 5 % for at least 10m", "49.18 %",
    ):  # fmt: skip
        assert part in text


def test_pictures_say_in_words_what_they_show() -> None:
    pictures = [given for tag, given in Page(html(promoted_and_rolled_back())).tags if tag == "svg"]
    assert len(pictures) == 10
    assert all(given["role"] == "img" and given["aria-label"] for given in pictures)


def test_places_in_pictures_are_within_them() -> None:
    places = re.findall(r'\b(?:x|x1|x2|cx|width)="([-\d.]+)%"', html(promoted_and_rolled_back()))
    assert places
    assert all(0 <= float(place) <= 100.01 for place in places)


def test_what_comes_from_outside_stays_text_in_markdown() -> None:
    text = markdown(hostile())
    assert text.encode()
    prose = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    for mark in ("<script", "*bold*", "[x]", "`c`", "```"):
        assert not re.search(rf"(?<!\\){re.escape(mark)}", prose), mark
    headings = [line for line in prose.splitlines() if line.startswith("#")]
    assert all(line.startswith(("# Rollout v2-", "## ")) for line in headings)


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    for text in (markdown(promoted_and_rolled_back()), markdown(hostile())):
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(widths) == 1


def test_the_markdown_has_the_numbers_of_every_step() -> None:
    text = markdown(promoted_and_rolled_back())
    assert text.startswith("# Rollout v2-20261121-1: v2 was rolled back to v1\n")
    assert "## Gates at step 1 (5 %), 2026-11-21 12:10:30 UTC" in text
    assert "| error-rate digits | CER, written | ✕ Fail | 4.81 % | 8.01 % |" in text
    assert "reference 请拨打一零零八" in text


def test_the_share_of_a_baseline_has_a_column_where_the_plan_asked_for_one() -> None:
    history = History(plan=replace(PLAN, baseline=True))
    history.to(Phase.HOLDING, 10, "ready", reached_percent=5.0)
    history.traffic.follow(5)
    for pool in ["stable"] * 9 + ["canary", "baseline"]:
        history.traffic.take(Served(pool, "percent", "k", 200, (("a", 200),)))
    history.to(Phase.WAITING, 600, "waits")
    assert "| 5 % | 9.09 % | 9.09 % | 11 |" in markdown(history.record())
    assert "baseline got" in Page(html(history.record())).text
    for text in (markdown(promoted_and_rolled_back()), html(promoted_and_rolled_back())):
        assert "baseline got" not in text
