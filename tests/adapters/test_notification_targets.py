"""The `notifications` of fleet.yaml name where URLs are kept, and never hold one."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.notification_targets import read_targets
from controller.adapters.yaml_file import read_yaml
from controller.core.errors import InvalidConfig
from controller.core.notification import Target, Topic


def read(folder: Path, text: str) -> tuple[Target, ...]:
    path = folder / "fleet.yaml"
    path.write_text(f"notifications:\n{text}\n", encoding="utf-8")
    root = read_yaml(path).mapping()
    targets = root.get("notifications", lambda node: read_targets(node, folder))
    root.done()
    return targets


def test_a_target_takes_everything_in_english_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = "  - url_file: a.url\n  - {url_env: B_URL, events: [rollback, failover], language: zh}"
    assert read(tmp_path, text) == (
        Target(file=tmp_path / "a.url"),
        Target(None, "B_URL", frozenset({Topic.ROLLBACK, Topic.FAILOVER}), "zh"),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("  - {events: [start]}", "name one of url_file"),
        ("  - {url_file: a, url_env: B}", "name one of url_file"),
        ("  - {url_env: B, events: [promote]}", "expected one of start, step"),
        ("  - {url_env: B, events: []}", "no event"),
        ("  - {url_env: B, language: fr}", "expected one of en, zh"),
        ("  - {url_env: B, urls: [x]}", "unknown key"),
        ("  - {url_env: B}\n  - {url_env: B}", "is there twice"),
        ("  - {url_file: 'slack://T/B/C'}", "the URL is a secret and does not belong here"),
        ("  - {url_env: 'slack://T/B/C'}", "the URL is a secret and does not belong here"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"fleet\.yaml:\d+: notifications.*{problem}") as error:
        read(tmp_path, text)
    assert "slack" not in str(error.value)
