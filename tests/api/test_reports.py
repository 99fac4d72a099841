"""Reports and single rollouts over HTTP, from a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from controller.adapters.store import SqlStore
from controller.api import routes
from controller.api.access import access_check
from controller.api.problems import add_problem_handlers
from controller.cli import app
from controller.client import Unreachable
from controller.report import content_policy
from controller.report_command import ReportFormat
from tests.report.reports import VERSIONS, promoted_and_rolled_back


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.AsyncClient]:
    store = SqlStore.in_folder(tmp_path)
    record = promoted_and_rolled_back()
    store.save(record.events, None, record.rollout)
    for version in VERSIONS.values():
        store.save_version(version, version.name[1] * 64, record.events[0])
    server = FastAPI()
    server.state.service = SimpleNamespace(store=store)
    server.middleware("http")(access_check("token", "127.0.0.1"))
    add_problem_handlers(server)
    server.include_router(routes.router)
    yield httpx.AsyncClient(
        transport=httpx.ASGITransport(app=server), base_url="http://127.0.0.1/api/rollouts"
    )
    store.close()


async def test_a_rollout_is_found_by_its_id_and_names_its_report(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/v2-20261121-1")).json()
    assert (answer["version"], answer["phase"]) == ("v2", "rolled_back")
    assert answer["report"] == "/api/rollouts/v2-20261121-1/report"


async def test_the_report_is_markdown_unless_another_format_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v2-20261121-1/report")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "## Gates at step 1 (5 %)" in answer.text


async def test_the_page_comes_with_the_policy_that_lets_its_own_style_work(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v2-20261121-1/report", params={"format": "html"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith(content_policy())
    assert "v2 was rolled back to v1" in answer.text


async def test_the_data_has_versions_with_digests_and_the_verdicts_of_each_step(
    client: httpx.AsyncClient,
) -> None:
    data = (await client.get("/v2-20261121-1/report", params={"format": "json"})).json()
    assert [version["digest"] for version in data["versions"]] == ["1" * 64, "2" * 64]
    assert [judgement["step"] for judgement in data["judgements"]] == [1, 2, 2]


async def test_an_unknown_rollout_and_format_are_refused_by_name(client: httpx.AsyncClient) -> None:
    unknown = await client.get("/v9/report")
    assert (unknown.status_code, unknown.json()["title"]) == (404, "NotFound")
    assert (await client.get("/v9")).status_code == 404
    assert (await client.get("/v2-20261121-1/report?format=pdf")).status_code == 422


@pytest.mark.parametrize(
    ("output", "form"),
    [(None, "markdown"), ("r.md", "markdown"), ("r.HTML", "html"), ("r.json", "json")],
)
def test_the_command_takes_the_format_from_the_file_s_ending(output: str | None, form: str) -> None:
    assert ReportFormat.of(Path(output) if output else None) == form


def test_an_ending_that_names_no_format_is_refused_unless_one_is_given(tmp_path: Path) -> None:
    SqlStore.in_folder(tmp_path).close()
    arguments = ["report", "--state-dir", str(tmp_path), "--output", str(tmp_path / "report.pdf")]
    refused = CliRunner().invoke(app, arguments).exception
    assert ".md, .html or .json" in str(refused)
    asked = CliRunner().invoke(app, [*arguments, "--format", "html"]).exception
    assert "no rollout yet" in str(asked)


def test_the_command_reads_the_state_folder_where_no_controller_runs(tmp_path: Path) -> None:
    store = SqlStore.in_folder(tmp_path)
    record = promoted_and_rolled_back()
    store.save(record.events, None, record.rollout)
    store.close()
    page = tmp_path / "report.html"
    arguments = ["report", "--state-dir", str(tmp_path), "--output", str(page)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "v2 was rolled back to v1" in page.read_text(encoding="utf-8")


def test_history_and_audit_are_read_in_the_state_folder_where_no_controller_runs(
    tmp_path: Path,
) -> None:
    store = SqlStore.in_folder(tmp_path)
    record = promoted_and_rolled_back()
    store.save(record.events, None, record.rollout)
    store.close()
    history = CliRunner().invoke(app, ["history", "--state-dir", str(tmp_path)])
    assert record.rollout.id in history.output
    audit = CliRunner().invoke(app, ["events", "--state-dir", str(tmp_path), "--json"])
    assert len(json.loads(audit.output)) == len(record.events)
    followed = CliRunner().invoke(app, ["events", "--follow", "--state-dir", str(tmp_path)])
    assert isinstance(followed.exception, Unreachable)


def test_what_waits_for_the_next_controller_is_told_beside_what_is_recorded(
    tmp_path: Path,
) -> None:
    store = SqlStore.in_folder(tmp_path)
    store.add_intent("rollback", {"to": None, "force": False}, "ann")
    store.close()
    history = CliRunner().invoke(app, ["history", "--state-dir", str(tmp_path)])
    assert "a rollback of" in history.stderr
    assert "by ann is not in this yet" in history.stderr


def test_without_a_controller_and_a_state_folder_nothing_answers(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", "--state-dir", str(tmp_path / "none")])
    assert isinstance(result.exception, Unreachable)
