"""Classes of FunASR's models that the demo model is not: tiny ones with random weights.

Their texts mean nothing, yet say whether a batch is masked and whether hotwords arrive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from asr_node.recognizer import Capabilities, DecodeOptions, Recognizer, Samples
from asr_node.recognizers import check_models, make_engine
from asr_node.recognizers.funasr_classes import CLASSES, ModelClass, class_of
from asr_node.settings import Settings

TOKENS = ["<blank>", "<s>", "</s>", *(chr(0x4E00 + number) for number in range(40)), "<unk>"]
TWO_LAYERS = {"attention_heads": 2, "linear_units": 64, "num_blocks": 2, "att_layer_num": 2}
CIF = {"idim": 32, "threshold": 1.0, "l_order": 1, "r_order": 1, "tail_threshold": 0.45}
CONFIG = {
    "model_conf": {"ctc_weight": 0.0, "predictor_bias": 1},
    "encoder": "SANMEncoder",
    "encoder_conf": {
        "output_size": 32,
        "attention_heads": 2,
        "linear_units": 64,
        "num_blocks": 3,
        "input_layer": "pe",
        "pos_enc_class": "SinusoidalPositionEncoder",
        "kernel_size": 11,
        "sanm_shfit": 0,
        "selfattention_layer_type": "sanm",
    },
    "decoder": "ParaformerSANMDecoder",
    "decoder_conf": {**TWO_LAYERS, "kernel_size": 11, "sanm_shfit": 0},
    "predictor": "CifPredictorV3",
    "predictor_conf": {
        **CIF,
        "smooth_factor2": 0.25,
        "noise_threshold2": 0.01,
        "upsample_times": 3,
        "use_cif1_cnn": False,
        "upsample_type": "cnn_blstm",
    },
    "frontend": "WavFrontend",
    "frontend_conf": {"fs": 16000, "n_mels": 80, "lfr_m": 7, "lfr_n": 6, "dither": 0.0},
    "tokenizer": "CharTokenizer",
    "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
}
BIAS = {"inner_dim": 32, "bias_encoder_type": "lstm"}
OTHER: dict[str, dict[str, Any]] = {
    "Paraformer": {"predictor": "CifPredictorV2", "predictor_conf": CIF},
    "BiCifParaformer": {},
    "SeacoParaformer": {
        "model_conf": {
            **BIAS,
            "bias_encoder_bid": False,
            "seaco_decoder": "ParaformerSANMDecoder",
            "seaco_decoder_conf": {
                **TWO_LAYERS,
                "kernel_size": 21,
                "sanm_shfit": 0,
                "use_output_layer": False,
                "wo_input_layer": True,
            },
        }
    },
    "ContextualParaformer": {
        "predictor": "CifPredictorV2",
        "predictor_conf": CIF,
        "decoder": "ContextualParaformerDecoder",
        "model_conf": BIAS,
    },
}
PLAIN = DecodeOptions("auto", itn=True)
TIMES = DecodeOptions("auto", itn=True, timestamps=True)
HOT = DecodeOptions("auto", itn=True, hotwords=("一丁", "七"))

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # those of FunASR and torch
]


def write_model(folder: Path, kind: str) -> None:
    import torch
    from funasr import AutoModel

    torch.manual_seed(0)
    config: dict[str, Any] = {**CONFIG, **OTHER[kind], "model": kind}
    config["model_conf"] = {**CONFIG["model_conf"], **OTHER[kind].get("model_conf", {})}  # type: ignore[dict-item]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "tokens.json").write_text(json.dumps(TOKENS))
    tokenizer = {**config["tokenizer_conf"], "token_list": TOKENS}
    model, _ = AutoModel.build_model(**{**config, "tokenizer_conf": tokenizer}, device="cpu")
    torch.save(model.state_dict(), folder / "model.pt")


@pytest.fixture(scope="module", params=list(OTHER))
def recognizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    write_model(folder, request.param)
    settings = Settings(model=str(folder), version="v1", name="n1", data_dir=folder)
    check_models(settings)
    engine = make_engine(settings)
    recognizer = engine.load(engine.resolve(), "cpu")
    recognizer.warm_up()
    return recognizer


@pytest.fixture(scope="module")
def clips() -> list[Samples]:
    random = np.random.default_rng(0)
    lengths = [1.0, 2.3, 0.7, 4.0, 3.1]
    return [random.normal(0, 0.1, int(n * 16_000)).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("options", [PLAIN, TIMES, HOT], ids=["plain", "times", "hotwords"])
def test_a_batch_gives_the_same_as_one_by_one(
    recognizer: Recognizer, clips: list[Samples], options: DecodeOptions
) -> None:
    alone = [recognizer.transcribe([clip], options)[0] for clip in clips]
    assert recognizer.transcribe(clips, options) == alone
    assert all(heard.text for heard in alone)


def test_hotwords_reach_the_models_that_say_they_take_them(
    recognizer: Recognizer, clips: list[Samples]
) -> None:
    changed = recognizer.transcribe(clips, HOT) != recognizer.transcribe(clips, PLAIN)
    assert changed == recognizer.capabilities.hotwords


def test_a_hotword_is_no_address_and_no_file(
    recognizer: Recognizer, clips: list[Samples], tmp_path: Path
) -> None:
    """FunASR would fetch the one and read the other."""
    (tmp_path / "words.txt").write_text("一丁\n七\n")
    for word in ("http://127.0.0.1:9/words", str(tmp_path / "words.txt")):
        recognizer.transcribe(clips, DecodeOptions("auto", itn=True, hotwords=(word,)))
        words = getattr(recognizer._model, "hotword_list", None)  # type: ignore[attr-defined]
        assert words is None or len(words) == 2  # one word, and the one that is always there


def test_times_are_there_where_the_model_says_so(
    recognizer: Recognizer, clips: list[Samples]
) -> None:
    heard = recognizer.transcribe(clips, TIMES)
    assert any(transcript.words for transcript in heard) == recognizer.capabilities.timestamps
    for transcript, clip in zip(heard, clips, strict=True):
        starts = [word.start for word in transcript.words]
        assert starts == sorted(starts)
        assert all(start <= clip.size / 16_000 for start in starts)


def test_an_unknown_class_can_be_told_nothing() -> None:
    assert class_of(object()).capabilities == Capabilities(frozenset({"auto"}))
    assert not class_of(object()).keywords(HOT)


def test_fun_asr_nano_is_told_names_of_languages() -> None:
    nano: ModelClass = CLASSES["FunASRNano"]
    told = nano.keywords(DecodeOptions("zh", itn=False, hotwords=("开放时间",)))
    assert told == {"language": "中文", "itn": False, "hotwords": ["开放时间"]}
    assert nano.keywords(PLAIN) == {"itn": True}
