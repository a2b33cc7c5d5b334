"""Follow redirects without reading their bodies, of which requests would read everything."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from modos.errors import ModosError, ProtocolError
from modos.storage.http.peers import pools


class Adapter(HTTPAdapter):
    """Connections on which a redirect has no body, and that are given up where bytes trickle.

    Parameters
    ----------
    server
        Beside which nothing internal is asked; None: whatever is named.
    """

    def __init__(self, server: str | None = None, **options: Any):
        super().__init__(**options)
        self.poolmanager.pool_classes_by_scheme = pools(server)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the manager of a proxy, with pools of such connections."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = pools(None)  # the proxy looks names up
        return manager

    def send(self, *request: Any, **options: Any) -> requests.Response:
        """Send a request; the errors of redirects that were refused come as they are."""
        try:
            response = super().send(*request, **options)
        except requests.RequestException as error:
            raise _find_own_error(error) or error from None
        if response.is_redirect:
            response.close()
            response.raw = io.BytesIO()
            _check_address(response)
        return response


def _check_address(response: requests.Response) -> None:
    """Raise ProtocolError if a redirect leads to an invalid address: requests would stumble over it."""
    try:
        target = response.headers["Location"].encode("latin-1").decode()
        _ = urlsplit(urljoin(response.url, target)).port
    except ValueError:
        raise ProtocolError(
            f"{response.url.partition('?')[0]} redirects to what is no address", "is it the right server?"
        ) from None


def _find_own_error(error: BaseException | None) -> ModosError | None:
    """Find our own error below those of requests and urllib3."""
    while error is not None and not isinstance(error, ModosError):
        error = error.__cause__ or error.__context__
    return error


def mount(session: requests.Session, server: str | None = None, **options: Any) -> requests.Session:
    """Make a session use such connections."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(server, **options))
    return session
