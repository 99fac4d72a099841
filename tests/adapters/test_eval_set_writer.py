from __future__ import annotations

import json
import threading
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.eval_set_writer import add_recordings
from controller.adapters.eval_sets import read_eval_set
from controller.core.errors import InvalidConfig, InvalidName, Refused
from controller.core.eval_set import Utterance

DIGITS = Path(__file__).parents[2] / "eval_sets"


def corrected(number: int, text: str = "请拨打10086") -> Utterance:
    utterance = read_digits()[number]
    return replace(utterance, key=f"reviewed-{number}", target=text)


def read_digits() -> tuple[Utterance, ...]:
    return read_eval_set(DIGITS, "digits").utterances


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_new_eval_set_is_one_that_can_be_read(tmp_path: Path) -> None:
    spoken = replace(
        corrected(1), speaker="mei", hotwords=("打",), language="zh", tags=("silence",)
    )
    found = add_recordings(tmp_path, "calls", [corrected(0), spoken])
    assert (found.added, found.known) == (("reviewed-0", "reviewed-1"), ())
    first, second = read_eval_set(tmp_path, "calls").utterances
    assert first.target == "请拨打10086"
    assert first.tags == (*read_digits()[0].tags, "reviewed")
    assert second.tags == ("reviewed",)  # something was said
    assert (second.speaker, second.hotwords, second.language) == ("mei", ("打",), "zh")
    assert Path(first.source).read_bytes() == Path(read_digits()[0].source).read_bytes()


def test_further_recordings_come_behind_those_that_are_there(tmp_path: Path) -> None:
    add_recordings(tmp_path, "calls", [corrected(0)])
    before = (tmp_path / "calls" / "manifest.jsonl").read_bytes()
    add_recordings(tmp_path, "calls", [corrected(1)])
    assert (tmp_path / "calls" / "manifest.jsonl").read_bytes().startswith(before)
    assert len(read_eval_set(tmp_path, "calls").utterances) == 2


def test_the_same_audio_is_not_added_twice_whatever_its_name(tmp_path: Path) -> None:
    add_recordings(tmp_path, "calls", [corrected(0)])
    before = files(tmp_path)
    again = replace(corrected(0), key="reviewed-other")
    with pytest.raises(Refused, match="nothing was added to calls: it has all 1 recordings"):
        add_recordings(tmp_path, "calls", [again])
    assert files(tmp_path) == before
    assert add_recordings(tmp_path, "calls", [again, corrected(2)]).known == ("reviewed-other",)


@pytest.mark.parametrize("text", ["", " ", "。"])
def test_a_text_that_says_nothing_is_left_out_and_named(tmp_path: Path, text: str) -> None:
    found = add_recordings(tmp_path, "calls", [corrected(0), corrected(1, text)])
    assert found.added == ("reviewed-0",)
    assert found.unfit == (f"reviewed-1: the text {text!r} says nothing",)


def test_recordings_that_no_eval_set_can_have_are_left_out_and_named(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "phone.wav"), "wb") as phone:
        phone.setparams((1, 2, 8000, 0, "NONE", ""))
        phone.writeframes(bytes(16000))
    (tmp_path / "noise.wav").write_bytes(b"noise")
    odd = [
        replace(corrected(1), key=name, source=str(tmp_path / f"{name}.wav"))
        for name in ("phone", "noise", "gone")
    ]
    found = add_recordings(tmp_path, "calls", [corrected(0), *odd, corrected(2)])
    assert found.added == ("reviewed-0", "reviewed-2")
    phone_why, noise_why, gone_why = found.unfit
    assert phone_why.startswith("phone: phone.wav has a sample rate of 8000 Hz")
    assert noise_why.startswith("noise: noise.wav is not WAV")
    assert gone_why.startswith("gone: ")
    assert gone_why.endswith("cannot be read: No such file or directory")


def test_where_nothing_can_be_added_no_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nothing was added to calls: there are no corrected texts"):
        add_recordings(tmp_path, "calls", [])
    with pytest.raises(Refused, match="nothing was added to calls: reviewed-0: the text '' says"):
        add_recordings(tmp_path, "calls", [corrected(0, "")])
    assert list(tmp_path.iterdir()) == []


def test_an_eval_set_that_is_broken_is_not_made_longer(tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "manifest.jsonl").write_text("{}\n")
    with pytest.raises(InvalidConfig):
        add_recordings(tmp_path, "calls", [corrected(0)])
    assert (tmp_path / "calls" / "manifest.jsonl").read_text() == "{}\n"


def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        add_recordings(tmp_path, "../calls", [corrected(0)])


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=add_recordings, args=(tmp_path, "calls", [corrected(n)]))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "calls" / "manifest.jsonl").read_text().splitlines()
    assert {json.loads(line)["key"] for line in lines} == {f"reviewed-{n}" for n in range(6)}
