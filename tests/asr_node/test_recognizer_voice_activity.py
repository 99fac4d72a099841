"""Where somebody speaks: silero-vad and FunASR's fsmn-vad, on real recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_node.errors import LoadFailed
from asr_node.recognizer import SAMPLE_RATE, Samples, VoiceActivity
from asr_node.recognizers import check_models, make_engine
from asr_node.settings import Settings

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "models" / "demo-v2"
DIGITS = ROOT / "eval_sets" / "digits"
SILENCE = 2.0  # seconds between the clips

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # those of FunASR and torch
]

# An fsmn-vad whose network always hears speech, so that loudness alone decides.
FSMN_CONFIG = """
model: FsmnVADStreaming
model_conf: {sample_rate: 16000, detect_mode: 1, snr_mode: 0, max_end_silence_time: 800,
  max_start_silence_time: 3000, do_start_point_detection: true, do_end_point_detection: true,
  window_size_ms: 200, sil_to_speech_time_thres: 150, speech_to_sil_time_thres: 150,
  speech_2_noise_ratio: 1.0, do_extend: 1, lookback_time_start_point: 200,
  lookahead_time_end_point: 100, max_single_segment_time: 60000, snr_thres: -100.0,
  noise_frame_num_used_for_snr: 100, decibel_thres: -10.0, speech_noise_thres: 0.6,
  fe_prior_thres: 0.0001, silence_pdf_num: 1, sil_pdf_ids: [0],
  speech_noise_thresh_low: -0.1, speech_noise_thresh_high: 0.3, output_frame_probs: false,
  frame_in_ms: 10, frame_length_ms: 25}
encoder: FSMN
encoder_conf: {input_dim: 400, input_affine_dim: 8, fsmn_layers: 1, linear_dim: 8, proj_dim: 8,
  lorder: 20, rorder: 0, lstride: 1, rstride: 0, output_affine_dim: 8, output_dim: 248}
frontend: WavFrontendOnline
frontend_conf: {fs: 16000, window: hamming, n_mels: 80, frame_length: 25, frame_shift: 10,
  dither: 0.0, lfr_m: 5, lfr_n: 1}
"""


def loaded(vad_model: str) -> VoiceActivity:
    settings = Settings(
        model=str(DEMO), version="v1", name="n1", data_dir=ROOT, vad_model=vad_model
    )
    check_models(settings)
    engine = make_engine(settings)
    return engine.load_voice_activity(engine.resolve())


@pytest.fixture(scope="module")
def silero() -> VoiceActivity:
    return loaded("silero-vad")


@pytest.fixture(scope="module")
def fsmn(tmp_path_factory: pytest.TempPathFactory) -> VoiceActivity:
    import torch
    from funasr.models.fsmn_vad_streaming.encoder import FSMN

    folder = tmp_path_factory.mktemp("an fsmn-vad")
    (folder / "config.yaml").write_text(FSMN_CONFIG)
    (folder / "model.pt").write_bytes(b"not yet")
    encoder = FSMN(400, 8, 1, 8, 8, 20, 0, 1, 0, 8, 248)
    weights = {f"encoder.{name}": torch.zeros_like(v) for name, v in encoder.state_dict().items()}
    torch.save(weights, folder / "model.pt")
    return loaded(str(folder))


@pytest.fixture(scope="module")
def clips() -> list[Samples]:
    lines = (DIGITS / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    sources = [DIGITS / json.loads(line)["source"] for line in lines]
    return [trimmed(soundfile.read(source, dtype="float32")[0]) for source in sources]


def trimmed(samples: Samples) -> Samples:
    """Without what is not loud at both ends."""
    loudness = np.convolve(np.abs(samples), np.ones(400) / 400, "same")
    loud = np.flatnonzero(loudness > 0.1 * loudness.max())
    return samples[loud[0] : loud[-1]]


def glued(clips: list[Samples], seconds: float = SILENCE) -> tuple[Samples, list[float]]:
    """The recording, and where each clip begins and ends, in seconds."""
    noise = np.random.default_rng(0).normal(0, 1e-4, int(seconds * SAMPLE_RATE)).astype(np.float32)
    parts, edges, at = [noise], [], noise.size
    for clip in clips:
        edges += [at / SAMPLE_RATE, (at + clip.size) / SAMPLE_RATE]
        parts += [clip, noise]
        at += clip.size + noise.size
    return np.concatenate(parts), edges


def groups(spans: list[tuple[int, int]]) -> list[float]:
    """Edges, in seconds, of what lies less than a second apart."""
    edges: list[float] = []
    for start, end in spans:
        if edges and start / SAMPLE_RATE - edges[-1] < 1.0:
            edges.pop()
            edges.append(end / SAMPLE_RATE)
        else:
            edges += [start / SAMPLE_RATE, end / SAMPLE_RATE]
    return edges


@pytest.mark.parametrize(("kind", "near"), [("silero", 0.25), ("fsmn", 0.3)])
def test_clips_between_silences_are_found_where_they_are(
    kind: str, near: float, clips: list[Samples], request: pytest.FixtureRequest
) -> None:
    recording, edges = glued(clips)
    found = groups(request.getfixturevalue(kind).speech(recording))
    assert found == pytest.approx(edges, abs=near)


@pytest.mark.parametrize("kind", ["silero", "fsmn"])
def test_spans_are_in_order_apart_and_inside(
    kind: str, clips: list[Samples], request: pytest.FixtureRequest
) -> None:
    recording, _ = glued(clips, 0.4)
    edges = [edge for span in request.getfixturevalue(kind).speech(recording) for edge in span]
    assert edges == sorted(set(edges))
    assert edges[0] >= 0
    assert edges[-1] <= recording.size


@pytest.mark.parametrize("kind", ["silero", "fsmn"])
def test_each_call_starts_afresh(
    kind: str, clips: list[Samples], request: pytest.FixtureRequest
) -> None:
    voice: VoiceActivity = request.getfixturevalue(kind)
    recording, _ = glued(clips[:2])
    first = voice.speech(recording)
    voice.speech(clips[3])
    assert voice.speech(recording) == first


def test_one_short_word_is_found(silero: VoiceActivity, clips: list[Samples]) -> None:
    word = clips[0][: int(0.35 * SAMPLE_RATE)]
    recording, (start, end) = glued([word])
    assert groups(silero.speech(recording)) == pytest.approx([start, end], abs=0.25)


@pytest.mark.parametrize("level", [0.0, 1e-3, 0.05])
def test_silence_and_noise_are_no_speech(silero: VoiceActivity, level: float) -> None:
    noise = np.random.default_rng(1).normal(0, level, 20 * SAMPLE_RATE).astype(np.float32)
    spoken = sum(end - start for start, end in silero.speech(noise)) / SAMPLE_RATE
    assert spoken < 1.0


@pytest.mark.parametrize("kind", ["silero", "fsmn"])
@pytest.mark.parametrize("samples", [0, 1, 511, 1_599])
def test_the_shortest_audio_does_no_harm(
    kind: str, samples: int, request: pytest.FixtureRequest
) -> None:
    assert not request.getfixturevalue(kind).speech(np.zeros(samples, np.float32))


def test_a_model_that_finds_no_speech_is_refused(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "no vad")
    with pytest.raises(LoadFailed, match="FsmnVADStreaming"):
        loaded(str(tmp_path / "no vad"))
