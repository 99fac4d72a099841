"""The `notifications` of fleet.yaml: where the secret URLs are kept, never the URLs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from controller.adapters.yaml_file import Node, Section
from controller.core.notification import LANGUAGES, Target, Topic

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_targets(node: Node, folder: Path) -> tuple[Target, ...]:
    """Files are relative to `folder`. Raises InvalidConfig."""
    targets: list[Target] = []
    for item in node.items():
        target = _target(item, folder)
        if target.name in {known.name for known in targets}:  # they would share a cursor
            raise item.error(f"{target.name} is there twice; name all its events in one entry")
        targets.append(target)
    return tuple(targets)


def _target(node: Node, folder: Path) -> Target:
    section = node.mapping()
    file = section.get("url_file", lambda n: _file(n, folder), None)
    variable = section.get("url_env", _variable, None)
    if (file is None) == (variable is None):
        raise node.error("name one of url_file (a file with the URL) and url_env (a variable)")
    return Target(file, variable, _topics(section), section.choice("language", LANGUAGES, "en"))


def _file(node: Node, folder: Path) -> Path:
    text = node.string()
    if "://" in text:  # not repeated: errors are logged
        raise _secret(node, "url_file", "the name of a file that holds it")
    return folder / Path(text).expanduser()


def _variable(node: Node) -> str:
    text = node.string()
    if not _VARIABLE.fullmatch(text):
        raise _secret(node, "url_env", "the name of an environment variable that holds it")
    return text


def _secret(node: Node, key: str, what: str) -> Exception:
    return node.error(f"the URL is a secret and does not belong here: {key} is {what}")


def _topics(section: Section) -> frozenset[Topic]:
    def read(node: Node) -> frozenset[Topic]:
        topics = frozenset(Topic(item.choice([t.value for t in Topic])) for item in node.items())
        if not topics:
            raise node.error("no event: leave the key out for all, or the entry for none")
        return topics

    return section.get("events", read, frozenset(Topic))
