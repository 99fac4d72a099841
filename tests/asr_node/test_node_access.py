"""API keys, the admin token, and what stays open."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import openai
import pytest
import websockets

from asr_node.errors import StartRefused
from asr_node.secrets_file import ApiKeys, admin_token
from controller.adapters.api_keys import ApiKeys as ControllersKeys
from controller.adapters.node_http import NodeHttpClient
from controller.core.errors import NodeUnavailable
from tests.asr_node.node_fakes import encoded, tone

CLIP = encoded(tone(1.0))
KEY, OTHER_KEY = "key-of-the-first-client", "key-of-the-second-client"


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# clients\n\n{KEY}\n  {OTHER_KEY}  \n")
    path.chmod(0o600)
    return path


@pytest.fixture
async def closed(start: Callable, keys_file: Path) -> AsyncIterator:
    async with start(api_keys_file=keys_file) as running:
        await running.until_ready()
        yield running


async def models(running, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return await running.client.get("/v1/models", headers=headers)


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
async def test_every_key_of_the_file_opens(closed, key: str) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{closed.url}/v1", api_key=key, max_retries=0
    ) as client:
        answer = await client.audio.transcriptions.create(model="v1", file=("a.wav", CLIP))
        assert answer.text == "itn=True language=auto"


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer # clients", KEY],
)
async def test_nothing_else_opens(closed, authorization: str | None) -> None:
    answer = await models(closed, authorization)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-asr-node"] == "n1"
    assert answer.json()["error"]["code"] == "invalid_api_key"


async def test_openais_client_knows_the_error(closed) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{closed.url}/v1", api_key="wrong", max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.audio.transcriptions.create(model="v1", file=("a.wav", CLIP))
    assert closed.engine.recognizer.heard == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version", "/metrics"])
async def test_probes_need_no_key(closed, path: str) -> None:
    assert (await closed.client.get(path)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/history", "/v1/batches", "/openapi.json", "/nothing", "/healthz/x"]
)
async def test_all_else_does(closed, path: str) -> None:
    assert (await closed.client.get(path)).status_code == 401


async def test_a_websocket_needs_a_key_too(closed) -> None:
    url = f"ws://127.0.0.1:{closed.port}/"
    with pytest.raises(websockets.InvalidStatus) as error:
        await websockets.connect(url)
    assert error.value.response.status_code == 401
    headers = {"Authorization": f"Bearer {KEY}"}
    async with websockets.connect(url, additional_headers=headers) as opened:
        assert opened.response.headers["x-asr-node"] == "n1"


async def test_a_changed_file_holds_at_once(closed, keys_file: Path) -> None:
    new_key = "key-of-a-third-client"
    await asyncio.to_thread(keys_file.write_text, f"{new_key}\n")
    assert (await models(closed, f"Bearer {KEY}")).status_code == 401
    assert (await models(closed, f"Bearer {new_key}")).status_code == 200


async def test_the_last_keys_hold_when_the_file_goes(closed, keys_file: Path) -> None:
    await asyncio.to_thread(keys_file.unlink)
    assert (await models(closed, f"Bearer {KEY}")).status_code == 200
    assert (await models(closed, "Bearer no")).status_code == 401


@pytest.mark.parametrize("content", ["", "\n# only words\n", "too short\n", None])
def test_a_file_without_good_keys_is_refused_at_the_start(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StartRefused, match="--api-keys-file"):
        ApiKeys(path)


def test_a_file_that_everybody_reads_is_warned_of(
    keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "asr_node"):
        ApiKeys(keys_file)
        assert caplog.messages == []
        keys_file.chmod(0o644)
        ApiKeys(keys_file)
        assert caplog.messages == ["secret.exposed"]


def test_an_admin_token_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        token = admin_token(None, tmp_path / "data")
    finally:
        os.umask(before)
    made = tmp_path / "data" / "admin.token"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert admin_token(None, tmp_path / "data") == token == made.read_text().strip()
    assert len(token) >= 32


@pytest.mark.parametrize("content", ["", "short\n", "two-lines-of-enough\ncharacters-each-one\n"])
def test_a_token_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(StartRefused):
        admin_token(path, tmp_path)


async def heard(closed, clip: Path, keys: ControllersKeys) -> str:
    client = NodeHttpClient(keys.own)
    try:
        return await client.transcribe(f"127.0.0.1:{closed.port}", clip, 20)
    finally:
        await client.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    path.write_bytes(CLIP)
    return path


async def test_the_controller_carries_a_key_of_the_file(
    closed, clip: Path, keys_file: Path
) -> None:
    assert await heard(closed, clip, ControllersKeys(keys_file)) == "itn=True language=auto"


async def test_a_controller_without_a_key_hears_nothing_that_could_count_against_a_version(
    closed, clip: Path
) -> None:
    with pytest.raises(NodeUnavailable, match="401"):
        await heard(closed, clip, ControllersKeys())
