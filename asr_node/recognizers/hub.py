"""Where a model's files are: in a folder here, or to be fetched from a hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from asr_node.errors import LoadFailed
from asr_node.recognizers.model_folder import (
    check_model_folder,
    check_whisper_folder,
    local_folder,
)
from asr_node.settings import Settings


def prepare_hubs(settings: Settings) -> None:
    """Nothing but local folders: no library asks a hub anything. Call it before those are
    imported."""
    if all(local_folder(source) for source in settings.sources().values()):
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def funasr_folder(source: str, revision: str | None = None) -> Path:
    """Raises LoadFailed, or StartRefused where the files are no model."""
    folder = local_folder(source)
    if folder is None:
        folder = _fetched(source, lambda: _fetch_for_funasr(source, revision))
        check_model_folder(folder)
    return folder


def whisper_folder(source: str, revision: str | None = None) -> Path:
    """Raises LoadFailed, or StartRefused where the files are no model."""
    folder = local_folder(source)
    if folder is None:
        folder = _fetched(source, lambda: _fetch_for_whisper(source, revision))
        check_whisper_folder(folder)
    return folder


def _fetched(source: str, fetch: Callable[[], str]) -> Path:
    try:
        with redirect_stdout(StringIO()):
            return Path(fetch())
    except Exception as error:
        raise LoadFailed(f"{source} is no folder here, and the hub refused it: {error}") from error


def _fetch_for_funasr(source: str, revision: str | None) -> str:
    from funasr.download.download_model_from_hub import get_or_download_model_dir
    from funasr.download.name_maps_from_hub import name_maps_ms

    hub_id = name_maps_ms.get(source, source)
    return str(get_or_download_model_dir(hub_id, revision or "master"))


def _fetch_for_whisper(source: str, revision: str | None) -> str:
    from faster_whisper.utils import download_model

    return str(download_model(source, revision=revision))
