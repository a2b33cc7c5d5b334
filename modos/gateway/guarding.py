"""Let nobody in who does not have the token of this process, and no other user of the machine."""

from __future__ import annotations

import hmac
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from modos.gateway.peer_sockets import is_of_other_user

_BYTES = 24  # of a token: 192 bits
_ASSETS = "/assets/"  # the same for everybody


def make_token() -> str:
    """Make a secret that stands in addresses."""
    return secrets.token_urlsafe(_BYTES)


def is_token(given: str, token: str) -> bool:
    """Compare in a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


async def is_foreign(scope: Scope) -> bool:
    """Return whether a request is known to come from another user of this machine."""
    client, own = scope.get("client"), scope.get("server")
    return bool(client and own) and await run_in_threadpool(is_of_other_user, tuple(client or ()), tuple(own or ()))


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 403, without a word on what there is."""
    answer = PlainTextResponse("this address is another's, or it has ended\n", 403, {"Connection": "close"})
    await answer(scope, receive, send)


def keep_nothing(send: Send, path: str) -> Send:
    """Tell the browser to keep nothing of an answer but assets: it may be decrypted, and browsers keep files on a disk."""
    if path.startswith(_ASSETS):
        return send

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Cache-Control"] = "no-store"
        await send(message)

    return send_on
