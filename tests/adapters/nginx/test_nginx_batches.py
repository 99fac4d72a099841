"""A batch is found on the node that its id names: through a real nginx, by real sockets."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
from router_bench import Bench

from controller.core.routing import Endpoint, Group, Membership, Routing

HEX = "0123456789abcdef" * 2


def batch(node: str, tail: str = "") -> str:
    return f"/v1/batches/batch_{node}_{HEX}{tail}"


@pytest.fixture
async def fleet(bench: Bench) -> Bench:
    """Everything random goes to v1; v2 is a canary without a share."""
    await bench.router.start(bench.membership(v1=2, v2=1, backup=1), Routing("v1", "v2", 0))
    return bench


@pytest.mark.parametrize("node", ["v1-1", "v1-2", "v2-1", "backup-1"])
@pytest.mark.parametrize("tail", ["", "/events"])
async def test_a_batch_is_asked_of_its_node_wherever_that_is(
    fleet: Bench, node: str, tail: str
) -> None:
    answer = await fleet.client.get(batch(node, tail) + "?a=%2f")
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (200, node)
    assert fleet.node(node).requests[-1]["path"] == batch(node, tail) + "?a=%2f"


@pytest.mark.parametrize("name", ["a_b", "n.1-x", "constructor", "batch_x"])
async def test_any_name_of_a_node_is_told_from_the_rest_of_the_id(bench: Bench, name: str) -> None:
    node = bench.node("v1-1")
    node.name = name
    group = Group("v1", (Endpoint(name, f"127.0.0.1:{node.port}"),))
    await bench.router.start(Membership((group,)), Routing("v1"))
    assert (await bench.client.get(batch(name))).headers["X-ASR-Node"] == name


@pytest.mark.parametrize("node", ["gone-1", "v1", "constructor"])
async def test_a_node_that_neither_router_nor_a_controller_knows_is_said_in_openais_shape(
    fleet: Bench, node: str
) -> None:
    """No controller runs here; what it says is in test_nginx_batches_elsewhere.py."""
    answer = await fleet.client.get(batch(node))
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (502, "router")
    assert answer.json()["error"]["code"] == "bad_gateway"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/batches/batch_v1-1_" + HEX[:-1],
        "/v1/batches/batch_v1-1_" + HEX.upper(),
        batch("v1-1", "/"),
        batch("v1-1", "/admin"),
        batch("v1-1", "%0d%0aX:%20y"),
        batch("V1-1"),
        batch("__proto__"),
        batch("toString"),
        batch("v1-1@127.0.0.1:1"),
        batch("127.0.0.1:1"),
    ],
)
async def test_an_id_of_another_form_reaches_no_node(fleet: Bench, path: str) -> None:
    answer = await fleet.client.get(path)
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (404, "router")
    assert all(node.requests == [] for node in fleet.nodes.values())


@pytest.mark.parametrize("climb", ["/admin/..", "/v1/..", "/", "/v1/batches/%2e%2e/.."])
async def test_a_path_that_is_another_after_tidying_reaches_no_node(
    fleet: Bench, climb: str
) -> None:
    """It would be passed on as it came."""
    with socket.create_connection(("127.0.0.1", fleet.settings.port), timeout=10) as raw:
        raw.sendall(f"GET {climb}{batch('v1-1')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 404 ")
    assert all(node.requests == [] for node in fleet.nodes.values())


async def test_what_the_node_itself_does_not_know_is_its_own_answer(fleet: Bench) -> None:
    node = fleet.node("v1-1")
    node.status, node.body = 404, b'{"error":{"code":"from the node"}}'
    answer = await fleet.client.get(batch("v1-1"))
    assert (answer.status_code, answer.content) == (404, node.body)


async def test_a_dead_node_is_not_replaced_by_another(fleet: Bench) -> None:
    fleet.node("v1-1").die()
    answer = await fleet.client.get(batch("v1-1"))
    assert (answer.status_code, answer.headers["X-ASR-Node"]) == (502, "router")
    assert fleet.node("v1-2").requests == []


async def test_new_batches_go_where_all_requests_go(fleet: Bench) -> None:
    answer = await fleet.client.post("/v1/batches")
    assert answer.headers["X-ASR-Node"] in {"v1-1", "v1-2"}


async def test_a_node_that_joins_and_leaves_is_found_while_it_is_there(fleet: Bench) -> None:
    """Seen by connections that are new: an old worker still serves those it had."""
    for nodes, status in ((2, 502), (3, 200), (1, 502)):
        await fleet.router.load(fleet.membership(v1=nodes), Routing("v1"))
        async with httpx.AsyncClient(base_url=fleet.settings.url) as client:
            assert (await client.get(batch("v1-3"))).status_code == status


async def test_who_asks_an_old_worker_for_a_new_node_is_led_to_a_new_one(fleet: Bench) -> None:
    assert (await fleet.client.get(batch("v1-1"))).status_code == 200  # a connection to keep
    await fleet.router.load(fleet.membership(v1=3), Routing("v1"))
    answers = [await fleet.client.get(batch("v1-3")) for _ in range(2)]
    assert [answer.status_code for answer in answers][-1] == 200
    assert [answer.headers.get("connection") for answer in answers if answer.is_error] in (
        [],
        ["close"],
    )


async def test_events_arrive_as_they_are_written(fleet: Bench) -> None:
    heard = threading.Event()

    def stream(request: BaseHTTPRequestHandler) -> bool:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("X-Accel-Buffering", "no")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(b"data: first\n\n")
        request.wfile.flush()
        assert heard.wait(30)  # the second is not written before the first has arrived
        request.wfile.write(b"data: last\n\n")
        request.close_connection = True
        return True

    fleet.node("v1-1").behave = stream
    lines: list[str] = []
    async with fleet.client.stream("GET", batch("v1-1", "/events")) as answer:
        async for line in answer.aiter_lines():
            lines.append(line)
            heard.set()
    assert [line for line in lines if line] == ["data: first", "data: last"]


async def test_a_look_at_a_batch_is_charged_to_no_pool(fleet: Bench) -> None:
    await fleet.client.get(batch("v2-1"), headers={"X-Request-ID": "look"})
    await fleet.client.get("/v1/models", headers={"X-Request-ID": "other"})
    await fleet.logged("other")
    looks = fleet.router.access_log.read_text().splitlines()
    assert [json.loads(line)["pool"] for line in looks] == ["", "stable"]
