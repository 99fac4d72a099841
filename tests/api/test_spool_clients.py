"""Who is one client of the spool, and whose a result is."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from controller.adapters.api_keys import NO_KEYS, ApiKeys
from controller.adapters.spool_folder import SpoolFolder
from controller.api.spool import spool_app
from controller.core.spool import SpoolLimits

ANN, BOB = "203.0.113.1", "203.0.113.2"
KEYS: Final = ("a key of sixteen or more", "another of sixteen or more")


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    """Of whose two places one client has one."""
    limits = SpoolLimits(max_entries=2, client_percent=50)
    made = SpoolFolder(tmp_path / "spool", limits, lambda: datetime.datetime.now(datetime.UTC))
    made.open()
    return made


def client_of(folder: SpoolFolder, keys: ApiKeys = NO_KEYS) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(spool_app(folder, keys))
    return httpx.AsyncClient(transport=transport, base_url="http://router")


async def send(client: httpx.AsyncClient, address: str, key: str) -> httpx.Response:
    headers = {
        "Prefer": "respond-async", "X-Forwarded-For": address, "Authorization": f"Bearer {key}",
    }  # fmt: skip
    return await client.post("/v1/audio/transcriptions", content=b"audio", headers=headers)


async def test_where_nobody_checks_keys_a_made_up_one_takes_no_room_of_others(
    folder: SpoolFolder,
) -> None:
    async with client_of(folder) as client:
        assert (await send(client, ANN, "made up")).status_code == 202
        assert (await send(client, ANN, "also made up")).status_code == 503
        assert (await send(client, BOB, "made up")).status_code == 202


async def test_where_keys_are_checked_a_client_is_a_key_wherever_it_comes_from(
    folder: SpoolFolder, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("\n".join(KEYS))
    async with client_of(folder, ApiKeys(tmp_path / "keys")) as client:
        assert (await send(client, ANN, KEYS[0])).status_code == 202
        assert (await send(client, BOB, KEYS[0])).status_code == 503
        assert (await send(client, ANN, KEYS[1])).status_code == 202


async def test_a_result_whose_owner_the_disk_does_not_tell_is_asked_for_again_later(
    folder: SpoolFolder,
) -> None:
    async with client_of(folder) as client:
        location = (await send(client, ANN, "hers")).headers["Location"]
        salt = folder.path / "key_salt"
        salt.unlink()
        salt.mkdir()  # whoever reads it gets an OSError
        answer = await client.get(location, headers={"Authorization": "Bearer hers"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
