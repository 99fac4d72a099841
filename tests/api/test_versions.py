"""Versions never change: what a name means is settled when it is first used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from controller.adapters.store import SqlStore
from controller.api.service import build_service, register
from controller.core.errors import Refused
from controller.core.version import Version
from controller.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = SqlStore.in_folder(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def version(tmp_path: Path) -> Version:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.yaml").touch()
    (tmp_path / "m" / "model.pt").write_bytes(b"weights")
    return Version("v1", str(tmp_path / "m"))


def test_a_version_s_digest_is_pinned_when_it_is_added(store: SqlStore, version: Version) -> None:
    digest = register(version, store, "ann")
    assert store.load().digests == {"v1": digest}


def test_adding_the_same_again_changes_nothing(store: SqlStore, version: Version) -> None:
    register(version, store, "ann")
    register(version, store, "ann")
    assert len(store.events()) == 1


async def test_who_adds_the_same_again_hears_that_nothing_was_added(
    version: Version, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(
        f"versions: {{v1: {{model: '{version.model}'}}}}\npools: {{stable: {{version: v1}}}}\n"
    )
    settings = Settings(tmp_path / "fleet.yaml", tmp_path / "state", "process")
    (tmp_path / "state").mkdir()
    service = build_service(settings, lambda: None)
    values = asdict(replace(version, name="v2"))
    assert "v2 added" in await service.add_version(dict(values), "ann")
    assert "known already, with the same content" in await service.add_version(values, "ann")
    await service.tear_down()


def test_other_files_under_the_same_name_are_refused(store: SqlStore, version: Version) -> None:
    register(version, store, "ann")
    (Path(version.model) / "model.pt").write_bytes(b"other weights")
    with pytest.raises(Refused, match="its files or options changed"):
        register(version, store, "ann")


def test_the_same_files_in_another_folder_are_the_same_version(
    store: SqlStore, version: Version, tmp_path: Path
) -> None:
    register(version, store, "ann")
    moved = Path(version.model).rename(tmp_path / "moved")
    register(replace(version, model=str(moved)), store, "ann")
    assert store.load().versions["v1"].model == str(moved)


@pytest.mark.parametrize("change", [{"revision": "v2.0.5"}, {"image": "other/node:1"}])
def test_another_revision_or_image_under_the_same_name_is_refused(
    store: SqlStore, change: dict[str, str]
) -> None:
    hub = Version("v1", "iic/SenseVoiceSmall", revision="v2.0.4")
    register(hub, store, "ann")
    with pytest.raises(Refused, match="versions never change"):
        register(replace(hub, **change), store, "ann")
