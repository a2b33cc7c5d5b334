"""Authenticate callers by bearer tokens of a file or of an OpenID provider, and set CORS for pages."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.errors import AccessError, InvalidInputError
from modos.genomics.htsget.protocol import ERROR_STATUS, MEDIA_TYPE, HtsgetError, error_to_json
from modos.readlog.log_settings import LogSettings
from modos.server.provider import Provider
from modos.server.rules import ANYONE, Action, Caller, Oidc, Rules, read_access
from modos.storage.given import is_pipe, read_given

SHORTEST = 16  # characters of a token
_LONGEST = 16_384
_MAX_TOKENS = 16 << 20  # bytes of a file
_MAX_AGE = 30 * 24 * 3600  # seconds; htsget.md, "CORS"
_OPEN_TO_PAGES = ("/htsget/", "/files/", "/refget/", "/references/")
_CALLER = "modos.caller"


def read_tokens(path: str | Path) -> dict[str, str]:
    """Read the tokens of a file and their owners: `NAME TOKEN` or `TOKEN` a line; lines that start with `#` are skipped.

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
        text = read_given(path, _MAX_TOKENS).decode("ascii")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is not a token file", "write one token a line, in plain letters") from None
    if not is_pipe(path) and os.stat(path).st_mode & 0o077:
        raise AccessError(f"others can read the token file {path}", f"chmod 600 {path}")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise InvalidInputError(f"{path} has no token", "write one a line, such as `openssl rand -hex 32` gives")
    if not all(
        len(words) <= 2 and len(words[-1]) >= SHORTEST and re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", words[-1]) for words in lines
    ):
        raise InvalidInputError(
            f"{path} has a token of less than {SHORTEST} characters, or with others than RFC 6750 has",
            "make one with `openssl rand -hex 32`",
        )
    names = {words[-1]: words[0] if len(words) == 2 else "token" for words in lines}
    if len(names) < len(lines):
        raise InvalidInputError(f"{path} has a token twice", "give everybody another one")
    return names


class Access:
    """Rules and tokens that decide who a caller is and what they may do.

    Parameters
    ----------
    tokens
        Bearer tokens, and whose they are.
    rules
        Who may do what. Without them all may be read: by everybody, or where
        there are tokens or a provider by those who have one.
    oidc
        The provider whose tokens are taken as well.
    """

    def __init__(self, tokens: Mapping[str, str] | None = None, rules: Rules | None = None, oidc: Oidc | None = None):
        self._names = {_digest(token): name for token, name in (tokens or {}).items()}
        self._provider = Provider(oidc) if oidc else None
        self.oidc = oidc
        self._rules = rules
        self._is_closed = bool(self._names or oidc)
        self.log: LogSettings | None = None

    @classmethod
    def from_file(cls, path: str | Path) -> Access:
        """Read an access file; its errors are those of `read_access` and `read_tokens`."""
        found = read_access(path)
        access = cls(read_tokens(found.tokens) if found.tokens else None, found.rules, found.oidc)
        access.log = found.log
        return access

    async def prepare(self, authorization: str) -> None:
        """Fetch the keys of the provider, where a header `Authorization` needs them."""
        token = _bearer(authorization)
        if self._provider and _digest(token) not in self._names and token.count(".") == 2:
            await self._provider.prepare(token)

    def identify(self, authorization: str) -> Caller:
        """Identify the sender of a header `Authorization`, by what is known; see `prepare`.

        Raises
        ------
        HtsgetError
            It is not that of anybody.
        """
        token = _bearer(authorization)
        name = self._names.get(_digest(token)) if token else None
        if name is not None:
            return Caller(name, how="token")
        if self._provider and token.count(".") == 2:
            return self._provider.identify(token)
        raise HtsgetError("InvalidAuthentication", "the token is not valid")

    async def login(self) -> dict[str, Any] | None:
        """Return how to get a token; None if none is needed."""
        if self._provider is None or self.oidc is None:
            return {"type": "token"} if self._is_closed else None
        provider = await self._provider.fetch_description()
        return {
            "type": "oidc",
            "issuer": self.oidc.issuer,
            "client_id": self.oidc.client_id,
            "audience": self.oidc.audience,
            "device_authorization_endpoint": provider.get("device_authorization_endpoint"),
            "token_endpoint": provider.get("token_endpoint"),
        }

    @property
    def identifies(self) -> bool:
        """Return whether tokens mean anything here."""
        return self._is_closed

    def places(self, caller: Caller, action: Action) -> tuple[str, ...]:
        """Return the places where somebody may do something; the empty one is everything."""
        if self._rules is not None:
            return self._rules.places(caller, action)
        return () if action == "write" or (self._is_closed and caller == ANYONE) else ("",)

    def allows(self, caller: Caller, action: Action, key: str, *, below: bool = False) -> bool:
        """Return whether somebody may do something with a key and all that is below it.

        Parameters
        ----------
        below
            Whether the key has to lie below a place: it is one to which an
            ending is added, so that a place itself leads to a file beside it.
        """
        return any(
            not place or (key == place and not below) or key.startswith(f"{place}/") for place in self.places(caller, action)
        )

    def check(self, caller: Caller, action: Action, key: str, *, below: bool = False) -> None:
        """Raise HtsgetError if somebody may not, see `allows`; it is the same whether the key is there or not."""
        if self.allows(caller, action, key, below=below):
            return
        if caller == ANYONE:
            raise HtsgetError("PermissionDenied", "a bearer token is needed")
        raise HtsgetError("PermissionDenied", f"{caller.name} may not {action} {key or 'this'}")

    def check_any(self, caller: Caller) -> None:
        """Raise HtsgetError if somebody may read nothing here: what holds no data of a person is for all others."""
        if not self.places(caller, "read"):
            raise HtsgetError("PermissionDenied", "nothing here may be read" if caller.name else "a bearer token is needed")


class Authentication:
    """Middleware that identifies callers (RFC 6750); an invalid token is refused wherever it is sent."""

    def __init__(self, app: ASGIApp, access: Access):
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] == "http" and self._access.identifies:
            authorization = Headers(scope=scope).get("Authorization")
            if authorization:
                try:
                    await self._access.prepare(authorization)
                    scope[_CALLER] = self._access.identify(authorization)
                except HtsgetError as error:
                    await refusal(error)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def caller_of(request: Request) -> Caller:
    """Return the sender of a request."""
    caller: Caller = request.scope.get(_CALLER, ANYONE)
    return caller


def refusal(error: HtsgetError) -> JSONResponse:
    """Make the answer to an unauthorised caller; the body that they send is not read."""
    return JSONResponse(
        error_to_json(error.name, error.message),
        ERROR_STATUS[error.name],
        {"WWW-Authenticate": "Bearer", "Connection": "close"},
        media_type=MEDIA_TYPE,
    )


class Pages:
    """Let pages of any origin ask for tickets and data, without credentials that a browser keeps (htsget.md, "CORS")."""

    def __init__(self, app: ASGIApp):
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origin_regex=".*",
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),
            max_age=_MAX_AGE,
            expose_headers=("Content-Range", "Accept-Ranges", "ETag"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        is_open = scope["type"] == "http" and scope["path"].startswith(_OPEN_TO_PAGES)
        await (self._open if is_open else self._app)(scope, receive, send)


def _bearer(authorization: str) -> str:
    """Return the token of a header `Authorization`; empty if it has none that could be good."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and len(token) <= _LONGEST else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
