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
from dataclasses import replace
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
    Word,
)
from asr_node.recognizers.devices import torch_device
from asr_node.recognizers.funasr_classes import AUTO, CLASSES, SENSEVOICE, class_of
from asr_node.recognizers.hub import funasr_folder, prepare_hubs
from asr_node.recognizers.voice_activity import load_voice_activity
from asr_node.settings import Settings

SENSEVOICE_LANGUAGES: Final = frozenset(CLASSES[SENSEVOICE].languages)
GIVEN_PER_CALL: Final = frozenset({"cache", "data_in", "data_lengths", "input", "key"})
SHORTEST: Final = SAMPLE_RATE // 10  # shorter audio is padded: a frame must fit
KERNELS_KEPT: Final = "16"  # of 1024: oneDNN keeps one for each shape, and memory would grow
CHATTER: Final = "trust_remote_code: False"  # FunASR warns of it with each model that it loads
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
        prepare_hubs(self._settings)
        return {
            role: funasr_folder(source, self._settings.revision if role == "model" else None)
            for role, source in self._settings.sources().items()
        }

    def load(self, folders: Mapping[str, Path], device: str) -> FunASRRecognizer:
        for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
            os.environ.setdefault(name, KERNELS_KEPT)  # read at the first inference
        logging.getLogger().addFilter(_is_no_chatter)
        printed = StringIO()
        try:
            with redirect_stdout(printed):
                model = self._auto_model(folders, device)
        except LoadFailed:
            raise
        except Exception as error:
            raise LoadFailed(f"FunASR cannot load {folders['model']}: {error}") from error
        _check_weights(type(model.model).__name__, printed.getvalue())
        recognizer = FunASRRecognizer(model)
        if self._settings.hotwords and not recognizer.capabilities.hotwords:
            raise LoadFailed(f"a {type(model.model).__name__} model cannot be told --hotwords")
        return recognizer

    def load_voice_activity(self, folders: Mapping[str, Path]) -> VoiceActivity:
        return load_voice_activity(self._settings, folders)

    def _auto_model(self, folders: Mapping[str, Path], device: str) -> Any:
        from funasr import AutoModel

        arguments: dict[str, Any] = {
            "model": str(folders["model"]),
            "device": torch_device(device),
            "ncpu": self._settings.threads,
            "ignore_init_mismatch": False,  # weights of another shape would stay random
            "disable_update": True,
            "disable_pbar": True,
        }
        if "punc" in folders:
            arguments["punc_model"] = str(folders["punc"])
        return AutoModel(**arguments)


class FunASRRecognizer:
    """Owns one AutoModel, but calls the model inside: AutoModel.generate would take utterances one
    by one on a CPU, copy its configuration for each call and empty the GPU's cache after it."""

    def __init__(self, model: Any) -> None:
        from asr_node.recognizers.features import faster

        self._auto_model = model
        self._model = model.model
        self._class = class_of(self._model)
        self._configuration = {
            key: value for key, value in model.kwargs.items() if key not in GIVEN_PER_CALL
        }
        self._configuration["frontend"] = faster(model.kwargs.get("frontend"))
        self._capabilities = self._class.capabilities
        if type(self._model).__name__ == SENSEVOICE:
            languages = known_languages(model.kwargs.get("token_list"))
            self._capabilities = replace(self._capabilities, languages=languages)
            if type(model.kwargs["tokenizer"]).__name__ == "CharTokenizer":
                self._configuration["tokenizer"] = TokenizerWithLists(model.kwargs["tokenizer"])

    @property
    def device(self) -> str:
        return str(self._configuration["device"])

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, 2 * SAMPLE_RATE).astype(np.float32)
        options = DecodeOptions("auto", itn=True, timestamps=self._capabilities.timestamps)
        self.transcribe([noise, noise[:SAMPLE_RATE]], options)

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> list[Transcript]:
        """An empty array would end the process (a fault in kaldi-native-fbank)."""
        heard = iter(self._infer([padded(samples) for samples in batch if samples.size], options))
        return [
            self._transcript(next(heard), options) if samples.size else Transcript("", "")
            for samples in batch
        ]

    def _infer(self, batch: list[Samples], options: DecodeOptions) -> list[Mapping[str, Any]]:
        """One result an utterance; {} where the model heard nothing."""
        if self._class.can_batch(options) and len(batch) > 1:
            results = self._call(batch, options)
            if len(results) == len(batch):
                return results
        return [next(iter(self._call([samples], options)), {}) for samples in batch]

    def _call(self, batch: list[Samples], options: DecodeOptions) -> list[Mapping[str, Any]]:
        """The model's own inference(). A Paraformer gives no results where all are silent."""
        import torch

        with torch.inference_mode():
            answer = self._model.inference(
                data_in=[torch.from_numpy(samples) for samples in batch],
                key=[str(index) for index in range(len(batch))],
                **(self._configuration | self._class.keywords(options)),
            )
        return list(answer[0]) if answer else []

    def _transcript(self, result: Mapping[str, Any], options: DecodeOptions) -> Transcript:
        raw = str(result.get("text", ""))
        words = timed_words(raw, result) if options.timestamps else ()
        return Transcript(plain_text(self._punctuated(raw)), raw, spoken_language(raw), words)

    def _punctuated(self, raw: str) -> str:
        punctuation = self._auto_model.punc_model
        if punctuation is None or not raw.strip():
            return raw
        found = self._auto_model.inference(
            raw, model=punctuation, kwargs=self._auto_model.punc_kwargs
        )
        return str(found[0]["text"])


class TokenizerWithLists:
    """A CharTokenizer for SenseVoice's word times, which expect the ids of each token in a list,
    as SentencePiece gives them."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def tokens2ids(self, tokens: Sequence[str]) -> list[list[int]]:
        return [[number] for number in self._inner.tokens2ids(tokens)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def padded(samples: Samples) -> Samples:
    return np.pad(samples, (0, max(0, SHORTEST - samples.size)))


def timed_words(raw: str, result: Mapping[str, Any]) -> tuple[Word, ...]:
    """FunASR's milliseconds beside its words: SenseVoice lists those, the Paraformers put a space
    between each. Punctuation is no word."""
    times, texts = result.get("timestamp") or [], result.get("words") or raw.split()
    if len(times) != len(texts):
        return ()
    return tuple(
        Word(start / 1000, end / 1000, text)
        for (start, end), text in zip(times, (text.replace("▁", "") for text in texts), strict=True)
        if any(letter.isalnum() for letter in text)
    )


def known_languages(tokens: Sequence[str] | None) -> frozenset[str]:
    """Those whose tag is in the vocabulary: a model that never saw `<|en|>` garbles with "en".

    A vocabulary without such tags, or none that can be read, says nothing."""
    tagged = frozenset(TAG.findall("".join(tokens or ()))) & SENSEVOICE_LANGUAGES
    return tagged | {AUTO} if tagged else SENSEVOICE_LANGUAGES


def plain_text(raw: str) -> str:
    """Without `<|tags|>`, and without the spaces between Chinese segments. Nothing where only
    punctuation is left, which is what silence becomes.

    FunASR's own rich_transcription_postprocess turns tags into emoji."""
    text = GAP.sub("", " ".join(TAG.sub(" ", raw).split()))
    return text if any(character.isalnum() for character in text) else ""


def spoken_language(raw: str) -> str | None:
    return next((tag for tag in TAG.findall(raw) if tag in SENSEVOICE_LANGUAGES), None)


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


def _is_no_chatter(record: logging.LogRecord) -> bool:
    return record.msg != CHATTER
