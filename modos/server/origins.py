"""Tell what this server's own pages ask for from what pages of others ask for with a person's cookie."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

_LONGEST_PATH = 2_000  # characters
_ASSETS = "/assets/"  # hold nothing of anybody, and are kept by caches of many
_AUTHORIZE = "/authorize"  # where a gateway asks for a request of another method


def may_show_cookie(scope: Scope, base: str) -> bool:
    """Return whether a cookie of a request to the server at the URL `base` stands for its token.

    It does where something is read, by a page of this server or by a person who follows a link or types an address; and
    where no other credentials are sent. What other pages load (also those of hosts of the same domain, for whom
    `SameSite` holds no cookie back) is anonymous: `Sec-Fetch-Site` says so, or else `Origin`.
    """
    headers = Headers(scope=scope)
    method = scope["method"]
    if scope["path"] == _AUTHORIZE:
        method = headers.get("X-Forwarded-Method", method)
    if "Authorization" in headers or method not in ("GET", "HEAD") or scope["path"].startswith(_ASSETS):
        return False
    site = headers.get("Sec-Fetch-Site")
    if site is None:
        return "Origin" not in headers or headers["Origin"] in (_origin_of(base), _own_origin(scope))
    is_opened = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    return site in ("same-origin", "none") or is_opened


def is_of_own_page(scope: Scope, base: str) -> bool:
    """Return whether a form was sent by a page of this server, at the URL `base`; False where nothing says so."""
    headers = Headers(scope=scope)
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    return origin in (_origin_of(base), _own_origin(scope))


def clean_path(path: str) -> str:
    """Return where to go after a log-in: a path of this server that somebody named; `/` for whatever may lead elsewhere."""
    try:
        plain = unquote(path, errors="strict")
        is_own = all(_is_own(text) for text in (path, plain, unquote(plain, errors="strict")))
    except ValueError:
        return "/"
    if not is_own or len(path) > _LONGEST_PATH or not path.isascii() or plain.startswith(("/login", "/logout")):
        return "/"
    return path


def _is_own(path: str) -> bool:
    """Return whether each browser takes a reference for a path on the same host."""
    return (
        path.startswith("/")
        and not path.startswith("//")
        and "\\" not in path
        and path.isprintable()
        and not path.startswith("/.")  # what may become `//` once the dots are resolved
    )


def _own_origin(scope: Scope) -> str:
    return _origin_of(str(Request(scope).base_url))


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
