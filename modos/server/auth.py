"""Authenticate callers by bearer tokens of a file or of an OpenID provider, and set CORS for pages."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.errors import ModosError
from modos.formats import stem_of
from modos.genomics.bounding import Bounds
from modos.genomics.htsget.protocol import ERROR_STATUS, MEDIA_TYPE, HtsgetError, error_to_json
from modos.readlog.log_settings import LogSettings
from modos.server.access_file import RuleFile
from modos.server.code_flow import Client
from modos.server.panels import FindGenes, no_genes
from modos.server.passports import Passports
from modos.server.provider import Provider
from modos.server.rules import ANYONE, AccessFile, Action, Caller, Oidc, Rules, covers, is_below
from modos.server.trusting import Passport
from modos.storage.given import is_pipe

TOKEN_NEEDED = "a bearer token is needed"
LONGEST_TOKEN = 16_384  # characters
_MAX_AGE = 30 * 24 * 3600  # seconds; htsget.md, "CORS"
_OPEN_TO_PAGES = ("/htsget/", "/slices/", "/files/", "/refget/", "/references/")
_CALLER = "modos.caller"

logger = logging.getLogger(__name__)


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
    passport
        The brokers and issuers whose passports and visas are taken as well.
    is_partial
        Whether a request that reaches out of somebody's bounds gets what is within.
    """

    def __init__(
        self,
        tokens: Mapping[str, str] | None = None,
        rules: Rules | None = None,
        oidc: Oidc | None = None,
        passport: Passport | None = None,
        *,
        is_partial: bool = False,
    ):
        self._file: RuleFile | None = None
        self._read: tuple[Mapping[str, str], AccessFile] | None = None
        self._failure = ""  # of the last attempt to read the files again
        self.log: LogSettings | None = None
        self._provider: Provider | None = None
        self.passports: Passports | None = None
        self.oidc: Oidc | None = None
        self._passport: Passport | None = None
        self._apply(tokens or {}, AccessFile(rules or Rules(()), oidc, passport=passport, partial=is_partial))
        self._rules = rules

    def _apply(self, tokens: Mapping[str, str], found: AccessFile) -> None:
        self._names = {_digest(token): name for token, name in tokens.items()}
        if found.oidc != self.oidc:
            self._provider = Provider(found.oidc) if found.oidc else None
        if (found.oidc, found.passport) != (self.oidc, self._passport):
            self.passports = Passports(found.passport, found.oidc, self._provider) if found.passport else None
        self.oidc, self._passport = found.oidc, found.passport
        self._rules = found.rules
        self.is_partial = found.partial
        self._is_closed = bool(self._names or found.oidc or found.passport)

    @classmethod
    def from_file(cls, path: str | Path, find_genes: FindGenes = no_genes) -> Access:
        """Read an access file, and read it again when it has changed, see `refresh`.

        The errors are those of `read_access`, to which `find_genes` goes, and `read_tokens`.
        """
        file, access = RuleFile(Path(path), find_genes), cls()
        access._read = file.read()
        access._apply(*access._read)
        access.log = access._read[1].log
        if not is_pipe(path):
            access._file = file
        return access

    def is_due(self) -> bool:
        """Return whether it is time to `refresh`."""
        return self._file is not None and self._file.is_due()

    def refresh(self) -> None:
        """Read the access file and those that it names again where one has changed.

        Files that cannot be used are noted in the log, once, and tried again; what they said before holds.
        """
        assert self._file is not None
        try:
            read = self._file.read_anew()
        except (ModosError, OSError) as error:
            if str(error) != self._failure:
                logger.error("the rules of before hold: %s", error)
            self._failure = str(error)
            return
        if read is None:
            return
        self._failure = ""
        if read != self._read:
            self._apply(*read)
            self._read = read
            logger.warning("%s has changed and is read again", self._file.path)
            if read[1].log != self.log:
                logger.error("%s: what its table log says now holds when the server is started again", self._file.path)

    async def prepare(self, authorization: str) -> None:
        """Fetch what a header `Authorization` needs: keys of the provider or a broker, and visas."""
        token = _bearer(authorization)
        if _digest(token) in self._names or token.count(".") != 2:
            return
        if self.passports and self.passports.takes(token):
            await self.passports.prepare(token)
        elif self._provider:
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
        if self.passports and token.count(".") == 2 and self.passports.takes(token):
            return self.passports.identify(token)
        if self._provider and token.count(".") == 2:
            caller = self._provider.identify(token)
            if not (self.passports and self.passports.owns(caller.name)):
                return caller
        raise HtsgetError("InvalidAuthentication", "the token is not valid")

    @property
    def client(self) -> Client | None:
        """Client of the provider at which people log in: of the site's own, else of the first broker; None without any."""
        passports, issuer = self.passports, self._provider.issuer if self._provider else None
        if passports and issuer is None:
            issuer = passports.first
        named = self.oidc or (passports.passport if passports else None)
        if issuer is None or named is None:
            return None
        broker_scopes = passports.passport.scopes if passports and passports.has_broker(issuer.url) else None
        return Client(
            issuer,
            named.client_id,
            named.audience,
            named.scopes if named is self.oidc and named.scopes else broker_scopes,
            named.client_secret_file,
        )

    @property
    def has_tokens(self) -> bool:
        """Return whether there are tokens of a file."""
        return bool(self._names)

    async def login(self) -> dict[str, Any] | None:
        """Return how to get a token; None if none is needed."""
        client = self.client
        if client is None:
            return {"type": "token"} if self._is_closed else None
        provider = await client.issuer.fetch_description()
        return {
            "type": "oidc",
            "issuer": client.issuer.url,
            "client_id": client.client_id,
            "audience": client.audience,
            "scope": client.scope,
            "device_authorization_endpoint": provider.get("device_authorization_endpoint"),
            "token_endpoint": provider.get("token_endpoint"),
        }

    @property
    def identifies(self) -> bool:
        """Return whether tokens mean anything here."""
        return self._is_closed

    def places(self, caller: Caller, action: Action) -> tuple[str, ...]:
        """Return the places where somebody may do something, without bounds; the empty one is everything."""
        if self._rules is not None:
            return self._rules.places(caller, action)
        return () if action == "write" or (self._is_closed and caller == ANYONE) else ("",)

    def allows(self, caller: Caller, action: Action, key: str, *, below: bool = False) -> bool:
        """Return whether somebody may do something with a key and all that is below it, without bounds.

        Parameters
        ----------
        below
            Whether the key has to lie below a place: it is one to which an
            ending is added, so that a place itself leads to a file beside it.
        """
        return any((is_below if below else covers)(place, key) for place in self.places(caller, action))

    def check(self, caller: Caller, action: Action, key: str, *, below: bool = False) -> None:
        """Raise HtsgetError if somebody may not, see `allows`; it is the same whether the key is there or not."""
        if self.allows(caller, action, key, below=below):
            return
        if caller == ANYONE:
            raise HtsgetError("PermissionDenied", TOKEN_NEEDED)
        raise HtsgetError("PermissionDenied", f"{caller.name} may not {action} {key or 'this'}")

    def may_have_file(self, caller: Caller, file_id: str) -> bool:
        """Return whether somebody may read within bounds a file whose key is an id with an ending."""
        bounded = self._rules.bounded(caller) if self._rules is not None else ()
        return any(
            (covers(place, file_id) and place != file_id) or (place != file_id and stem_of(place) == file_id)
            for rule in bounded
            for place in rule.read
        )

    def admit(self, caller: Caller, key: str) -> tuple[Bounds, ...]:
        """Return the bounds within which somebody may read a key: side by side, none where there are no bounds.

        Whoever asks for this has to keep to them; `check` refuses whose right has bounds.

        Raises
        ------
        HtsgetError
            They may not read it at all, see `check`.
        """
        if self._rules is not None and not self.allows(caller, "read", key):
            bounds = self._rules.bounds(caller, key)
            if bounds:
                return bounds
        self.check(caller, "read", key)
        return ()

    def shows(self, caller: Caller, key: str) -> bool:
        """Return whether somebody may know that there is an object at a key."""
        bounded = self._rules.bounds(caller, key) if self._rules is not None else ()
        return self.allows(caller, "read", key) or bool(bounded)

    def shows_metadata(self, caller: Caller, key: str) -> bool:
        """Return whether somebody may read the metadata of an object at a key."""
        bounded = self._rules.bounded(caller) if self._rules is not None else ()
        return self.allows(caller, "read", key) or any(
            rule.shows_metadata and any(covers(place, key) for place in rule.read) for rule in bounded
        )

    def bounded_places(self, caller: Caller) -> list[dict[str, Any]]:
        """Describe the places where somebody may read within bounds; regions as texts, 1-based inclusive."""
        bounded = self._rules.bounded(caller) if self._rules is not None else ()
        return [{"read": list(rule.read), "metadata": rule.shows_metadata, **_describe(rule.bounds)} for rule in bounded]

    def check_any(self, caller: Caller) -> None:
        """Raise HtsgetError if somebody may read nothing here: what holds no data of a person is for all others."""
        if not self.places(caller, "read") and not self.bounded_places(caller):
            raise HtsgetError("PermissionDenied", "nothing here may be read" if caller.name else TOKEN_NEEDED)


class Authentication:
    """Middleware that identifies callers (RFC 6750); an invalid token is refused wherever it is sent."""

    def __init__(self, app: ASGIApp, access: Access):
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] == "http" and self._access.is_due():
            await run_in_threadpool(self._access.refresh)
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


def _describe(bounds: Bounds | None) -> dict[str, Any]:
    """Describe bounds as they stand in an access file."""
    assert bounds is not None
    found: dict[str, Any] = {name: list(getattr(bounds, name)) for name in ("fields", "notags") if getattr(bounds, name)}
    found |= {name: sorted(given) for name in ("samples", "info", "formats") if (given := getattr(bounds, name)) is not None}
    if bounds.tags is not None:
        found["tags"] = list(bounds.tags)
    if bounds.regions is not None:
        found["regions"] = list(map(str, bounds.regions))
    return found


def caller_of(request: Request) -> Caller:
    """Return the sender of a request."""
    caller: Caller = request.scope.get(_CALLER, ANYONE)
    return caller


def set_caller(request: Request, caller: Caller) -> None:
    """Set the sender of a request, who has shown by its body who it is."""
    request.scope[_CALLER] = caller


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
    return token if scheme.lower() == "bearer" and len(token) <= LONGEST_TOKEN else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
