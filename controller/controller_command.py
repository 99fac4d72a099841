"""`rollout up`, `down`, `doctor` and `notify`: the controller itself."""

from __future__ import annotations

import logging
from typing import Annotated, Final

import typer

from controller import views
from controller.client import Client, Rejected, Unreachable
from controller.options import (
    DEFAULT_FLEET,
    FAILED,
    FleetFile,
    Json,
    StateDir,
    left_alone,
    message,
    show,
)
from controller.settings import DEFAULT_STATE_DIR, RuntimeChoice, Settings

_DOWN_SECONDS: Final = 120.0


def up(
    fleet: FleetFile = DEFAULT_FLEET,
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
        with left_alone("it goes on in the background; `rollout down` stops it"):
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


def down(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Stop controller, router and all nodes; the state stays."""
    from controller import up as process

    try:
        print(message(Client(state_dir).post("/api/down", {})))
    except Unreachable:
        print(process.clean_up_alone(state_dir))
        return
    if not process.wait_until_gone(state_dir, _DOWN_SECONDS):
        raise Rejected(f"the controller did not end within {_DOWN_SECONDS:g} s")


def doctor(
    fleet: FleetFile = DEFAULT_FLEET,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Say what is missing here, and the command that mends it."""
    from controller.doctor import examine

    findings = examine(Settings(fleet, state_dir))
    show([f.to_dict() for f in findings], as_json, views.doctor)
    raise typer.Exit(FAILED if any(not f.ok for f in findings) else 0)


def notify(
    test: Annotated[bool, typer.Option("--test", help="Send each target a test message.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: Json = False,
) -> None:
    """Try the notifications of fleet.yaml."""
    if not test:
        raise typer.BadParameter("--test sends each target of `notifications` a test message")
    results = Client(state_dir).post("/api/notifications/test", {})
    show(results, as_json, views.notifications)
    raise typer.Exit(FAILED if any(result["problem"] for result in results) else 0)
