"""What clients get where no node can serve, through a real nginx and the real spool."""

from __future__ import annotations

import asyncio
import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from router_bench import Bench
from speech_node_fakes import reset
from spool_desk import ASYNC, PATH, TO_V1, Desk, start_dead, utc_now

from controller.adapters.api_keys import ApiKeys
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.nginx.router_log import RouterLog
from controller.adapters.nginx.settings import RouterSettings
from controller.core.routing import Membership, Routing
from controller.core.spool import SpoolLimits, SpoolWhen


async def test_a_request_that_asks_for_it_is_answered_when_a_node_is_back(
    bench: Bench, desk: Desk
) -> None:
    await start_dead(bench, v1=2, backup=1)
    body = b"0123456789" * 300_000
    accepted = await bench.client.post(
        f"{PATH}?a=b", content=body, headers=ASYNC | {"Content-Type": "audio/x-own"}
    )
    assert accepted.status_code == 202, accepted.text
    assert accepted.headers["Preference-Applied"] == "respond-async"
    assert accepted.headers["X-ASR-Node"] == "router"
    place = accepted.headers["Location"]
    waiting = await bench.client.get(place)
    assert (waiting.status_code, waiting.json()["status"]) == (202, "waiting")
    assert int(waiting.headers["Retry-After"]) > 0
    [entry] = desk.folder.waiting()
    assert await asyncio.to_thread(desk.folder.body(entry).read_bytes) == body
    node = bench.node("v1-3")
    node.headers = {"Content-Type": "text/vtt; charset=utf-8"}
    node.body = "WEBVTT\n\n你好".encode()
    await desk.transcribe(bench, "v1-3")
    [heard] = node.requests
    assert (heard["path"], heard["bytes"]) == (f"{PATH}?a=b", len(body))
    assert heard["headers"]["Content-Type"] == "audio/x-own"
    result = await bench.client.get(place)
    assert (result.status_code, result.content) == (200, node.body)
    assert result.headers["Content-Type"] == "text/vtt; charset=utf-8"
    assert result.headers.get_list("X-ASR-Node") == ["v1-3"]
    assert result.headers.get_list("X-ASR-Version") == ["v1"]


async def test_without_any_node_it_is_kept_too(bench: Bench, desk: Desk) -> None:
    await bench.router.start(Membership(), TO_V1)
    accepted = await bench.client.post(PATH, content=b"x" * 2_000_000, headers=ASYNC)
    assert accepted.status_code == 202
    [entry] = desk.folder.waiting()
    assert entry.size == 2_000_000


@pytest.mark.parametrize("routing", [TO_V1, Routing("v1", "v2", 100)])
async def test_a_body_that_a_node_has_had_before_it_died_is_kept_whole(
    bench: Bench, desk: Desk, routing: Routing
) -> None:
    await bench.router.start(bench.membership(v1=1, v2=1), routing)

    def die(request: BaseHTTPRequestHandler) -> bool:
        reset(request.connection)
        return True

    for node in bench.nodes.values():
        node.behave = die
    body = b"0123456789" * 300_000
    accepted = await bench.client.post(PATH, content=body, headers=ASYNC)
    assert accepted.status_code == 202
    assert bench.node("v1-1").requests[-1]["bytes"] == len(body)
    [entry] = desk.folder.waiting()
    assert await asyncio.to_thread(desk.folder.body(entry).read_bytes) == body


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_nodes_that_say_that_they_cannot_are_none(
    bench: Bench, desk: Desk, status: int
) -> None:
    await bench.router.start(bench.membership(v1=2), TO_V1)
    for node in bench.nodes.values():
        node.status = status
    accepted = await bench.client.post(PATH, content=b"audio", headers=ASYNC)
    assert accepted.status_code == 202


@pytest.mark.parametrize("status", [200, 400, 422, 429, 500])
async def test_a_nodes_answer_is_the_answer(bench: Bench, desk: Desk, status: int) -> None:
    await bench.router.start(bench.membership(v1=1), TO_V1)
    bench.node("v1-1").status = status
    bench.node("v1-1").body = b'{"its": "own"}'
    answer = await bench.client.post(PATH, content=b"audio", headers=ASYNC)
    assert (answer.status_code, answer.content) == (status, b'{"its": "own"}')
    assert desk.folder.waiting() == []


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", PATH, {}),
        ("POST", PATH, {"Prefer": "respond-asynchronously, handling=strict"}),
        ("POST", "/v1/batches", ASYNC),
        ("GET", "/v1/models", ASYNC),
    ],
)
async def test_everyone_else_is_told_to_come_again(
    bench: Bench, desk: Desk, method: str, path: str, headers: dict[str, str]
) -> None:
    await start_dead(bench, v1=1)
    answer = await bench.client.request(method, path, content=b"audio", headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"]["code"] == "unavailable"
    assert desk.folder.waiting() == []


@pytest.mark.parametrize("prefer", ["Respond-Async", "wait=10, respond-async", "respond-async;x=1"])
async def test_the_preference_is_read_as_the_rfc_has_it(
    bench: Bench, desk: Desk, prefer: str
) -> None:
    await start_dead(bench, v1=1)
    answer = await bench.client.post(PATH, content=b"audio", headers={"Prefer": prefer})
    assert answer.status_code == 202


async def test_a_dead_controller_is_a_plain_503(bench: Bench, desk: Desk) -> None:
    await start_dead(bench, v1=1)
    place = (await bench.client.post(PATH, content=b"audio", headers=ASYNC)).headers["Location"]
    await desk.close()
    for answer in [
        await bench.client.post(PATH, content=b"x" * 2_000_000, headers=ASYNC),
        await bench.client.get(place),
    ]:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["error"]["code"] == "unavailable"
    await desk.open()
    assert (await bench.client.get(place)).status_code == 202


async def test_where_there_is_no_room_the_client_is_told_so(bench: Bench, desk: Desk) -> None:
    await desk.close()
    desk.limits = SpoolLimits(max_entries=1)
    await desk.open()
    await start_dead(bench, v1=1)
    assert (await bench.client.post(PATH, content=b"1", headers=ASYNC)).status_code == 202
    full = await bench.client.post(PATH, content=b"2", headers=ASYNC)
    assert (full.status_code, full.headers["Retry-After"]) == (503, "5")
    assert full.json()["error"]["code"] == "spool_full"
    assert desk.folder.counts["refused"] == 1


async def test_one_client_leaves_room_to_others_whatever_it_claims_to_be(
    bench: Bench, desk: Desk
) -> None:
    await desk.close()
    desk.limits = SpoolLimits(max_entries=2, client_percent=50)
    await desk.open()
    await start_dead(bench, v1=1)  # behind a trusted proxy, which adds whom it saw

    async def ask(claimed: str) -> str:
        headers = ASYNC | {"X-Forwarded-For": claimed}
        answer = await bench.client.post(PATH, content=b"1", headers=headers)
        return answer.json().get("error", {}).get("message", "kept")

    assert await ask("10.0.0.1") == "kept"
    assert "1 of yours wait already" in await ask("192.0.2.7, 10.0.0.1")
    assert await ask("10.0.0.2") == "kept"


async def test_who_has_fetched_a_result_may_delete_it(bench: Bench, desk: Desk) -> None:
    await start_dead(bench, v1=2)
    places = [
        (await bench.client.post(PATH, content=b"1", headers=ASYNC)).headers["Location"]
        for _ in range(2)
    ]
    assert (await bench.client.delete(places[1])).status_code == 204  # it waits no more
    await desk.transcribe(bench, "v1-3")
    assert (await bench.client.get(places[0])).status_code == 200
    assert (await bench.client.delete(places[0])).status_code == 204
    for place in places:
        assert (await bench.client.get(place)).status_code == 404
        assert (await bench.client.delete(place)).status_code == 404
    assert list(desk.folder.path.glob("0*")) == []
    assert len(bench.node("v1-3").requests) == 1


async def test_an_unknown_result_is_not_found(bench: Bench, desk: Desk) -> None:
    await bench.router.start(Membership(), TO_V1)
    for path in ("/v1/spool/unknown", f"/v1/spool/{'a' * 43}"):
        answer = await bench.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path


async def test_what_expired_says_so(bench: Bench, desk: Desk) -> None:
    await desk.close()
    desk.limits = SpoolLimits(max_age_seconds=1)
    await desk.open()
    await start_dead(bench, v1=1)
    accepted = await bench.client.post(PATH, content=b"1", headers=ASYNC)
    begun, ends = (
        datetime.datetime.fromisoformat(accepted.json()[key])
        for key in ("accepted_at", "expires_at")
    )
    assert ends - begun == datetime.timedelta(seconds=1)
    while utc_now() < ends:
        await asyncio.sleep(0.01)
    desk.folder.sweep()
    gone = await bench.client.get(accepted.headers["Location"])
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "expired")


async def test_the_socket_gives_access_to_nothing_else(bench: Bench, desk: Desk) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(bench.router.spool_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://spool") as client:
        for path in ("/", "/api/status", "/docs", "/openapi.json", "/metrics", "/v1/spool/"):
            assert (await client.get(path)).status_code == 404, path
        assert (await client.post("/api/rollouts")).status_code == 404
    assert bench.router.spool_socket.stat().st_mode & 0o077 == 0


async def test_nobody_gets_what_nodes_would_refuse(
    bench: Bench, desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("the controller's own key\nthe key of ann-0001\n" + "b" * 16)
    await desk.close()
    desk.keys = ApiKeys(tmp_path / "keys")
    await desk.open()
    await start_dead(bench, v1=1)
    ann = {"Authorization": "Bearer the key of ann-0001"}
    bob = {"Authorization": f"Bearer {'b' * 16}"}
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        refused = await bench.client.post(PATH, content=b"1", headers=ASYNC | headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    accepted = await bench.client.post(PATH, content=b"1", headers=ASYNC | ann)
    place = accepted.headers["Location"]
    answers = {name: await bench.client.get(place, headers=h) for name, h in
               {"ann": ann, "bob": bob, "nobody": {}}.items()}  # fmt: skip
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert statuses == {"ann": 202, "bob": 404, "nobody": 401}
    assert (await bench.client.delete(place, headers=bob)).status_code == 404
    assert (await bench.client.get(place, headers=ann)).status_code == 202
    stored = b"".join(p.read_bytes() for p in (tmp_path / "spool").rglob("*") if p.is_file())
    assert b"ann-0001" not in stored


async def test_the_address_of_a_result_is_in_no_log(bench: Bench, desk: Desk) -> None:
    await start_dead(bench, v1=1)
    place = (await bench.client.post(PATH, content=b"1", headers=ASYNC)).headers["Location"]
    answers = [await bench.client.get(place)]
    answers.append(await bench.client.request("GET", place, content=b"x" * 5000))
    await desk.close()
    answers.append(await bench.client.get(place))
    await bench.client.get("/v1/models", headers={"X-Request-ID": "the-last"})
    await bench.logged("the-last")
    assert [answer.status_code for answer in answers] == [202, 413, 503]
    assert [answer.json()["error"]["code"] for answer in answers[1:]] == [
        "request_too_large",
        "unavailable",
    ]
    for log in (bench.router.access_log, bench.router.access_log.with_name("error.log")):
        assert place not in await asyncio.to_thread(log.read_text), log


class TestOfAFleetThatKeepsEverything:
    @pytest.fixture
    def settings(self, settings: RouterSettings) -> RouterSettings:
        return RouterSettings(settings.run_dir, port=settings.port, spool_when=SpoolWhen.ALWAYS)

    async def test_nobody_has_to_ask(self, bench: Bench, desk: Desk) -> None:
        await desk.close()
        desk.limits = SpoolLimits(SpoolWhen.ALWAYS)
        await desk.open()
        await start_dead(bench, v1=1)
        accepted = await bench.client.post(PATH, content=b"audio")
        assert accepted.status_code == 202
        assert "Preference-Applied" not in accepted.headers


class TestOfAFleetThatKeepsNothing:
    @pytest.fixture
    def settings(self, settings: RouterSettings) -> RouterSettings:
        return RouterSettings(settings.run_dir, port=settings.port, spool_when=SpoolWhen.NEVER)

    async def test_who_asks_gets_503_too(self, bench: Bench, desk: Desk) -> None:
        await start_dead(bench, v1=1)
        answer = await bench.client.post(PATH, content=b"audio", headers=ASYNC)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_long_path_has_its_sockets_together(tmp_path: Path) -> None:
    run_dir = tmp_path / ("long" * 30)
    router = NginxRouter(RouterSettings(run_dir), ProcessLauncher(run_dir))
    assert router.spool_socket.name == "spool.sock"
    assert len(str(router.spool_socket)) < 100


async def test_what_was_kept_counts_as_no_nodes_answer(bench: Bench, desk: Desk) -> None:
    await start_dead(bench, v1=1)
    address = bench.node("v1-1").endpoint.address
    headers = ASYNC | {"X-Request-ID": "kept"}
    assert (await bench.client.post(PATH, content=b"audio", headers=headers)).status_code == 202
    await bench.logged("kept")
    log = RouterLog(bench.router.access_log)
    log.resume(f"{bench.router.access_log.stat().st_ino}:0")
    [served] = log.read()
    assert (served.status, served.attempts) == (202, ((address, 502),))
