"""FunASR behind the Recognizer protocol, with the demo model and real recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_node.errors import LoadFailed
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions, Recognizer, Samples
from asr_node.recognizers import make_engine
from asr_node.settings import Settings

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "models" / "demo-v2"
SETS = ("digits", "meetings", "service")
ITN = DecodeOptions("auto", itn=True)
TIMES = DecodeOptions("auto", itn=True, timestamps=True)

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # those of FunASR and torch
]


def demo_settings(**changes: object) -> Settings:
    given = {"model": str(DEMO), "version": "v1", "name": "n1", "data_dir": ROOT, "device": "cpu"}
    return Settings(**(given | changes))  # type: ignore[arg-type]


def load(**changes: object) -> Recognizer:
    engine = make_engine(demo_settings(**changes))
    return engine.load(engine.resolve(), "cpu")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return load()


@pytest.fixture(scope="module")
def clips() -> list[Samples]:
    """Recordings of very different lengths, out of order."""
    found = []
    for name in SETS:
        lines = (ROOT / "eval_sets" / name / "manifest.jsonl").read_text(encoding="utf-8")
        for line in lines.splitlines()[:14]:
            source = ROOT / "eval_sets" / name / json.loads(line)["source"]
            found.append(soundfile.read(source, dtype="float32")[0])
    return sorted(found, key=lambda samples: samples.size % 97)


def in_batches(batch: int, recognizer: Recognizer, clips: list[Samples]) -> list[object]:
    return [
        transcript
        for start in range(0, len(clips), batch)
        for transcript in recognizer.transcribe(clips[start : start + batch], TIMES)
    ]


@pytest.mark.parametrize("batch", [2, 7, 16])
def test_a_batch_gives_the_same_texts_and_times_as_one_by_one(
    recognizer: Recognizer, clips: list[Samples], batch: int
) -> None:
    assert len(clips) >= 40
    assert in_batches(batch, recognizer, clips) == in_batches(1, recognizer, clips)


def test_a_batch_is_one_pass_through_the_model(
    recognizer: Recognizer, clips: list[Samples]
) -> None:
    passes = []
    hook = recognizer._model.encoder.register_forward_hook(  # type: ignore[attr-defined]
        lambda _module, arguments, _output: passes.append(len(arguments[0]))
    )
    recognizer.transcribe(clips[:8], ITN)
    hook.remove()
    assert passes == [8]


def test_texts_are_those_of_funasr_itself(recognizer: Recognizer, clips: list[Samples]) -> None:
    """The features are ours, the way through AutoModel.generate is left out."""
    generate = recognizer._auto_model.generate  # type: ignore[attr-defined]
    theirs = [generate(clip, language="auto", use_itn=True)[0]["text"] for clip in clips]
    assert [heard.raw_text for heard in recognizer.transcribe(clips, ITN)] == theirs


def test_features_are_those_of_funasr_itself(recognizer: Recognizer, clips: list[Samples]) -> None:
    import torch

    theirs = recognizer._auto_model.kwargs["frontend"]  # type: ignore[attr-defined]
    ours = recognizer._configuration["frontend"]  # type: ignore[attr-defined]
    assert type(ours) is not type(theirs)
    for clip in clips[:10]:
        samples = torch.from_numpy(clip)[None]
        (expected, frames), (got, number) = theirs(samples, [clip.size]), ours(samples, [clip.size])
        assert frames.tolist() == number.tolist()
        assert torch.allclose(expected, got, atol=2e-3)


def test_empty_audio_in_a_batch_is_empty_text(recognizer: Recognizer, clips: list[Samples]) -> None:
    nothing = np.zeros(0, np.float32)
    first, empty, last = recognizer.transcribe([clips[0], nothing, clips[1]], ITN)
    assert (empty.text, empty.raw_text) == ("", "")
    assert [first, last] == recognizer.transcribe(clips[:2], ITN)


def test_nothing_but_empty_audio_is_empty_text(recognizer: Recognizer) -> None:
    heard = recognizer.transcribe([np.zeros(0, np.float32)] * 2, ITN)
    assert [transcript.text for transcript in heard] == ["", ""]


@pytest.mark.parametrize("samples", [1, 399, 400, 1_600])
def test_the_shortest_audio_does_no_harm(recognizer: Recognizer, samples: int) -> None:
    assert len(recognizer.transcribe([np.zeros(samples, np.float32)], TIMES)) == 1


def test_itn_is_chosen_by_each_call(recognizer: Recognizer) -> None:
    digits = ROOT / "eval_sets" / "digits"
    line = (digits / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[0]
    clip = soundfile.read(digits / json.loads(line)["source"], dtype="float32")[0]
    written = recognizer.transcribe([clip], DecodeOptions("auto", itn=True))[0].text
    spoken = recognizer.transcribe([clip], DecodeOptions("auto", itn=False))[0].text
    assert written != spoken


def test_words_lie_in_order_inside_the_audio(recognizer: Recognizer, clips: list[Samples]) -> None:
    for clip, heard in zip(clips, recognizer.transcribe(clips, TIMES), strict=True):
        times = [time for word in heard.words for time in (word.start, word.end)]
        assert heard.words
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= clip.size / SAMPLE_RATE


def test_words_are_the_letters_of_the_text(recognizer: Recognizer, clips: list[Samples]) -> None:
    for heard in recognizer.transcribe(clips, TIMES):
        said = "".join(letter for letter in heard.text if letter.isalnum())
        assert "".join(word.text for word in heard.words) == said


def test_a_pause_shows_in_the_times_of_words(recognizer: Recognizer, clips: list[Samples]) -> None:
    """Speech, two seconds of silence, speech."""
    first, second = clips[0], clips[1]
    pause = np.zeros(2 * SAMPLE_RATE, np.float32)
    heard = recognizer.transcribe([np.concatenate([first, pause, second])], TIMES)[0]
    ends = first.size / SAMPLE_RATE
    within = [word for word in heard.words if ends + 0.3 < (word.start + word.end) / 2 < ends + 1.7]
    assert not within
    assert any(word.start > ends + 1.7 for word in heard.words)
    assert any(word.end < ends + 0.3 for word in heard.words)


def test_no_words_where_no_times_were_asked_for(
    recognizer: Recognizer, clips: list[Samples]
) -> None:
    assert not recognizer.transcribe(clips[:1], ITN)[0].words


def test_the_demo_model_can_be_told_what_its_class_and_vocabulary_allow(
    recognizer: Recognizer,
) -> None:
    can = recognizer.capabilities
    assert can.languages == {"auto", "zh"}
    assert (can.itn, can.hotwords, can.timestamps) == (True, False, True)


def test_hotwords_for_a_model_that_takes_none_are_refused() -> None:
    with pytest.raises(LoadFailed, match="--hotwords"):
        load(hotwords=("小明",))


@pytest.mark.parametrize("device", ["cuda:7", "mps"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    engine = make_engine(demo_settings())
    with pytest.raises(LoadFailed, match=device):
        engine.load(engine.resolve(), device)


def test_the_threads_are_those_of_the_settings() -> None:
    import torch

    before = torch.get_num_threads()
    load(threads=2)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
