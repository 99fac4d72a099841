"""What is refused before a model is loaded, by the command line itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asr_node.cli import read_arguments
from asr_node.digest import version_digest
from asr_node.errors import StartRefused
from asr_node.recognizers import check_models, make_engine
from asr_node.settings import Settings

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "models" / "demo-v2")
USUAL = ("--model", DEMO, "--version", "v1")


def test_making_an_engine_imports_no_heavy_library() -> None:
    code = (
        "import sys; from asr_node.cli import read_arguments; "
        "from asr_node.recognizers import check_models, make_engine\n"
        "for engine in ('funasr', 'faster-whisper'):\n"
        "    settings = read_arguments(['--version', 'v1', '--model', 'a/b', '--engine', engine])\n"
        "    check_models(settings); print(make_engine(settings).name)\n"
        "heavy = {'torch', 'funasr', 'faster_whisper', 'ctranslate2', 'silero_vad'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    funasr, whisper, heavy = done.stdout.splitlines()
    assert funasr.startswith("funasr ")
    assert whisper.startswith("faster-whisper ")
    assert heavy == "set()"


@pytest.mark.parametrize("engine", ["kaldi", "no.such.module:Engine", "asr_node.errors:NoSuch"])
def test_an_engine_that_is_not_there_is_refused(engine: str) -> None:
    with pytest.raises(StartRefused, match="engine"):
        make_engine(read_arguments([*USUAL, "--engine", engine]))


def test_an_unknown_engine_is_refused_before_the_start() -> None:
    with pytest.raises(StartRefused, match="faster-whisper, funasr"):
        check_models(read_arguments([*USUAL, "--engine", "kaldi"]))


def test_hotwords_are_the_lines_of_a_file_and_part_of_the_digest(tmp_path: Path) -> None:
    words = tmp_path / "hotwords.txt"
    words.write_text("\ufeff小明\n\n  开放时间 \n", encoding="utf-8")
    settings = read_arguments([*USUAL, "--hotwords", str(words)])
    assert settings.hotwords == ("小明", "开放时间")
    without = read_arguments([*USUAL])
    models = {"model": "0" * 64}
    assert version_digest(models, settings.decode_options()) != version_digest(
        models, without.decode_options()
    )


def test_silero_is_installed_with_the_node_and_no_model_of_the_version() -> None:
    """The controller computes the same digest from the folders that a version names."""
    settings = read_arguments([*USUAL])
    assert settings.vad_model == "silero-vad"
    assert settings.sources() == {"model": DEMO}


def test_a_vad_and_a_punctuation_model_are_models_of_the_version() -> None:
    settings = read_arguments([*USUAL, "--vad-model", "fsmn-vad", "--punc-model", "ct-punc"])
    assert settings.sources() == {"model": DEMO, "vad": "fsmn-vad", "punc": "ct-punc"}


def test_an_engine_of_ones_own_is_called_with_the_settings() -> None:
    settings = read_arguments([*USUAL, "--engine", f"{__name__}:OwnEngine"])
    engine = make_engine(settings)
    assert isinstance(engine, OwnEngine)
    assert engine.settings is settings


class OwnEngine:
    name = "own 1.0"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
