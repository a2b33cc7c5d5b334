"""Let into the pages of `modos view` only the browser that came with the token."""

from __future__ import annotations

import hmac
from html import escape
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.gateway.guarding import is_foreign, is_token, keep_nothing, make_token, refuse
from modos.server.cookies import read_cookies

PARAMETER = "token"
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class PageGuard:
    """Answers 403 to all but who has the token in the address, and gets a cookie for it, or has that cookie.

    The cookie goes to no other site, and no script reads it. The address
    with the token answers with a page that leads to the same address without
    it; it is a page, and no redirect, so that browsers send the cookie also where another page led here.

    Requests that a page of another origin makes are refused, also of another port of this machine.
    """

    def __init__(self, app: ASGIApp, token: str):
        self._app = app
        self._token = token
        self._secret = make_token()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] != "http":
            return
        if await is_foreign(scope):
            await refuse(scope, receive, send)
            return
        fields = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in fields if name == PARAMETER]
        if tokens and scope["method"] in ("GET", "HEAD") and all(is_token(one, self._token) for one in tokens):
            rest = [(name, value) for name, value in fields if name != PARAMETER]
            await self._let_in(scope, rest)(scope, receive, send)
        elif self._has_cookie(scope) and _is_own(scope):
            await self._app(scope, receive, keep_nothing(send, scope["path"]))
        else:
            await refuse(scope, receive, send)

    def _let_in(self, scope: Scope, rest: list[tuple[str, str]]) -> Response:
        """Give the cookie, and lead on."""
        place = quote("/" + scope["path"].lstrip("/")) + (f"?{urlencode(rest)}" if rest else "")
        page = (
            f'<!doctype html><meta charset="utf-8"><title>modos</title>'
            f'<meta http-equiv="refresh" content="0;url={escape(place)}">'
            f'<p><a href="{escape(place)}">Go on</a></p>'
        )
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Content-Security-Policy": _POLICY}
        answer = HTMLResponse(page, headers=headers)
        answer.set_cookie(self._cookie_name(scope), self._secret, httponly=True, samesite="strict", path="/")
        return answer

    def _has_cookie(self, scope: Scope) -> bool:
        name = self._cookie_name(scope)
        found = read_cookies(Headers(scope=scope).getlist("cookie"), {name}).get(name, [])
        return len(found) == 1 and hmac.compare_digest(found[0].encode(), self._secret.encode())

    @staticmethod
    def _cookie_name(scope: Scope) -> str:
        """Return the name of the cookie: browsers send those of all ports of a machine."""
        return f"modos-view-{(scope.get('server') or ('', 0))[1]}"


def _is_own(scope: Scope) -> bool:
    """Return whether no page of another origin asks, as far as the browser says."""
    headers = Headers(scope=scope)
    origin, host = headers.get("origin"), headers.get("host", "")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    return origin is None or urlsplit(origin).netloc == host
