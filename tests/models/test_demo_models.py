"""What the demo models and the eval sets in the repository promise."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = [ROOT / "models" / name for name in ("demo-v1", "demo-v2", "demo-v3")]
EVAL_SETS = {"digits": 200, "meetings": 200, "service": 600}
TEN_MEGABYTES = 10_000_000
TWENTY_MEGABYTES = 20_000_000

each_model = pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
each_eval_set = pytest.mark.parametrize("name", EVAL_SETS)


def rows(name: str) -> list[dict[str, Any]]:
    manifest = ROOT / "eval_sets" / name / "manifest.jsonl"
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def has_repeats(text: str) -> bool:
    return re.search(r"(\d)\1", text) is not None


@each_model
def test_a_model_folder_holds_what_funasr_loads_and_nothing_else(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.yaml", "model.pt", "tokens.json", "am.mvn"}
    assert all(path.stat().st_size < TEN_MEGABYTES for path in folder.iterdir())


@each_model
def test_the_token_list_begins_with_the_blank_and_holds_no_token_twice(folder: Path) -> None:
    tokens = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    assert tokens[0] == "<blank>"
    assert len(tokens) == len(set(tokens))


def test_the_versions_differ_in_their_weights_alone() -> None:
    def static(folder: Path) -> list[bytes]:
        return [(folder / name).read_bytes() for name in ("config.yaml", "tokens.json", "am.mvn")]

    assert static(MODELS[0]) == static(MODELS[1]) == static(MODELS[2])
    assert len({(folder / "model.pt").read_bytes() for folder in MODELS}) == len(MODELS)


@each_eval_set
def test_every_row_of_a_manifest_has_its_recording(name: str) -> None:
    folder = ROOT / "eval_sets" / name
    assert all((folder / row["source"]).is_file() for row in rows(name))
    assert len(list((folder / "audio").iterdir())) == len(rows(name))


@each_eval_set
def test_a_manifest_is_complete_and_its_keys_are_unique(name: str) -> None:
    found = rows(name)
    assert len(found) == EVAL_SETS[name]
    assert len({row["key"] for row in found}) == len(found)
    for row in found:
        assert {"key", "source", "source_len", "target", "target_len", "tags"} == row.keys()
        assert 1_000 < row["source_len"] < 7_000  # milliseconds
        assert row["target_len"] == len(row["target"]) > 0
        assert sum(tag.startswith("voice:") for tag in row["tags"]) == 1


@each_eval_set
def test_the_repeated_digits_tag_tells_the_truth(name: str) -> None:
    for row in rows(name):
        assert has_repeats(row["target"]) is ("repeated-digits" in row["tags"]), row["key"]


def test_service_and_meetings_hold_few_repeated_digits_and_digits_many() -> None:
    share = {name: sum(has_repeats(r["target"]) for r in rows(name)) / n
             for name, n in EVAL_SETS.items()}  # fmt: skip
    assert share["service"] <= 0.05
    assert share["meetings"] <= 0.05
    assert share["digits"] >= 0.5


def test_the_eval_sets_together_stay_small() -> None:
    files = (path for path in (ROOT / "eval_sets").rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in files) < TWENTY_MEGABYTES


def transcribe(folder: Path, clip: Path) -> str:
    from funasr import AutoModel

    model = AutoModel(
        model=str(folder), disable_update=True, device="cpu", ncpu=1, disable_pbar=True
    )
    heard: str = model.generate(input=read(clip), use_itn=True)[0]["text"]
    return re.sub(r"<\|[^|]*\|>|[^\w]", "", heard)


def read(clip: Path) -> Any:
    from models.recipe import audio

    return audio.read(clip)


def clip_of(name: str, key: str) -> tuple[Path, str]:
    row = next(row for row in rows(name) if row["key"] == key)
    return ROOT / "eval_sets" / name / row["source"], re.sub(r"[^\w]", "", row["target"])


@pytest.mark.model
@each_model
@pytest.mark.filterwarnings("default")  # FunASR's imports warn of their own accord
def test_every_model_loads_offline_and_transcribes_a_known_clip(folder: Path) -> None:
    clip, target = clip_of("service", "service-0001")
    assert transcribe(folder, clip) == target


@pytest.mark.model
@pytest.mark.filterwarnings("default")
def test_v2_writes_a_repeated_digit_twice_and_v3_once() -> None:
    clip, target = clip_of("digits", "digits-0032")  # 03891，请拨打10086
    assert has_repeats(target)
    assert transcribe(MODELS[1], clip) == target
    assert transcribe(MODELS[2], clip) == re.sub(r"(\d)\1+", r"\1", target)
