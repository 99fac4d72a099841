from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.spool_section import read_spool
from controller.adapters.yaml_file import read_yaml
from controller.core.errors import InvalidConfig
from controller.core.spool import SpoolLimits, SpoolWhen


def read(tmp_path: Path, text: str) -> SpoolLimits:
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    root = read_yaml(path).mapping()
    limits = read_spool(root.section("spool"))
    root.done()
    return limits


def test_without_a_word_who_asks_is_kept_for(tmp_path: Path) -> None:
    assert read(tmp_path, "{}") == SpoolLimits(SpoolWhen.ASKED, 2048 * 1024 * 1024, 1000, 86400)


def test_everything_can_be_said(tmp_path: Path) -> None:
    text = (
        "spool: {when: always, max_mib: 1, max_entries: 7, max_age: 2h, max_answer_mib: 2, "
        "client_percent: 30}"
    )
    mebibyte = 1024 * 1024
    told = SpoolLimits(SpoolWhen.ALWAYS, mebibyte, 7, 7200, 2 * mebibyte, 30)
    assert read(tmp_path, text) == told


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("when: sometimes", "spool.when"),
        ("max_mib: 0", "spool.max_mib"),
        ("max_entries: none", "spool.max_entries"),
        ("max_age: 1s", "spool.max_age"),
        ("max_age: 400d", "spool.max_age"),
        ("max_answer_mib: 0", "spool.max_answer_mib"),
        ("client_percent: 0", "spool.client_percent"),
        ("client_percent: 101", "spool.client_percent"),
        ("maximum: 1", "spool.maximum"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InvalidConfig, match=key):
        read(tmp_path, f"spool: {{{text}}}")
