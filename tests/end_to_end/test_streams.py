"""People who speak while versions change stay on the node that hears them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import websockets

from tests.end_to_end.running_fleet import RunningFleet
from tests.end_to_end.user_load import CLIP

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]
BEGIN: Final = {
    "mode": "offline", "wav_name": "talk", "wav_format": "ogg", "chunk_size": [5, 10, 5],
    "is_speaking": True,
}  # fmt: skip
CLOSED_WITHIN_SECONDS: Final = 3.0  # where streams are not waited for


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[RunningFleet]:
    made = RunningFleet(tmp_path, backup_nodes=0, stream_drain="5m")
    made.up()
    try:
        made.until_settled()
        yield made
    finally:
        made.down()


def test_a_rollback_leaves_a_stream_on_the_canary_until_it_ends(fleet: RunningFleet) -> None:
    fleet.start("v2")
    fleet.until_phase("waiting")
    answer = asyncio.run(talk_through_a_rollback(fleet))
    assert answer["text"]
    assert answer["version"] == "v2"
    fleet.until(lambda: "v2-1" not in fleet.running_nodes())


async def talk_through_a_rollback(fleet: RunningFleet) -> Any:
    async with websockets.connect(
        fleet.router_url.replace("http", "ws") + "/",
        subprotocols=[websockets.Subprotocol("binary")],
        additional_headers={"Cookie": "ABTEST_v2=1"},
        proxy=None,
    ) as stream:
        await stream.send(json.dumps(BEGIN))
        await asyncio.to_thread(fleet.run, "rollback")
        with pytest.raises(TimeoutError):  # nobody ends it
            async with asyncio.timeout(CLOSED_WITHIN_SECONDS):
                await stream.recv()
        assert "v2-1" in fleet.running_nodes()
        await stream.send(CLIP.read_bytes())
        await stream.send(json.dumps({"is_speaking": False}))
        return json.loads(await stream.recv())
