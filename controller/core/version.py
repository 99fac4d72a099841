"""A version: an immutable, named bundle of model, options and image."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.core.errors import InvalidConfig, InvalidName
from controller.core.names import check_name

ENGINES: Final = ("funasr", "faster-whisper")


@dataclass(frozen=True, slots=True)
class Version:
    """What a node of this version loads.

    `model`, `vad_model`, `punc_model` are folders or hub ids; `engine` is one of ENGINES; `image`
    is a Docker image (docker runtime only). Raises InvalidName, InvalidConfig."""

    name: str
    model: str
    revision: str | None = None
    vad_model: str | None = None
    punc_model: str | None = None
    language: str = "auto"
    itn: bool = True
    image: str | None = None
    engine: str = "funasr"
    hotwords: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "version")
        if len(self.name) > 40 or self.name.startswith(("backup-", "baseline-")):
            raise InvalidName(  # names of nodes are built of it
                f"version {self.name!r}: use at most 40 characters, not beginning with 'backup-' "
                f"or 'baseline-'"
            )
        if not self.model.strip():
            raise InvalidConfig(
                f"version {self.name}: model: name a folder, or a hub id such as "
                f"iic/SenseVoiceSmall"
            )
        if self.engine not in ENGINES:
            raise InvalidConfig(
                f"version {self.name}: engine {self.engine!r} is none of {', '.join(ENGINES)}"
            )
        for word in self.hotwords:
            if not word or word != word.strip() or not word.isprintable():
                raise InvalidConfig(
                    f"version {self.name}: hotword {word!r}: one word or phrase, with no line "
                    f"break and no space around it"
                )

    @property
    def models(self) -> dict[str, str]:
        """The model of each role that this version uses: model, vad, punc."""
        roles = {"model": self.model, "vad": self.vad_model, "punc": self.punc_model}
        return {role: source for role, source in roles.items() if source}

    @property
    def options(self) -> dict[str, object]:
        """The decode options that change what is transcribed, as the node reports them."""
        return {
            "engine": self.engine,
            "hotwords": list(self.hotwords),
            "itn": self.itn,
            "language": self.language,
        }


def model_digest(files: Mapping[str, str]) -> str:
    """SHA-256 over the sorted `sha256 path` lines of a model's files (path -> SHA-256)."""
    lines = sorted(f"{sha256} {path}\n" for path, sha256 in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def version_digest(models: Mapping[str, str], options: Mapping[str, object]) -> str:
    """SHA-256 of the canonical JSON of model digests (by role) and decode options."""
    canonical = json.dumps(
        {"models": models, "options": options},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
