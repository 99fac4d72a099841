"""Connections that say nothing do not stay."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(idle_seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, which closes a connection whose request head takes longer.

    uvicorn itself measures only the wait between two requests, so a client that sends half a
    head would hold its socket for ever. Bodies are watched in body_limit."""

    class Impatient(H11Protocol):
        _head_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._await_head()
            else:
                self._stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _await_head(self) -> None:
            """From its first byte on: more bytes give no more time."""
            if self._head_due is None:
                self._head_due = self.loop.call_later(idle_seconds, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._head_due is not None:
                self._head_due.cancel()
                self._head_due = None

    return Impatient
