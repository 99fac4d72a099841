"""The speech engines behind asr_node.recognizer's protocols.

Importing this package, and making an engine, is light: funasr, torch and faster_whisper are
imported by `load`, which only worker processes call.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Final, cast

from asr_node.errors import StartRefused
from asr_node.recognizer import Engine
from asr_node.recognizers.devices import check_device
from asr_node.recognizers.model_folder import (
    check_model_folder,
    check_whisper_folder,
    local_folder,
    silero_weights,
)
from asr_node.settings import SILERO, Settings

WHISPER: Final = "faster-whisper"
MODULES: Final = {
    "funasr": "asr_node.recognizers.funasr_recognizer:FunASREngine",
    WHISPER: "asr_node.recognizers.whisper_recognizer:WhisperEngine",
}


def make_engine(settings: Settings) -> Engine:
    """The engine that `settings.engine` names: "funasr", "faster-whisper", or "module:Class" of
    your own, which is called with the settings. Raises StartRefused."""
    module, _, name = _place(settings.engine).partition(":")
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise StartRefused(
            f"--engine {settings.engine} cannot be imported ({error}); nothing was started."
        ) from error
    return cast(Callable[[Settings], Engine], made)(settings)


def _place(engine: str) -> str:
    """module:Class of it. Raises StartRefused."""
    place = MODULES.get(engine, engine)
    if ":" not in place:
        raise StartRefused(
            f"there is no engine {engine!r}; nothing was started. "
            f"Give one of {', '.join(sorted(MODULES))}, or module:Class."
        )
    return place


def check_models(settings: Settings) -> None:
    """Everything about models and their device that can be known before the start.

    Raises StartRefused."""
    _place(settings.engine)
    if settings.engine in MODULES:
        check_device(settings.device)
    if settings.vad_model in SILERO:
        silero_weights()
    if settings.engine == WHISPER:
        _check_whisper(settings)
    for role, source in settings.sources().items():
        folder = local_folder(source)
        if folder is None:
            continue
        if role == "model" and settings.engine == WHISPER:
            check_whisper_folder(folder)
        else:
            check_model_folder(folder)
        if role == "model" and settings.revision is not None:
            raise StartRefused(
                f"--revision {settings.revision} is for hub ids, and {folder} is a folder; "
                "nothing was started. Leave --revision out."
            )


def _check_whisper(settings: Settings) -> None:
    if importlib.util.find_spec("faster_whisper") is None:
        raise StartRefused(
            "--engine faster-whisper needs its package; nothing was started. "
            "Mend it with: pip install 'faster-whisper>=1.2'"
        )
    if settings.punc_model is not None:
        raise StartRefused(
            f"--punc-model {settings.punc_model} is for FunASR, and Whisper writes punctuation by "
            "itself; nothing was started. Leave --punc-model out."
        )
