"""The HTTP session of a client that follows addresses it was given."""

from __future__ import annotations

from typing import Any

import requests

from modos.genomics.htsget.addresses import check_allowed
from modos.storage.http.redirects import mount

_HARMLESS = {"accept", "accept-encoding", "connection", "range", "user-agent"}


class _Session(requests.Session):
    """Goes where it may go, and takes no secrets along to other hosts."""

    def __init__(self, server: str):
        super().__init__()
        self._server = server
        self.auth = lambda request: request  # no passwords from ~/.netrc

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        check_allowed(request.url or "", self._server)
        return super().send(request, **options)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Leave behind, on a redirect to another host, every header that could be a secret."""
        if self.should_strip_auth(response.request.url or "", prepared_request.url or ""):
            for name in [name for name in prepared_request.headers if name.lower() not in _HARMLESS]:
                del prepared_request.headers[name]


def open_session(server: str) -> requests.Session:
    """Open a session that trusts one server, and the addresses it may lead to."""
    return mount(_Session(server), server, pool_maxsize=32)
