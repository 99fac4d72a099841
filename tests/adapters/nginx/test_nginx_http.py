"""What passes through the router, and what it says itself."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator

import pytest
import websockets
from router_bench import Bench

from controller.core.routing import Endpoint, Group, Membership, Routing

MIB = 1024 * 1024


@pytest.fixture
async def one_node(bench: Bench) -> Bench:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    return bench


async def test_every_answer_says_who_made_it(one_node: Bench) -> None:
    for path, node, version in (
        ("/v1/models", "v1-1", "v1"),
        ("/healthz", "router", "none"),
        ("/admin/drain", "router", "none"),
    ):
        headers = (await one_node.client.get(path)).headers
        assert headers.get_list("X-ASR-Node") == [node]
        assert headers.get_list("X-ASR-Version") == [version]
        assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-ID"])


async def test_a_request_id_is_taken_over_if_it_can_be_one(one_node: Bench) -> None:
    for given, taken in (("my-id.1_2", True), ("x" * 128, True), ("x" * 129, False),
                         ("a b", False), ('a"b', False), ("", False)):  # fmt: skip
        answer = await one_node.client.get("/v1/models", headers={"X-Request-ID": given})
        passed_on = one_node.node("v1-1").requests[-1]["headers"]["X-Request-ID"]
        assert answer.headers.get_list("X-Request-ID") == [passed_on]
        assert (passed_on == given) is taken


async def test_what_only_routers_may_say_is_dropped(one_node: Bench) -> None:
    headers = {"X-ASR-Node": "me", "x-asr-anything": "1", "X-Other": "stays"}
    await one_node.client.get("/v1/models", headers=headers)
    passed_on = one_node.node("v1-1").requests[-1]["headers"]
    assert [name for name in passed_on if name.lower().startswith("x-asr")] == []
    assert passed_on["X-Other"] == "stays"


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/",
        "/admin/drain",
        "/ADMIN/x",
        "//admin/x",
        "/%61dmin/x",
        "/v1/../admin/x",
        "/metrics",
        "/metrics/",
        "/v1/../Metrics",
        "/v1/history",
        "/v1/history/export?format=csv",
        "/v1//HISTORY/x",
    ],
)
async def test_administration_metrics_and_history_are_never_passed_on(
    one_node: Bench, path: str
) -> None:
    host = ("127.0.0.1", one_node.settings.port)
    with socket.create_connection(host, timeout=10) as raw:  # no client tidies the path
        raw.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 404 ")
    assert one_node.node("v1-1").requests == []


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/batches/", "/V1/Batches?limit=1"])
async def test_everyones_batches_are_not_listed_and_one_can_be_handed_in(
    one_node: Bench, path: str
) -> None:
    answer = await one_node.client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert (await one_node.client.head(path)).status_code == 404
    assert one_node.node("v1-1").requests == []
    assert (await one_node.client.post(path, content=b"x")).status_code == 200


async def test_a_path_that_only_begins_like_administration_is_the_nodes(one_node: Bench) -> None:
    assert (await one_node.client.get("/administer?a=%2f&b=1")).status_code == 200
    assert one_node.node("v1-1").requests[-1]["path"] == "/administer?a=%2f&b=1"


async def test_large_uploads_pass_and_too_large_ones_are_told_so(one_node: Bench) -> None:
    answer = await one_node.client.post("/v1/audio/transcriptions", content=bytes(12 * MIB))
    assert answer.status_code == 200
    assert one_node.node("v1-1").requests[-1]["bytes"] == 12 * MIB
    limit = one_node.settings.max_body_bytes
    answer = await one_node.client.post("/v1/audio/transcriptions", content=bytes(limit + 1))
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (413, "router")
    assert answer.json()["error"]["code"] == "request_too_large"


async def test_a_body_of_unknown_length_is_limited_too(one_node: Bench) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(one_node.settings.max_body_bytes // MIB + 1):
            yield bytes(MIB)

    answer = await one_node.client.post("/v1/audio/transcriptions", content=chunks())
    assert answer.status_code == 413
    assert one_node.node("v1-1").requests == []


@pytest.mark.parametrize("path", ["/", "/ws"])
@pytest.mark.parametrize("percent", [0, 100])
async def test_websockets_pass_through_either_pool(bench: Bench, percent: int, path: str) -> None:
    async def echo(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        groups = tuple(
            Group(name, (Endpoint(f"{name}-1", f"127.0.0.1:{port}"),)) for name in ("v1", "v2")
        )
        await bench.router.start(Membership(groups), Routing("v1", "v2", percent))
        url = bench.settings.url.replace("http", "ws") + path
        async with websockets.connect(url) as client:
            for message in ("words", b"audio"):
                await client.send(message)
                assert await client.recv() == message


async def test_a_stream_that_one_node_has_no_room_for_reaches_another(bench: Bench) -> None:
    async def echo(connection: websockets.ServerConnection) -> None:
        await connection.send(await connection.recv())

    def full(connection: websockets.ServerConnection, _: websockets.Request) -> websockets.Response:
        return connection.respond(503, "full")

    async with (
        websockets.serve(echo, "127.0.0.1", 0, process_request=full) as without_room,
        websockets.serve(echo, "127.0.0.1", 0) as with_room,
    ):
        ports = [next(iter(s.sockets)).getsockname()[1] for s in (without_room, with_room)]
        nodes = tuple(Endpoint(f"v1-{port}", f"127.0.0.1:{port}") for port in ports)
        await bench.router.start(Membership((Group("v1", nodes),)), Routing("v1"))
        for _ in range(4):
            async with websockets.connect(bench.settings.url.replace("http", "ws")) as client:
                await client.send("words")
                assert await client.recv() == "words"


async def test_health_tells_the_truth_about_the_pools(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=2, v2=1, backup=1), Routing("v1", "v2", 5))
    health = (await bench.client.get("/healthz")).json()
    assert health == {
        "status": "ok",
        "generation": 1,
        "pools": {
            "stable": {"group": "v1", "nodes": 2},
            "canary": {"group": "v2", "nodes": 1},
            "backup": {"group": "backup", "nodes": 1},
        },
    }


async def test_health_says_when_the_node_lists_are_only_the_last_that_were_good(
    one_node: Bench,
) -> None:
    await one_node.router.switch(Routing("v1", known_healthy=False))
    health = await one_node.client.get("/healthz")
    assert health.status_code == 503
    assert health.json()["status"] == "no node is known to be healthy"


async def test_the_log_has_the_path_without_its_query(one_node: Bench) -> None:
    answer = await one_node.client.get("/v1/models?api_key=secret")
    logged = await one_node.logged(answer.headers["X-Request-ID"])
    assert (logged.method, logged.path, logged.status) == ("GET", "/v1/models", 200)
    assert (logged.version, logged.node, logged.pool) == ("v1", "v1-1", "stable")
    assert 0 <= (logged.bucket or 0) < 1000
    assert "secret" not in one_node.router.access_log.read_text()
