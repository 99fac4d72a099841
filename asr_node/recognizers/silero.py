"""silero-vad: finds speech with the weights that its Python package ships, with no network."""

from __future__ import annotations

from typing import Any, Final

from asr_node.errors import LoadFailed
from asr_node.recognizer import SAMPLE_RATE, Samples
from asr_node.recognizers.model_folder import silero_weights

PADDING_MS: Final = 100
SHORTEST_SPEECH_MS: Final = 100
SHORTEST_SILENCE_MS: Final = 200


def load_silero() -> SileroVoiceActivity:
    """Raises LoadFailed."""
    import torch

    threads = torch.get_num_threads()
    try:
        from silero_vad.utils_vad import get_speech_timestamps, init_jit_model

        model = init_jit_model(str(silero_weights()))
    except Exception as error:
        raise LoadFailed(f"silero-vad cannot be loaded: {error}") from error
    finally:
        torch.set_num_threads(threads)  # importing silero_vad sets it to 1
    return SileroVoiceActivity(model, get_speech_timestamps)


class SileroVoiceActivity:
    def __init__(self, model: Any, timestamps: Any) -> None:
        self._model = model
        self._timestamps = timestamps

    def speech(self, samples: Samples) -> list[tuple[int, int]]:
        import torch

        if samples.size == 0:
            return []
        self._model.reset_states()
        spans = self._timestamps(
            torch.from_numpy(samples),
            self._model,
            sampling_rate=SAMPLE_RATE,
            min_speech_duration_ms=SHORTEST_SPEECH_MS,
            min_silence_duration_ms=SHORTEST_SILENCE_MS,
            speech_pad_ms=PADDING_MS,
        )
        return [(span["start"], span["end"]) for span in spans]
