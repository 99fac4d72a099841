"""`rollout versions …`: which there are, and a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controller import views
from controller.client import Client
from controller.options import Json, StateDir, message, show
from controller.settings import DEFAULT_STATE_DIR

versions_app = typer.Typer(help="Versions: immutable bundles of model and options.")


@versions_app.callback(invoke_without_command=True)
def versions(
    context: typer.Context, state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False
) -> None:
    """List the versions."""
    if context.invoked_subcommand is None:
        show(Client(state_dir).get("/api/versions"), as_json, views.versions)


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
    show(Client(state_dir).post("/api/versions", body), as_json, message)
