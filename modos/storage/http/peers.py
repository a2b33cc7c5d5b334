"""Connections of requests that end when bytes trickle, and never lead to an unnamed internal host."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from modos.storage.http.pace import Pace
from modos.storage.http.reach import check_peer


class _Paced(io.RawIOBase):
    """Reader of a connection, at a pace."""

    def __init__(self, raw: Any):
        self._raw, self._pace = raw, Pace()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        begin = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        if count:
            self._pace.note(count, time.monotonic() - begin)
        return count

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose head and body come at a pace."""

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, **options)
        self.fp = io.BufferedReader(_Paced(self.fp.detach()))


class _Watched:
    """Connection beside the server that the user named: nothing more internal than that server is asked."""

    response_class = _Response
    server: str | None = None

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        try:
            if self.server is not None:
                check_peer(self.host, made.getpeername()[0], self.server)  # type: ignore[attr-defined]
        except BaseException:
            made.close()
            raise
        return made


def pools(server: str | None) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools of such connections, by scheme.

    Parameters
    ----------
    server
        Says how internal a place may be that a connection leads to, whatever its name stood for when it was looked at; None: any.
    """
    plain = type("Connection", (_Watched, HTTPConnection), {"server": server})
    secure = type("SecureConnection", (_Watched, HTTPSConnection), {"server": server})
    return {
        "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
