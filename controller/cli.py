"""The command line: fills in options, asks the controller, prints what it said."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from controller import plan_views, report_command, views
from controller.client import Client, Rejected, Unreachable
from controller.copies_command import copies
from controller.core.errors import ControllerError
from controller.drill_command import drill_app
from controller.options import Json, StateDir
from controller.options import message as _message
from controller.options import show as _show
from controller.report_command import ReportFormat
from controller.review_command import eval_set_app, review_app
from controller.settings import DEFAULT_STATE_DIR, RuntimeChoice, Settings

FAILED, VERDICT_FAIL, VERDICT_INCONCLUSIVE, UNREACHABLE = 1, 3, 4, 5
_DOWN_SECONDS: Final = 120.0

app = typer.Typer(
    help="Canary rollout and failover of FunASR nodes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
versions_app = typer.Typer(help="Versions: immutable bundles of model and options.")
plan_app = typer.Typer(help="Plans: the steps and gates of a rollout.", no_args_is_help=True)
app.add_typer(versions_app, name="versions")
app.add_typer(plan_app, name="plan")
app.add_typer(review_app, name="review")
app.command()(copies)
app.add_typer(eval_set_app, name="eval-set")
app.add_typer(drill_app, name="drill")


def main() -> None:
    """Run a command; errors become one line and an exit status."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that has no → shows a ?
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except Unreachable as error:
        _end(str(error), UNREACHABLE)
    except (Rejected, ControllerError) as error:
        _end(str(error), FAILED)


def _end(message: str, status: int) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": message}, ensure_ascii=False))
    else:
        print(f"rollout: {message}", file=sys.stderr)
    sys.exit(status)


@app.command()
def up(
    fleet: Annotated[Path, typer.Option(help="The fleet's file.")] = Path("fleet.yaml"),
    runtime: Annotated[
        str | None, typer.Option(help="docker or process; else as in the file.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    host: Annotated[str, typer.Option(help="Where the API listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The API's port.", min=1, max=65535)] = 8090,
    detached: Annotated[bool, typer.Option("--detach", help="In the background.")] = False,
) -> None:
    """Run controller, router and fleet; Ctrl-C stops them."""
    from controller import up as process  # imports the whole engine, which no other command needs

    settings = Settings(fleet, state_dir, _runtime(runtime), host, port)
    if detached:
        with _left_alone("it goes on in the background; `rollout down` stops it"):
            url = process.detach(_up_arguments(settings), state_dir)
        print(f"the controller runs in the background: {url} (`rollout down` stops it)")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for noisy in ("apscheduler", "httpx", "alembic"):  # a late round is no news
        logging.getLogger(noisy).setLevel(logging.ERROR)
    process.serve(settings)


def _runtime(value: str | None) -> RuntimeChoice | None:
    match value:
        case None | "auto" | "docker" | "process":
            return value
        case _:
            raise typer.BadParameter(f"{value!r}: expected docker, process or auto")


def _up_arguments(settings: Settings) -> list[str]:
    arguments = ["--fleet", str(settings.fleet_path), "--state-dir", str(settings.state_dir)]
    arguments += ["--host", settings.host, "--port", str(settings.port)]
    return arguments + (["--runtime", settings.runtime] if settings.runtime else [])


@app.command()
def down(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Stop controller, router and all nodes; the state stays."""
    from controller import up as process

    try:
        print(_message(Client(state_dir).post("/api/down", {})))
    except Unreachable:
        print(process.clean_up_alone(state_dir))
        return
    if not process.wait_until_gone(state_dir, _DOWN_SECONDS):
        raise Rejected(f"the controller did not end within {_DOWN_SECONDS:g} s")


@app.command()
def doctor(
    fleet: Annotated[Path, typer.Option(help="The fleet's file.")] = Path("fleet.yaml"),
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Say what is missing here, and the command that mends it."""
    from controller.doctor import examine

    findings = examine(Settings(fleet, state_dir))
    _show([f.to_dict() for f in findings], as_json, views.doctor)
    raise typer.Exit(FAILED if any(not f.ok for f in findings) else 0)


@versions_app.callback(invoke_without_command=True)
def versions(
    context: typer.Context, state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False
) -> None:
    """List the versions."""
    if context.invoked_subcommand is None:
        _show(Client(state_dir).get("/api/versions"), as_json, views.versions)


@versions_app.command("add")
def add_version(
    name: str,
    model: Annotated[str, typer.Option(help="A folder, or a hub id such as iic/SenseVoiceSmall.")],
    revision: Annotated[str | None, typer.Option()] = None,
    vad_model: Annotated[str | None, typer.Option()] = None,
    punc_model: Annotated[str | None, typer.Option()] = None,
    language: Annotated[str, typer.Option()] = "auto",
    itn: Annotated[bool, typer.Option(help="Numbers as digits.")] = True,
    image: Annotated[str | None, typer.Option(help="Docker image of its nodes.")] = None,
    engine: Annotated[str, typer.Option(help="funasr or faster-whisper.")] = "funasr",
    hotword: Annotated[
        list[str] | None, typer.Option(help="A word to expect; may be given again.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Add a version under a new name."""
    looks_local = "/" in model and Path(model).parent.is_dir()
    body = {
        "name": name,
        "model": str(Path(model).absolute()) if looks_local or Path(model).is_dir() else model,
        "revision": revision,
        "vad_model": vad_model,
        "punc_model": punc_model,
        "language": language,
        "itn": itn,
        "image": image,
        "engine": engine,
        "hotwords": hotword or [],
    }
    _show(Client(state_dir).post("/api/versions", body), as_json, _message)


@app.command()
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
    body = {"version": version, "plan": _plan(plan), "percent": percent, "force": force}
    client = Client(state_dir)
    _show(client.post("/api/rollouts", body), as_json, _message)
    if watch:
        with _left_alone("the rollout goes on; `rollout status` shows it, `rollout abort` ends it"):
            _follow(client)


def _plan(name: str) -> str:
    """A path is the caller's: the controller may run in another folder."""
    return str(Path(name).absolute()) if "/" in name or name.endswith((".yaml", ".yml")) else name


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


@app.command()
def promote(
    full: Annotated[bool, typer.Option("--full", help="All the way.")] = False,
    force: Annotated[bool, typer.Option(help="Also while the plan freezes changes.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """On to the next step."""
    answer = Client(state_dir).post("/api/rollouts/current/promote", {"full": full, "force": force})
    _show(answer, as_json, _message)


def _steering(command: str, help_text: str) -> None:
    @app.command(command, help=help_text)
    def steer(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
        answer = Client(state_dir).post(f"/api/rollouts/current/{command}", {})
        _show(answer, as_json, _message)


_steering("pause", "Stay at this step.")
_steering("resume", "Go on after a pause.")
_steering("retry", "Measure the gates of this step again.")
_steering("abort", "End the rollout on the old version.")


@app.command()
def status(
    watch: Annotated[bool, typer.Option(help="Again and again.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Show router, pools and rollout."""
    client = Client(state_dir)
    if not watch:
        _show(client.get("/api/status"), as_json, views.status)
        return
    views.watch(lambda: client.get("/api/status"), as_json)


@app.command()
def history(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """List the rollouts, newest first."""
    _show(Client(state_dir).get("/api/rollouts"), as_json, views.history)


@app.command()
def report(
    rollout: Annotated[str | None, typer.Argument(help="Its id; the newest without.")] = None,
    form: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="Else by the ending of --output, or markdown."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write it into this file.")] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """All that happened in a rollout, who did it, and on which numbers."""
    form = ReportFormat.json if as_json else form or ReportFormat.of(output)
    text = report_command.fetch(state_dir, rollout, form)
    if output is None:
        print(text)
        return
    report_command.write(output, text)
    print(f"the report is in {output}")


@app.command()
def events(
    follow: Annotated[bool, typer.Option(help="Go on with those that come.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Show the audit: who, when, what, why."""
    client = Client(state_dir)
    found = client.get("/api/events", limit=50)
    while True:
        if found or not follow:
            _show(found, as_json, views.events)
        if not follow:
            return
        last = found[-1]["id"] if found else locals().get("last", 0)
        time.sleep(0.5)
        found = client.get("/api/events", after=last)


@app.command()
def notify(
    test: Annotated[bool, typer.Option("--test", help="Send each target a test message.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Try the notifications of fleet.yaml."""
    if not test:
        raise typer.BadParameter("--test sends each target of `notifications` a test message")
    results = Client(state_dir).post("/api/notifications/test", {})
    _show(results, as_json, views.notifications)
    raise typer.Exit(FAILED if any(result["problem"] for result in results) else 0)


@app.command()
def evaluate(
    version: str,
    other: Annotated[str | None, typer.Argument(help="Compared with the first.")] = None,
    eval_set: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Transcribe eval sets with one or two versions, and compare their error rates."""
    if not eval_set:
        raise typer.BadParameter("name at least one with --eval-set")
    client = Client(state_dir)
    body = {"versions": [v for v in (version, other) if v], "eval_sets": eval_set}
    number = client.post("/api/evaluations", body)["id"]
    with _left_alone("it goes on in the controller; give the command again to see the result"):
        result = _evaluated(client, number)
    if result["state"] == "failed":
        raise Rejected(f"the evaluation failed: {result['reason']}")
    _show(result, as_json, views.evaluation)


def _evaluated(client: Client, number: int) -> dict[str, Any]:
    """When it has ended."""
    while True:
        result: dict[str, Any] = client.get(f"/api/evaluations/{number}")
        if result["state"] != "running":
            return result
        if sys.stderr.isatty():
            print(f"\r{result['progress']:<70}", end="", file=sys.stderr, flush=True)
        time.sleep(0.3)


@contextlib.contextmanager
def _left_alone(what_holds: str) -> Iterator[None]:
    """Ctrl-C ends only the waiting for what the controller does."""
    try:
        yield
    except KeyboardInterrupt:
        raise Rejected(f"not waited for: {what_holds}") from None


@plan_app.command("check")
def check_plan(
    plan: str,
    fleet: Annotated[Path, typer.Option(help="The fleet's file.")] = Path("fleet.yaml"),
    as_json: Json = False,
) -> None:
    """Explain a plan in words, or say what is wrong with it."""
    from controller.plan_command import check

    found = check(_plan(plan), fleet)
    _show(found, False, plan_views.plan) if not as_json else print(plan_views.plan_json(found))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    main()
