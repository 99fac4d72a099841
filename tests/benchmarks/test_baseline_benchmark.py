"""What the benchmark of baselines simulates."""

from __future__ import annotations

import json

import pytest

from benchmarks.baseline import main, simulate


def test_a_canary_that_is_worse_is_found_with_either_and_sooner_with_stable() -> None:
    stable, baseline = (
        simulate(4000, "+2 % errors", against, 8, seed=4, requests=30_000)
        for against in ("stable", "baseline")
    )
    assert min(stable.rolled_back, baseline.rolled_back) > 0.5
    assert stable.requests is not None
    assert baseline.requests is not None
    assert stable.requests < baseline.requests


def test_it_ends_with_one_line_of_json_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--rollouts", "1", "--requests", "120"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status, found["false_rollback_rate"]) == (0, 0.0)
    assert len(found["rows"]) == 12
