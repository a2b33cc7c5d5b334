"""Decide which addresses of a ticket may be asked, and which of them get the token.

A ticket comes from the network, and says where a client is to go next.
"""

from __future__ import annotations

from modos.errors import ProtocolError
from modos.storage.http import reach
from modos.storage.http.reach import check_reach


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an http(s) URL; raise ProtocolError if it has none."""
    try:
        return reach.origin(url)
    except ValueError:
        raise ProtocolError(f"{url[:100]} is not an http or https address") from None


def check_allowed(url: str, server: str) -> None:
    """Refuse (ProtocolError) an address that a server must not send its clients to."""
    check_reach(url, server, "the htsget server")
