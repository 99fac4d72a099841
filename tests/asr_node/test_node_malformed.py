"""A thousand malformed requests against a real node: it answers each, and nothing remains."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.asr_node.malformed_audio import muxed
from tests.asr_node.malformed_requests import (
    FORM,
    TRANSCRIPTIONS,
    Malformed,
    form,
    part,
    requests,
)
from tests.asr_node.test_node_real import DEMO, NodeProcess, node_process, until

SEED = 20_261_121
WARM_UP = 300
MEASURED = 700
CLIENTS = 3
MEGABYTE = 1024 * 1024

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("malformed")
    with node_process(folder, DEMO, "--max-duration-seconds", "60") as started:
        until(lambda: started.client.get("/readyz").status_code == 200, started.process)
        yield started


def send(node: NodeProcess, malformed: list[Malformed]) -> list[tuple[Malformed, int]]:
    """Over a few kept connections, each taking the next."""
    left, taking = iter(malformed), threading.Lock()
    answered: list[tuple[Malformed, int]] = []

    def client() -> None:
        with httpx.Client(base_url=node.url, timeout=120) as http:
            while True:
                with taking:
                    each = next(left, None)
                if each is None:
                    return
                headers = {} if each.content_type is None else {"Content-Type": each.content_type}
                answer = http.post(each.path, content=each.body, headers=headers)
                answered.append((each, answer.status_code))

    with ThreadPoolExecutor(CLIENTS) as threads:
        for running in [threads.submit(client) for _ in range(CLIENTS)]:
            running.result()
    return answered


def processes(node: NodeProcess) -> list[psutil.Process]:
    front = psutil.Process(node.process.pid)
    return [front, *sorted(front.children(recursive=True), key=lambda child: child.pid)]


def resident(node: NodeProcess) -> list[int]:
    """Bytes of each of the node's processes."""
    return [process.memory_info().rss for process in processes(node)]


def forget_peak(process: psutil.Process) -> None:
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak(process: psutil.Process) -> int:
    """Most bytes that were ever resident, since they were last forgotten."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def idle(node: NodeProcess) -> bool:
    return node.client.get("/readyz").json()["in_flight"] == 0


def test_a_thousand_malformed_requests_do_no_harm(node: NodeProcess) -> None:
    everything = list(requests(WARM_UP + MEASURED, SEED))
    answered = send(node, everything[:WARM_UP])
    until(lambda: idle(node), node.process)
    before, pids = resident(node), [process.pid for process in processes(node)]
    front = processes(node)[0]
    forget_peak(front)

    answered += send(node, everything[WARM_UP:])
    until(lambda: idle(node), node.process)

    counts = Counter((each.kind, status) for each, status in answered)
    assert len(answered) == len(everything)
    assert {key: n for key, n in counts.items() if key[1] >= 500 or key[1] == 422} == {}
    assert {200, 400} <= {status for _, status in counts}
    assert [process.pid for process in processes(node)] == pids  # nobody died
    assert node.client.get("/readyz").json()["ready"]
    assert not [line for line in node.log() if line.get("level") == "ERROR"]
    for was, now in zip(before, resident(node), strict=True):
        assert now < 1.05 * was + 16 * MEGABYTE, (before, resident(node))
    assert peak(front) < before[0] + 250 * MEGABYTE


def test_a_600_megabyte_stream_is_refused_before_it_is_in_memory(node: NodeProcess) -> None:
    """Chunked, made on the fly; the node's limit is 512 MiB, and what it had taken is gone."""
    front = processes(node)[0]
    forget_peak(front)
    before = front.memory_info().rss
    block = bytes(MEGABYTE)

    def stream() -> Iterator[bytes]:
        yield form(part(b"file", muxed("wav"), b"clip.wav"))[:-20]
        for _ in range(600):
            yield block

    with httpx.Client(base_url=node.url, timeout=300) as client:
        answer = client.post(TRANSCRIPTIONS, content=stream(), headers={"Content-Type": FORM})
    assert answer.status_code == 413
    assert peak(front) < before + 64 * MEGABYTE
    until(lambda: not any((node.data / "tmp").iterdir()), node.process)
    assert idle(node)


def test_an_announced_gigabyte_is_refused_unread(node: NodeProcess) -> None:
    address = httpx.URL(node.url)
    with socket.create_connection((address.host, address.port or 80), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: node\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000000\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_uploads_that_break_off_leave_nothing_behind(node: NodeProcess) -> None:
    address = httpx.URL(node.url)
    body = form(part(b"file", bytes(3 * MEGABYTE), b"clip.wav"))
    for _ in range(20):
        with socket.create_connection((address.host, address.port or 80), timeout=60) as sender:
            head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: node\r\nContent-Type: {FORM}\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            sender.sendall(head.encode() + body[: 2 * MEGABYTE])
    until(lambda: idle(node), node.process)
    assert not any((node.data / "tmp").iterdir())
    assert node.client.get("/readyz").json()["ready"]
