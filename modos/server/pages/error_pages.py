"""Show people what went wrong as a page."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import HTMLResponse

from modos.server.auth import caller_of
from modos.server.pages.rendering import find_login, render
from modos.server.rules import ANYONE

_TITLES = {
    400: "This cannot be asked for",
    401: "Please log in",
    403: "This is not for you to see",
    404: "There is nothing here",
    429: "Too many requests",
    502: "A service behind this server fails",
    503: "The server is busy",
}


def show_error(
    request: Request, status: int, message: str, hint: str | None = None, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Make the page of an error, with a link to log in where that may help."""
    login_url = find_login(request)
    is_unknown = status in (401, 403) and caller_of(request) == ANYONE
    return render(
        request,
        "error.html",
        status_code=status,
        headers=headers,
        status=status,
        title=_TITLES[401] if is_unknown else _TITLES.get(status, "The server cannot answer this"),
        message=message,
        hint=hint,
        may_log_in=status in (401, 403) and bool(login_url),
    )
