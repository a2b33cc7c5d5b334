"""One answer of a server, in a bounded time, from the host that was asked and from no other."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from modos.errors import ProtocolError, TransportError

ALLOW_VARIABLE = "MODOS_ALLOW_INTERNAL"
_MAX_REDIRECTS = 5
_PIECE = 1 << 16
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254")))  # others are link-local


def ask(method: str, url: str, *, limit: int, timeout: tuple[float, float], deadline: float, **options: Any) -> tuple[int, bytes]:
    """The status and the first `limit + 1` bytes of an answer.

    Parameters
    ----------
    timeout
        Seconds to connect, and without a byte.
    deadline
        Seconds for all of it, however steadily the bytes come.
    options
        Of requests' `request`.

    Raises
    ------
    TransportError
        It takes longer.
    ProtocolError
        The server points to another host.
    requests.RequestException, urllib3.exceptions.HTTPError, OSError
        The server cannot be reached.
    """
    end = time.monotonic() + deadline
    return _within(deadline, url, lambda: _follow(method, url, limit, end, {"timeout": timeout, **options}))


def _follow(method: str, url: str, limit: int, end: float, options: dict[str, Any]) -> tuple[int, bytes]:
    import requests

    from modos.redirects import mount

    with mount(requests.Session()) as session:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                response = session.request(method, url, stream=True, allow_redirects=False, **options)
            except requests.RequestException:
                raise
            except ValueError:  # requests looks at where a redirect leads
                raise ProtocolError(f"{url} redirects to what is no address") from None
            with response:
                if not response.is_redirect:
                    return response.status_code, _read(response.raw, limit, end)
                url = _next(method, url, response.headers["Location"])
    raise ProtocolError(f"{url} redirects again and again")


def _read(raw: Any, limit: int, end: float) -> bytes:
    parts, size = [], 0
    while size <= limit and (part := raw.read(min(_PIECE, limit + 1 - size), decode_content=True)):
        if time.monotonic() > end:
            raise TransportError("the answer took too long")  # nobody waits for it any more
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _next(method: str, url: str, location: str) -> str:
    """Where a redirect leads: on the same host, and not to a less safe connection."""
    target = urljoin(url, location)
    try:
        before, after = urlsplit(url), urlsplit(target)
        same = (after.scheme, after.hostname, after.port) == (before.scheme, before.hostname, before.port)
        safer = (before.scheme, after.scheme) == ("http", "https") and after.hostname == before.hostname
    except ValueError:
        same = safer = False
    if method != "GET" or not (same or safer):
        raise ProtocolError(f"{url} redirects to {target[:200]}, which was not asked", "if that is the server, name it so")
    return target


def _within(seconds: float, url: str, work: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
    """What some work gives; it is left alone where it takes longer, as bytes of a header that trickle have no deadline."""
    results: list[tuple[int, bytes]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="modos-asking", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors and not thread.is_alive():
        raise errors[0]
    if not results:
        raise TransportError(f"{url} did not answer in {seconds:.0f} s", "is the network good, and is it the right address?")
    return results[0]


def refuse_metadata(url: str, told_by: str) -> None:
    """Raise ProtocolError where a server tells an address that only a machine in a cloud has for itself.

    Parameters
    ----------
    told_by
        The server's own address, which the user named.
    """
    host = urlsplit(url).hostname or ""
    if host == urlsplit(told_by).hostname or os.environ.get(ALLOW_VARIABLE) == "1":
        return
    if any(map(_is_metadata, _addresses(host))):
        raise ProtocolError(f"{told_by} points to the internal address {host}", f"if that is meant, set {ALLOW_VARIABLE}=1")


def _addresses(host: str) -> list[str]:
    try:
        return [str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):  # left to the connection
        return []


def _is_metadata(text: str) -> bool:
    address = ipaddress.ip_address(text)
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_link_local or address in _METADATA
