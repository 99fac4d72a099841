from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from asr_node.cli import bind, read_arguments
from asr_node.data_dir import held
from asr_node.errors import StartRefused
from asr_node.recognizers import check_models
from asr_node.recognizers.devices import _has_gpu_driver

CONFIG = "model: SenseVoiceSmall\nfrontend: WavFrontend\nfrontend_conf: {fs: 16000}\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "a model"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "model.pt").write_text("weights")
    return folder


def asr_node(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "asr_node", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def usual(model: Path, *more: object) -> tuple[object, ...]:
    return "--model", model, "--version", "v1", "--data-dir", model.parent / "data", *more


def test_a_missing_model_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    status, said = asr_node(*usual(tmp_path / "no such model"))
    assert status == 1
    assert "no such model" in said
    assert "nothing was started" in said
    assert not (tmp_path / "data").exists()


def test_a_folder_that_would_serve_random_weights_is_refused(model: Path) -> None:
    (model / "model.pt").unlink()
    status, said = asr_node(*usual(model))
    assert status == 1
    assert "model.pt" in said


@pytest.mark.parametrize("option", ["--model", "--vad-model", "--punc-model"])
def test_an_empty_model_is_not_the_working_directory(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        read_arguments(["--model", "m", option, ""])
    assert refused.value.code == 2
    assert f"{option}: it is empty" in capsys.readouterr().err


@pytest.mark.parametrize(("device", "missing"), [("cuda:0", "libcuda"), ("mps", "no Mac")])
@pytest.mark.skipif(
    sys.platform != "linux" or _has_gpu_driver(), reason="needs a Linux without a GPU"
)
def test_a_gpu_that_cannot_be_there_is_refused_before_anything_starts(
    model: Path, device: str, missing: str
) -> None:
    with pytest.raises(StartRefused, match=missing):
        check_models(read_arguments(list(map(str, usual(model, "--device", device)))))


def test_a_broken_vad_model_is_refused_too(model: Path, tmp_path: Path) -> None:
    (tmp_path / "vad").mkdir()
    status, said = asr_node(*usual(model, "--vad-model", tmp_path / "vad"))
    assert status == 1
    assert "vad" in said


@pytest.mark.skipif(find_spec("silero_vad") is not None, reason="silero-vad is installed")
def test_silero_without_its_package_is_refused(model: Path) -> None:
    status, said = asr_node(*usual(model, "--vad-model", "silero-vad"))
    assert status == 1
    assert "pip install silero-vad" in said


def test_a_port_in_use_is_refused(model: Path, taken_port: int) -> None:
    status, said = asr_node(*usual(model, "--port", taken_port))
    assert status == 1
    assert f"127.0.0.1:{taken_port}" in said


def test_a_data_folder_in_use_is_refused_and_its_node_goes_on(model: Path) -> None:
    with held(model.parent / "data"):
        status, said = asr_node(*usual(model, "--port", 0))
        assert status == 1
        assert "belongs to a running node (pid " in said


def test_a_data_folder_that_cannot_be_made_is_refused(model: Path) -> None:
    status, said = asr_node(*usual(model), "--data-dir", model / "model.pt" / "data")
    assert status == 1
    assert "--data-dir" in said


def test_a_revision_of_a_folder_is_refused(model: Path) -> None:
    status, said = asr_node(*usual(model, "--revision", "v2.0"))
    assert status == 1
    assert "--revision" in said


@pytest.mark.parametrize(
    "wrong",
    [
        ("--version", "V1"),
        ("--version", "../v1"),
        ("--name", "-n"),
        ("--name", "n" * 64),
        ("--device", "gpu"),
        ("--port", "65536"),
        ("--threads", "0"),
        ("--max-duration-seconds", "nan"),
        ("--no-such-option", "1"),
    ],
)
def test_wrong_usage_ends_with_2(model: Path, wrong: tuple[str, str]) -> None:
    status, said = asr_node(*usual(model), *wrong)
    assert status == 2
    assert wrong[0] in said


def test_a_released_data_folder_can_be_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path / "data") as folder:
            assert tempfile.gettempdir() == str(folder / "tmp")
            (folder / "tmp" / "upload").write_text("x")
        assert not (tmp_path / "data" / "tmp").exists()


def test_answers_are_not_delayed() -> None:
    """asyncio sets TCP_NODELAY only on sockets that say they are TCP."""
    with bind("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("models/demo-v2", "demo-v2"),
        ("iic/SenseVoiceSmall", "sensevoicesmall"),
        ("/srv/My Models/v2 (final)/", "v2-final"),
        ("/srv/模型", "local"),
    ],
)
def test_without_a_version_it_is_named_after_the_model(model: str, version: str) -> None:
    assert read_arguments(["--model", model]).version == version
