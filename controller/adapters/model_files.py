"""The digest of a version whose models are local folders, computed before any node runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controller.adapters.files import sha256
from controller.core.errors import InvalidConfig
from controller.core.version import Version, model_digest, version_digest

_DESCRIPTIONS: Final = ("config.yaml", "configuration.json", "config.json")


def is_local(source: str) -> bool:
    """Whether a model is given as a folder and not as a hub id such as iic/SenseVoiceSmall."""
    return Path(source).is_absolute()


def check_models(version: Version, where: str) -> None:
    """Raise InvalidConfig (beginning with `where`, the key's path) where a folder is missing, or
    holds no model. Whether it is a sound one, its nodes say: they know the engine."""
    for role, source in version.models.items():
        if is_local(source) and (problem := _problem(Path(source))):
            raise InvalidConfig(
                f"{where}: the {role} folder {source} of version {version.name} {problem}; "
                f"nothing was started"
            )


def _problem(folder: Path) -> str | None:
    if not folder.is_dir():
        return "does not exist"
    if not any((folder / name).is_file() for name in _DESCRIPTIONS):
        return f"holds no model (none of {', '.join(_DESCRIPTIONS)})"
    return None


def local_digest(version: Version) -> str | None:
    """The version's digest as its nodes will report it; None where a model is on a hub."""
    if not all(is_local(source) for source in version.models.values()):
        return None
    digests = {role: folder_digest(Path(source)) for role, source in version.models.items()}
    return version_digest(digests, version.options)


def folder_digest(folder: Path) -> str:
    """The model digest of all files in a folder; hidden ones do not count."""
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and not _is_hidden(path.relative_to(folder))
    }
    return model_digest(files)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
