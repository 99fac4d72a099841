"""How a version becomes the command line of its nodes, in every runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controller.adapters.files import write_atomically
from controller.core.version import Version

_HOTWORDS: Final = "hotwords.txt"


def version_arguments(version: Version, data_dir: Path) -> list[str]:
    """The arguments that make a node serve `version`; `data_dir` is its data folder as it sees
    it."""
    arguments = ["--version", version.name, "--model", version.model]
    arguments += ["--language", version.language, "--itn" if version.itn else "--no-itn"]
    optional = {
        "--engine": None if version.engine == "funasr" else version.engine,  # the default
        "--revision": version.revision,
        "--vad-model": version.vad_model,
        "--punc-model": version.punc_model,
        "--hotwords": str(data_dir / _HOTWORDS) if version.hotwords else None,
    }
    for option, value in optional.items():
        if value:
            arguments += [option, value]
    return arguments


def copies_arguments(keep: bool) -> list[str]:
    """Whether recordings of copied requests are kept."""
    return ["--keep-copies"] if keep else []


def write_hotwords(data_dir: Path, version: Version) -> None:
    """The file that the arguments name, in the node's data folder."""
    if version.hotwords:
        write_atomically(data_dir / _HOTWORDS, "".join(f"{word}\n" for word in version.hotwords))
