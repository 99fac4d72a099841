from __future__ import annotations

from pathlib import Path

import pytest

from asr_node.cli import read_arguments
from controller.adapters.node_arguments import version_arguments, write_hotwords
from controller.core.errors import InvalidConfig
from controller.core.version import Version

VERSION = Version(
    "v1", "m", engine="faster-whisper", hotwords=("阿里巴巴", "work order"), itn=False
)


def test_a_node_reads_from_its_arguments_what_the_version_says(tmp_path: Path) -> None:
    write_hotwords(tmp_path, VERSION)
    settings = read_arguments(version_arguments(VERSION, tmp_path))
    assert (settings.engine, settings.hotwords) == (VERSION.engine, VERSION.hotwords)
    assert settings.decode_options() == VERSION.options


@pytest.mark.parametrize("word", ["", " a", "a\nb", "a\x00"])
def test_a_hotword_that_is_no_line_of_a_file_is_refused(word: str) -> None:
    with pytest.raises(InvalidConfig, match="hotword"):
        Version("v1", "m", hotwords=(word,))


def test_an_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidConfig, match="faster-whisper"):
        Version("v1", "m", engine="kaldi")
