"""Limit how many connections there may be and how long they may wait."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS = 20.0  # seconds until the line and the headers of a request have to be there
STALLED = 120.0  # seconds in which a client has to take some of an answer
LINGERING = 5.0  # seconds that the rest of a request may take which was answered before it was there
_REST = 1 << 20  # bytes that it may have
_SOME = 16 << 10  # bytes
BACKLOG = 128  # connections that are taken at once, at most, before any of them is looked at


class CutServer(uvicorn.Server):
    """Server that `cut` ends without waiting for answers that are under way; the application ends in order all the same.

    Parameters
    ----------
    config
        Its `app` is a CutApp.
    """

    def __init__(self, config: uvicorn.Config, app: CutApp):
        super().__init__(config)
        self._cut_app = app

    def cut(self) -> None:
        """End it; from any thread."""
        self._cut_app.is_cut = self.force_exit = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close connections and end what is under way, then the application, which uvicorn in haste leaves without its end."""
        if not self._cut_app.is_cut:
            await super().shutdown(sockets)
            return
        for connection in list(self.server_state.connections):
            cast(Any, connection).transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LINGERING)
        await self.lifespan.shutdown()


class CutApp:
    """Application whose requests end in silence where the server was cut."""

    def __init__(self, app: ASGIApp):
        self._app = app
        self.is_cut = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self.is_cut:
                raise


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 for connections that do not wait for ever, and of which there are not too many.

    There are twice `limit_concurrency` at most: for one more, the one that has
    waited longest for a request is ended. A connection on which no answer is
    under way has to bring a whole head of a request in `HEADERS` seconds, and
    one with an answer to take some of it in `STALLED`.

    A request that is answered before all of it has come is read to its end,
    for `LINGERING` seconds and `_REST` bytes, and what is read thrown away: a
    connection that is closed before is reset by the next byte of the client,
    for whom the answer may be lost then (RFC 9112, 9.6).
    """

    _waiting: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _thrown_away = 0

    def __init__(self, *words: Any, **options: Any):
        super().__init__(*words, **options)
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: Any) -> None:
        """Admit a connection; see `asyncio.Protocol`."""
        super().connection_made(cast(asyncio.Transport, LingeringTransport(transport, self)))
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

    def data_received(self, data: bytes) -> None:
        """Take what came, or throw away what nobody waits for; see `asyncio.Protocol`."""
        if not self.transport.is_closing():
            super().data_received(data)
            return
        self._thrown_away += len(data)
        if self._thrown_away > _REST:
            self.transport.abort()

    def is_request_under_way(self) -> bool:
        """Return whether the client may be sending what nobody waits for any more."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def end_in(self, seconds: float) -> None:
        """End the connection in a while, or where room is needed before."""
        self._stop_waiting()
        self._waiting = self.loop.call_later(seconds, self.transport.abort)

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


class LingeringTransport:
    """A transport that is closed for writing first, and altogether once the client has sent its request or will not."""

    def __init__(self, transport: Any, protocol: BoundedProtocol):
        self._transport = transport
        self._protocol = protocol
        self._is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing is written any more."""
        return self._is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Close it; where a request is under way, once that has an end."""
        if self.is_closing():
            return
        if not self._protocol.is_request_under_way():
            self._transport.close()
            return
        self._is_lingering = True
        if not self._transport.get_write_buffer_size():
            try:
                self._transport.write_eof()
            except OSError:  # the client is gone
                self._transport.abort()
                return
        self._transport.resume_reading()
        self._protocol.end_in(LINGERING)
