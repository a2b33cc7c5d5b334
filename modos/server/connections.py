"""Connections: how many there may be, and how long they may wait for a request."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS = 20.0  # seconds until the line and the headers of a request have to be there
_MOST = 2000  # requests at once
_RESERVED = 100  # descriptors for all else


def most_requests() -> int:
    """How many requests a process answers at once: each may need a file and a connection to S3 beside its own."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST
    return max(min((allowed - _RESERVED) // 3, _MOST), 8)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 for connections that do not wait for ever, and of which there are not too many.

    Above `limit_concurrency` requests are answered with 503; connections that
    are a quarter above it are closed at once. A connection on which no answer
    is under way has to bring a whole head of a request in `HEADERS` seconds.
    """

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency * 5 // 4 + 1:
            transport.abort()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(HEADERS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
