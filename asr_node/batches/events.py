"""The progress of a batch as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from asr_node.batches.batches import Batches

RECONNECT_MILLISECONDS: Final = 1_000
KEEP_ALIVE_SECONDS: Final = 15.0  # less than any proxy's patience
LOOK_SECONDS: Final = 1.0
END: Final = "done"  # id of the last event
UNFINISHED: Final = frozenset({"queued", "running"})


async def progress(batches: Batches, batch_id: str, after: int) -> AsyncIterator[str]:
    """`batch` (how it stands), then `file` for each result after the cursor `after`, then `done`.

    The id of a `file` is the cursor of its row: a client that comes back with the last one it
    saw misses none. Ends also when the node drains."""
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    view = await batches.view(batch_id)
    yield _event("batch", _summary(view))
    spoke = time.monotonic()
    while True:
        seen = batches.changes
        view = await batches.view(batch_id)
        for file in _results(view, after):
            after = file["cursor"]
            yield _event("file", file, after)
            spoke = time.monotonic()
        if view["finished_time"] is not None:
            yield _event("done", _summary(view), END)
            return
        if batches.node.draining:
            return
        if time.monotonic() - spoke >= KEEP_ALIVE_SECONDS:
            yield ": still here\n\n"
            spoke = time.monotonic()
        await batches.wait_for_change(seen, LOOK_SECONDS)


def _results(view: dict[str, Any], after: int) -> list[dict[str, Any]]:
    done = [file for file in view["files"] if (file["cursor"] or 0) > after]
    return sorted(done, key=lambda file: int(file["cursor"]))


def _summary(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name != "files"}


def _event(name: str, data: object, event_id: object = None) -> str:
    lines = [f"event: {name}", f"data: {json.dumps(data, ensure_ascii=False)}"]
    if event_id is not None:
        lines.insert(0, f"id: {event_id}")
    return "\n".join(lines) + "\n\n"
