"""A fleet whose nodes ask for API keys: who gets them, and that the controller carries one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from controller.adapters.api_keys import COPY, ApiKeys
from controller.adapters.fleet_file import read_fleet
from controller.core.errors import InvalidConfig

FIRST, SECOND = "key-of-the-controller", "key-of-the-first-client"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(f"# ours\n{FIRST}\n\n{SECOND}\n")
    return path


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The data folder of one."""
    folder = tmp_path / "nodes" / "v1-1"
    folder.mkdir(parents=True)
    return folder


def test_the_controller_carries_the_first_key(file: Path) -> None:
    assert ApiKeys(file).own() == FIRST


def test_where_nodes_ask_for_no_key_the_controller_carries_none(node: Path) -> None:
    keys = ApiKeys()
    keys.hand_to(node)
    assert (keys.own(), keys.arguments(node), list(node.iterdir())) == (None, [], [])


def test_a_node_gets_a_copy_that_nobody_else_reads(file: Path, node: Path) -> None:
    keys = ApiKeys(file)
    keys.hand_to(node)
    assert (node / COPY).read_text() == file.read_text()
    assert stat.S_IMODE((node / COPY).stat().st_mode) == 0o600
    assert keys.arguments(Path("/data")) == ["--api-keys-file", f"/data/{COPY}"]


def test_exchanged_keys_reach_nodes_that_run(file: Path, node: Path) -> None:
    keys = ApiKeys(file)
    keys.hand_to(node)
    file.write_text(f"{SECOND}\n")
    keys.hand_out(node.parent)
    assert (node / COPY).read_text() == f"{SECOND}\n"
    assert keys.own() == SECOND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# all withdrawn\n",
        f"\ufeff{SECOND}\n",
        "新的密钥新的密钥新的密钥新的密钥\n",
        f"a\0{SECOND}\n",
    ],
)
def test_a_file_that_nodes_would_refuse_shuts_nobody_out(
    file: Path, node: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is being written this moment, or was saved with a byte order mark."""
    keys = ApiKeys(file)
    keys.hand_to(node)
    file.write_text(text)
    for _ in range(3):
        keys.hand_out(node.parent)
        assert (FIRST in (node / COPY).read_text(), keys.own()) == (True, FIRST)
    assert len(caplog.messages) == 1  # it is said, and once
    file.write_text(f"{SECOND}\n")
    assert keys.own() == SECOND


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short\n", "shorter than 16"),
        ("# none\n", "holds no key"),
        ("密" * 20, "others than printable ASCII"),
    ],
)
def test_a_file_that_nodes_would_refuse_is_refused_with_its_line(
    file: Path, text: str, said: str
) -> None:
    file.write_text(text)
    (file.parent / "m1").mkdir()
    (file.parent / "m1" / "config.yaml").touch()
    fleet = file.with_name("fleet.yaml")
    fleet.write_text(
        "versions: {v1: {model: ./m1}}\npools: {stable: {version: v1}}\napi_keys_file: keys.txt\n"
    )
    with pytest.raises(InvalidConfig, match=f"fleet.yaml:3.*{said}"):
        read_fleet(fleet)
