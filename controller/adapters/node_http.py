"""Talks to nodes over HTTP: recordings and histories by httpx, probes by `node_probe`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from controller.adapters.http_answer import Answer
from controller.adapters.node_probe import NodeProbe
from controller.core.batch import node_of
from controller.core.errors import NodeUnavailable, NoTranscript
from controller.core.health import NodeMemory
from controller.core.shadow.pair import Heard
from controller.engine.ports.node_client import Readiness

# Of a node that is busy, starts, stops, does not take our key, or is behind something that cannot
# reach it.
_COME_AGAIN: Final = frozenset({401, 403, 408, 429, 502, 503, 504})

_STREAMS: Final = "asr_node_websocket_streams"


class NodeHttpClient:
    """Implements the NodeClient port. One connection pool per node: a single one for all
    slows down with the square of the number of hosts."""

    def __init__(self, api_key: Callable[[], str | None] = lambda: None) -> None:
        """`api_key` is asked before each request: keys are exchanged."""
        self._api_key = api_key
        self._probe = NodeProbe(api_key)
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def alive(self, address: str, timeout_seconds: float) -> None:
        answer = await self._probe.get(address, "/healthz", timeout_seconds)
        _require(address, answer, {200})

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness:
        answer = await self._probe.get(address, "/readyz", timeout_seconds)
        _require(address, answer, {200, 503})
        try:
            body = json.loads(answer.body)
        except ValueError as error:
            raise NodeUnavailable(f"node at {address} did not answer with JSON") from error
        try:
            return Readiness(
                ready=answer.status == 200 and bool(body["ready"]),
                reason=str(body["reason"]),
                version=str(body["version"]),
                digest=body["digest"],
                in_flight=int(body["in_flight"]),
                degraded=body.get("degraded"),
                memory=tuple(_memory(device) for device in body.get("memory", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NodeUnavailable(f"node at {address}: /readyz lacks {error}") from error

    async def streams(self, address: str, timeout_seconds: float) -> int:
        """As its metrics have it; 0 where they do not know streams."""
        response = await self._request(address, "GET", "/metrics", timeout_seconds)
        _require_success(address, response)
        try:
            families = list(text_string_to_metric_families(response.text))
        except ValueError as error:
            raise NodeUnavailable(f"node at {address}: its metrics cannot be read") from error
        found = (family.samples for family in families if family.name == _STREAMS)
        return int(sum(sample.value for samples in found for sample in samples))

    async def transcribe(self, address: str, audio: Path, timeout_seconds: float) -> str:
        """Raises NoTranscript where it is the recording that the node gives no text of."""
        with audio.open("rb") as file:
            response = await self._request(
                address,
                "POST",
                "/v1/audio/transcriptions",
                timeout_seconds,
                files={"file": (audio.name, file)},
                data={"model": "whisper-1", "response_format": "json"},
            )
        if response.status_code in _COME_AGAIN:
            _require_success(address, response)
        return _text(address, response)

    async def history(
        self, address: str, after: int, limit: int, timeout_seconds: float
    ) -> tuple[list[Heard], int]:
        path = f"/v1/history?after={after}&limit={limit}"
        response = await self._request(address, "GET", path, timeout_seconds)
        _require_success(address, response)
        return await asyncio.to_thread(_page, address, response)  # texts may be long

    async def batches(self, address: str, timeout_seconds: float) -> list[dict[str, Any]]:
        """The newest, without their files."""
        body = await self._get_json(address, "/v1/batches", timeout_seconds)
        try:
            return [_batch(value) for value in body["batches"]]
        except (KeyError, TypeError) as error:
            raise NodeUnavailable(f"node at {address}: its batches lack {error}") from error

    async def batch(self, address: str, batch_id: str, timeout_seconds: float) -> dict[str, Any]:
        body = await self._get_json(address, f"/v1/batches/{batch_id}", timeout_seconds)
        try:
            return _batch(body)
        except (KeyError, TypeError) as error:
            raise NodeUnavailable(f"node at {address}: its batch lacks {error}") from error

    async def forget(self, addresses: set[str]) -> None:
        """Close the connections to nodes that are gone."""
        for address in addresses & self._clients.keys():
            await self._clients.pop(address).aclose()

    def known(self) -> set[str]:
        return set(self._clients)

    async def close(self) -> None:
        self._probe.close()
        await self.forget(self.known())

    async def _get_json(self, address: str, path: str, timeout_seconds: float) -> Any:
        response = await self._request(address, "GET", path, timeout_seconds)
        _require_success(address, response)
        return await asyncio.to_thread(_json, address, response)  # texts may be long

    async def _request(
        self, address: str, method: str, path: str, timeout_seconds: float, **arguments: Any
    ) -> httpx.Response:
        if address not in self._clients:
            # Nodes are on loopback or on the nodes' own network: never through a proxy, and with
            # no certificates: to read them takes 30 ms of the loop that probes nodes.
            self._clients[address] = httpx.AsyncClient(trust_env=False, verify=False)  # noqa: S501
        url = f"http://{address}{path}"
        key = self._api_key()
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        try:
            return await self._clients[address].request(
                method, url, timeout=timeout_seconds, headers=headers, **arguments
            )
        except (httpx.HTTPError, UnicodeError) as error:
            what = str(error) or type(error).__name__
            raise NodeUnavailable(f"node at {address} did not answer {path}: {what}") from error


def _page(address: str, response: httpx.Response) -> tuple[list[Heard], int]:
    body = _json(address, response)
    try:
        return [_heard(row) for row in body["entries"]], int(body["next"])
    except (KeyError, TypeError, ValueError) as error:
        raise NodeUnavailable(f"node at {address}: its history lacks {error}") from error


def _batch(value: Any) -> dict[str, Any]:
    """Raises KeyError or TypeError where it is none."""
    if node_of(value["id"]) is None:
        raise TypeError(f"a usable id: {value['id']!r}")
    value["finished_time"], value["node"]  # must be there
    return dict(value)


def _heard(row: Any) -> Heard:
    return Heard(
        node=row["node"],
        cursor=int(row["cursor"]),
        entry_id=row["id"],
        request_id=row["request_id"],
        version=row["version"],
        text=row["itn_text"] if row["status"] == "done" else None,
        copy=row["priority"] == "shadow",
        audio_seconds=row["duration_seconds"],
        language=row["language"],
        created_at=row["created_time"],
    )


def _memory(device: Any) -> NodeMemory:
    held, free = int(device["held_bytes"]), int(device["free_bytes"])
    return NodeMemory(str(device["device"]), held, free)


def _require(address: str, answer: Answer, statuses: set[int]) -> None:
    if answer.status not in statuses:
        said = answer.body[:200].decode(errors="replace")
        raise NodeUnavailable(f"node at {address} answered {answer.status}: {said}")


def _require_success(address: str, response: httpx.Response) -> None:
    if not response.is_success:
        raise NodeUnavailable(
            f"node at {address} answered {response.status_code}: {response.text[:200]}"
        )


def _text(address: str, response: httpx.Response) -> str:
    """Raises NoTranscript."""
    try:
        _require_success(address, response)
        return str(_json(address, response)["text"])
    except NodeUnavailable as error:
        raise NoTranscript(str(error)) from error
    except (KeyError, TypeError) as error:
        raise NoTranscript(f"node at {address} answered without a text") from error


def _json(address: str, response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise NodeUnavailable(f"node at {address} did not answer with JSON") from error
