"""How many of those who speak are cut off."""

from __future__ import annotations

import asyncio

import websockets
from websockets.asyncio.server import ServerConnection

from benchmarks.faults_injected.streams import Streams
from benchmarks.ports import free_port


async def test_streams_that_others_end_are_cut_and_those_that_end_by_themselves_are_not() -> None:
    connected: list[ServerConnection] = []
    port = free_port()

    async def listen(connection: ServerConnection) -> None:
        connected.append(connection)
        await connection.wait_closed()

    async def until_cut(streams: Streams, count: int) -> None:
        async with asyncio.timeout(30):
            while streams.cut < count:
                await asyncio.sleep(0.01)

    async with websockets.serve(listen, "127.0.0.1", port):
        streams = Streams(f"http://127.0.0.1:{port}", 3)
        await asyncio.to_thread(streams.__enter__)
        async with asyncio.timeout(30):
            while streams.opened < 3:
                await asyncio.sleep(0.01)
        await connected[0].close(1012)
        connected[1].transport.abort()
        await until_cut(streams, 2)
        await asyncio.to_thread(streams.__exit__)
        assert (streams.opened, streams.cut) == (3, 2)


def test_streams_that_nobody_takes_are_cut() -> None:
    streams = Streams(f"http://127.0.0.1:{free_port()}", 2)
    with streams:
        pass
    assert (streams.opened, streams.cut) == (0, 2)
