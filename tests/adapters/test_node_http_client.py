"""What a node's answer to a recording means: its text, no text, or nothing of the version."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.adapters.node_http import NodeHttpClient
from controller.core.errors import NodeUnavailable, NoTranscript


class Node(ThreadingHTTPServer):
    """Answers every request with `status` and `body`."""

    status, body = 200, b'{"text": "ok"}'
    asked = ""  # last

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Node)
        self.server.asked = self.path
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
async def client() -> AsyncIterator[NodeHttpClient]:
    opened = NodeHttpClient()
    yield opened
    await opened.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    path.write_bytes(b"RIFF")
    return path


async def test_a_text_is_a_text(node: Node, client: NodeHttpClient, clip: Path) -> None:
    assert await client.transcribe(node.address, clip, 5) == "ok"


@pytest.mark.parametrize("status", [400, 413, 415, 422, 500])
async def test_a_refused_recording_is_an_answer_without_a_text(
    node: Node, client: NodeHttpClient, clip: Path, status: int
) -> None:
    node.status = status
    with pytest.raises(NoTranscript, match=f"answered {status}"):
        await client.transcribe(node.address, clip, 5)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]"])
async def test_an_answer_that_has_no_text_is_one_without_a_text(
    node: Node, client: NodeHttpClient, clip: Path, body: bytes
) -> None:
    node.body = body
    with pytest.raises(NoTranscript):
        await client.transcribe(node.address, clip, 5)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
async def test_a_busy_node_has_not_answered(
    node: Node, client: NodeHttpClient, clip: Path, status: int
) -> None:
    node.status = status
    with pytest.raises(NodeUnavailable, match=f"answered {status}") as caught:
        await client.transcribe(node.address, clip, 5)
    assert not isinstance(caught.value, NoTranscript)


async def test_a_node_that_is_not_there_has_not_answered(
    client: NodeHttpClient, clip: Path
) -> None:
    with pytest.raises(NodeUnavailable, match="did not answer") as caught:
        await client.transcribe("127.0.0.1:1", clip, 5)
    assert not isinstance(caught.value, NoTranscript)


async def test_a_key_that_cannot_be_sent_is_a_node_that_does_not_answer(node: Node) -> None:
    client = NodeHttpClient(lambda: "\ufeffkey-of-the-controller")
    with pytest.raises(NodeUnavailable, match="did not answer"):
        await client.alive(node.address, 5)
    await client.close()


async def test_a_history_tells_copies_and_failures_from_answers(
    node: Node, client: NodeHttpClient
) -> None:
    row = {
        "cursor": 8, "id": "e8", "request_id": "r8", "node": "v2-1", "version": "v2",
        "itn_text": "你好", "status": "done", "priority": "shadow", "duration_seconds": 1.5,
        "language": "zh", "created_time": "2026-11-21T12:00:00.000Z",
    }  # fmt: skip
    failed = row | {"cursor": 9, "status": "failed", "itn_text": "", "priority": "live"}
    node.body = json.dumps({"entries": [row, failed], "next": 9}).encode()
    rows, after = await client.history(node.address, 7, 1000, 5)
    assert [(heard.text, heard.copy) for heard in rows] == [("你好", True), (None, False)]
    assert (rows[0].audio_seconds, after) == (1.5, 9)
    assert node.asked == "/v1/history?after=7&limit=1000"


async def test_a_history_that_cannot_be_understood_is_a_node_that_does_not_answer(
    node: Node, client: NodeHttpClient
) -> None:
    node.body = b'{"entries": [{"id": "e8"}], "next": 9}'
    with pytest.raises(NodeUnavailable, match="its history lacks"):
        await client.history(node.address, 7, 1000, 5)


BATCH = {"id": "batch_v1-1_" + "0" * 32, "node": "v1-1", "finished_time": None}


async def test_batches_are_those_that_the_node_tells(node: Node, client: NodeHttpClient) -> None:
    node.body = json.dumps({"batches": [BATCH]}).encode()
    assert await client.batches(node.address, 5) == [BATCH]
    node.body = json.dumps(BATCH).encode()
    assert await client.batch(node.address, BATCH["id"], 5) == BATCH
    assert node.asked == f"/v1/batches/{BATCH['id']}"


@pytest.mark.parametrize("wrong", [{}, BATCH | {"id": "../x"}, {"id": BATCH["id"]}, []])
async def test_what_is_no_batch_is_not_taken_for_one(
    node: Node, client: NodeHttpClient, wrong: object
) -> None:
    node.body = json.dumps({"batches": [wrong]}).encode()
    with pytest.raises(NodeUnavailable):
        await client.batches(node.address, 5)
    node.body = json.dumps(wrong).encode()
    with pytest.raises(NodeUnavailable):
        await client.batch(node.address, "batch", 5)


async def test_open_streams_are_counted_by_the_nodes_metrics(
    client: NodeHttpClient, node: Node
) -> None:
    node.body = b"# TYPE asr_node_websocket_streams gauge\nasr_node_websocket_streams 3.0\n"
    assert await client.streams(node.address, 5) == 3
    assert node.asked == "/metrics"
    node.body = b"# TYPE other gauge\nother 1.0\n"  # a node that knows none
    assert await client.streams(node.address, 5) == 0
    node.body = b"<html>"
    with pytest.raises(NodeUnavailable, match="metrics"):
        await client.streams(node.address, 5)
