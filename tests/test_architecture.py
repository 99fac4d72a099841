"""Imports point one way: cli → client → (HTTP) → api → engine → core, adapters → core."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What each package may import of our own code, beside itself. Only `api` puts adapters into
# the engine; adapters see the engine's ports and records, which they implement.
ALLOWED = {
    "controller.core": set(),
    "controller.engine": {"controller.core"},
    "controller.adapters": {
        "controller.core",
        "controller.engine.ports",
        "controller.engine.records",
        "controller.resources",
    },
    "controller.drills": {  # a process of its own, which the controller starts
        "controller.adapters",
        "controller.core",
        "controller.engine.ports",
        "controller.engine.records",
    },
    "controller.report": {"controller.core", "controller.engine.records", "controller.plan_views"},
    "controller.api": {"controller"},
    "controller.client": {"controller.adapters.state_folder", "controller.user"},
    "asr_node": set(),
}
STANDARD_LIBRARY_ONLY = (
    "controller/rollback.py",
    "controller/user.py",
    "controller/rollback_alone.py",
    "controller/adapters/state_folder.py",
    "controller/adapters/routing_switch.py",
    "controller/adapters/unix_socket.py",
    "controller/adapters/files.py",
    "controller/core/errors.py",
)


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("controller", "asr_node"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules()
        if within(module, {package})
        for name in imports(path)
        if within(name, {"controller", "asr_node"})
        and not within(name, ALLOWED[package] | {package})
    ]
    assert wrong == []


@pytest.mark.parametrize("name", STANDARD_LIBRARY_ONLY)
def test_the_rollback_command_needs_only_the_standard_library(name: str) -> None:
    outside = {
        imported
        for imported in imports(ROOT / name)
        if imported.split(".")[0] not in sys.stdlib_module_names
        and not within(imported, {"controller"})
    }
    assert outside == set()


def test_the_nodes_image_gets_every_package_that_the_node_imports() -> None:
    listed = (ROOT / "docker/node.requirements.txt").read_text().splitlines()
    installed = {line for line in listed if not line.startswith("#")} | {
        "starlette",  # fastapi's
        "h11",  # uvicorn's
        "ctranslate2",  # faster-whisper's
    }
    names = {
        name.partition(".")[0]
        for module, path in modules()
        if module.startswith("asr_node")
        for name in imports(path)
    }
    needed = {
        package.lower().replace("_", "-")
        for name in names - sys.stdlib_module_names - {"asr_node", "_typeshed"}  # types only
        for package in packages_distributions()[name]
    }
    assert needed <= installed
