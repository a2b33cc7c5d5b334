"""Redirects are followed, and what comes with them is not read: requests would read all of it, however much there is."""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import HTTPAdapter


class Adapter(HTTPAdapter):
    """Connections on which a redirect has no body."""

    def send(self, *request: Any, **options: Any) -> requests.Response:
        response = super().send(*request, **options)
        if response.is_redirect:
            response.close()
            response.raw = io.BytesIO()
        return response


def mount(session: requests.Session, **options: Any) -> requests.Session:
    """Have a session use such connections."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(**options))
    return session
