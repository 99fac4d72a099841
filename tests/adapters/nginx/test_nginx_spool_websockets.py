"""What a WebSocket's client is told where no node can serve."""

from __future__ import annotations

import asyncio

import pytest
import websockets
from router_bench import Bench
from spool_desk import TO_V1, Desk, start_dead


async def close_code(socket: websockets.ClientConnection) -> int | None:
    """What somebody who speaks on is told."""
    try:
        async with asyncio.timeout(60):
            while True:
                await socket.send(b"\0" * 9600)
                await asyncio.sleep(0)
    except websockets.ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else None


@pytest.mark.parametrize("subprotocols", [None, ["binary"]])
async def test_a_websocket_is_accepted_and_closed_with_1013(
    bench: Bench, desk: Desk, subprotocols: list[websockets.Subprotocol] | None
) -> None:
    await start_dead(bench, v1=1)
    url = bench.settings.url.replace("http", "ws")
    async with websockets.connect(f"{url}/ws", subprotocols=subprotocols) as socket:
        assert socket.subprotocol == (subprotocols[0] if subprotocols else None)
        assert await close_code(socket) == 1013


async def test_a_websocket_that_nodes_turn_away_is_closed_with_1013(
    bench: Bench, desk: Desk
) -> None:
    await bench.router.start(bench.membership(v1=2), TO_V1)
    for node in bench.nodes.values():
        node.status = 503
    url = bench.settings.url.replace("http", "ws")
    async with websockets.connect(url) as socket:
        assert await close_code(socket) == 1013


async def test_a_websocket_without_a_controller_is_refused_in_its_handshake(
    bench: Bench, desk: Desk
) -> None:
    await start_dead(bench, v1=1)
    await desk.close()
    with pytest.raises(websockets.InvalidStatus, match="503"):
        await websockets.connect(bench.settings.url.replace("http", "ws"))
