"""The speech engines behind asr_node.recognizer's protocols.

Importing this package, and making an engine, is light: funasr, torch and faster_whisper are
imported by `load`, which only worker processes call.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final, cast

from asr_node.errors import StartRefused
from asr_node.recognizer import Engine
from asr_node.recognizers.model_folder import (
    check_model_folder,
    local_folder,
    silero_weights,
)
from asr_node.settings import SILERO, Settings

MODULES: Final = {
    "funasr": "asr_node.recognizers.funasr_recognizer:FunASREngine",
}


def make_engine(settings: Settings) -> Engine:
    """The engine that `settings.engine` names: "funasr", or "module:Class" of your own.

    The class is called with the settings. Raises StartRefused."""
    module, colon, name = MODULES.get(settings.engine, settings.engine).partition(":")
    if not colon:
        known = ", ".join(sorted(MODULES))
        raise StartRefused(
            f"there is no engine {settings.engine!r}; nothing was started. "
            f"Give one of {known}, or module:Class."
        )
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise StartRefused(
            f"--engine {settings.engine} cannot be imported ({error}); nothing was started."
        ) from error
    return cast(Callable[[Settings], Engine], made)(settings)


def check_models(settings: Settings) -> None:
    """Everything about model folders that can be known before the start. Raises StartRefused."""
    if settings.vad_model in SILERO:
        silero_weights()
    for role, source in settings.sources().items():
        folder = local_folder(source)
        if folder is None:
            continue
        check_model_folder(folder)
        if role == "model" and settings.revision is not None:
            raise StartRefused(
                f"--revision {settings.revision} is for hub ids, and {folder} is a folder; "
                "nothing was started. Leave --revision out."
            )
