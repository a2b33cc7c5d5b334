"""Run the application: for good, or in the background."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.server.access import read_tokens
from modos.server.app import create_app
from modos.storage import Storage, open_storage

_START_TIMEOUT = 30.0  # seconds


def open_served(place: str, s3_url: str | None, s3_kwargs: dict | None) -> Storage:
    """The storage a server is to serve; fails now where it is not there."""
    if place.startswith("s3://"):
        from modos.storage.s3 import S3Storage

        storage: Storage = S3Storage.from_url(place, s3_kwargs=s3_kwargs, public_url=s3_url)
    else:
        if not Path(place).is_dir():
            raise NotFoundError(f"no folder {place}", "serve a folder, or s3://bucket")
        storage = open_storage(place)
    storage.list_folders()
    return storage


def run(storage: Storage, host: str, port: int, s3_url: str | None, token_file: Path | None,
        started: Callable[[str], Any]) -> None:
    """Serve until interrupted; `started` is told the URL."""
    app = create_app(storage, s3_url=s3_url, tokens=read_tokens(token_file) if token_file else ())
    listening = _listen(host, port)
    started(_url(listening))
    server = _server(app)
    server.run(sockets=[listening])


class BackgroundServer:
    """The application in a thread of this process, on the loopback address; on a free port where it is 0.

    Use it as a context manager, or call `stop`.
    """

    def __init__(self, app: Any, port: int = 0):
        listening = _listen("127.0.0.1", port)
        self.url = _url(listening)
        self._server = _server(app)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise ModosError("the modos server did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server and wait for it."""
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def __enter__(self) -> BackgroundServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio takes TCP_NODELAY from it
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InvalidInputError(f"cannot listen on {host}:{port}: {error.strerror}",
                                "choose another --port; 0 takes a free one") from None
    listening.listen(128)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(app: Any) -> Any:
    import uvicorn

    return uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))
