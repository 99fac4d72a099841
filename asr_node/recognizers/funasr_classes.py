"""What each class of FunASR's models can be told, as its inference() reads it (FunASR 1.4.16).

| class | language | ITN | hotwords | times of words |
|---|---|---|---|---|
| SenseVoiceSmall | zh, en, yue, ja, ko | yes | no | yes |
| Paraformer | no | no | no | no |
| BiCifParaformer | no | no | no | yes |
| SeacoParaformer | no | no | yes | with CifPredictorV3, as published |
| ContextualParaformer | no | no | yes | no |
| FunASRNano | zh, en, ja | yes | yes | no |
| any other | no | no | no | no |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from asr_node.recognizer import Capabilities, DecodeOptions

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class ModelClass:
    """Keywords of inference(); None where it reads none. `languages`: our code -> its value.

    `always_times`: it says when each word was said, whatever it is asked. `batches`: the text of
    a recording is the same whatever lies beside it in a batch."""

    languages: Mapping[str, str] = field(default_factory=dict)
    itn: str | None = None
    hotwords: str | None = None
    as_hotwords: Callable[[Sequence[str]], Any] = list
    timestamps: str | None = None
    always_times: bool = False
    batches: bool = False

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            languages=frozenset(self.languages) | {AUTO},
            itn=self.itn is not None,
            hotwords=self.hotwords is not None,
            timestamps=self.timestamps is not None or self.always_times,
        )

    def can_batch(self, options: DecodeOptions) -> bool:
        """Hotwords and times of a Paraformer do depend on the padding in a batch."""
        times = self.always_times and options.timestamps
        return self.batches and not options.hotwords and not times

    def keywords(self, options: DecodeOptions) -> dict[str, Any]:
        """Those of `options` that this class reads."""
        chosen: dict[str, Any] = {}
        if options.language in self.languages:
            chosen["language"] = self.languages[options.language]
        if self.itn is not None:
            chosen[self.itn] = options.itn
        if self.hotwords is not None and options.hotwords:
            chosen[self.hotwords] = self.as_hotwords(options.hotwords)
        if self.timestamps is not None:
            chosen[self.timestamps] = options.timestamps
        return chosen


def spaced(words: Sequence[str]) -> str:
    """Words in one string. FunASR would open one that begins with http as an address, and one
    that ends with .txt as a file; the spaces around keep it from that."""
    return f" {' '.join(words)} "


SENSEVOICE: Final = "SenseVoiceSmall"
TIMING: Final = "CifPredictorV3"  # SeacoParaformer's predictor that knows times
UNKNOWN: Final = ModelClass()
CLASSES: Final[Mapping[str, ModelClass]] = {
    SENSEVOICE: ModelClass(
        languages={code: code for code in (AUTO, "zh", "en", "yue", "ja", "ko")},
        itn="use_itn",
        timestamps="output_timestamp",
        batches=True,
    ),
    "Paraformer": ModelClass(batches=True),
    "BiCifParaformer": ModelClass(always_times=True, batches=True),
    "SeacoParaformer": ModelClass(
        hotwords="hotword", as_hotwords=spaced, always_times=True, batches=True
    ),
    "ContextualParaformer": ModelClass(hotwords="hotword", as_hotwords=spaced),
    "FunASRNano": ModelClass(
        languages={"zh": "中文", "en": "英文", "ja": "日文"}, itn="itn", hotwords="hotwords"
    ),
}


def class_of(model: Any) -> ModelClass:
    found = CLASSES.get(type(model).__name__, UNKNOWN)
    if found.always_times and getattr(model, "predictor_name", TIMING) != TIMING:
        return replace(found, always_times=False)
    return found
