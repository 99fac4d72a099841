"""The `drills` of fleet.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.drill_entries import read_drills
from controller.adapters.yaml_file import read_yaml
from controller.core.drill.options import DrillOptions, ScheduledDrill, Window
from controller.core.errors import InvalidConfig


def read(folder: Path, text: str) -> tuple[ScheduledDrill, ...]:
    path = folder / "fleet.yaml"
    path.write_text(f"drills:\n{text}\n", encoding="utf-8")
    root = read_yaml(path).mapping()
    drills = root.get("drills", read_drills)
    root.done()
    return drills


def test_an_entry_names_a_drill_and_its_time(tmp_path: Path) -> None:
    assert read(tmp_path, '  - {drill: kill-stable, cron: "30 3 * * *"}') == (
        ScheduledDrill("kill-stable", "30 3 * * *"),
    )


def test_an_entry_may_say_how_it_is_done(tmp_path: Path) -> None:
    text = """
  - drill: all-stable
    cron: "0 4 * * sun"
    timezone: Asia/Shanghai
    window: 03:00-05:00
    eval_set: digits
    clients: 3
    steady: 20s
    calm: 1m
    during_rollout: true
    detect_within: 5s
    switch_within: 6s
    recover_within: 10m
"""
    options = DrillOptions("digits", 3, 20.0, 60.0, True, 5.0, 6.0, 600.0)
    window = Window("03:00-05:00", "Asia/Shanghai")
    (entry,) = read(tmp_path, text)
    assert entry == ScheduledDrill("all-stable", "0 4 * * sun", "Asia/Shanghai", window, options)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('{drill: kill-all, cron: "0 3 * * *"}', "drills.0.drill: expected one of kill-stable"),
        ('{drill: wrong-answers, cron: "0 3 * * *"}', "drills.0.drill: wrong-answers is no drill"),
        ("{drill: kill-stable}", "drills.0.cron: this key is required"),
        ('{drill: kill-stable, cron: "0 3"}', "drills.0: cron"),
        ('{drill: kill-stable, cron: "0 3 * * *", timezone: Mars/X}', "drills.0: cron"),
        ('{drill: kill-stable, cron: "0 3 * * *", window: night}', "drills.0: window: 'night'"),
        ('{drill: kill-stable, cron: "0 3 * * *", clients: 0}', "clients: expected 1 to 64"),
        ('{drill: kill-stable, cron: "0 3 * * *", steady: 2h}', "at most 1h"),
        ('{drill: kill-stable, cron: "0 3 * * *", retries: 3}', "unknown key"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, entry: str, problem: str) -> None:
    with pytest.raises(InvalidConfig, match=problem):
        read(tmp_path, f"  - {entry}")
