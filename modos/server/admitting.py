"""Limit how many requests are answered at once."""

from __future__ import annotations

import resource

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.errors import ModosError

ALIVE = "/healthz"  # answered whatever the load
_MOST = 2000
_RESERVED = 100  # descriptors for all else
_BUSY = {"error": "busy", "message": "the server has too many requests: ask again in a while"}


class BusyError(ModosError):
    """The server does as much of something as it can at a time."""

    kind = "busy"


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
