"""Limit how many requests are answered at once."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.errors import ModosError

ALIVE = "/healthz"  # answered whatever the load
_MOST = 2000
_RESERVED = 100  # descriptors for all else
Result = TypeVar("Result")
_BUSY = {"error": "busy", "message": "the server has too many requests: ask again in a while"}


class BusyError(ModosError):
    """The server does as much of something as it can at a time."""

    kind = "busy"


class Turns:
    """Lets a few do at a time what takes long; who waits keeps no thread from other requests.

    Parameters
    ----------
    most
        How many.
    patience
        Seconds that others wait.
    """

    def __init__(self, most: int, patience: float):
        self._patience = patience
        self._turns, self._threads = anyio.CapacityLimiter(most), anyio.CapacityLimiter(most)

    async def run(self, call: Callable[..., Result], *given: Any) -> Result:
        """Call a function in a thread, once there is a turn.

        Raises
        ------
        BusyError
            There is none in time.
        """
        borrower = object()
        with anyio.move_on_after(self._patience) as waiting:
            await self._turns.acquire_on_behalf_of(borrower)
        if waiting.cancelled_caught:
            raise BusyError("the server is busy with such requests of others: ask again in a while")
        try:
            return await anyio.to_thread.run_sync(call, *given, limiter=self._threads)
        finally:
            self._turns.release_on_behalf_of(borrower)


def most_requests() -> int:
    """Return the number of requests a process answers at once: each may need two files or connections, and as many may wait."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST
    return max(min((allowed - _RESERVED) // 4, _MOST), 8)


class Admission:
    """Answers 503 to what comes while a number of requests is under way, and says when to come again; `ALIVE` is let through."""

    def __init__(self, app: ASGIApp, most: int):
        self._app = app
        self._most = most
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] == "http" and self._running >= self._most and scope["path"] != ALIVE:
            await JSONResponse(_BUSY, 503, {"Connection": "close", "Retry-After": "5"})(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
