"""What users see when nodes fail: as little as possible."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler

import pytest
from router_bench import Bench
from speech_node_fakes import reset

from benchmarks.ports import free_port
from controller.adapters.nginx.access_log import Attempt
from controller.core.routing import Endpoint, Group, Membership, Routing

ALL_CANARY = Routing("v1", "v2", 100)


async def test_a_dead_canary_falls_through_to_stable_and_is_charged(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=1, v2=1), ALL_CANARY)
    canary, stable = bench.node("v2-1"), bench.node("v1-1")
    canary.die()
    answer = await bench.client.post("/v1/audio/transcriptions", content=b"x" * 3_000_000)
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (200, "v1-1")
    assert stable.requests[-1]["bytes"] == 3_000_000
    logged = await bench.logged(answer.headers["X-Request-ID"])
    assert (logged.pool, logged.group, logged.status, logged.node) == ("canary", "v2", 200, "v1-1")
    assert [(a.address, a.status) for a in logged.attempts] == [
        (canary.endpoint.address, 502),
        (stable.endpoint.address, 200),
    ]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_canary_that_answers_with_a_fault_is_rescued(bench: Bench, status: int) -> None:
    await bench.router.start(bench.membership(v1=1, v2=1), ALL_CANARY)
    bench.node("v2-1").status = status
    answer = await bench.client.post("/v1/audio/transcriptions", content=b"audio")
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (200, "v1-1")
    logged = await bench.logged(answer.headers["X-Request-ID"])
    assert [attempt.status for attempt in logged.attempts] == [status, 200]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_the_client_did_wrong_is_the_canarys_answer(bench: Bench, status: int) -> None:
    await bench.router.start(bench.membership(v1=1, v2=1), ALL_CANARY)
    bench.node("v2-1").status = status
    answer = await bench.client.get("/v1/models")
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (status, "v2-1")


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 502, 503, 504])
async def test_the_errors_of_a_stable_node_reach_the_client_unaltered(
    bench: Bench, status: int
) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    node = bench.node("v1-1")
    node.status, node.body, node.headers = status, b'{"its": "own"}', {"Retry-After": "7"}
    for _ in range(8):  # also once it has failed often
        answer = await bench.client.post("/v1/audio/transcriptions", content=b"audio")
        assert (answer.status_code, answer.content) == (status, b'{"its": "own"}')
        assert answer.headers.get_list("Retry-After") == ["7"]
        assert answer.headers.get_list("X-ASR-Node") == ["v1-1"]


async def test_too_many_requests_is_not_carried_to_the_next_node(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=2), Routing("v1"))
    nodes = [bench.node("v1-1"), bench.node("v1-2")]
    for node in nodes:
        node.status = 429
    assert (await bench.client.get("/v1/models")).status_code == 429
    assert sum(len(node.requests) for node in nodes) == 1


async def test_a_stable_node_that_dies_while_it_works_is_replaced(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=2), Routing("v1"))

    def die(request: BaseHTTPRequestHandler) -> bool:
        reset(request.connection)
        return True

    bench.node("v1-1").behave = die
    seen: set[int] = set()
    while 2 not in seen:  # until one has been tried by both
        answer = await bench.client.post("/v1/audio/transcriptions", content=b"x" * 500_000)
        assert (answer.status_code, answer.headers["X-ASR-Node"]) == (200, "v1-2")
        seen.add(len((await bench.logged(answer.headers["X-Request-ID"])).attempts))
    assert bench.node("v1-2").requests[-1]["bytes"] == 500_000


async def test_a_broken_node_costs_no_user_anything(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=2), Routing("v1"))
    bench.node("v1-1").status = 500
    for _ in range(30):
        assert await bench.node_of() == "v1-2"


async def test_the_backup_takes_over(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=2, backup=1), Routing("v1"))
    assert await bench.node_of() in {"v1-1", "v1-2"}
    bench.node("v1-1").die()
    bench.node("v1-2").die()
    for _ in range(20):
        assert await bench.node_of() == "backup-1"


async def test_the_backup_can_be_the_stable_group(bench: Bench) -> None:
    await bench.router.start(bench.membership(backup=2), Routing("backup"))
    assert await bench.node_of() in {"backup-1", "backup-2"}


async def test_where_everyone_is_dead_the_router_says_so_in_openais_form(bench: Bench) -> None:
    gone = Endpoint("v1-1", f"127.0.0.1:{free_port()}")
    await bench.router.start(Membership((Group("v1", (gone,)),)), Routing("v1"))
    answer = await bench.client.post("/v1/audio/transcriptions", content=b"audio")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.headers["X-ASR-Node"] == "router"
    logged = await bench.logged(answer.headers["X-Request-ID"])
    assert [attempt.address for attempt in logged.attempts] == [gone.address]
    assert isinstance(logged.attempts[0], Attempt)


async def test_without_nodes_nginx_starts_and_answers_503(bench: Bench) -> None:
    await bench.router.start(Membership(), Routing("v1"))
    answer = await bench.client.get("/v1/models")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"]["code"] == "unavailable"
    health = await bench.client.get("/healthz")
    assert (health.status_code, health.json()["pools"]["stable"]["nodes"]) == (503, 0)
    await bench.router.load(bench.membership(v1=1), Routing("v1"))
    assert await bench.node_of() == "v1-1"


async def test_a_canary_without_stable_behind_it_still_answers(bench: Bench) -> None:
    await bench.router.start(bench.membership(v2=1), ALL_CANARY)
    assert await bench.node_of() == "v2-1"


async def test_a_node_that_takes_no_connection_is_left_after_the_connect_timeout(
    bench: Bench,
) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        filling = [socket.create_connection(deaf.getsockname())]  # the queue is full now
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        silent = Group("v2", (Endpoint("v2-1", address),))
        membership = Membership((*bench.membership(v1=1).groups, silent))
        await bench.router.start(membership, ALL_CANARY)
        assert await bench.node_of() == "v1-1"
        for connection in filling:
            connection.close()
