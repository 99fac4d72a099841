import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from controller.adapters.eval_sets import known_eval_sets, read_eval_set, sample_rate
from controller.core.errors import InvalidConfig, InvalidName, NotFound
from controller.core.eval_set import EvalSet

EVAL_SETS = Path(__file__).parents[2] / "eval_sets"
Write = Callable[..., EvalSet]


def audio(rate: int = 16_000, container: str = "WAV", codec: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(rate // 10), rate, format=container, subtype=codec)
    return file.getvalue()


def a_line(**changes: Any) -> str:
    fields = {"key": "a", "source": "a.wav", "source_len": 100, "target": "一", "target_len": 1}
    return json.dumps(fields | {"tags": ["voice:x"]} | changes, ensure_ascii=False)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a manifest of these lines, beside an a.wav and a b.wav, and read the set."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(audio())

    def read(*lines: str) -> EvalSet:
        (folder / "manifest.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return read_eval_set(tmp_path, "mine")

    return read


def refusal(write: Write, *lines: str) -> str:
    with pytest.raises(InvalidConfig) as refused:
        write(*lines)
    return str(refused.value).rpartition("mine/manifest.jsonl:")[2]


def test_a_manifest_becomes_an_eval_set(write: Write, tmp_path: Path) -> None:
    (utterance,) = write(a_line()).utterances
    assert (utterance.key, utterance.target, utterance.duration_ms) == ("a", "一", 100)
    assert utterance.tags == ("voice:x",)
    assert Path(utterance.source) == tmp_path / "mine" / "a.wav"


def test_a_recording_tagged_as_silence_has_an_empty_target(write: Write) -> None:
    (utterance,) = write(a_line(target="。", tags=["noise", "silence"])).utterances
    assert utterance.target == ""
    assert utterance.tags == ("noise", "silence")


def test_a_manifest_may_name_speaker_recording_hotwords_and_language(write: Write) -> None:
    line = a_line(speaker="s1", recording="r1", hotwords=["小爱"], language="zh")
    (utterance,) = write(line).utterances
    assert (utterance.speaker, utterance.recording) == ("s1", "r1")
    assert utterance.hotwords == ("小爱",)
    assert utterance.slices == ("voice:x", "language:zh")


def test_lengths_and_tags_may_be_left_out(write: Write) -> None:
    write(json.dumps({"key": "a", "source": "a.wav", "target": "一"}))


@pytest.mark.parametrize("name", ["digits", "meetings", "service"])
def test_the_eval_sets_that_come_with_it_are_in_order(name: str) -> None:
    assert len(read_eval_set(EVAL_SETS, name).utterances) >= 200


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        (a_line()[:-1] + ', "key": "b"}', "a key of the object is there twice"),
        (a_line(traget="一"), "traget: unknown key; expected one of key, source, source_len"),
        (json.dumps({"key": "b", "source": "b.wav"}), "target: expected text, found None"),
        (a_line(key="b", target=""), "target: the reference '' is empty"),
        (a_line(key="b", target="。 ！"), "target: the reference '。 ！' is empty"),
        (a_line(key="b", target=""), "A recording without speech needs the tag 'silence'"),
        (a_line(key="b", tags=["silence"]), "target: '一' was said, but the recording is tagged"),
        (a_line(key="b", speaker=5), "speaker: expected text, found 5"),
        (a_line(key="b", recording=None), "recording: expected text, found None"),
        (a_line(key="b", hotwords="小爱"), "hotwords: expected a list of texts, found '小爱'"),
        (a_line(key="b", language=["zh"]), "language: expected text"),
        (a_line(key="a"), "key: 'a' is there twice"),
        (a_line(key="a b"), "key: 'a b' has spaces"),
        (a_line(key=5), "key: expected text, found 5"),
        (a_line(key="b", source="c.wav"), "source: there is no file 'c.wav'"),
        (a_line(key="b", source="../mine/a.wav"), "leaves the eval set's folder"),
        (a_line(key="b", source="/etc/passwd"), "leaves the eval set's folder"),
        (a_line(key="b", source=""), "names no file"),
        (a_line(key="b", source="a\0.wav"), "names no file"),
        (a_line(key="b", source="x" * 300), "cannot be read"),
        (a_line(key="b", source_len=-1), "source_len: expected a whole number"),
        (a_line(key="b", target_len=True), "target_len: expected a whole number"),
        (a_line(key="b", tags="noise"), "tags: expected a list of texts"),
    ],
)
def test_a_line_that_is_not_in_order_is_refused_with_its_number(
    write: Write, line: str, expected: str
) -> None:
    message = refusal(write, a_line(), line)
    assert message.startswith("2: ")
    assert expected in message


def test_an_empty_manifest_is_refused(write: Write) -> None:
    assert refusal(write, "") == "1: the manifest is empty"


def test_a_manifest_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.jsonl").write_bytes(b'\n{"key": "\xff"}\n')
    with pytest.raises(InvalidConfig, match=r"manifest\.jsonl:2: not JSON in UTF-8"):
        read_eval_set(tmp_path, "mine")


def test_a_link_out_of_the_folder_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(audio())
    (tmp_path / "mine" / "link.wav").symlink_to(tmp_path / "secret.wav")
    assert "leaves the eval set's folder" in refusal(write, a_line(source="link.wav"))


def test_a_linked_folder_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.wav").write_bytes(audio())
    (tmp_path / "mine" / "audio").symlink_to(tmp_path / "elsewhere")
    assert "leaves the eval set's folder" in refusal(write, a_line(source="audio/a.wav"))


def test_another_sample_rate_is_refused_with_what_to_do(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mine" / "a.wav").write_bytes(audio(8000))
    message = refusal(write, a_line())
    assert "a.wav has a sample rate of 8000 Hz; 16000 Hz is needed (ffmpeg" in message


def test_a_file_that_is_not_audio_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mine" / "a.wav").write_bytes(b"ID3 not a recording")
    assert "a.wav is not WAV, FLAC, Ogg/Opus or Ogg/Vorbis" in refusal(write, a_line())


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "OPUS"),
        ("OGG", "VORBIS"),
    ],
)
def test_the_sample_rate_is_read_as_libsndfile_wrote_it(
    rate: int, container: str, codec: str
) -> None:
    assert sample_rate(audio(rate, container, codec)) == rate


def test_a_wav_file_may_have_other_chunks_first() -> None:
    wav = audio()
    padded = wav[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + wav[12:]
    assert sample_rate(padded) == 16_000


@pytest.mark.parametrize(
    ("container", "codec"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS")]
)
def test_a_header_that_is_cut_off_is_no_audio_and_no_crash(container: str, codec: str) -> None:
    whole = audio(16_000, container, codec)
    for length in range(64):
        assert sample_rate(whole[:length]) in {None, 16_000}
    assert sample_rate(whole[:20]) is None


def test_the_digest_changes_with_the_audio_and_with_the_manifest(
    write: Write, tmp_path: Path
) -> None:
    first = write(a_line()).digest
    assert write(a_line()).digest == first
    assert write(a_line(target="二")).digest != first
    (tmp_path / "mine" / "a.wav").write_bytes(audio() + b"\0\0")
    assert write(a_line()).digest != first


def test_an_unknown_eval_set_is_refused_with_those_that_there_are(
    write: Write, tmp_path: Path
) -> None:
    write(a_line())
    assert known_eval_sets(tmp_path) == ("mine",)
    with pytest.raises(NotFound, match=r"no eval set 'yours'.*there is mine"):
        read_eval_set(tmp_path, "yours")


@pytest.mark.parametrize("name", ["..", "a/b", "", "Mine"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidName):
        read_eval_set(tmp_path, name)
