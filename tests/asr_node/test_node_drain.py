from __future__ import annotations

import asyncio
import signal

from tests.asr_node.node_fakes import encoded, tone

CLIP = encoded(tone(1.0))
FILES = {"file": ("clip.wav", CLIP)}


async def test_a_draining_node_says_so_at_once_and_still_answers(running) -> None:
    kept = running.client  # its connection is open before the signal
    assert (await kept.get("/readyz")).status_code == 200
    running.server.handle_exit(signal.SIGTERM, None)
    answer = await kept.post("/v1/audio/transcriptions", files=FILES)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    answer = await kept.get("/readyz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "draining")
    await running.serving
    assert running.server.exit_status == 0


async def test_a_request_in_flight_is_finished_before_the_node_leaves(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    pending = asyncio.create_task(running.client.post("/v1/audio/transcriptions", files=FILES))
    await running.until(recognizer.running.is_set)
    running.server.handle_exit(signal.SIGTERM, None)
    await running.until(lambda: running.server.should_exit)
    assert not pending.done()
    recognizer.gate.set()
    assert (await pending).status_code == 200
    await running.serving


async def test_the_grace_has_an_end(start) -> None:
    async with start(grace_seconds=1) as running:
        await running.until_ready()
        recognizer = running.engine.recognizer
        recognizer.gate.clear()
        pending = asyncio.create_task(running.client.post("/v1/audio/transcriptions", files=FILES))
        await running.until(recognizer.running.is_set)
        running.server.handle_exit(signal.SIGTERM, None)
        await running.serving  # although inference never ended
        answer = await pending
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
