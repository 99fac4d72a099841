"""Is this folder a model that FunASR, or faster-whisper, will really load?

FunASR is silent about much: a configuration.json whose model.pt is missing serves random
weights, a missing frontend_conf gives empty text. So a folder is checked before it is served.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from asr_node.errors import StartRefused

HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def local_folder(source: str) -> Path | None:
    """The folder that `source` names, or None where it is a hub id.

    `models/v9` with an existing folder `models` is a misspelt path and no hub id: asking the
    network for it would hide the mistake. Raises StartRefused."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise _refused(path, "it is a file, not a folder")
    spelled_as_path = source.startswith((".", "/", "~")) or not HUB_ID.fullmatch(source)
    if spelled_as_path or ("/" in source and path.parent.is_dir()):
        raise _refused(path, "there is no such folder")
    return None


def silero_weights() -> Path:
    """The weights of silero-vad, inside its Python package. Raises StartRefused."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise StartRefused(
            "--vad-model silero-vad needs its package; nothing was started. "
            "Mend it with: pip install silero-vad"
        )
    return Path(spec.origin).parent / "data" / "silero_vad.jit"


def check_model_folder(folder: Path) -> None:
    """Raises StartRefused with the first thing that is missing."""
    for problem in _problems(folder):
        raise _refused(folder, problem)


def check_whisper_folder(folder: Path) -> None:
    """Raises StartRefused with the first thing that is missing of a model for faster-whisper."""
    needed = {
        "model.bin": "it is no Whisper model in CTranslate2's format",
        "config.json": "CTranslate2 needs it",
        "tokenizer.json": "faster-whisper would ask the hub for it",
    }
    for name, reason in needed.items():
        if not _has(folder, name):
            raise _whisper_refused(folder, f"{name} is missing or empty ({reason})")
    if not any(_has(folder, f"vocabulary.{kind}") for kind in ("json", "txt")):
        raise _whisper_refused(folder, "vocabulary.json or vocabulary.txt is missing")


def _whisper_refused(folder: Path, problem: str) -> StartRefused:
    return StartRefused(
        f"{folder} cannot be served by faster-whisper: {problem}; nothing was started. "
        "Give a folder with model.bin, config.json, tokenizer.json and the vocabulary, or a name "
        "such as small or Systran/faster-whisper-small."
    )


def _refused(path: Path, problem: str) -> StartRefused:
    return StartRefused(
        f"{path} cannot be served: {problem}; nothing was started. "
        "Give a folder with config.yaml, model.pt and the tokenizer's file, or a hub id."
    )


def _problems(folder: Path) -> Iterator[str]:
    described = [name for name in ("config.yaml", "configuration.json") if _has(folder, name)]
    if not described:
        yield "it is not a model folder (no config.yaml, no configuration.json)"
        return
    if not _has(folder, "model.pt"):
        yield "model.pt is missing or empty (FunASR would serve random weights)"
    yield from _meta_problems(folder)
    yield from _config_problems(folder)


def _meta_problems(folder: Path) -> Iterator[str]:
    """configuration.json, where there is one, must name what it needs, and have it."""
    if not _has(folder, "configuration.json"):
        return
    try:
        metas = _metas(folder)
    except ValueError as error:
        yield f"configuration.json is not JSON ({error})"
        return
    if "init_param" not in metas:
        yield "configuration.json names no init_param (FunASR would serve random weights)"
    if "config" not in metas:
        yield "configuration.json names no config"
    for name in _strings(metas):
        if not _has(folder, name):
            yield f"configuration.json names {name}, which is missing or empty"


def _config_problems(folder: Path) -> Iterator[str]:
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        yield f"config.yaml cannot be read ({str(error).splitlines()[0]})"
        return
    if not isinstance(config, dict) or not isinstance(config.get("model"), str):
        yield "config.yaml names no model class"
        return
    if config.get("frontend") and not config.get("frontend_conf"):
        yield "config.yaml has no frontend_conf (FunASR would answer with empty text)"
    cmvn = (config.get("frontend_conf") or {}).get("cmvn_file")
    if cmvn and not (_has(folder, "am.mvn") or Path(cmvn).is_file()):
        yield f"config.yaml names cmvn_file {cmvn}, which is missing"
    yield from _tokenizer_problems(folder, config)


def _tokenizer_problems(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    tokenizer, conf = config.get("tokenizer"), config.get("tokenizer_conf") or {}
    if tokenizer == "CharTokenizer":
        listed = conf.get("token_list")
        if not (_has(folder, "tokens.json") or _has(folder, "tokens.txt") or listed):
            yield "tokens.json is missing"
        if _has(folder, "tokens.json") and not _is_json(folder / "tokens.json"):
            yield "tokens.json is not JSON"
    if tokenizer == "SentencepiecesTokenizer" and not any(folder.glob("*bpe.model")):
        yield "the tokenizer's *bpe.model is missing"


def _has(folder: Path, name: str) -> bool:
    path = folder / name
    return path.is_file() and path.stat().st_size > 0


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _metas(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "configuration.json").read_text(encoding="utf-8"))
    metas = content.get("file_path_metas") if isinstance(content, dict) else None
    return metas if isinstance(metas, dict) else {}


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
