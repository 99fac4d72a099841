"""The keys `failover` and `batches` of fleet.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.failover_options import read_batches, read_failover
from controller.adapters.yaml_file import Section, read_yaml
from controller.core.errors import InvalidConfig
from controller.core.failover import FailoverRules


def root(folder: Path, text: str) -> Section:
    path = folder / "fleet.yaml"
    path.write_text(text or "{}", encoding="utf-8")
    return read_yaml(path).mapping()


def test_without_the_keys_the_defaults_hold(tmp_path: Path) -> None:
    section = root(tmp_path, "")
    assert read_failover(section) == FailoverRules()
    assert not read_batches(section, backup_nodes=0)
    section.done()


def test_every_key_is_read(tmp_path: Path) -> None:
    text = (
        "failover:\n  failback_after: 2m\n  full_percent: 70\n"
        "  node_audio_seconds_per_second: 12.5\n"
        "  held_out: {falls: 4, within: 10m, first: 90s, longest: 1h}\n"
        "batches: backup\n"
    )
    section = root(tmp_path, text)
    assert read_failover(section) == FailoverRules(120, 70, 12.5, 4, 600, 90, 3600)
    assert read_batches(section, backup_nodes=1)
    section.done()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("failover: {failback_after: soon}", "failover.failback_after: expected a duration"),
        ("failover: {full_percent: 0}", "failover.full_percent: expected 1 to 1000"),
        ("failover: {node_audio_seconds_per_second: 0}", "expected 0.001 to"),
        ("failover: {held_out: {falls: 1}}", "failover.held_out.falls: expected 2 to 100"),
        ("failover: {held_out: {within: 0}}", "failover.held_out.within: must be longer"),
        ("batches: canary", "batches: expected one of stable, backup"),
        ("batches: backup", "batches: there is no backup pool"),
        ("failover: {after: 30s}", "failover.after: unknown key"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(tmp_path: Path, text: str, words: str) -> None:
    section = root(tmp_path, text)
    with pytest.raises(InvalidConfig, match=words):  # noqa: PT012 (any of the three)
        read_failover(section)
        read_batches(section, backup_nodes=0)
        section.done()
