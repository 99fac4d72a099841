"""faster-whisper behind the Recognizer seam: Whisper models in CTranslate2's format.

Utterances are decoded one by one, always with temperature 0: Whisper's fallback to higher ones
samples, and the same audio would give another text each time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from asr_node.errors import LoadFailed, OptionRefused
from asr_node.recognizer import (
    SAMPLE_RATE,
    Capabilities,
    DecodeOptions,
    Samples,
    Transcript,
    VoiceActivity,
    Word,
)
from asr_node.recognizers.devices import cuda_index
from asr_node.recognizers.hub import funasr_folder, prepare_hubs, whisper_folder
from asr_node.recognizers.voice_activity import load_voice_activity
from asr_node.settings import Settings

AUTO: Final = "auto"


class WhisperEngine:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        return f"faster-whisper {metadata.version('faster-whisper')}"

    def resolve(self) -> Mapping[str, Path]:
        settings = self._settings
        prepare_hubs(settings)
        folders = {"model": whisper_folder(settings.model, settings.revision)}
        if "vad" in settings.sources():
            folders["vad"] = funasr_folder(settings.vad_model)
        return folders

    def load(self, folders: Mapping[str, Path], device: str) -> WhisperRecognizer:
        import ctranslate2
        from faster_whisper import WhisperModel

        ctranslate2.set_log_level(logging.ERROR)
        kind, index = _device(device)
        try:
            model = WhisperModel(
                str(folders["model"]),
                device=kind,
                device_index=index,
                cpu_threads=self._settings.threads,
                local_files_only=True,
            )
        except Exception as error:
            raise LoadFailed(f"faster-whisper cannot load {folders['model']}: {error}") from error
        recognizer = WhisperRecognizer(model, f"cuda:{index}" if kind == "cuda" else kind)
        try:
            recognizer.check_hotwords(self._settings.hotwords)
        except OptionRefused as error:
            raise LoadFailed(f"--hotwords: {error}") from error
        return recognizer

    def load_voice_activity(self, folders: Mapping[str, Path]) -> VoiceActivity:
        return load_voice_activity(self._settings, folders)


class WhisperRecognizer:
    def __init__(self, model: Any, device: str) -> None:
        self._model = model
        self._device = device
        self._capabilities = Capabilities(
            languages=frozenset(model.supported_languages) | {AUTO}, hotwords=True, timestamps=True
        )

    @property
    def device(self) -> str:
        return self._device

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def check_hotwords(self, words: Sequence[str]) -> None:
        """faster-whisper would drop what is too long, in silence. Raises OptionRefused."""
        most = self._model.max_length // 2 - 1
        tokens = self._model.hf_tokenizer.encode(" " + _joined(words), add_special_tokens=False).ids
        if len(tokens) > most:
            raise OptionRefused(
                f"The hotwords are {len(tokens)} tokens long, and this model takes {most}. Name "
                "fewer.",
                "hotwords",
            )

    def warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE).astype(np.float32)
        self.transcribe([noise], DecodeOptions(AUTO, itn=False, timestamps=True))

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> list[Transcript]:
        self.check_hotwords(options.hotwords)
        return [
            self._transcribe_one(samples, options) if samples.size else Transcript("", "")
            for samples in batch
        ]

    def _transcribe_one(self, samples: Samples, options: DecodeOptions) -> Transcript:
        found, about = self._model.transcribe(
            samples,
            language=None if options.language == AUTO else options.language,
            temperature=0.0,
            condition_on_previous_text=False,
            hotwords=_joined(options.hotwords) or None,
            word_timestamps=options.timestamps,
        )
        segments = list(found)
        raw = "".join(segment.text for segment in segments)
        words = tuple(
            Word(float(word.start), float(word.end), word.word.strip())
            for segment in segments
            for word in segment.words or ()
        )
        return Transcript(raw.strip(), raw, about.language, words)


def _joined(hotwords: Sequence[str]) -> str:
    return ", ".join(hotwords)


def _device(asked: str) -> tuple[str, int]:
    """CTranslate2's name and number of it. Raises LoadFailed where it is not there."""
    import ctranslate2

    gpus = ctranslate2.get_cuda_device_count()
    match asked:
        case "auto":
            return ("cuda", 0) if gpus else ("cpu", 0)
        case "cpu":
            return "cpu", 0
        case "mps":
            raise LoadFailed("faster-whisper runs on CUDA or the CPU, not on mps")
    return "cuda", cuda_index(asked, gpus)
