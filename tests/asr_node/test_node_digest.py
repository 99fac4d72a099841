from __future__ import annotations

import json
from pathlib import Path

from asr_node.digest import model_digest, version_digest

VECTOR = json.loads((Path(__file__).parents[1] / "digest_vector.json").read_text(encoding="utf-8"))


def written(folder: Path) -> Path:
    for name, text in VECTOR["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder


def test_the_node_computes_the_vectors_model_digest(tmp_path: Path) -> None:
    assert model_digest(written(tmp_path)) == VECTOR["model_digest"]


def test_the_node_computes_the_vectors_version_digest() -> None:
    assert version_digest(VECTOR["models"], VECTOR["options"]) == VECTOR["digest"]


def test_the_order_of_roles_and_options_does_not_matter() -> None:
    models = dict(reversed(VECTOR["models"].items()))
    options = dict(reversed(VECTOR["options"].items()))
    assert version_digest(models, options) == VECTOR["digest"]


def test_renaming_a_file_changes_the_digest(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "model.pt").rename(tmp_path / "model2.pt")
    assert model_digest(tmp_path) != VECTOR["model_digest"]


def test_a_hidden_file_changes_nothing(tmp_path: Path) -> None:
    (written(tmp_path) / ".lock").write_text("x")
    assert model_digest(tmp_path) == VECTOR["model_digest"]


def test_linked_files_count_like_files(tmp_path: Path) -> None:
    (blob := tmp_path / "blob").write_text("weights\n", encoding="utf-8")
    folder = written(tmp_path / "model")
    (folder / "model.pt").unlink()
    (folder / "model.pt").symlink_to(blob)
    assert model_digest(folder) == VECTOR["model_digest"]
