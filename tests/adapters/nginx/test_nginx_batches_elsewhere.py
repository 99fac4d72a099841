"""A batch whose node the router does not know: through a real nginx, asked of the controller."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import FastAPI
from router_bench import Bench

from controller.adapters.api_keys import NO_KEYS, ApiKeys
from controller.adapters.batch_folder import BatchFolder
from controller.api.batches import BatchDesk, add_batches
from controller.api.spool_server import serving
from controller.core.routing import Routing

HEX = "0123456789abcdef" * 2
KEY = "a key of sixteen or more"


def an_id(node: str) -> str:
    return f"batch_{node}_{HEX}"


@dataclass
class Controller:
    """What it knows of nodes that are in no list of the router's."""

    results: BatchFolder
    addresses: dict[str, str] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    keys: ApiKeys = NO_KEYS

    def app(self) -> FastAPI:
        app = FastAPI()
        desk = BatchDesk(
            self.keys, self.results, self.addresses.get, lambda name: name in self.expected
        )
        add_batches(app, desk)
        return app


@pytest.fixture
def results(tmp_path: Path) -> BatchFolder:
    return BatchFolder(tmp_path / "batches", lambda: datetime.datetime.now(datetime.UTC))


@pytest.fixture
async def controller(bench: Bench, results: BatchFolder) -> AsyncIterator[Controller]:
    made = Controller(results)
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    async with serving(made.app(), bench.router.spool_socket):
        yield made


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("GET", "/events")])
async def test_a_node_that_works_off_its_last_batches_is_asked_for_them(
    bench: Bench, controller: Controller, method: str, tail: str
) -> None:
    controller.addresses["v0-1"] = bench.node("v0-1").endpoint.address
    answer = await bench.client.request(method, f"/v1/batches/{an_id('v0-1')}{tail}")
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (200, "v0-1")
    assert bench.node("v0-1").requests[-1]["path"] == f"/v1/batches/{an_id('v0-1')}{tail}"


async def test_what_a_node_heard_before_it_went_is_told_without_it(
    bench: Bench, controller: Controller
) -> None:
    view = {"id": an_id("v0-1"), "node": "v0-1", "files": [{"text": "喂"}]}
    controller.results.keep(view)
    answer = await bench.client.get(f"/v1/batches/{an_id('v0-1')}")
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (200, "v0-1")
    assert answer.json() == view


async def test_a_batch_whose_node_starts_again_is_not_said_to_be_lost(
    bench: Bench, controller: Controller
) -> None:
    controller.expected.add("v0-1")
    answer = await bench.client.get(f"/v1/batches/{an_id('v0-1')}")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_node_that_does_not_answer_is_asked_again_later(
    bench: Bench, controller: Controller
) -> None:
    controller.addresses["v0-1"] = bench.node("v0-1").endpoint.address
    bench.node("v0-1").die()
    assert (await bench.client.get(f"/v1/batches/{an_id('v0-1')}")).status_code == 503


async def test_a_batch_that_nobody_knows_is_said_in_openais_shape(
    bench: Bench, controller: Controller
) -> None:
    answer = await bench.client.get(f"/v1/batches/{an_id('v0-1')}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "batch_not_found"


async def test_nobody_gets_a_result_whom_nodes_would_refuse(
    bench: Bench, results: BatchFolder, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\n")
    results.keep({"id": an_id("v0-1"), "node": "v0-1"})
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    app = Controller(results, keys=ApiKeys(tmp_path / "keys")).app()
    async with serving(app, bench.router.spool_socket):
        path = f"/v1/batches/{an_id('v0-1')}"
        refused = await bench.client.get(path, headers={"Authorization": "Bearer another"})
        taken = await bench.client.get(path, headers={"Authorization": f"Bearer {KEY}"})
    assert (refused.status_code, taken.status_code) == (401, 200)
