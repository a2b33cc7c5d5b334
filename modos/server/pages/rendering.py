"""Render pages: every value that a template writes is made visible and escaped, and every page has its headers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from starlette.types import Scope

from modos import __version__
from modos.errors.escaping import escape_line
from modos.server.auth import caller_of
from modos.server.pages import page_filters
from modos.server.pages.asset_files import find_asset

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def render(
    request: Request,
    template: str,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    widen: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """Render a page.

    Parameters
    ----------
    template
        File in `templates`.
    headers
        Of the answer, besides those that every page has.
    widen
        Sources by the directive of the Content-Security-Policy that allows them as well, for this page.
    values
        What the template writes. `base`, `caller`, `login_url`, `form_token` (of a session), `session_note` and `here` are added.
    """
    base = base_path(request.scope)
    content = (
        environment()
        .get_template(template)
        .render(
            base=base,
            caller=caller_of(request).name,
            login_url=find_login(request),
            form_token=getattr(request.scope.get("modos.session"), "form_token", None),
            session_note=request.scope.get("modos.session_note"),
            here=_address_of(request),
            **values,
        )
    )
    return HTMLResponse(content, status_code, headers={**page_headers(widen), **(headers or {})})


def find_login(request: Request) -> str | None:
    """Return the path where people log in; None where it makes no difference who they are."""
    access = getattr(request.app.state, "access", None)
    return "/login" if access is not None and access.identifies else None


def page_headers(widen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the headers of a page; `widen` as of `render`."""
    policy = {name: f"{sources} {(widen or {}).get(name, '')}".strip() for name, sources in POLICY.items()}
    policy |= {name: sources for name, sources in (widen or {}).items() if name not in POLICY}
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "private, no-store",
        "Vary": "Accept",
    }


def base_path(scope: Scope) -> str:
    """Return what stands before the paths of this server in its addresses: nothing, or a path that a gateway takes away."""
    return quote(str(scope.get("root_path", "")).rstrip("/") or getattr(scope["app"].state, "public_path", ""), safe="/%")


@cache
def environment() -> Environment:
    """Return the environment of the templates.

    A value that is written goes through `escape_line`, so that no control
    character and none for bidirectional text reaches a page, and is escaped;
    one that is not given is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_make_visible,
    )
    made.filters.update(page_filters.FILTERS)
    made.globals.update(version=__version__, asset=_version_asset)
    return made


def _make_visible(value: Any) -> Any:
    from markupsafe import Markup

    if value is None:
        return ""
    return value if isinstance(value, (Markup, int, float)) else escape_line(str(value))


def _version_asset(name: str) -> str:
    """Return the path of an asset, with its digest, so that it may be kept for long."""
    found = find_asset(name)
    if found is None:
        raise LookupError(f"there is no asset {name}")
    return f"/assets/{name}?v={found.digest}"


def _address_of(request: Request) -> str:
    query = request.scope.get("query_string", b"").decode("latin-1")
    path = quote(request.scope["path"])
    return path + (f"?{quote(query, safe='=&%+/:,-._~')}" if query else "")
