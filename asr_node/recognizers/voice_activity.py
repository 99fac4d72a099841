"""Which model finds speech: silero-vad, or the fsmn-vad that --vad-model names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from asr_node.recognizer import VoiceActivity
from asr_node.recognizers.fsmn import load_fsmn
from asr_node.recognizers.silero import load_silero
from asr_node.settings import SILERO, Settings


def load_voice_activity(settings: Settings, folders: Mapping[str, Path]) -> VoiceActivity:
    """Raises LoadFailed."""
    if settings.vad_model in SILERO:
        return load_silero()
    return load_fsmn(folders["vad"], settings.threads)
