"""The status page: server-rendered, no script, refreshed by the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from controller.api.routes import service_of
from controller.api.service import Service

router = APIRouter(include_in_schema=False)
_STYLESHEET: Final = Path(__file__).resolve().parent.parent / "web" / "static" / "status.css"


def environment() -> Environment:
    return Environment(
        loader=PackageLoader("controller", "web/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@router.get("/")
async def overview(service: Annotated[Service, Depends(service_of)]) -> HTMLResponse:
    value = service.status()
    page = environment().get_template("status.html.j2")
    return HTMLResponse(page.render(value=value, sentence=sentence(value)))


@router.get("/static/status.css")
async def stylesheet() -> FileResponse:
    return FileResponse(_STYLESHEET, media_type="text/css")


def sentence(value: dict[str, Any]) -> str:
    """The state in one sentence, as the page's heading."""
    if value["alarm"]:
        return f"Look at this: {value['alarm']}."
    rollout = value["rollout"]
    if rollout is None or rollout["phase"] in {"promoted", "rolled_back", "aborted"}:
        return f"{value['fleet']['stable']} serves all traffic. Nothing for you to do."
    asks = rollout["consent"] == "required"
    share = "only those who opted in" if asks else f"{rollout['percent']:g} % of the traffic"
    if rollout.get("shadow"):
        share += f" and copies of {rollout['shadow']:g} % of the requests"
    return (
        f"{rollout['version']} has {share}, step "
        f"{rollout['step']} of {len(rollout['steps'])}, {rollout['phase']}."
    )
