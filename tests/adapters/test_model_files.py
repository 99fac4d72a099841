from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.adapters.model_files import check_models, folder_digest, is_local, local_digest
from controller.core.errors import InvalidConfig
from controller.core.version import Version, version_digest

VECTOR = json.loads((Path(__file__).parents[1] / "digest_vector.json").read_text())


def test_controller_and_node_agree_on_the_digest_of_the_same_files(tmp_path: Path) -> None:
    for name, text in VECTOR["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert folder_digest(tmp_path) == VECTOR["model_digest"]
    assert version_digest(VECTOR["models"], VECTOR["options"]) == VECTOR["digest"]


def test_another_option_is_another_digest(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    spoken = local_digest(Version("v1", str(tmp_path), itn=False))
    assert spoken != local_digest(Version("v1", str(tmp_path)))


def test_the_digest_of_a_hub_model_is_not_known_before_a_node_has_it() -> None:
    assert not is_local("iic/SenseVoiceSmall")
    assert local_digest(Version("v1", "iic/SenseVoiceSmall")) is None


def test_a_missing_model_folder_is_refused_with_the_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"versions\.v1: the model folder"):
        check_models(Version("v1", str(tmp_path / "gone")), "versions.v1")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="holds no model"):
        check_models(Version("v1", str(tmp_path)), "versions.v1")
