"""Decide where a server may send those who named it.

What comes from the network and says where a client is to go next must not
send it to places that only the client can reach: to itself, to the metadata
service of its cloud, or, from a public server, into its own network.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from modos.errors import ProtocolError

ALLOW_VARIABLE = "MODOS_ALLOW_INTERNAL"

# From the widest reach to the narrowest; a server leads to its own reach or a wider one.
_PUBLIC, _PRIVATE, _LOOPBACK, _LINK_LOCAL = range(4)
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64 (RFC 6052): the last 32 bits are the address that is meant
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254")))  # the others of clouds are link-local


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an http(s) URL; raise ValueError if it has none."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    port = parts.port or {"http": 80, "https": 443}.get(scheme)
    if not port or not parts.hostname:
        raise ValueError(f"{url[:100]} is not an http or https address")
    return scheme, parts.hostname.lower(), port


def check_reach(url: str, server: str, what: str) -> None:
    """Refuse an address that a server must not send its clients to.

    Parameters
    ----------
    what
        The server is, for the message.

    Raises
    ------
    ProtocolError
        It is internal and the server is not, or it is not http or https.
    """
    try:
        (_, host, port), (_, server_host, _) = origin(url), origin(server)
    except ValueError as error:
        raise ProtocolError(str(error)) from None
    if host == server_host or os.environ.get(ALLOW_VARIABLE) == "1" or _is_proxied(url):
        return
    if reach(host, port) > reach(server_host, 0):
        raise ProtocolError(
            f"{what} {server_host} points to the internal address {host}", f"if that is meant, set {ALLOW_VARIABLE}=1"
        )


def check_peer(host: str, address: str, server: str) -> None:
    """Refuse (ProtocolError) the end of a connection that is more internal than the server is known to be.

    A name can stand for another address than when it was looked at, also
    that of the server itself.
    """
    server_host = origin(server)[1]
    if os.environ.get(ALLOW_VARIABLE) != "1" and _reach_of(_parse(address)) > reach(server_host, 0):
        raise ProtocolError(
            f"{host} leads to the internal address {address}, and {server_host} was not there when it was looked up",
            f"if that is meant, set {ALLOW_VARIABLE}=1",
        )


def _is_proxied(url: str) -> bool:
    """Return whether a proxy goes there in the client's place: names are its to look up then."""
    from requests.utils import get_environ_proxies

    return bool(get_environ_proxies(url).get(urlsplit(url).scheme.lower()))


def reach(host: str, port: int) -> int:
    """Return the narrowest reach among the addresses of a host; that of a name without any is left to the connection."""
    try:
        return _known_reach(host, port)
    except (OSError, UnicodeError):
        return _PUBLIC


@lru_cache(maxsize=1000)
def _known_reach(host: str, port: int) -> int:
    found = socket.getaddrinfo(host, port or None, type=socket.SOCK_STREAM)
    return max(_reach_of(_parse(str(entry[4][0]))) for entry in found)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.partition("%")[0])


def _reach_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    address = _embedded_address(address)
    if address.is_link_local or address.is_multicast or address in _METADATA:
        return _LINK_LOCAL
    if address.is_loopback or address.is_unspecified:
        return _LOOPBACK
    return _PUBLIC if address.is_global else _PRIVATE


def _embedded_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address that an IPv6 one embeds, if any; else the address itself."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
