"""Other people's clients, unmodified, each in an environment of its own, against a real node.

The environments live in .venv/clients and are made anew when a pin changes. Without a package
index they cannot be made: then these tests are skipped with the reason, or fail with it where
REQUIRE_CLIENTS=1. FunASR's own client is in no package: the file itself stands in
tests/clients/funasr/, as it is at modelscope/FunASR (MIT), with its licence."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import venv
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import jiwer
import pytest
import soundfile

from tests.asr_node.test_node_real import NodeProcess, characters, node_process, until

ROOT: Final = Path(__file__).parents[2]
CLIENTS: Final = ROOT / "tests" / "clients"
ENVIRONMENTS: Final = ROOT / ".venv" / "clients"
DEMO: Final = ROOT / "models" / "demo-v2"
SERVICE: Final = ROOT / "eval_sets" / "service"

# runtime/python/websocket/ at commit 30caaf8e18755c8502b2ee55f3e2921c2329c0f6
WSS_CLIENT: Final = CLIENTS / "funasr" / "funasr_wss_client.py"
WSS_CLIENT_SHA256: Final = "a8121df7fcae804f713758f9b3f623d6280ed8a65efc2cada143b64a1ee62529"

MODES: Final = ("offline", "online", "2pass")
CLIPS: Final = 4
WORST_CER: Final = 0.2  # of the demo model, over the clips; online text cannot be taken back
WORST_ONLINE_CER: Final = 0.4

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("clients-node"), DEMO) as started:
        until(lambda: started.client.get("/readyz").status_code == 200, started.process)
        yield started


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """WAV files, the one format that all clients read, with what is said in them."""
    folder = tmp_path_factory.mktemp("clips")
    lines = (SERVICE / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[:CLIPS]
    found = []
    for utterance in map(json.loads, lines):
        samples, rate = soundfile.read(SERVICE / utterance["source"], dtype="int16")
        path = folder / f"{utterance['key']}.wav"
        soundfile.write(path, samples, rate)
        found.append((path, utterance["target"]))
    return found


@cache
def environment(name: str) -> Path:
    """Its interpreter. Skips, or fails where REQUIRE_CLIENTS=1, if it cannot be made."""
    pins = (CLIENTS / f"{name}.txt").read_text()
    folder = ENVIRONMENTS / name
    python, made_of = folder / "bin" / "python", folder / "made-of.txt"
    if not made_of.exists() or made_of.read_text() != pins:
        venv.create(folder, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", f"{CLIENTS}/{name}.txt"]
        done = subprocess.run(install, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            unavailable(f"{name} cannot be installed: {done.stderr.strip()[-300:]}")
        made_of.write_text(pins)
    return python


def unavailable(reason: str) -> None:
    if os.environ.get("REQUIRE_CLIENTS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def drive(name: str, node: NodeProcess, mode: str, clips: list[tuple[Path, str]]) -> list[Any]:
    script = CLIENTS / f"drive_{name.replace('-', '_')}.py"
    url = node.url.replace("http", "ws")
    paths = [clip for clip, _ in clips]
    heard: list[Any] = json.loads(run(environment(name), script, url, mode, *paths))
    return heard


def run(*command: str | Path, folder: Path | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


def error_rate(heard: list[str], clips: list[tuple[Path, str]]) -> float:
    said = [characters(text) for _, text in clips]
    rate: float = jiwer.cer(said, [characters(text) for text in heard])
    return rate


def bound(mode: str) -> float:
    return WORST_ONLINE_CER if mode == "online" else WORST_CER


@pytest.mark.parametrize("mode", MODES)
def test_funasr_python_hears_what_is_said(
    node: NodeProcess, clips: list[tuple[Path, str]], mode: str
) -> None:
    heard = drive("funasr-python", node, mode, clips)
    assert [answer["errors"] for answer in heard] == [[]] * len(clips)
    assert error_rate([whole(answer["texts"], mode) for answer in heard], clips) < bound(mode)


def whole(texts: list[str], mode: str) -> str:
    """This client tells no interim text of two passes from a final one; the last text that is
    none of nothing is the final one."""
    if mode == "2pass":
        return next((text for text in reversed(texts) if text), "")
    return "".join(texts)


@pytest.mark.parametrize("mode", MODES)
def test_funasr_client_hears_what_is_said(
    node: NodeProcess, clips: list[tuple[Path, str]], mode: str
) -> None:
    heard = drive("funasr-client", node, mode, clips)
    assert all(messages[-1]["is_final"] for messages in heard)
    assert error_rate([final_text(messages, mode) for messages in heard], clips) < bound(mode)


def test_funasr_client_reads_the_times_of_characters(
    node: NodeProcess, clips: list[tuple[Path, str]]
) -> None:
    messages = drive("funasr-client", node, "2pass", clips[:1])[0]
    times = [pair for message in messages for pair in message.get("timestamp", [])]
    assert times
    assert times == sorted(times)


def test_funasr_client_as_a_command(node: NodeProcess, clips: list[tuple[Path, str]]) -> None:
    url = node.url.replace("http", "ws")
    python = environment("funasr-client")
    heard = [
        json.loads(run(python, "-m", "funasr_client", url, str(clip), "--async"))["text"]
        for clip, _ in clips
    ]
    assert error_rate(heard, clips) < WORST_CER


@pytest.mark.parametrize("mode", MODES)
def test_funasrs_own_client_hears_what_is_said(
    node: NodeProcess, clips: list[tuple[Path, str]], mode: str, tmp_path: Path
) -> None:
    """One process for every file of a list, at the pace of speech where the mode is live."""
    python = environment("funasr-wss-client")
    listed = tmp_path / "wav.scp"
    listed.write_text("".join(f"{clip.stem} {clip}\n" for clip, _ in clips))
    port = node.url.rpartition(":")[2]
    options = ["--host", "127.0.0.1", "--port", port, "--ssl", "0", "--mode", mode]
    printed = run(python, WSS_CLIENT, *options, "--audio_in", str(listed), folder=tmp_path)
    assert "Exception" not in printed
    events = (tmp_path / "asr_logs").glob("*/events.jsonl")
    messages = [json.loads(line) for file in events for line in file.read_text().splitlines()]
    heard = [
        final_text([m for m in messages if m["wav_name"] == clip.stem], mode) for clip, _ in clips
    ]
    assert error_rate(heard, clips) < bound(mode)


def final_text(messages: list[dict[str, Any]], mode: str) -> str:
    """Put together as these clients do it: online, everything; else what is not interim."""
    return "".join(m["text"] for m in messages if m["mode"] != "2pass-online")


def test_funasrs_own_client_is_unmodified() -> None:
    assert hashlib.sha256(WSS_CLIENT.read_bytes()).hexdigest() == WSS_CLIENT_SHA256
