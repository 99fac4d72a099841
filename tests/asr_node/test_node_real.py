"""A real process with a real model: slow, and the only proof that it all meets FunASR."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import jiwer
import numpy as np
import openai
import pytest

from asr_node.digest import model_digest, version_digest
from tests.asr_node.node_fakes import encoded

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "models" / "demo-v1"
DIGITS = ROOT / "eval_sets" / "digits"
PATH = "/v1/audio/transcriptions"

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

# Runs inside the node and its workers: notes every address they connect to or look up.
WATCH = """
import os
import sys
def write(line):
    with open(%r, "a") as file:
        file.write(line + "\\n")
def note(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        write(f"{event} {arguments[-1] if event == 'socket.connect' else arguments}")
sys.addaudithook(note)
write(f"watching {os.getpid()}")
"""


@dataclass
class NodeProcess:
    process: subprocess.Popen[bytes]
    folder: Path
    model: Path
    client: httpx.Client
    url: str = ""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def log(self) -> list[dict[str, object]]:
        text = (self.folder / "log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def network(self) -> tuple[int, list[str]]:
        """How many processes were watched, and what they asked of the network."""
        lines = (self.folder / "network").read_text(encoding="utf-8").splitlines()
        calls = [line for line in lines if not line.startswith("watching ")]
        return len(lines) - len(calls), calls

    def events(self) -> list[object]:
        return [line["event"] for line in self.log()]


def until(reached: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 150
    while not reached():
        assert process.poll() is None, "the node ended"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def node_process(folder: Path, model: Path, *more: str) -> Iterator[NodeProcess]:
    """Listening, not yet ready."""
    (folder / "sitecustomize.py").write_text(WATCH % str(folder / "network"))
    command = [sys.executable, "-m", "asr_node", "--model", str(model), "--version", "demo-v1"]
    command += ["--name", "n1", "--port", "0", "--data-dir", str(folder / "data"), *more]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stderr=log, stdout=log, cwd=ROOT, env={"PYTHONPATH": str(folder)}
        )
    node = NodeProcess(process, folder, model, httpx.Client(timeout=60))
    try:
        until(lambda: "node.listening" in (folder / "log").read_text(), process)
        node.url = f"http://127.0.0.1:{node.log()[0]['port']}"
        node.client.base_url = node.url
        yield node
    finally:
        node.client.close()
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("node")
    model = shutil.copytree(DEMO, folder / "the demo model")  # a space in the path
    with node_process(folder, model) as started:
        assert started.client.get("/healthz").json() == {"status": "alive"}
        assert started.client.get("/readyz").status_code == 503
        until(lambda: started.client.get("/readyz").status_code == 200, started.process)
        yield started


def utterances(count: int) -> list[dict[str, str]]:
    lines = (DIGITS / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def characters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def test_recordings_are_transcribed(node: NodeProcess) -> None:
    heard, said = [], []
    for utterance in utterances(30):
        with (DIGITS / utterance["source"]).open("rb") as file:
            answer = node.client.post(PATH, files={"file": file})
        assert answer.status_code == 200
        heard.append(characters(answer.json()["text"]))
        said.append(characters(utterance["target"]))
    assert jiwer.cer(said, heard) < 0.15


def test_a_start_that_goes_well_warns_of_nothing(node: NodeProcess) -> None:
    assert [line for line in node.log() if line["level"] != "info"] == []


def test_itn_writes_digits_and_without_it_words(node: NodeProcess) -> None:
    texts = {}
    for itn in ("true", "false"):
        with (DIGITS / utterances(1)[0]["source"]).open("rb") as file:
            answer = node.client.post(PATH, files={"file": file}, data={"itn": itn})
        texts[itn] = answer.json()["text"]
    assert any(letter.isdecimal() for letter in texts["true"])
    assert not any(letter.isdecimal() for letter in texts["false"])


def test_a_language_outside_the_vocabulary_is_refused(node: NodeProcess) -> None:
    with (DIGITS / utterances(1)[0]["source"]).open("rb") as file:
        answer = node.client.post(PATH, files={"file": file}, data={"language": "en"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "language"


def test_openais_synchronous_client_works(node: NodeProcess) -> None:
    with openai.OpenAI(base_url=f"{node.url}/v1", api_key="none") as client:
        verbose = client.audio.transcriptions.create(
            model="whisper-1",
            file=DIGITS / utterances(1)[0]["source"],
            response_format="verbose_json",
        )
    assert verbose.text
    assert verbose.duration > 0.5


def test_the_node_says_the_digest_of_the_files_it_serves(node: NodeProcess) -> None:
    version = node.client.get("/version").json()
    models = {"model": model_digest(DEMO)}
    assert version["models"]["model"]["model_digest"] == models["model"]
    assert version["digest"] == version_digest(models, version["options"])
    assert version["engine"].startswith("funasr ")


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 1_600])
def test_the_shortest_audio_does_no_harm(node: NodeProcess, samples: int) -> None:
    clip = encoded(np.zeros(samples, np.float32))
    answer = node.client.post(PATH, files={"file": ("clip.wav", clip)})
    assert answer.status_code == (200 if samples else 400)
    assert node.client.get("/readyz").json()["ready"]


def test_the_node_answers_probes_while_it_infers(node: NodeProcess) -> None:
    """Four clients keep the model busy until the last probe is in."""
    clip = (DIGITS / utterances(1)[0]["source"]).read_bytes()
    done, answered = threading.Event(), []

    def keep_busy() -> None:
        with httpx.Client(base_url=node.url, timeout=60) as client:
            while not done.is_set():
                answered.append(client.post(PATH, files={"file": ("a.ogg", clip)}).status_code)

    with ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(keep_busy) for _ in range(4)]
        until(lambda: len(answered) >= 4, node.process)
        seconds = [probe(node.client) for _ in range(300)]
        done.set()
        for thread in busy:
            thread.result()
    assert set(answered) == {200}
    assert len(answered) > 10
    assert float(np.median(seconds)) < 0.05  # the 99th percentile: benchmarks/node.py


def probe(client: httpx.Client) -> float:
    began = time.perf_counter()
    assert client.get("/healthz").status_code == 200
    return time.perf_counter() - began


def test_a_second_node_with_the_same_data_folder_is_refused(node: NodeProcess) -> None:
    command = [sys.executable, "-m", "asr_node", "--model", str(node.model), "--port", "0"]
    command += ["--version", "demo-v1", "--data-dir", str(node.data)]
    second = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert second.returncode == 1
    assert f"pid {node.process.pid}" in second.stderr
    assert node.client.get("/readyz").status_code == 200


def test_a_local_model_makes_no_network_call(node: NodeProcess) -> None:
    watched, calls = node.network()
    assert watched >= 2  # the node and its worker
    assert calls  # the node looked up its own address
    assert all("127.0.0.1" in call for call in calls)


def test_sigterm_finishes_the_request_and_leaves_nothing_behind(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 16_000 * 100).astype(np.float32)
    clip = encoded(noise)  # a hundred seconds keep the model busy long enough
    with (
        node_process(tmp_path, DEMO, "--grace-seconds", "90") as node,
        ThreadPoolExecutor(1) as threads,
    ):
        until(lambda: node.client.get("/readyz").status_code == 200, node.process)
        pending = threads.submit(
            httpx.post, node.url + PATH, files={"file": ("a.wav", clip)}, timeout=100
        )
        until(lambda: node.client.get("/readyz").json()["in_flight"], node.process)
        assert not pending.done()
        node.process.send_signal(signal.SIGTERM)
        answer = pending.result(100)
        assert (answer.status_code, answer.headers["x-asr-node"]) == (200, "n1")
        assert node.process.wait(30) == 0
        assert node.events()[-1] == "node.stopped"
        assert "request.done" in node.events()
        assert sorted(path.name for path in node.data.iterdir()) == [
            "admin.token",
            "history.sqlite3",
            "lock",
        ]
        with pytest.raises(httpx.ConnectError):
            node.client.get("/healthz")


def test_sigterm_while_loading_is_obeyed_at_once(tmp_path: Path) -> None:
    with node_process(tmp_path, DEMO) as node:
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(20) == 0
        assert "node.ready" not in node.events()


def test_a_model_with_missing_weights_ends_the_node_with_a_reason(tmp_path: Path) -> None:
    """FunASR itself would only print a line and serve random weights."""
    import torch

    model = shutil.copytree(DEMO, tmp_path / "model")
    weights = torch.load(model / "model.pt", map_location="cpu", weights_only=True)
    weights.pop("ctc.ctc_lo.weight")
    torch.save(weights, model / "model.pt")
    with node_process(tmp_path, model) as node:
        until(lambda: "node.load_failed" in node.events(), node.process)
        assert "lacks 1 weights" in node.client.get("/readyz").json()["reason"]
        assert node.process.wait(30) == 1
