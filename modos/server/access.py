"""Who may ask: bearer tokens, and pages of other origins."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.errors import AccessError, InvalidInputError, NotFoundError
from modos.htsget.protocol import ERROR_STATUS, MEDIA_TYPE, error_to_json

SHORTEST = 16  # characters of a token
_MAX_AGE = 30 * 24 * 3600  # seconds; htsget.md, "CORS"
_OPEN_TO_PAGES = ("/htsget/", "/files/")


def read_tokens(path: str | Path) -> tuple[str, ...]:
    """The tokens of a file, one a line; lines that start with `#` count for nothing.

    Raises
    ------
    NotFoundError
        No such file.
    AccessError
        Others can read it.
    InvalidInputError
        It has no token, or one that is short or has blanks in it.
    """
    try:
        mode = os.stat(path).st_mode
        text = Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise NotFoundError(f"cannot read the token file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is not a token file", "write one token a line, in plain letters") from None
    if stat.S_ISREG(mode) and mode & 0o077:
        raise AccessError(f"others can read the token file {path}", f"chmod 600 {path}")
    tokens = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not tokens:
        raise InvalidInputError(f"{path} has no token", "write one a line, such as `openssl rand -hex 32` gives")
    if not all(len(token) >= SHORTEST and re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token) for token in tokens):
        raise InvalidInputError(f"{path} has a token of less than {SHORTEST} characters, or with others than RFC 6750 has",
                                "make one with `openssl rand -hex 32`")
    return tokens


class Tokens:
    """Lets requests through that have one of some bearer tokens (RFC 6750)."""

    def __init__(self, app: ASGIApp, tokens: Collection[str]):
        self._app = app
        self._digests = [_digest(token) for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scheme, _, token = Headers(scope=scope).get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._is_known(token.strip()):
                name = "InvalidAuthentication" if scheme else "PermissionDenied"
                message = "the token is not valid" if scheme else "a bearer token is needed"
                answer = JSONResponse(error_to_json(name, message), ERROR_STATUS[name], {"WWW-Authenticate": "Bearer"},
                                      media_type=MEDIA_TYPE)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_known(self, token: str) -> bool:
        digest = _digest(token)
        return any([hmac.compare_digest(digest, known) for known in self._digests])


class Pages:
    """Lets pages of any origin ask for tickets and data, without credentials that a browser keeps (htsget.md, "CORS")."""

    def __init__(self, app: ASGIApp):
        self._app = app
        self._open = CORSMiddleware(app, allow_origin_regex=".*", allow_methods=("GET", "HEAD", "POST"),
                                    allow_headers=("*",), max_age=_MAX_AGE,
                                    expose_headers=("Content-Range", "Accept-Ranges", "ETag"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "http" and scope["path"].startswith(_OPEN_TO_PAGES)
        await (self._open if is_open else self._app)(scope, receive, send)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
