"""A model folder as `funasr.AutoModel` wants it: config.yaml, tokens.json, am.mvn, model.pt."""

import json
from pathlib import Path
from typing import Any, Final

import torch
import yaml

from models.recipe import dataset, phrases, texts

TAGS: Final = ("<|zh|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>", "<|woitn|>")
CONFIG: Final[dict[str, Any]] = {
    "model": "SenseVoiceSmall",
    "model_conf": {"length_normalized_loss": True},
    "encoder": "SenseVoiceEncoderSmall",
    "encoder_conf": {
        "output_size": 128,
        "attention_heads": 4,
        "linear_units": 384,
        "num_blocks": 5,
        "tp_blocks": 1,
        "dropout_rate": 0.1,
        "positional_dropout_rate": 0.1,
        "attention_dropout_rate": 0.0,
        "input_layer": "pe",
        "pos_enc_class": "SinusoidalPositionEncoder",
        "normalize_before": True,
        "kernel_size": 11,
        "sanm_shfit": 0,
        "selfattention_layer_type": "sanm",
    },
    "frontend": "WavFrontend",
    "frontend_conf": dataset.FRONTEND,
    "tokenizer": "CharTokenizer",
    "tokenizer_conf": {
        "unk_symbol": "<unk>",
        "non_linguistic_symbols": [*TAGS, *phrases.ENGLISH],
    },
    "specaug": "SpecAugLFR",
    "specaug_conf": {
        "apply_time_warp": False,
        "apply_freq_mask": True,
        "freq_mask_width_range": [0, 20],
        "lfr_rate": 6,
        "num_freq_mask": 1,
        "apply_time_mask": True,
        "time_mask_width_range": [0, 3],
        "num_time_mask": 1,
    },
}


def write(folder: Path, model: torch.nn.Module, shift: torch.Tensor, scale: torch.Tensor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokens = json.dumps(texts.vocabulary(), ensure_ascii=False, indent=0)
    (folder / "tokens.json").write_text(tokens + "\n", encoding="utf-8")
    config = yaml.safe_dump(CONFIG, allow_unicode=True, sort_keys=False)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "am.mvn").write_text(_mvn(shift, scale), encoding="utf-8")
    torch.save(model.state_dict(), folder / "model.pt")


def _mvn(shift: torch.Tensor, scale: torch.Tensor) -> str:
    """Kaldi's text format, as far as FunASR reads it."""

    def line(values: torch.Tensor) -> str:
        return "<LearnRateCoef> 0 [ " + " ".join(f"{v:.6f}" for v in values.tolist()) + " ]"

    size = shift.numel()
    return (
        f"<Nnet>\n<AddShift> {size} {size}\n{line(shift)}\n"
        f"<Rescale> {size} {size}\n{line(scale)}\n</Nnet>\n"
    )


def build_model() -> Any:
    """The untrained network, with the ids of prompts pointed at the small vocabulary."""
    from funasr.models.sense_voice.model import SenseVoiceSmall

    tokens = texts.vocabulary()
    model = SenseVoiceSmall(
        specaug=CONFIG["specaug"],
        specaug_conf=CONFIG["specaug_conf"],
        encoder=CONFIG["encoder"],
        encoder_conf=dict(CONFIG["encoder_conf"]),
        input_size=dataset.FRONTEND["n_mels"] * dataset.FRONTEND["lfr_m"],
        vocab_size=len(tokens),
        **CONFIG["model_conf"],
    )
    # SenseVoice hard-codes the ids of its 25,000 tokens; only training looks at them.
    model.lid_int_dict = {tokens.index("<|zh|>"): model.lid_dict["zh"]}
    model.textnorm_int_dict = {
        tokens.index(f"<|{name}|>"): model.textnorm_dict[name] for name in ("withitn", "woitn")
    }
    return model
