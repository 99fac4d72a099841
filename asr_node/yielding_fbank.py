"""Keep the event loop alive while features of long audio are computed.

kaldi-native-fbank takes a whole waveform in one call that holds Python's global lock:
0.8 ms a second of audio, so 0.5 s for ten minutes, and /healthz would wait as long. The
features are streaming ones, so feeding a second at a time gives the same frames and lets
other threads run in between.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

STEP = 16_000


def install() -> None:
    """Call it after `import funasr`; does nothing where torchaudio computes the features."""
    from funasr.utils import fbank

    library = fbank._knf
    if library is not None and not isinstance(library, SimpleNamespace):
        fbank._knf = SimpleNamespace(
            FbankOptions=library.FbankOptions,
            OnlineFbank=lambda options: YieldingFbank(library.OnlineFbank(options)),
        )


class YieldingFbank:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def accept_waveform(self, rate: int, samples: Any) -> None:
        for start in range(0, len(samples), STEP):
            self._inner.accept_waveform(rate, samples[start : start + STEP])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
