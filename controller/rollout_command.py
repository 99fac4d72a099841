"""`rollout start`, `promote`, `pause`, `resume`, `retry` and `abort`: a rollout is steered."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from controller import views
from controller.client import Client
from controller.options import (
    FAILED,
    VERDICT_FAIL,
    VERDICT_INCONCLUSIVE,
    Json,
    StateDir,
    left_alone,
    message,
    plan_path,
    show,
)
from controller.settings import DEFAULT_STATE_DIR


def start(
    version: str,
    percent: Annotated[float | None, typer.Option(help="Share of the first step.")] = None,
    plan: Annotated[str, typer.Option(help="Name or path of the plan.")] = "default",
    watch: Annotated[bool, typer.Option(help="Follow it to its end or to a question.")] = False,
    force: Annotated[bool, typer.Option(help="Also a version marked bad, or in a freeze.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Begin a rollout."""
    if percent is not None and not (math.isfinite(percent) and 0 < percent <= 100):
        raise typer.BadParameter(f"--percent {percent:g}: expected more than 0, at most 100")
    body = {"version": version, "plan": plan_path(plan), "percent": percent, "force": force}
    client = Client(state_dir)
    show(client.post("/api/rollouts", body), as_json, message)
    if watch:
        with left_alone("the rollout goes on; `rollout status` shows it, `rollout abort` ends it"):
            _follow(client)


def _follow(client: Client) -> None:
    """Print every change of the rollout; exit by its verdict when it ends or waits."""
    shown = ""
    while True:
        rollout = client.get("/api/status")["rollout"]
        line = views.rollout_line(rollout)
        if line != shown:
            print(line, flush=True)
            shown = line
        if rollout["phase"] not in {"preparing", "holding"}:
            break
        time.sleep(0.5)
    raise typer.Exit(verdict_status(rollout))


def verdict_status(rollout: dict[str, Any]) -> int:
    """0 where nothing stopped it, else the exit status of the worst verdict that did."""
    if rollout["phase"] == "promoted":
        return 0
    stopping = {v["verdict"] for v in rollout["verdicts"] if v["consequence"] != "continue"}
    if "fail" in stopping:
        return VERDICT_FAIL
    if rollout["phase"] in {"rolled_back", "aborted"}:
        return FAILED
    unmeasured = rollout["gates"] and not rollout["verdicts"]
    undecided = "inconclusive" in stopping or unmeasured or rollout["phase"] == "paused"
    return VERDICT_INCONCLUSIVE if undecided else 0


def promote(
    full: Annotated[bool, typer.Option("--full", help="All the way.")] = False,
    force: Annotated[bool, typer.Option(help="Also while the plan freezes changes.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """On to the next step."""
    answer = Client(state_dir).post("/api/rollouts/current/promote", {"full": full, "force": force})
    show(answer, as_json, message)


def pause(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """Stay at this step."""
    _steer("pause", state_dir, as_json)


def resume(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """Go on after a pause."""
    _steer("resume", state_dir, as_json)


def retry(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """Measure the gates of this step again."""
    _steer("retry", state_dir, as_json)


def abort(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """End the rollout on the old version."""
    _steer("abort", state_dir, as_json)


def _steer(command: str, state_dir: Path, as_json: bool) -> None:
    show(Client(state_dir).post(f"/api/rollouts/current/{command}", {}), as_json, message)
