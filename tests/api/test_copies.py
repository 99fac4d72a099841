"""What both versions heard of copied requests, over HTTP and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from controller.adapters.store import SqlStore
from controller.api import copies
from controller.api.problems import add_problem_handlers
from controller.copies_command import text
from controller.core.shadow.pair import Heard, counted
from tests.report.reports import promoted_and_rolled_back

KEY = {"Authorization": "Bearer token"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.AsyncClient]:
    store = SqlStore.in_folder(tmp_path)
    record = promoted_and_rolled_back()
    store.save(record.events, None, record.rollout)
    listen(store, record.rollout.id)
    server = FastAPI()
    folder = SimpleNamespace(token=lambda: "token")
    server.state.service = SimpleNamespace(store=store, folder=folder)
    add_problem_handlers(server)
    server.include_router(copies.router)
    yield httpx.AsyncClient(
        transport=httpx.ASGITransport(app=server), base_url="http://127.0.0.1/api/rollouts"
    )
    store.close()


def listen(store: SqlStore, rollout_id: str) -> None:
    texts = {"a": "你好世界", "b": "再见", "c": "请拨打\x1b[2J 10086"}
    for request_id, said in texts.items():
        for node, copy, what in (("v1-1", False, "你好世界"), ("v2-1", True, said)):
            heard = Heard(node, 1, f"{node}-{request_id}", request_id, node[:2], what, copy, 4.0)
            store.shadows.take(rollout_id, node, 1, [heard])
    store.shadows.take_keys(rollout_id, dict.fromkeys(texts, "key1"))
    pairs = store.shadows.uncompared(rollout_id, 10)
    store.shadows.compared(rollout_id, {s.request_id: counted(s, c) for s, c in pairs})


async def test_it_has_the_rates_and_the_worst_pairs(client: httpx.AsyncClient) -> None:
    found = (await client.get("/v2-20261121-1/copies", headers=KEY)).json()
    assert (found["pairs"], found["texts"]["rate"]) == (3, pytest.approx(2 / 3))
    assert {pair["request_id"] for pair in found["worst"]} == {"b", "c"}
    assert found["worst"][0]["stable"] == {
        "node": "v1-1", "entry": f"v1-1-{found['worst'][0]['request_id']}", "text": "你好世界",
    }  # fmt: skip


async def test_texts_of_users_need_the_token_on_loopback_too(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v2-20261121-1/copies")
    assert answer.status_code == 401
    assert "texts of users" in answer.json()["detail"]


async def test_an_unknown_rollout_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/no-such/copies", headers=KEY)).status_code == 404


async def test_the_terminal_shows_them_in_columns_and_takes_no_commands_from_them(
    client: httpx.AsyncClient,
) -> None:
    shown = text((await client.get("/v2-20261121-1/copies", headers=KEY)).json())
    assert "2 of 3" not in shown
    assert "66.7 % of the texts differ" in shown
    assert "#digits" in shown
    assert "\x1b" not in shown
    assert "v1           你" in shown
