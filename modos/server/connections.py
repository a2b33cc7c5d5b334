"""Connections: how many there may be, and how long they may wait for a request, or with an answer that nobody takes."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS = 20.0  # seconds until the line and the headers of a request have to be there
STALLED = 120.0  # seconds in which a client has to take some of an answer
_SOME = 16 << 10  # bytes
BACKLOG = 128  # connections that are taken at once, at most, before any of them is looked at


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 for connections that do not wait for ever, and of which there are not too many.

    There are twice `limit_concurrency` at most: for one more, the one that has
    waited longest for a request is ended. A connection on which no answer is
    under way has to bring a whole head of a request in `HEADERS` seconds, and
    one with an answer to take some of it in `STALLED`.
    """

    _waiting: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def __init__(self, *words: Any, **options: Any):
        super().__init__(*words, **options)
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: Any) -> None:
        """Admit a connection; see `asyncio.Protocol`."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > 2 * self._most and not self._make_room():
            transport.abort()
            return
        self._watch()

    def _make_room(self) -> bool:
        """End the connection that has waited longest, where there is one."""
        waiting = [(one._waiting.when(), one) for one in self.connections if isinstance(one, BoundedProtocol) and one._waiting]
        if not waiting:
            return False
        _, oldest = min(waiting, key=lambda found: found[0])
        oldest._stop_waiting()
        oldest.transport.abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection; see `asyncio.Protocol`."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Handle what the client sends; see uvicorn's `H11Protocol`."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request; see uvicorn's `H11Protocol`."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Watch whether the client takes what is sent; see `asyncio.Protocol`."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED, self._check_progress, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """End the watch; see `asyncio.Protocol`."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _check_progress(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left > before - _SOME:
            self.transport.abort()
        else:
            self._stalled = self.loop.call_later(STALLED, self._check_progress, left)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(HEADERS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
