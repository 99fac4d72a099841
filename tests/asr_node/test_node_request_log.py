"""What the log says of a request: one line, under its id, without its words."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from asr_node.log import JsonLines
from tests.asr_node.node_fakes import encoded, tone

PATH = "/v1/audio/transcriptions"
CLIP = encoded(tone(1.0))


class Lines(logging.Handler):
    """What would stand on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))

    def of(self, request_id: str) -> list[dict[str, object]]:
        return [line for line in self.lines if line.get("request_id") == request_id]


@pytest.fixture
def log() -> Iterator[Lines]:
    handler = Lines()
    events = logging.getLogger("asr_node")
    before = events.level
    events.addHandler(handler)
    events.setLevel(logging.INFO)
    yield handler
    events.removeHandler(handler)
    events.setLevel(before)


async def post(running, request_id: str, data: bytes = CLIP, **fields: str) -> None:
    files = {"file": ("clip.wav", data)}
    headers = {"X-Request-ID": request_id}
    await running.client.post(PATH, files=files, data=fields, headers=headers)


async def test_a_request_is_one_line(running, log: Lines) -> None:
    await post(running, "call-7")
    (line,) = [line for line in log.of("call-7") if line["event"] == "request.done"]
    assert (line["protocol"], line["status"], line["path"]) == ("openai", 200, PATH)
    assert line["seconds"] > 0


async def test_a_refusal_says_which_field(running, log: Lines) -> None:
    await post(running, "call-8", language="fr")
    (line,) = log.of("call-8")
    assert (line["event"], line["status"]) == ("request.refused", 400)
    assert (line["param"], line["code"]) == ("language", "unsupported_language")


async def test_every_line_of_a_request_carries_its_id(running, log: Lines) -> None:
    running.engine.recognizer.fault = RuntimeError("broken")
    await post(running, "call-9")
    events = [line["event"] for line in log.of("call-9")]
    assert events.count("request.refused") == 1
    assert "inference.failed" in events


async def test_no_line_holds_the_text(running, log: Lines) -> None:
    await post(running, "call-10")
    assert log.lines
    assert "language=auto" not in json.dumps(log.lines)


@pytest.mark.parametrize("draining", [False, True])
async def test_probes_leave_no_line_whatever_they_find(running, log: Lines, draining: bool) -> None:
    if draining:
        running.node.drain()
    for path in ("/healthz", "/readyz", "/version", "/metrics"):
        await running.client.get(path)
    assert log.lines == []


async def test_one_requests_id_is_not_anothers(running, log: Lines) -> None:
    await post(running, "call-11")
    await running.client.get("/v1/models")
    last = log.lines[-1]
    assert last["path"] == "/v1/models"
    assert last["request_id"] != "call-11"
