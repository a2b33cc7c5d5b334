"""Which addresses may be asked for what a ticket names, and which of them are told a token.

A ticket comes from the network and says where a client is to go next. It must
not send the client to places that only the client can reach: to itself, to the
metadata service of its cloud, or, from a public server, into its own network.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from modos import config
from modos.asking import ALLOW_VARIABLE
from modos.errors import ProtocolError

# From the widest reach to the narrowest; a ticket leads to its server's reach or a wider one.
_PUBLIC, _PRIVATE, _LOOPBACK, _LINK_LOCAL = range(4)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an http(s) URL; ProtocolError where it has none."""
    try:
        return config.origin(url)
    except ValueError:
        raise ProtocolError(f"{url[:100]} is not an http or https address") from None


def check_allowed(url: str, server: str) -> None:
    """Refuse an address that a server must not send its clients to.

    Raises
    ------
    ProtocolError
        It is internal and the server is not, or it is not http or https.
    """
    (_, host, port), (_, server_host, _) = origin(url), origin(server)
    if host == server_host or os.environ.get(ALLOW_VARIABLE) == "1" or _is_proxied(url):
        return
    if _reach(host, port) > _reach(server_host, 0):
        raise ProtocolError(f"the htsget server {server_host} points to the internal address {host}",
                            f"if that is meant, set {ALLOW_VARIABLE}=1")


def _is_proxied(url: str) -> bool:
    """Whether a proxy goes there in the client's place: names are its to look up then."""
    from requests.utils import get_environ_proxies

    return bool(get_environ_proxies(url).get(urlsplit(url).scheme.lower()))


@lru_cache(maxsize=1000)
def _reach(host: str, port: int) -> int:
    """The narrowest reach among the addresses of a host; that of a name without any is left to the connection."""
    try:
        found = socket.getaddrinfo(host, port or None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return _PUBLIC
    return max(_reach_of(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found)


def _reach_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_link_local or address.is_multicast:
        return _LINK_LOCAL
    if address.is_loopback or address.is_unspecified:
        return _LOOPBACK
    return _PUBLIC if address.is_global else _PRIVATE
