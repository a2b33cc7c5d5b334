"""Let pages of an object into a frame of a notebook, by the token in their address."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modos.gateway.guarding import is_foreign, is_token, keep_nothing, refuse

_ANCESTORS = b"http://localhost:* http://127.0.0.1:* vscode-webview:"  # where notebooks of this machine are
_POLICY = b"content-security-policy"


class FrameGuard:
    """Answers below `/TOKEN/` alone, with pages that a notebook of this machine may show in a frame.

    A frame of another site sends no cookie, so that the token stands in all
    addresses: the pages are told it as what stands before their paths.
    """

    def __init__(self, app: ASGIApp, token: str):
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] != "http":
            return
        given, slash, rest = scope["path"].lstrip("/").partition("/")
        if not slash or not is_token(given, self._token) or await is_foreign(scope):
            await refuse(scope, receive, send)
            return

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [(name, _allow(name, value)) for name, value in message["headers"]]}
            await send(message)

        prefix = f"/{given}"
        raw = bytes(scope.get("raw_path") or b"").partition(prefix.encode())[2]
        await self._app(
            {**scope, "path": f"/{rest}", "raw_path": raw, "root_path": prefix}, receive, keep_nothing(send_framed, f"/{rest}")
        )


def _allow(name: bytes, value: bytes) -> bytes:
    if name.lower() != _POLICY:
        return value
    return value.replace(b"frame-ancestors 'none'", b"frame-ancestors " + _ANCESTORS)
