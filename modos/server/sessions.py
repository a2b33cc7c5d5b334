"""Keep sessions of browsers in cookies that hold a person's bearer token, sealed.

Where only reading is done, the cookie stands for the token. Nothing is kept by
the server: any of its processes, and any other server that has the same secret,
opens the cookie. A session ends with its token, unless the
provider renews that, and `LONGEST` after the log-in at the latest; a right that
is withdrawn ends as it does for the token itself, since the token is checked
at each request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modos.encryption.text_seal import TextSeal
from modos.errors import AccessError, ModosError, RemoteError
from modos.genomics.htsget.protocol import HtsgetError
from modos.server.auth import LONGEST_TOKEN, Access, set_caller
from modos.server.code_flow import CodeFlow, Grant
from modos.server.cookies import MOST, PIECE, CookieName
from modos.server.origins import may_show_cookie
from modos.server.rules import Caller
from modos.server.visas import read_unchecked

LONGEST = 12 * 3600.0  # seconds from a log-in to the end of its session, however often the token is renewed
EARLY, SOON = 300.0, 60.0  # seconds before the end of a token when a page, and when anything else has it renewed
AT_ONCE = 8  # questions to a provider at a time
_KEPT, _AGAIN = 60.0, 5.0  # seconds for which a renewal is known to who comes late, and a failed one
SESSION, NOTE = "modos.session", "modos.session_note"
_PURPOSE = "session"
_ENDED = "Your session has ended: what you see is what is open to everybody."
_AWAY = "The server cannot check your log-in at the moment: what you see is what is open to everybody."

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """Content of a cookie.

    Parameters
    ----------
    token, name
        The bearer token, and whose it was at the log-in.
    began, ends
        Seconds since 1970: of the log-in, and of the end of the token; None where that is not known.
    number
        A random text that nobody else knows.
    refresh_token, issuer
        What renews the token, and where.
    """

    token: str
    name: str
    began: float
    number: str
    ends: float | None = None
    refresh_token: str | None = None
    issuer: str = ""

    @property
    def form_token(self) -> str:
        """Text that forms of this session carry, and that pages of others cannot know."""
        return hashlib.sha256(f"form {self.number}".encode()).hexdigest()

    @property
    def is_over(self) -> bool:
        """Return whether it has lasted for as long as it may."""
        return not 0 <= time.time() - self.began + SOON < LONGEST + SOON

    def is_due(self, seconds: float) -> bool:
        """Return whether its token ends in less than some seconds, and may be renewed."""
        return self.refresh_token is not None and self.ends is not None and self.ends - time.time() < seconds


class Sessions:
    """Opens, begins and renews sessions.

    Parameters
    ----------
    public_url
        This server as browsers reach it; what a request says where it is None.
    """

    def __init__(self, access: Access, seal: TextSeal, public_url: str | None = None):
        self.access = access
        self.seal = seal
        self._public_url = public_url
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._renewals: dict[bytes, tuple[float, asyncio.Task[Session | None]]] = {}

    def base(self, scope: Scope) -> str:
        """Return the URL of this server, without a slash at its end."""
        return self._public_url or str(Request(scope).base_url).rstrip("/")

    def name(self, scope: Scope, purpose: str = _PURPOSE) -> CookieName:
        """Return the name of a cookie."""
        return CookieName.of(purpose, self.base(scope))

    def open(self, scope: Scope) -> tuple[bool, Session | None]:
        """Return whether a request has a cookie of a session, and the session if it is one that goes on."""
        text = self.name(scope).read(scope)
        if text is None:
            return False, None
        content = self.seal.open(text, _PURPOSE)
        try:
            session = Session(**json.loads(content)) if content else None
        except TypeError:  # of another version of the server
            session = None
        return True, session if session and not session.is_over else None

    def write(self, scope: Scope, session: Session) -> list[str]:
        """Return values of `Set-Cookie` for a session; AccessError where its token is too long for cookies."""
        text = self.seal.seal(json.dumps(asdict(session), separators=(",", ":")).encode(), _PURPOSE)
        if len(text) > PIECE * MOST:
            raise AccessError(
                f"the token is too long for a browser: {len(text):,} characters sealed, of {PIECE * MOST:,} at most",
                "use it with programs; a provider can give shorter ones, with fewer claims",
            )
        return self.name(scope).write(text, scope)

    async def begin(self, grant: Grant, issuer: str = "", before: Session | None = None) -> Session:
        """Make a session of what a provider or a person gave, once this server knows whose token it is.

        Raises
        ------
        HtsgetError
            It is nobody's; or that cannot be said at the moment.
        """
        token, caller = await self._identify(grant.tokens)
        ends = None if grant.seconds is None else time.time() + grant.seconds
        with suppress(HtsgetError, KeyError, TypeError, ValueError):
            ends = float(read_unchecked(token)["exp"])
        if before:
            return replace(before, token=token, name=caller.name, ends=ends, refresh_token=grant.refresh_token)
        return Session(token, caller.name, time.time(), secrets.token_urlsafe(16), ends, grant.refresh_token, issuer)

    async def _identify(self, tokens: tuple[str, ...]) -> tuple[str, Caller]:
        refusal = HtsgetError("InvalidAuthentication", "there is no token")
        for token in tokens:
            if len(token) > LONGEST_TOKEN:
                refusal = HtsgetError("InvalidAuthentication", f"it has {len(token):,} characters, of {LONGEST_TOKEN:,} at most")
                continue
            try:
                return token, await self.identify(token)
            except HtsgetError as error:
                refusal = error
        raise refusal

    async def identify(self, token: str) -> Caller:
        """Identify the owner of a token, as of a header `Authorization`; the errors are those of `Access.identify`."""
        authorization = f"Bearer {token}"
        await self.access.prepare(authorization)
        return self.access.identify(authorization)

    async def renew(self, session: Session) -> Session | None:
        """Renew the token of a session; None where the provider does not.

        Requests that come at once or a little later, with the token of before,
        get the same one: a provider may take a refresh token that comes twice
        for a stolen one (RFC 9700, section 4.14).

        Raises
        ------
        RemoteError
            The provider cannot be asked at the moment.
        """
        key, now = hashlib.sha256(str(session.refresh_token).encode()).digest(), time.monotonic()
        for old in [one for one, (until, task) in self._renewals.items() if until < now and task.done()]:
            del self._renewals[old]
        if key not in self._renewals:
            self._renewals[key] = (now + _KEPT, asyncio.ensure_future(self._renew(session)))
        until, task = self._renewals[key]
        try:
            return await asyncio.shield(task)
        except RemoteError:
            self._renewals[key] = (min(until, now + _AGAIN), task)
            raise

    async def _renew(self, session: Session) -> Session | None:
        client = self.access.client
        if client is None or client.issuer.url != session.issuer:
            return None
        try:
            flow = await CodeFlow.describe(client)
            grant = await self.ask(flow.renew, str(session.refresh_token))
            renewed = await self.begin(grant, before=session)
        except RemoteError:
            raise
        except ModosError as error:
            if isinstance(error, HtsgetError) and error.name != "InvalidAuthentication":
                raise RemoteError(error.message) from None
            logger.info("a session is not renewed: %s", error)
            return None
        return renewed if renewed.name == session.name else None

    async def ask(self, ask: Callable[..., Result], *words: Any) -> Result:
        """Ask a provider, in a thread besides those of other requests, of which there are few."""
        return await anyio.to_thread.run_sync(partial(ask, *words), limiter=self._limiter, abandon_on_cancel=True)


class SessionCookies:
    """Middleware that knows callers by their cookie: of GET and HEAD, of pages of this server, without a header `Authorization`.

    A cookie that is good no more is removed, and the caller is anonymous.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions):
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if (
            scope["type"] != "http"
            or not self._sessions.access.identifies
            or not may_show_cookie(scope, self._sessions.base(scope))
        ):
            await self._app(scope, receive, send)
            return
        is_there, session = self._sessions.open(scope)
        if not is_there:
            await self._app(scope, receive, send)
            return
        cookies = await self._admit(scope, session)

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                given = [value for name, value in message["headers"] if name.lower() == b"set-cookie"]
                for value in cookies if not given else ():  # what logs in or out has the last word
                    headers.append("Set-Cookie", value)
                    headers["Cache-Control"] = "private, no-store"
            await send(message)

        await self._app(scope, receive, add)

    async def _admit(self, scope: Scope, session: Session | None) -> list[str]:
        """Find whose session it is, and say so of the request; return values of `Set-Cookie`."""
        is_page = Headers(scope=scope).get("Sec-Fetch-Mode", "navigate") == "navigate"
        cookies: list[str] = []
        try:
            if session and session.is_due(EARLY if is_page else SOON) and (renewed := await self._renew(session)):
                session, cookies = renewed, self._sessions.write(scope, renewed)
            if session is None:
                raise HtsgetError("InvalidAuthentication", "the session has ended")
            set_caller(Request(scope), await self._sessions.identify(session.token))
            scope[SESSION] = session
            return cookies
        except RemoteError:
            scope[NOTE] = _AWAY
            return []
        except (HtsgetError, AccessError) as error:
            if isinstance(error, HtsgetError) and error.name != "InvalidAuthentication":
                scope[NOTE] = _AWAY
                return []
        scope[NOTE] = _ENDED
        return self._sessions.name(scope).remove(scope) if is_page else []  # what comes late must not remove a new one

    async def _renew(self, session: Session) -> Session | None:
        """Renew a token; None where that fails and it goes on for a while; RemoteError where it does not."""
        try:
            return await self._sessions.renew(session)
        except RemoteError:
            if session.is_due(0):
                raise
            return None
