"""FunASR behind the Recognizer seam.

`import funasr` takes 5 to 14 s and prints: it happens in `load`, in the worker's thread.

Models of the SenseVoice class garble what is much longer than 30 s: the node cuts long audio at
silences before it comes here.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from asr_node.errors import LoadFailed
from asr_node.log import event
from asr_node.recognizer import (
    SAMPLE_RATE,
    Capabilities,
    DecodeOptions,
    Samples,
    Transcript,
    VoiceActivity,
)
from asr_node.recognizers.model_folder import check_model_folder, local_folder
from asr_node.recognizers.silero import load_silero
from asr_node.settings import SILERO, Settings

SENSEVOICE: Final = "SenseVoiceSmall"
SENSEVOICE_LANGUAGES: Final = frozenset({"auto", "zh", "en", "yue", "ja", "ko"})
ANY_LANGUAGE: Final = frozenset({"auto"})
SHORTEST: Final = SAMPLE_RATE // 10  # shorter audio is padded: a frame must fit
TAG: Final = re.compile(r"<\|([^|]*)\|>")
CJK: Final = r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]"
GAP: Final = re.compile(rf"(?<={CJK})\s+(?={CJK})")


class FunASREngine:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        return f"funasr {metadata.version('funasr')}"

    def resolve(self) -> Mapping[str, Path]:
        sources = self._settings.sources()
        if all(local_folder(source) for source in sources.values()):
            os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        return {role: self._folder(role, source) for role, source in sources.items()}

    def load(self, folders: Mapping[str, Path], device: str) -> FunASRRecognizer:
        printed = StringIO()
        try:
            with redirect_stdout(printed):
                model = self._auto_model(folders, device)
        except LoadFailed:
            raise
        except Exception as error:
            raise LoadFailed(f"FunASR cannot load {folders['model']}: {error}") from error
        _check_weights(type(model.model).__name__, printed.getvalue())
        return FunASRRecognizer(model)

    def load_voice_activity(self, folders: Mapping[str, Path]) -> VoiceActivity:
        if self._settings.vad_model in SILERO:
            return load_silero()
        raise LoadFailed(f"{folders['vad']} cannot find speech yet: use silero-vad")

    def _folder(self, role: str, source: str) -> Path:
        folder = local_folder(source)
        if folder is None:
            folder = _download(source, self._settings.revision if role == "model" else None)
            check_model_folder(folder)
        return folder

    def _auto_model(self, folders: Mapping[str, Path], device: str) -> Any:
        from funasr import AutoModel

        from asr_node import yielding_fbank

        yielding_fbank.install()
        arguments: dict[str, Any] = {
            "model": str(folders["model"]),
            "device": _device(device),
            "ncpu": self._settings.threads,
            "ignore_init_mismatch": False,  # weights of another shape would stay random
            "disable_update": True,
            "disable_pbar": True,
        }
        if "punc" in folders:
            arguments["punc_model"] = str(folders["punc"])
        return AutoModel(**arguments)


class FunASRRecognizer:
    """Owns one AutoModel, which is not thread-safe (another call's options leak)."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._sensevoice = type(model.model).__name__ == SENSEVOICE
        tokens = model.kwargs.get("token_list")
        self._capabilities = Capabilities(
            languages=known_languages(tokens) if self._sensevoice else ANY_LANGUAGE,
            itn=self._sensevoice,
        )

    @property
    def device(self) -> str:
        return str(self._model.kwargs["device"])

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE).astype(np.float32)
        self._model.inference(noise, language="auto", use_itn=True)  # the VAD would skip noise
        self.transcribe([noise], DecodeOptions(language="auto", itn=True))

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> list[Transcript]:
        return [self._transcribe_one(samples, options) for samples in batch]

    def _transcribe_one(self, samples: Samples, options: DecodeOptions) -> Transcript:
        """An empty array would end the process (a fault in kaldi-native-fbank)."""
        if samples.size == 0:
            return Transcript("", "")
        if samples.size < SHORTEST:
            samples = np.pad(samples, (0, SHORTEST - samples.size))
        chosen = {"language": options.language, "use_itn": options.itn} if self._sensevoice else {}
        results = self._model.generate(input=samples, **chosen)
        raw = str(results[0].get("text", "")) if results else ""
        return Transcript(plain_text(raw), raw, spoken_language(raw))


def known_languages(tokens: Sequence[str] | None) -> frozenset[str]:
    """Those whose tag is in the vocabulary: a model that never saw `<|en|>` garbles with "en".

    A vocabulary without such tags, or none that can be read, says nothing."""
    tagged = frozenset(TAG.findall("".join(tokens or ()))) & SENSEVOICE_LANGUAGES
    return tagged | ANY_LANGUAGE if tagged else SENSEVOICE_LANGUAGES


def plain_text(raw: str) -> str:
    """Without `<|tags|>`, and without the spaces between Chinese segments.

    FunASR's own rich_transcription_postprocess turns tags into emoji."""
    return GAP.sub("", " ".join(TAG.sub(" ", raw).split()))


def spoken_language(raw: str) -> str | None:
    return next((tag for tag in TAG.findall(raw) if tag in SENSEVOICE_LANGUAGES), None)


def _device(asked: str) -> str:
    """AutoModel falls back to the CPU in silence; a node that asked for a GPU must not."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda:0" if count else "cpu"
    if asked != "cpu" and int(asked.partition(":")[2] or 0) >= count:
        raise LoadFailed(f"device {asked} was asked for, but torch sees {count} CUDA devices")
    return asked


def _check_weights(model_class: str, printed: str) -> None:
    """FunASR only prints that weights are missing, and leaves those random."""
    missing = [line for line in printed.splitlines() if "miss key in ckpt" in line]
    if not missing:
        return
    if model_class == SENSEVOICE:
        raise LoadFailed(
            f"model.pt lacks {len(missing)} weights, which would be random; first: {missing[0]}"
        )
    event("model.weights_missing", level=logging.WARNING, count=len(missing), first=missing[0])


def _download(source: str, revision: str | None) -> Path:
    try:
        with redirect_stdout(StringIO()):
            from funasr.download.download_model_from_hub import get_or_download_model_dir
            from funasr.download.name_maps_from_hub import name_maps_ms

            hub_id = name_maps_ms.get(source, source)
            return Path(get_or_download_model_dir(hub_id, revision or "master"))
    except Exception as error:
        raise LoadFailed(f"{source} is no folder here, and the hub refused it: {error}") from error
