"""Reports of rollouts, made of the store alone."""

from __future__ import annotations

import asyncio
import json
from typing import Final, Literal

from fastapi import Response

from controller.adapters.store import SqlStore
from controller.api.service import utc_now
from controller.core.shadow.overview import overview
from controller.report import Record, content_policy, html, markdown, report_data, report_of

Format = Literal["markdown", "html", "json"]
_MOST_EVENTS: Final = 5000  # of a fleet that flaps for days; the first are kept


_TYPES: Final[dict[Format, str]] = {
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html",
    "json": "application/json",
}


async def report_response(store: SqlStore, rollout_id: str, form: Format) -> Response:
    """The report. Raises NotFound."""
    text = await asyncio.to_thread(report_text, store, rollout_id, form)
    policy = f"{content_policy()}; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy} if form == "html" else {}
    return Response(text, media_type=_TYPES[form], headers=headers)


def report_text(store: SqlStore, rollout_id: str, form: Format) -> str:
    """Raises NotFound."""
    record = record_of(store, rollout_id)
    match form:
        case "html":
            return html(record)
        case "json":  # in ASCII: what a model made up need not be valid Unicode
            return json.dumps(report_data(record))
        case "markdown":
            return markdown(record)


def record_of(store: SqlStore, rollout_id: str) -> Record:
    """Raises NotFound."""
    rollout = store.rollout(rollout_id)
    events, saved = store.rollout_events(rollout_id, _MOST_EVENTS), store.load()
    tallies = store.shadows.tallies(rollout_id)
    heard = overview(tallies) if tallies else None
    return report_of(rollout, events, saved.versions, saved.digests, utc_now(), heard)
