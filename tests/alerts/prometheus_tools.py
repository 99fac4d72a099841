"""Debian's Prometheus, for the tests that ask the real one."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`. Skips with a word where it is not installed;
    REQUIRE_PROMETHEUS=1 makes its absence a failure."""
    path = shutil.which(name)
    if path is None:
        absent = f"{name} is not installed: apt-get install prometheus"
        if os.environ.get("REQUIRE_PROMETHEUS") == "1":
            pytest.fail(absent)
        pytest.skip(absent)
    return path


def promtool(*arguments: str, given: str | None = None) -> str:
    """What it prints. Fails where it finds something wrong."""
    command = [tool("promtool"), *arguments]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
