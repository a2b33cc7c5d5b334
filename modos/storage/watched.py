"""Connections of aiohttp that end when bytes trickle, and never lead to an unnamed internal host."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, cast
from urllib.parse import urljoin

from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import BaseConnector, ClientSession, TCPConnector, ThreadedResolver, TraceConfig
from aiohttp.client_proto import ResponseHandler

from modos.storage.http.pace import Pace
from modos.storage.http.reach import check_peer, check_reach


class _Paced(ResponseHandler):
    """Receiver of what comes on a connection, at a pace; nothing is counted while nobody reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        super().__init__(loop)
        self._pace, self._last = Pace(), time.monotonic()

    def start_timeout(self) -> None:
        self._pace.begin()
        self._last = time.monotonic()
        super().start_timeout()

    def resume_reading(self, *given: Any, **options: Any) -> None:
        self._last = time.monotonic()
        super().resume_reading(*given, **options)

    def data_received(self, data: bytes) -> None:
        before, self._last = self._last, time.monotonic()
        try:
            self._pace.note(len(data), self._last - before)
        except TimeoutError:
            self._on_read_timeout()
            self.close()
            return
        super().data_received(data)


def watch(connector: BaseConnector) -> BaseConnector:
    """Make a connector create such connections."""
    connector._factory = cast(Any, partial(_Paced, asyncio.get_running_loop()))
    return connector


class _Resolver(ThreadedResolver):
    """Names are looked up once, and what is connected to is what was looked at."""

    def __init__(self, server: str):
        super().__init__()
        self._server = server

    async def resolve(self, host: str, *given: Any, **options: Any) -> Any:
        found = await super().resolve(host, *given, **options)
        for entry in found:
            await asyncio.to_thread(check_peer, host, entry["host"], self._server)
        return found


async def open_client(server: str, loop: asyncio.AbstractEventLoop | None = None, **options: Any) -> ClientSession:
    """Open a client for a server that the user named: it leads to nothing more internal than that."""
    connector = watch(TCPConnector(resolver=_Resolver(server), use_dns_cache=False))
    return ClientSession(connector=connector, trace_configs=[check_redirects(server)], **options)


def check_redirects(server: str | None = None) -> TraceConfig:
    """Look at where redirects lead, beside the server that the user named or that was asked."""

    async def check(session: Any, context: Any, redirect: Any) -> None:
        url = str(redirect.response.url)
        location = redirect.response.headers.get("Location") or redirect.response.headers.get("URI") or ""
        await asyncio.to_thread(check_reach, urljoin(url, location), server or url, "the server")

    trace = TraceConfig()
    trace.on_request_redirect.append(check)
    return trace


class S3Session(AIOHTTPSession):  # type: ignore[misc]
    """The connections to an S3 server."""

    async def _create_connector(self, *given: Any) -> Any:
        return watch(await super()._create_connector(*given))

    async def _get_session(self, *given: Any) -> Any:
        session = await super()._get_session(*given)
        if not session.trace_configs:
            trace = check_redirects()
            trace.freeze()
            session.trace_configs.append(trace)
        return session
