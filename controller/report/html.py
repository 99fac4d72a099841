"""The report as one HTML page: no script, nothing fetched from anywhere, readable for years."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from controller.plan_views import plan
from controller.report import copies
from controller.report.gates import gate_line
from controller.report.markdown import actual_share, options
from controller.report.record import Record
from controller.report.shares import bars
from controller.report.words import course, duration, headline, moment, people, plain
from controller.report.worst import cases

_FOLDER: Final = Path(__file__).resolve().parent


def html(record: Record) -> str:
    """The page; everything that came from outside is escaped by the template."""
    template = _environment().get_template("report.html.j2")
    style = _style()
    return template.render(
        record=record,
        rollout=record.rollout,
        headline=headline(record),
        course=course(record),
        people=people(record),
        bars=bars(record),
        judgements=[
            (judgement, [gate_line(v, record.rollout.plan) for v in judgement.verdicts])
            for judgement in reversed(record.judgements)
        ],
        copies_header=copies.HEADER,
        copies_rows=copies.rows(record.copies),
        cases=cases(record.measured),
        plan_lines=plan(record.rollout.plan).splitlines(),
        style=Markup(style),  # noqa: S704  # our own file
        policy=content_policy(),
    )


def content_policy() -> str:
    """The Content-Security-Policy under which the page works: its own style, nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'"


def _style() -> str:
    return (_FOLDER / "report.css").read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("controller", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": moment,
        "duration": duration,
        "plain": plain,
        "options": options,
        "actual": actual_share,
    }
    return environment
