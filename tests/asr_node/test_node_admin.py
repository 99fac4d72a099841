"""/admin: with the node's own token, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.asr_node.node_fakes import encoded, tone

PATH = "/v1/audio/transcriptions"
FILES = {"file": ("clip.wav", encoded(tone(1.0)))}
ACTIONS = ("device", "cache/clear", "unload", "reload")


async def admin(running, action: str, token: str | None = None, **body: object) -> httpx.Response:
    made = running.node.settings.data_dir / "admin.token"
    secret = made.read_text().strip() if token is None else token
    headers = {"Authorization": f"Bearer {secret}"}
    return await running.client.post(f"/admin/{action}", json=body, headers=headers, timeout=60)


async def transcribed(running) -> int:
    return (await running.client.post(PATH, files=FILES)).status_code


async def test_the_model_moves_to_another_device(running) -> None:
    answer = await admin(running, "device", device="cuda:0")
    assert answer.status_code == 200, answer.text
    assert (await running.client.get("/version")).json()["device"] == "cuda:0"
    assert await transcribed(running) == 200


async def test_unloaded_and_loaded_again(running) -> None:
    answer = await admin(running, "unload")
    assert (answer.status_code, answer.json()["ready"]) == (200, False)
    assert (await running.client.get("/healthz")).status_code == 200
    assert await transcribed(running) == 503
    answer = await admin(running, "reload")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert await transcribed(running) == 200


async def test_the_cache_is_cleared_while_it_serves(running) -> None:
    answer = await admin(running, "cache/clear")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("token", ["", "wrong", "wrong" * 10])
async def test_without_the_token_nothing_happens(running, action: str, token: str) -> None:
    answer = await admin(running, action, token or "x", device="cuda:0")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert running.node.ready
    assert running.node.identity()["device"] == "cpu"


@pytest.mark.parametrize(
    "body", [{}, {"device": "quantum"}, {"device": 7}, {"device": "cpu", "force": True}]
)
async def test_a_device_that_is_none_is_refused_by_name(running, body: dict[str, object]) -> None:
    answer = await admin(running, "device", **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "device"


async def test_an_api_key_opens_no_administration(start: Callable, tmp_path: Path) -> None:
    """And the admin token needs none."""
    keys, token = tmp_path / "keys", tmp_path / "token"
    keys.write_text("key-of-the-first-client\n")
    token.write_text("token-of-the-operator\n")
    async with start(api_keys_file=keys, admin_token_file=token) as running:
        await running.until_ready()
        answer = await admin(running, "cache/clear", "key-of-the-first-client")
        assert answer.status_code == 401
        answer = await admin(running, "cache/clear", "token-of-the-operator")
        assert answer.status_code == 200
