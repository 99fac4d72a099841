from __future__ import annotations

import kaldi_native_fbank
import numpy as np

from asr_node.yielding_fbank import STEP, YieldingFbank


class Recording:
    """An OnlineFbank that also remembers how much it was given at once."""

    def __init__(self) -> None:
        self.inner = new_fbank()
        self.sizes: list[int] = []

    def accept_waveform(self, rate: int, samples: np.ndarray) -> None:
        self.sizes.append(len(samples))
        self.inner.accept_waveform(rate, samples)


def new_fbank() -> kaldi_native_fbank.OnlineFbank:
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80
    return kaldi_native_fbank.OnlineFbank(options)


def features(fbank) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, 1_000, 5 * STEP + 777).astype(np.float32)
    fbank.accept_waveform(16_000, samples)
    fbank.input_finished()
    return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


def test_features_are_the_same_as_in_one_call() -> None:
    assert np.array_equal(features(YieldingFbank(new_fbank())), features(new_fbank()))


def test_no_call_holds_the_lock_for_more_than_a_second_of_audio() -> None:
    recording = Recording()
    YieldingFbank(recording).accept_waveform(16_000, np.zeros(5 * STEP + 777, np.float32))
    assert recording.sizes == [STEP] * 5 + [777]
