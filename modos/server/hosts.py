"""Check the Host header, so that foreign pages cannot reach this machine under a name of their own."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:\d+)?")


class KnownHosts:
    """Refuses what comes over the loopback address for a name that is neither this machine's nor the public one.

    A page that has its own name lead to 127.0.0.1 (DNS rebinding) would
    otherwise read, in the browser of a user of this machine, what is served.
    An address is no name: no page can have it lead elsewhere.
    """

    def __init__(self, app: ASGIApp, public_url: str | None = None):
        self._app = app
        machine = socket.gethostname().lower()
        self._names = {"localhost", machine, machine.partition(".")[0]} - {""}
        if public_url:
            self._names.add(urlsplit(public_url).hostname or "localhost")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] == "http" and _is_loopback((scope.get("server") or ("",))[0]):
            host = Headers(scope=scope).get("Host")
            if host is not None and not self._is_ours(host):
                message = "this server is not known by that name: --public-url says which other one it has"
                answer = JSONResponse(
                    {"error": "invalid_input", "message": message}, 421, {"Connection": "close"}
                )  # a body is not read
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        name = match["name"].strip("[]").rstrip(".").lower() if match else ""
        return name in self._names or name.endswith(".localhost") or _parse(name) is not None


def _is_loopback(address: str) -> bool:
    """Return whether a connection ends at the loopback address; a socket for both IPv6 and IPv4 has `::ffff:127.0.0.1`."""
    parsed = _parse(address)
    return parsed is not None and (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
