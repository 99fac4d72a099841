"""What the documents say exists: files, commands, options, phases, make's targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import typer

from controller import plan_views
from controller.adapters.plan_files import load_plan
from controller.cli import app
from controller.core.rollout import ENDED, NEXT, Phase

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"build", "dist", "wheels", "node_modules"}
TWINS = ["README", "docs/node", "docs/operations", "docs/eval-sets", "docs/verdict", "docs/drills"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def markdown_files(folder: Path = ROOT) -> list[Path]:
    """Relative to the root; without what is hidden or made by tools."""
    ours = [p for p in folder.iterdir() if not p.name.startswith(".") and p.name not in NOT_OURS]
    files = [p.relative_to(ROOT) for p in ours if p.suffix == ".md"]
    return sorted([*files, *(f for p in ours if p.is_dir() for f in markdown_files(p))])


def text_of(name: str | Path) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(text) if language in languages]


def without_comments(block: str) -> list[str]:
    lines = (re.sub(r"(^|\s)#.*", "", line).rstrip() for line in block.splitlines())
    return [line for line in lines if line]


def snippets(text: str) -> list[str]:
    """Every line of a shell block, and every piece of inline code."""
    shell = [line for block in blocks(text, "sh") for line in without_comments(block)]
    return shell + [code.replace("\\|", "|") for code in INLINE.findall(FENCE.sub("", text))]


def uses_of(command: str, text: str) -> list[list[str]]:
    """The arguments of each use of a command; `…` marks what is not to be typed."""
    found = (s for s in snippets(text) if s.startswith(f"{command} ") and "…" not in s)
    return [shlex.split(snippet)[1:] for snippet in found]


def headings(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_relative_links_lead_to_files(path: Path) -> None:
    targets = (unquote(t.partition("#")[0]) for t in LINK.findall(FENCE.sub("", text_of(path))))
    local = [t for t in targets if t and not re.match(r"[a-z]+:", t)]
    assert [t for t in local if not (ROOT / path.parent / t).exists()] == []


@pytest.mark.parametrize("name", TWINS)
def test_both_languages_have_the_same_structure_and_commands(name: str) -> None:
    english, chinese = text_of(f"{name}.md"), text_of(f"{name}.zh-CN.md")
    assert headings(english) == headings(chinese)
    for language in ("sh", "yaml", "json"):
        assert [without_comments(b) for b in blocks(english, language)] == [
            without_comments(b) for b in blocks(chinese, language)
        ]
    assert named_commands(english) == named_commands(chinese)


def named_commands(text: str) -> set[str]:
    return {" ".join(use[:1]) for use in uses_of("rollout", text)}


def documents_with_commands() -> list[str]:
    return [f"{name}{suffix}.md" for name in TWINS for suffix in ("", ".zh-CN")]


@pytest.mark.parametrize("name", documents_with_commands())
def test_every_rollout_command_and_option_named_exists(name: str) -> None:
    for use in uses_of("rollout", text_of(name)):
        command, rest = resolve(use)
        options = {option for parameter in command.params for option in parameter.opts}
        options |= {option for parameter in command.params for option in parameter.secondary_opts}
        named = [word.partition("=")[0] for word in rest if word.startswith("--")]
        assert set(named) <= options | {"--help"}, use


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words call, and the words that are left for it."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and not rest[0].startswith("-") and (known := getattr(command, "commands", None)):
        assert rest[0] in known, f"there is no `rollout {' '.join(words)}`"
        command = known[rest.pop(0)]
    return command, rest


@pytest.mark.parametrize("name", ["docs/operations.md", "docs/operations.zh-CN.md"])
def test_the_operations_page_has_every_command(name: str) -> None:
    documented = {resolve(use)[0].name for use in uses_of("rollout", text_of(name))}
    assert {command.name for command in leaves(typer.main.get_command(app))} <= documented


def leaves(command: Any) -> Iterator[Any]:
    children = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield command
    for child in children.values():
        yield from leaves(child)


@pytest.mark.parametrize("name", ["docs/operations.md", "docs/operations.zh-CN.md"])
def test_the_table_of_phases_is_that_of_the_state_machine(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", text_of(name), re.MULTILINE)
    phases = {phase.value for phase in Phase}
    table = {row: set(INLINE.findall(cell)) & phases for row, cell in rows if row in phases}
    always = {Phase.ROLLED_BACK.value, Phase.ABORTED.value}  # said once, below the table
    assert table == {
        phase.value: {after.value for after in NEXT[phase]} - (set() if phase in ENDED else always)
        for phase in Phase
    }


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_every_target_of_make_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    words = {use[0] for use in uses_of("make", text_of(path)) if use}
    assert words <= targets


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.svg")), ids=lambda p: p.name)
def test_pictures_are_plain(path: Path) -> None:
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"title", "desc", "text"} <= tags
    assert not tags & {"script", "foreignObject", "image", "use"}
    assert not [key for e in root.iter() for key in e.attrib if "href" in key or key[:2] == "on"]


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_plan_that_a_page_shows_is_the_default_plan_in_words(page: str) -> None:
    shown = [block for block in blocks(text_of(page), "") if block.startswith("plan default:")]
    assert shown == [f"{plan_views.plan(load_plan('default', [ROOT / 'rollouts']))}\n"]
