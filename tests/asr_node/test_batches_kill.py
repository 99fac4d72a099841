"""kill -9 in the middle of a batch, again and again: every file has exactly one result."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from asr_node.history.database import FILE
from tests.asr_node.node_fakes import encoded, tone

ROOT = Path(__file__).parents[2]
FILES = 50
KILLS = 20


@dataclass
class NodeProcess:
    """Started anew after each kill, with the same data folder."""

    folder: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.folder / "log"
        log.write_bytes(b"")
        command = [sys.executable, "-m", "tests.asr_node.batch_node", str(self.folder / "model")]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "data"), "0"], stderr=output, cwd=ROOT
            )
        self.until(lambda: "node.listening" in log.read_text())
        first = next(line for line in log.read_text().splitlines() if "node.listening" in line)
        self.client.base_url = f"http://127.0.0.1:{json.loads(first)['port']}"

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def until(self, reached: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not reached():
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)

    def results(self) -> int:
        """As the database has them: asking over HTTP would slow the node's work."""
        with closing(sqlite3.connect(self.folder / "data" / FILE)) as connection:
            query = "SELECT count(*) FROM batch_files WHERE status != 'queued'"
            return int(connection.execute(query).fetchone()[0])


@pytest.fixture
def node(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pt").write_text("weights")
    node = NodeProcess(tmp_path)
    node.start()
    yield node
    node.client.close()
    with suppress(ProcessLookupError):
        node.kill()


@pytest.mark.timeout(400)
def test_a_batch_survives_twenty_kills(node: NodeProcess) -> None:
    """At random numbers of results, and at a random moment of the next file's work."""
    lengths = [1_600 + 160 * number for number in range(FILES)]
    clips = [encoded(tone(length / 16_000)) for length in lengths]
    clips[7] = b"not audio"
    node.until(lambda: node.client.get("/readyz").status_code == 200)
    files = [("files", (f"{number}.wav", clip)) for number, clip in enumerate(clips)]
    answer = node.client.post("/v1/batches", files=files)
    assert answer.status_code == 202, answer.text
    batch_id = answer.json()["id"]
    chance = random.Random(20261121)
    for results in sorted(chance.sample(range(FILES), KILLS)):
        node.until(lambda results=results: node.results() >= results)
        time.sleep(chance.uniform(0.0, 0.05))
        node.kill()
        node.start()
    url = f"/v1/batches/{batch_id}"
    node.until(lambda: node.client.get(url).json().get("finished_time"))
    done = node.client.get(url).json()
    node.kill()

    assert [file["status"] for file in done["files"]] == [
        "failed" if index == 7 else "done" for index in range(FILES)
    ]
    assert [file["text"] for file in done["files"]] == [
        None if index == 7 else f"{length} samples" for index, length in enumerate(lengths)
    ]
    with closing(sqlite3.connect(node.folder / "data" / FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT id, request_id FROM history").fetchall()
    assert sorted(request for _, request in rows) == sorted(
        f"{batch_id}.{index}" for index in range(FILES)
    )
    assert {row for row, _ in rows} == {file["history_id"] for file in done["files"]}


def test_accepted_means_on_the_disk(node: NodeProcess) -> None:
    """Killed as soon as the 202 is in, whatever has been done by then."""
    node.until(lambda: node.client.get("/readyz").status_code == 200)
    files = [("files", (f"{number}.wav", encoded(tone(0.2)))) for number in range(5)]
    batch_id = node.client.post("/v1/batches", files=files).json()["id"]
    node.kill()
    node.start()
    url = f"/v1/batches/{batch_id}"
    node.until(lambda: node.client.get(url).json().get("finished_time"))
    assert node.client.get(url).json()["counts"]["done"] == 5


def test_a_file_that_ends_the_node_each_time_is_given_up(node: NodeProcess) -> None:
    """As if it crashed FFmpeg: killed while it is the one in work, until its attempts end."""
    node.until(lambda: node.client.get("/readyz").status_code == 200)
    long = encoded(tone(10.0))
    files = [("files", ("a.wav", encoded(tone(0.2)))), ("files", ("b.wav", long))]
    batch_id = node.client.post("/v1/batches", files=files).json()["id"]
    node.kill()
    with closing(sqlite3.connect(node.folder / "data" / FILE)) as connection:
        connection.execute(
            "UPDATE batch_files SET attempts = 5 WHERE file_index = 0 AND status = 'queued'"
        )
        connection.execute("UPDATE batch_files SET attempts = 1 WHERE file_index = 1")
        left = connection.total_changes
        connection.commit()
    node.start()
    url = f"/v1/batches/{batch_id}"
    node.until(lambda: node.client.get(url).json().get("finished_time"))
    first, second = node.client.get(url).json()["files"]
    assert second["status"] == "done"
    if left == 2:  # the kill came before its result
        assert (first["status"], "ended 5 times" in first["error"]) == ("failed", True)
