"""Batches that go to the backup: through a real nginx, by real sockets."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

import pytest
from router_bench import Bench
from speech_node_fakes import reset

from controller.core.routing import CookieRule, Routing

TO_BACKUP = Routing("v1", batches="backup")


@pytest.fixture
async def fleet(bench: Bench) -> Bench:
    await bench.router.start(bench.membership(v1=2, v2=1, backup=1), TO_BACKUP)
    return bench


async def node_of_a_batch(fleet: Bench, path: str = "/v1/batches") -> str:
    answer = await fleet.client.post(path, content=b"audio" * 1000)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["X-ASR-Node"])


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/batches/", "/v1/batches?model=whisper-1"])
async def test_new_batches_go_to_the_backup(fleet: Bench, path: str) -> None:
    assert await node_of_a_batch(fleet, path) == "backup-1"
    assert fleet.node("backup-1").requests[-1]["path"] == path
    assert fleet.node("backup-1").requests[-1]["bytes"] == 5000


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/batches/x", "/v1/batchesx"])
async def test_nothing_else_does(fleet: Bench, path: str) -> None:
    answer = await fleet.client.post(path, content=b"audio")
    assert answer.headers["X-ASR-Node"] in {"v1-1", "v1-2"}


async def test_a_switch_sends_them_to_stable_and_back_without_a_reload(fleet: Bench) -> None:
    generation = fleet.router.state().generation
    await fleet.router.switch(Routing("v1"))
    assert await node_of_a_batch(fleet) in {"v1-1", "v1-2"}
    await fleet.router.switch(TO_BACKUP)
    assert await node_of_a_batch(fleet) == "backup-1"
    assert fleet.router.state().generation == generation


async def test_a_backup_that_has_just_died_is_replaced_by_stable(fleet: Bench) -> None:
    fleet.node("backup-1").die()
    assert await node_of_a_batch(fleet) in {"v1-1", "v1-2"}


async def test_a_backup_that_dies_over_an_upload_is_replaced_by_stable(fleet: Bench) -> None:
    def die(request: BaseHTTPRequestHandler) -> bool:
        reset(request.connection)
        return True

    fleet.node("backup-1").behave = die
    assert await node_of_a_batch(fleet) in {"v1-1", "v1-2"}


@pytest.mark.parametrize("status", [429, 422, 500, 507])
async def test_what_the_backup_answers_is_the_clients_to_see(fleet: Bench, status: int) -> None:
    node = fleet.node("backup-1")
    node.status, node.body = status, b'{"its": "own"}'
    answer = await fleet.client.post("/v1/batches", content=b"audio")
    assert (answer.status_code, answer.content) == (status, node.body)
    assert fleet.node("v1-1").requests == fleet.node("v1-2").requests == []


async def test_they_go_to_the_backup_also_for_who_opted_in_to_a_canary(fleet: Bench) -> None:
    rules = (CookieRule("beta", "1"),)
    await fleet.router.switch(Routing("v1", "v2", 100, rules=rules, batches="backup"))
    answer = await fleet.client.post("/v1/batches", headers={"Cookie": "beta=1"}, content=b"a")
    assert answer.headers["X-ASR-Node"] == "backup-1"


async def test_a_backup_that_serves_for_stable_takes_them_too(fleet: Bench) -> None:
    await fleet.router.switch(Routing("backup", batches="backup"))
    assert await node_of_a_batch(fleet) == "backup-1"
    assert await fleet.node_of() == "backup-1"


async def test_they_are_logged_apart_from_the_percentage(fleet: Bench) -> None:
    await fleet.client.post("/v1/batches", headers={"X-Request-ID": "mine"}, content=b"a")
    logged = await fleet.logged("mine")
    assert (logged.pool, logged.group, logged.decided_by) == ("backup", "backup", "batches")


async def test_with_nobody_left_a_batch_is_refused_in_openais_shape(fleet: Bench) -> None:
    for node in fleet.nodes.values():
        node.die()
    answer = await fleet.client.post("/v1/batches", content=b"audio")
    assert answer.status_code in {502, 503}
    assert answer.json()["error"]["type"] == "server_error"
    assert "Retry-After" in answer.headers
