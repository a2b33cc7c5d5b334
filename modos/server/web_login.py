"""Let people log in and out with their browser: at the provider, or with a token that they paste."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from modos.errors import AccessError, InvalidInputError, ModosError, RemoteError
from modos.genomics.htsget.protocol import HtsgetError
from modos.server.bodies import read_body
from modos.server.code_flow import Attempt, Client, CodeFlow, Grant, begin_attempt
from modos.server.cookies import PIECE, is_fit
from modos.server.origins import clean_path, is_of_own_page
from modos.server.pages.error_pages import show_error
from modos.server.pages.rendering import base_path, render
from modos.server.parameters import check_parameters
from modos.server.sessions import SESSION, Session, Sessions

PATH, CALLBACK = "/login", "/login/callback"
LASTS = 600  # seconds that a log-in may take
_ATTEMPTS = "login"  # cookie and purpose of its seal
_MOST_ATTEMPTS = 3  # pages that wait for a log-in at a time
_MAX_FORM = 32 << 10  # bytes
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}=*")
_ANSWER = ("state", "code", "iss", "error", "error_description")

logger = logging.getLogger(__name__)


def create_router(sessions: Sessions) -> APIRouter:
    """Create the endpoints; they give nothing but pages, cookies and redirects."""
    router, pages = APIRouter(include_in_schema=False), LoginPages(sessions)

    @router.get(PATH, dependencies=[Depends(check_parameters)])
    async def begin(request: Request, next: Annotated[str, Query()] = "/", by: Annotated[str, Query()] = "") -> Response:
        """Lead to the provider's page, or show the one where a token is pasted."""
        return await pages.begin(request, clean_path(next), by == "provider")

    @router.get(CALLBACK)
    async def end(request: Request) -> Response:
        """Take the provider's answer, and begin a session."""
        return await pages.end(request)

    @router.post(PATH)
    async def take(request: Request) -> Response:
        """Take a token that was pasted, and begin a session."""
        return await pages.take(request)

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        """End a session here, and lead to where the provider ends its own."""
        return await pages.log_out(request)

    return router


class LoginPages:
    """Answers to those who log in and out."""

    def __init__(self, sessions: Sessions):
        self._sessions = sessions

    async def begin(self, request: Request, next_path: str, is_chosen: bool) -> Response:
        """Answer who wants to log in."""
        access, base = self._sessions.access, self._sessions.base(request.scope)
        if not access.identifies:
            return self._go(request, next_path)
        if not is_fit(base):
            trouble = InvalidInputError(
                "nobody can log in here, as the connection is not encrypted", "reach this server by https"
            )
            return self._show(request, next_path, trouble)
        client = access.client
        if client is None or (access.has_tokens and not is_chosen):
            return self._show(request, next_path)
        try:
            flow = await CodeFlow.describe(client)
            attempt = begin_attempt(next_path, issuer=client.issuer.url, redirect_uri=f"{base}{CALLBACK}")
            address = flow.make_address(attempt, anew=SESSION in request.scope)
        except ModosError as error:
            return self._show(request, next_path, error)
        return _with_cookies(_redirect(address), self._remember(request, [attempt, *self._read_attempts(request)]))

    async def end(self, request: Request) -> Response:
        """Answer who comes back from the provider."""
        attempts, client = self._read_attempts(request), self._sessions.access.client
        given = {name: values[0] for name in _ANSWER if len(values := request.query_params.getlist(name)) == 1}
        attempt = _find(attempts, given.get("state", ""))
        if attempt is None or client is None:
            base = self._sessions.base(request.scope)
            return self._show(
                request,
                "/",
                InvalidInputError("this log-in was not begun in this browser, or took too long", f"begin again, at {base}"),
            )
        left = [one for one in attempts if one is not attempt]
        try:
            session = await self._finish(client, given, attempt)
            cookies = self._sessions.write(request.scope, session)
        except ModosError as error:
            return _with_cookies(self._show(request, attempt.next, error, left), self._remember(request, left))
        return _with_cookies(self._go(request, attempt.next), [*cookies, *self._remember(request, left)])

    async def _finish(self, client: Client, given: Mapping[str, str], attempt: Attempt) -> Session:
        flow = await CodeFlow.describe(client)
        grant = await self._sessions.ask(flow.exchange, flow.read_answer(given, attempt), attempt)
        await flow.check_nonce(grant, attempt)
        try:
            return await self._sessions.begin(grant, client.issuer.url)
        except HtsgetError as error:
            logger.error("%s gives a token that is not taken here: %s", client.issuer.url, error.message)
            raise AccessError(
                f"{urlsplit(client.issuer.url).hostname} gives a token that this server does not take: {error.message}",
                "tell who runs this server",
            ) from None

    async def take(self, request: Request) -> Response:
        """Answer who has pasted a token."""
        form = await _read_form(request)
        next_path, attempts = clean_path(form.get("next", "/")), self._read_attempts(request)
        base = self._sessions.base(request.scope)
        attempt = _find(attempts, form.get("state", ""))
        if not is_of_own_page(request.scope, base) or not is_fit(base) or attempt is None:
            return self._show(
                request, next_path, InvalidInputError("this form was not sent by a page of this server", "try again")
            )
        token = form.get("token", "").strip()
        try:
            if not self._sessions.access.has_tokens or not _TOKEN.fullmatch(token):
                raise HtsgetError("PermissionDenied", "this is no token of this server")
            session = await self._sessions.begin(Grant((token,)))
            cookies = self._sessions.write(request.scope, session)
        except HtsgetError as error:
            return self._show(request, next_path, AccessError(error.message))
        except AccessError as error:
            return self._show(request, next_path, error)
        left = [one for one in attempts if one is not attempt]
        return _with_cookies(self._go(request, next_path), [*cookies, *self._remember(request, left)])

    async def log_out(self, request: Request) -> Response:
        """Answer who wants to log out."""
        form, scope = await _read_form(request), request.scope
        _, session = self._sessions.open(scope)
        is_meant = session is None or secrets.compare_digest(session.form_token.encode(), form.get("token", "").encode())
        if not is_of_own_page(scope, self._sessions.base(scope)) or not is_meant:
            return show_error(request, 400, "this was not sent by a page of this server: you are still logged in")
        leads_to = await self._end(request, session) if session else None
        headers = {"Clear-Site-Data": '"cache"'} | ({"Refresh": f"0; url={leads_to}"} if leads_to else {})
        answer = render(request, "logout.html", headers=headers, provider=_host(leads_to), leads_to=leads_to)
        return _with_cookies(answer, self._sessions.name(scope).remove(scope))

    async def _end(self, request: Request, session: Session) -> str | None:
        """Have the provider end what it gave; return where it ends its own session."""
        client = self._sessions.access.client
        if client is None or client.issuer.url != session.issuer:
            return None
        try:
            flow = await CodeFlow.describe(client)
        except RemoteError:
            return None
        if session.refresh_token:
            await self._sessions.ask(flow.revoke, session.refresh_token)
        return flow.find_logout(f"{self._sessions.base(request.scope)}/")

    def _show(
        self, request: Request, next_path: str, trouble: ModosError | None = None, attempts: Sequence[Attempt] | None = None
    ) -> Response:
        """Show the page on which people choose how to log in, and what went wrong."""
        access = self._sessions.access
        client, attempt = access.client, Attempt(secrets.token_urlsafe(32), next_path, time.time())
        has_form = access.has_tokens and is_fit(self._sessions.base(request.scope))
        answer = render(
            request,
            "login.html",
            status_code=_status(trouble),
            next=next_path,
            state=attempt.state,
            provider=_host(client.issuer.url) if client else None,
            has_form=has_form,
            trouble=trouble.message if trouble else None,
            hint=trouble.hint if trouble else None,
        )
        known = self._read_attempts(request) if attempts is None else attempts
        return _with_cookies(answer, self._remember(request, [attempt, *known]) if has_form else [])

    def _go(self, request: Request, path: str) -> Response:
        return _redirect(base_path(request.scope) + path)

    def _read_attempts(self, request: Request) -> list[Attempt]:
        """Return the log-ins that go on in this browser, the newest first."""
        text = self._sessions.name(request.scope, _ATTEMPTS).read(request.scope)
        content = self._sessions.seal.open(text, _ATTEMPTS) if text else None
        try:
            found = [Attempt(**one) for one in json.loads(content or b"[]")]
        except TypeError:  # of another version of the server
            return []
        return [one for one in found if -LASTS < time.time() - one.began < LASTS]

    def _remember(self, request: Request, attempts: Sequence[Attempt]) -> list[str]:
        """Return values of `Set-Cookie` that keep the newest log-ins; as many as go into one cookie."""
        name, kept = self._sessions.name(request.scope, _ATTEMPTS), list(attempts[:_MOST_ATTEMPTS])
        while kept:
            text = self._sessions.seal.seal(json.dumps([asdict(one) for one in kept]).encode(), _ATTEMPTS)
            if len(text) <= PIECE:
                return name.write(text, request.scope, LASTS)
            kept = kept[:-1] if len(kept) > 1 else [replace(kept[0], next="/")]
        return name.remove(request.scope)


def _find(attempts: Sequence[Attempt], state: str) -> Attempt | None:
    return next((one for one in attempts if secrets.compare_digest(one.state.encode(), state.encode())), None)


async def _read_form(request: Request) -> dict[str, str]:
    """Read a form: what is given once."""
    body = await read_body(request, _MAX_FORM)
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _redirect(address: str) -> Response:
    return RedirectResponse(address, 303, {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"})


def _with_cookies(answer: Response, cookies: Sequence[str]) -> Response:
    for cookie in cookies:
        answer.headers.append("Set-Cookie", cookie)
    return answer


def _host(url: str | None) -> str | None:
    return urlsplit(url).hostname if url else None


def _status(trouble: ModosError | None) -> int:
    if trouble is None:
        return 200
    if isinstance(trouble, HtsgetError):
        return trouble.status if trouble.status != 401 else 403
    if isinstance(trouble, AccessError):
        return 403
    return 502 if isinstance(trouble, RemoteError) else 400
