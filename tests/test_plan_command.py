"""`rollout plan check` looks at the eval sets that the plan would meet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from controller.core.errors import ControllerError, NotFound
from controller.plan_check import check

FLEET = """
versions:
  v1: {model: ./m1}
pools:
  stable: {version: v1}
"""
PLAN = """
steps: [{percent: 100}]
eval_sets: [mine]
gates: [{kind: error-rate, max_increase_points: 1}]
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A fleet's file, beside a plan."""
    (tmp_path / "m1").mkdir()
    (tmp_path / "m1" / "config.yaml").touch()
    (tmp_path / "quick.yaml").write_text(PLAN)
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


def record(folder: Path, utterances: int) -> None:
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", np.zeros(1_600), 16_000)
    lines = [
        {"key": f"u{n}", "source": "a.wav", "source_len": 100, "target": "一", "target_len": 1}
        for n in range(utterances)
    ]
    (folder / "manifest.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def checked(fleet: Path) -> str:
    return check(str(fleet.parent / "quick.yaml"), fleet).name


def test_a_plan_whose_eval_set_is_missing_is_refused(fleet: Path) -> None:
    with pytest.raises(NotFound, match=r"no eval set 'mine'.*Plan quick needs it"):
        checked(fleet)


def test_a_plan_whose_eval_set_is_too_small_is_refused_with_the_number(fleet: Path) -> None:
    record(fleet.parent / "eval_sets" / "mine", utterances=10)
    with pytest.raises(ControllerError, match="10 utterances"):
        checked(fleet)


def test_a_plan_whose_eval_set_is_large_enough_is_explained(fleet: Path) -> None:
    record(fleet.parent / "eval_sets" / "mine", utterances=400)
    assert checked(fleet) == "quick"


def test_without_a_fleet_it_says_that_it_looked_at_no_eval_set(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.unlink()
    monkeypatch.chdir(fleet.parent)
    assert checked(fleet) == "quick"
    assert "eval sets were not looked at" in capsys.readouterr().err
