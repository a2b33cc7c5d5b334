"""Ask the system what the program at the other end of a loopback connection has read, and whose it is.

Linux answers this for the sockets of one machine (sock_diag, NETLINK_SOCK_DIAG).
Other systems do not, and then nothing is known.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

Address = tuple[str, int]

_FAMILY = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_HEAD = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_NO_COOKIE = b"\xff" * 8
_QUEUES = 4 + 48 + 4  # bytes before the queues in an answer: kind, the socket's id, a time
_PLAIN_REQUEST = 1  # NLM_F_REQUEST
_WAIT = 0.5  # seconds


@dataclass(frozen=True)
class SocketState:
    """State of a socket.

    Parameters
    ----------
    unread
        Bytes that were received and that its program has not read.
    unsent
        Bytes that its program sent and that the other end has not received.
    user
        Id of the user whose it is.
    """

    unread: int
    unsent: int
    user: int


def look_at(own: Address, other: Address) -> SocketState | None:
    """Return what is known of a socket of this machine; None if nothing is, or it is closed.

    Parameters
    ----------
    own, other
        Addresses and ports of the socket and of the one that it is connected to, IPv4.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return None
    try:
        ports = struct.pack("!HH", own[1], other[1])
        places = socket.inet_aton(own[0]) + bytes(12) + socket.inet_aton(other[0]) + bytes(12)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _FAMILY) as asked:
            asked.settimeout(_WAIT)
            body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + ports + places + bytes(4) + _NO_COOKIE
            asked.send(_HEAD.pack(_HEAD.size + len(body), _BY_FAMILY, _PLAIN_REQUEST, 1, 0) + body)
            return _parse(asked.recv(8192))
    except (OSError, struct.error):
        return None


def count_unread(client: Address, own: Address) -> int | None:
    """Count the bytes that were sent to a client and that its program has not read yet; None if that cannot be told."""
    theirs, ours = look_at(client, own), look_at(own, client)
    return None if theirs is None or ours is None else theirs.unread + ours.unsent


def is_of_other_user(client: Address, own: Address) -> bool:
    """Return whether a connection is known to be of another user of this machine, who is not its administrator."""
    found = look_at(client, own)
    return found is not None and found.user not in (os.getuid(), 0)


def _parse(answer: bytes) -> SocketState | None:
    _, kind, *_ = _HEAD.unpack_from(answer)
    return SocketState(*struct.unpack_from("=III", answer, _HEAD.size + _QUEUES)) if kind == _BY_FAMILY else None
