"""Addresses of the pages of objects, elements and files."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fastapi import Request

from modos.server.pages.page_filters import quote_path
from modos.server.pages.rendering import base_path


class Places:
    """Where the pages of a server are, as a browser reaches them."""

    def __init__(self, request: Request):
        self._base = base_path(request.scope)

    def object(self, key: str, **parameters: str) -> str:
        """Return the address of the page of an object; that of the root, whose key is empty, has no key."""
        return self._join("/objects", key, parameters)

    def element(self, key: str, element_id: str, **parameters: str) -> str:
        """Return the address of the page of an element."""
        return self._join("/elements", f"{key}/{element_id}".lstrip("/"), parameters)

    def file(self, key: str) -> str:
        """Return the address that gives a stored file."""
        return f"{self._base}/files/{quote_path(key)}"

    def genome(self, *elements: str) -> str:
        """Return the address of the genome browser, with elements as KEY/data/name."""
        return f"{self._base}/genome?{urlencode([('element', one) for one in elements], quote_via=quote)}"

    def _join(self, start: str, key: str, parameters: dict[str, str]) -> str:
        path = f"{self._base}{start}/{quote_path(key)}".rstrip("/")
        return path + (f"?{urlencode(parameters, quote_via=quote)}" if parameters else "")
