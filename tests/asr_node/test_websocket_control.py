"""What the words of the protocol mean to a model that can, and to one that cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr_node.errors import StreamRefused
from asr_node.recognizer import SAMPLE_RATE, Capabilities, DecodeOptions
from asr_node.settings import Settings
from asr_node.websocket.control import Mode, Setup, decode_options, read_control
from asr_node.websocket.file_ear import wav_header
from asr_node.websocket.pcm import Pcm

SETTINGS = Settings(model="m", version="v1", name="n1", data_dir=Path("none"))
ABLE = Capabilities(frozenset({"auto", "zh", "en"}), itn=True, hotwords=True, timestamps=True)
PLAIN = Capabilities(frozenset({"auto"}))


def setup(**message: object) -> Setup:
    return read_control(json.dumps(message), Setup()).setup


def options(settings: Settings, capabilities: Capabilities, **message: object) -> DecodeOptions:
    return decode_options(setup(**message), settings, capabilities)


def test_an_empty_message_changes_nothing() -> None:
    control = read_control("{}", Setup())
    assert control.setup == Setup()
    assert not control.ends


def test_null_is_as_if_it_were_not_said() -> None:
    assert setup(mode=None, hotwords=None, wav_format=None) == Setup()


def test_later_messages_add_to_earlier_ones() -> None:
    first = setup(mode="online", wav_name="call")
    second = read_control('{"svs_lang": "en"}', first).setup
    assert (second.mode, second.wav_name, second.svs_lang) == (Mode.ONLINE, "call", "en")
    assert second.parameters == {"mode": "online", "wav_name": "call", "svs_lang": "en"}


@pytest.mark.parametrize(
    ("message", "ends", "acknowledged"),
    [
        ('{"is_speaking": true}', False, False),
        ('{"is_speaking": false}', True, False),
        ('{"is_speaking": false, "is_end": true}', True, True),
        ('{"is_end": true}', True, True),
    ],
)
def test_a_file_ends_when_nobody_speaks(message: str, ends: bool, acknowledged: bool) -> None:
    control = read_control(message, Setup())
    assert (control.ends, control.wants_acknowledgement) == (ends, acknowledged)


@pytest.mark.parametrize("size", [[5, 20, 5], "5,20,5", "5, 20, 5"])
def test_the_middle_of_chunk_size_is_how_often_interim_results_are_wanted(size: object) -> None:
    assert setup(chunk_size=size).chunk_ms == 1_200


@pytest.mark.parametrize(
    "said",
    [
        '{"阿里巴巴": 20, "Open Sesame": 30}',
        {"阿里巴巴": 20, "Open Sesame": 30},
        "阿里巴巴,Open Sesame",
    ],
)
def test_hotwords_come_in_every_form_that_clients_send(said: object) -> None:
    assert options(SETTINGS, ABLE, hotwords=said).hotwords == ("阿里巴巴", "Open Sesame")


def test_the_nodes_own_hotwords_hold_where_none_are_sent() -> None:
    settings = replace(SETTINGS, hotwords=("通义",))
    assert options(settings, ABLE, hotwords="").hotwords == ("通义",)


def test_the_defaults_of_clients_mean_the_nodes_own() -> None:
    settings = replace(SETTINGS, language="zh", itn=False)
    asked = options(settings, ABLE, svs_lang="auto", itn=True, svs_itn=True)
    assert (asked.language, asked.itn) == ("zh", False)


@pytest.mark.parametrize("key", ["itn", "svs_itn"])
def test_numbers_are_left_as_words_where_either_name_says_so(key: str) -> None:
    assert options(SETTINGS, ABLE, **{key: False}).itn is False


def test_times_of_words_are_asked_for_where_the_model_has_them() -> None:
    assert options(SETTINGS, ABLE).timestamps
    assert not options(SETTINGS, PLAIN).timestamps


@pytest.mark.parametrize(
    ("message", "param"),
    [({"itn": False}, "itn"), ({"svs_lang": "zh"}, "svs_lang"), ({"hotwords": "a"}, "hotwords")],
)
def test_what_a_plain_model_cannot_do_is_refused_by_name(
    message: dict[str, object], param: str
) -> None:
    with pytest.raises(StreamRefused) as refused:
        options(SETTINGS, PLAIN, **message)
    assert (refused.value.param, refused.value.close_code) == (param, 1008)


def test_a_plain_model_takes_the_defaults() -> None:
    assert options(SETTINGS, PLAIN, svs_lang="auto", itn=True, hotwords="").language == "auto"


def test_unknown_keys_are_noticed_but_not_without_end() -> None:
    assert setup(speaker="x", volume=3).notice == "not used here: speaker, volume"
    with pytest.raises(StreamRefused):
        setup(**{f"key-{i}": i for i in range(100)})


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_pieces_of_a_stream_join_without_a_seam(rate: int) -> None:
    times = np.arange(rate) / rate
    wave = (0.5 * np.sin(2 * np.pi * 300 * times) * 32_767).astype("<i2").tobytes()
    pcm = Pcm(rate)
    pieces = [part for i in range(0, len(wave), 1_000) for part in pcm.samples(wave[i : i + 1_000])]
    heard = np.concatenate([*pieces, pcm.rest()])
    expected = 0.5 * np.sin(2 * np.pi * 300 * np.arange(heard.size) / SAMPLE_RATE)
    assert heard.size == pytest.approx(SAMPLE_RATE, abs=32)
    assert np.abs(heard - expected)[200:-200].max() < 0.01


def test_a_wav_header_is_what_the_standard_library_reads(tmp_path: Path) -> None:
    import wave

    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(8_000, 4) + b"\1\0\2\0")
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8_000, 1, 2)
        assert file.readframes(9) == b"\1\0\2\0"


@pytest.mark.parametrize("message", [{"wav_name": "\ud800"}, {"\ud800": 1}])
def test_half_a_character_is_refused(message: dict[str, object]) -> None:
    """It could not be said back to the client."""
    with pytest.raises(StreamRefused) as refused:
        read_control(json.dumps(message), Setup())
    assert refused.value.code == "invalid_json"
    refused.value.message.encode()


def test_whole_characters_may_be_escaped() -> None:
    assert setup(wav_name="\U0001f4a9").wav_name == "\U0001f4a9"
