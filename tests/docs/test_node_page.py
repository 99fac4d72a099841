"""What docs/node.md says of options is what asr-node has, and its examples work."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from asr_node.options import parser
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


@contextmanager
def started(folder: Path) -> Iterator[int]:
    """A node as the page starts it, on a port of its own."""
    command = [sys.executable, "-m", "asr_node", "--model", "models/demo-v2", "--port", "0"]
    command += ["--data-dir", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        until(lambda: "node.listening" in (folder / "log").read_text(), process)
        listening = re.search(r'"port": (\d+)', (folder / "log").read_text())
        assert listening is not None
        port = int(listening[1])
        ready = f"http://127.0.0.1:{port}/readyz"
        until(lambda: httpx.get(ready).status_code == 200, process)
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.model
@pytest.mark.timeout(600)
def test_every_curl_example_works(tmp_path: Path) -> None:
    assert len(curls()) > 15
    with started(tmp_path) as port:
        for line in curls():
            here = line.replace("127.0.0.1:8100", f"127.0.0.1:{port}")
            here = here.replace(".asr-rollout/nodes/local/", f"{tmp_path}/data/")
            here = re.sub(r"-o history\.", f"-o {tmp_path}/history.", here)
            here = here.replace("curl ", "curl --silent --show-error --fail-with-body ")
            shell = ["bash", "-c", here]
            done = subprocess.run(
                shell, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert (tmp_path / "history.csv").stat().st_size > 500
