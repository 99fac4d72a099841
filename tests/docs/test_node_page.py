"""What docs/node.md says of options is what asr-node has, and its examples work."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from asr_node.decoding.audio import decode
from asr_node.options import parser
from asr_node.recognizer import SAMPLE_RATE, Samples
from tests.asr_node.test_node_real import until
from tests.docs.test_docs import ROOT, blocks, text_of, uses_of, without_comments

PAGES = ["docs/node.md", "docs/node.zh-CN.md"]
ROW = re.compile(r"^\| `(--[a-z-]+)[^|]*`[^|]*\| *`?([^|` ]*)`?[^|]*\|", re.MULTILINE)


def options() -> dict[str, object]:
    """By name, with the default."""
    actions = [action for action in parser()._actions if action.dest != "help"]
    return {action.option_strings[0]: action.default for action in actions}


@pytest.mark.parametrize("name", PAGES)
def test_every_option_is_in_the_table_with_its_default(name: str) -> None:
    table = dict(ROW.findall(text_of(name).replace("\\|", "/")))
    assert list(table) == list(options())
    for option, default in options().items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert float(table[option]) == default, option
        elif isinstance(default, str):
            assert table[option] == default, option


@pytest.mark.parametrize("name", [*PAGES, "README.md", "README.zh-CN.md"])
def test_every_option_that_a_command_names_exists(name: str) -> None:
    known = {option for action in parser()._actions for option in action.option_strings}
    for use in uses_of("asr-node", text_of(name)):
        named = [word.partition("=")[0] for word in use if word.startswith("--")]
        assert set(named) <= known, use


def curls() -> list[str]:
    """Those that a newcomer can paste after the node has been started."""
    lines = [line for block in blocks(text_of(PAGES[0]), "sh") for line in without_comments(block)]
    return [line for line in lines if line.startswith("curl ")]


@dataclass(frozen=True)
class Here:
    """A node as the page starts it, on a port and in a folder of its own."""

    port: int
    folder: Path

    def adapted(self, example: str) -> str:
        here = example.replace("127.0.0.1:8100", f"127.0.0.1:{self.port}")
        here = here.replace(".asr-rollout/nodes/local/", f"{self.folder}/data/")
        return here.replace("-o history.", f"-o {self.folder}/history.")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("node-page")
    command = [sys.executable, "-m", "asr_node", "--model", "models/demo-v2", "--port", "0"]
    command += ["--data-dir", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        until(lambda: "node.listening" in (folder / "log").read_text(), process)
        listening = re.search(r'"port": (\d+)', (folder / "log").read_text())
        assert listening is not None
        ready = f"http://127.0.0.1:{listening[1]}/readyz"
        until(lambda: httpx.get(ready, timeout=60).status_code == 200, process)
        yield Here(int(listening[1]), folder)
    finally:
        process.terminate()
        process.wait(60)


def output_of(command: list[str], folder: Path = ROOT) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.model
@pytest.mark.timeout(600)
def test_every_curl_example_works(here: Here) -> None:
    assert len(curls()) > 15
    for line in curls():
        strict = line.replace("curl ", "curl --silent --show-error --fail-with-body ")
        output_of(["bash", "-c", here.adapted(strict)])
    assert (here.folder / "history.csv").stat().st_size > 500


@pytest.mark.model
@pytest.mark.timeout(600)
def test_the_python_examples_print_what_was_said(here: Here) -> None:
    clip = "eval_sets/service/audio/service-0000.ogg"
    with (ROOT / clip).open("rb") as file:
        write_wav(here.folder / "clip.wav", decode(file, 60.0))
    openai, stream = blocks(text_of(PAGES[0]), "python")
    assert "6077" in output_of([sys.executable, "-c", here.adapted(openai)])
    said = output_of([sys.executable, "-c", here.adapted(stream)], here.folder)
    assert "6077" in said.splitlines()[-1]


def write_wav(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples * 32_767).astype(np.int16).tobytes())
