from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_node.errors import StartRefused
from asr_node.recognizers.model_folder import (
    check_model_folder,
    check_whisper_folder,
    local_folder,
)

CONFIG = """
model: SenseVoiceSmall
frontend: WavFrontend
frontend_conf: {fs: 16000, n_mels: 80}
tokenizer: CharTokenizer
tokenizer_conf: {unk_symbol: <unk>}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a model"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "model.pt").write_text("weights")
    (folder / "tokens.json").write_text('["<blank>"]')
    return folder


def test_a_whole_model_folder_is_accepted(folder: Path) -> None:
    check_model_folder(folder)


@pytest.mark.parametrize("name", ["config.yaml", "model.pt", "tokens.json"])
def test_a_missing_file_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(StartRefused, match=name):
        check_model_folder(folder)


def test_an_empty_model_file_is_refused(folder: Path) -> None:
    (folder / "model.pt").write_text("")
    with pytest.raises(StartRefused, match="random weights"):
        check_model_folder(folder)


def test_a_config_without_frontend_conf_is_refused(folder: Path) -> None:
    without = "".join(line + "\n" for line in CONFIG.splitlines() if "frontend_conf" not in line)
    (folder / "config.yaml").write_text(without)
    with pytest.raises(StartRefused, match="frontend_conf"):
        check_model_folder(folder)


@pytest.mark.parametrize("text", ["", "- a list", "model: [", "frontend: x"])
def test_a_config_that_is_no_config_is_refused(folder: Path, text: str) -> None:
    (folder / "config.yaml").write_text(text)
    with pytest.raises(StartRefused, match=r"config\.yaml"):
        check_model_folder(folder)


@pytest.mark.parametrize(
    ("metas", "problem"),
    [
        ({"init_param": "gone.pt", "config": "config.yaml"}, "gone.pt"),
        ({"config": "config.yaml"}, "init_param"),
        ({"init_param": "model.pt"}, "config"),
        (
            {
                "init_param": "model.pt",
                "config": "config.yaml",
                "frontend_conf": {"cmvn_file": "am.mvn"},
            },
            "am.mvn",
        ),
    ],
)
def test_a_configuration_json_must_have_what_it_names(
    folder: Path, metas: dict[str, object], problem: str
) -> None:
    (folder / "configuration.json").write_text(json.dumps({"file_path_metas": metas}))
    with pytest.raises(StartRefused, match=problem):
        check_model_folder(folder)


def test_a_folder_is_found_by_its_path(folder: Path) -> None:
    assert local_folder(str(folder)) == folder


def test_a_hub_id_is_no_folder() -> None:
    assert local_folder("iic/SenseVoiceSmall") is None


@pytest.mark.parametrize("source", ["./nothing", "/nothing/here", "no such model", "~nobody/x"])
def test_a_path_that_leads_nowhere_is_refused(source: str) -> None:
    with pytest.raises(StartRefused, match="no such folder"):
        local_folder(source)


def test_a_misspelt_path_is_not_sent_to_the_hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    with pytest.raises(StartRefused, match="no such folder"):
        local_folder(f"{folder.parent.name}/demo-v9")


def test_a_file_is_no_model_folder(folder: Path) -> None:
    with pytest.raises(StartRefused, match="not a folder"):
        local_folder(str(folder / "model.pt"))


@pytest.fixture
def whisper(tmp_path: Path) -> Path:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_a_whole_whisper_folder_is_accepted(whisper: Path) -> None:
    check_whisper_folder(whisper)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_missing_file_of_whisper_is_refused_by_name(whisper: Path, name: str) -> None:
    """Without tokenizer.json faster-whisper would ask the network for one."""
    (whisper / name).unlink()
    with pytest.raises(StartRefused, match=name):
        check_whisper_folder(whisper)


def test_a_folder_of_funasr_is_no_whisper_folder(folder: Path) -> None:
    with pytest.raises(StartRefused, match=r"model\.bin"):
        check_whisper_folder(folder)
