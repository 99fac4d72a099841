"""Reports of rollouts, made of the store alone."""

from __future__ import annotations

import asyncio
import json
from typing import Literal

from fastapi import Response

from controller.adapters.store import SqlStore
from controller.api.service import utc_now
from controller.report import Record, content_policy, html, markdown, report_data, report_of

Format = Literal["markdown", "html", "json"]
_MOST_EVENTS = 5000  # of a fleet that flaps for days; the first are kept


async def report_response(store: SqlStore, rollout_id: str, form: Format) -> Response:
    """The report. Raises NotFound."""
    return await asyncio.to_thread(_respond, store, rollout_id, form)


def record_of(store: SqlStore, rollout_id: str) -> Record:
    """Raises NotFound."""
    rollout = store.rollout(rollout_id)
    events, saved = store.rollout_events(rollout_id, _MOST_EVENTS), store.load()
    return report_of(rollout, events, saved.versions, saved.digests, utc_now())


def _respond(store: SqlStore, rollout_id: str, form: Format) -> Response:
    record = record_of(store, rollout_id)
    match form:
        case "html":
            policy = f"{content_policy()}; frame-ancestors 'none'"
            headers = {"Content-Security-Policy": policy}
            return Response(html(record), media_type="text/html", headers=headers)
        case "json":
            text = json.dumps(report_data(record), ensure_ascii=False)
            return Response(text, media_type="application/json")
        case "markdown":
            return Response(markdown(record), media_type="text/markdown; charset=utf-8")
