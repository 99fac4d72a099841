"""Repeats a kept request to a node."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import httpx

from controller.core.errors import NodeUnavailable, NoTranscript
from controller.core.spool import LateAnswer, SpoolEntry

_CHUNK_BYTES: Final = 1024 * 1024
_CONNECT_SECONDS: Final = 2.0
# Of a node that is busy, starts, stops or does not take our key: it says nothing of the request.
_COME_AGAIN: Final = frozenset({401, 403, 408, 429, 502, 503, 504})


class SpoolSender:
    """Implements the engine's Sender port."""

    def __init__(
        self, api_key: Callable[[], str | None] = lambda: None, timeout_seconds: float = 300.0
    ) -> None:
        """`api_key` is the controller's own, asked before each request: the client's was checked
        when the request was accepted, and is not kept."""
        self._api_key = api_key
        self._timeout = httpx.Timeout(timeout_seconds, connect=_CONNECT_SECONDS)

    async def ask(self, address: str, entry: SpoolEntry, body: Path) -> LateAnswer:
        """The node's answer, also where it refuses the request (4xx).

        Raises NodeUnavailable where the node could not be asked now, NoTranscript where it was
        asked and failed: it ended, answered 500 or was silent for too long."""
        headers = {
            b"Content-Type": entry.asked.content_type.encode("latin-1"),  # as it came
            b"Content-Length": str(entry.size).encode(),
            b"X-Request-ID": node_request_id(entry).encode(),
        }
        if (key := self._api_key()) is not None:
            headers[b"Authorization"] = f"Bearer {key}".encode()
        url = f"http://{address}{entry.asked.target}"
        try:
            # Of its own: requests are rare, and nodes come and go. Never through a proxy.
            async with httpx.AsyncClient(trust_env=False, timeout=self._timeout) as client:
                answer = await client.post(url, headers=headers, content=_chunks(body))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NodeUnavailable(f"node at {address} takes no connection: {error!r}") from error
        except httpx.HTTPError as error:
            raise NoTranscript(f"node at {address} gave no answer: {error!r}") from error
        return _late(address, answer)


def node_request_id(entry: SpoolEntry) -> str:
    """The same for each repetition, so that a node that did it already does not do it twice; and
    not the entry's id, which lets its holder read the result, while nodes log theirs."""
    return f"spool-{hashlib.sha256(entry.id.encode()).hexdigest()[:32]}"


def _late(address: str, answer: httpx.Response) -> LateAnswer:
    if answer.status_code in _COME_AGAIN:
        raise NodeUnavailable(f"node at {address} answered {answer.status_code}")
    if answer.status_code >= 500:
        raise NoTranscript(f"node at {address} answered {answer.status_code}")
    return LateAnswer(
        status=answer.status_code,
        content_type=answer.headers.get("Content-Type", "application/octet-stream"),
        body=answer.content,
        node=answer.headers.get("X-ASR-Node", ""),
        version=answer.headers.get("X-ASR-Version", ""),
    )


async def _chunks(body: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(body.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
