"""An HTTP proxy in front of a server that is slow, or does it wrong: delays, rates, and faults by request."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE = 1 << 16


@dataclass
class Answer:
    """What the server behind has answered, and how it is passed on; a fault changes it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: int | None = None  # bytes after which the connection is closed
    reset: bool = False  # closed rudely
    stall: float = 0.0  # seconds of silence after the cut, or in front of the body


Fault = Callable[["Proxy", BaseHTTPRequestHandler, Answer], None]


@dataclass
class Proxy:
    """A proxy under way; a context manager.

    Parameters
    ----------
    target
        URL of the server behind.
    delay
        Seconds until an answer starts.
    rate
        Bytes per second on a connection; None for all it can.
    fault
        Changes answers; told which request it is by `count`.
    """

    target: str
    delay: float = 0.0
    rate: float | None = None
    fault: Fault | None = None
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range
    answered: int = 0  # bytes of bodies, counted before they are sent: whoever has received them finds them here
    received: int = 0

    def __enter__(self) -> Proxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)  # what is sent is received soon

            def pass_on(self):
                proxy.pass_on(self)

            do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = pass_on

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, block_on_close, request_queue_size = True, False, 256

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def count(self) -> int:
        """Requests so far, the one under way among them."""
        return len(self.requests)

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            self.received += len(body)
            self.requests.append((handler.command, handler.path, handler.headers.get("Range", "")))
        begin = time.monotonic()
        answer = self._ask(handler, body)
        if self.fault:
            self.fault(self, handler, answer)
        time.sleep(max(self.delay - (time.monotonic() - begin), 0))
        handler.send_response_only(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            self._send(handler, answer)

    def _ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=60)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() != "connection"}
            path = handler.path.removeprefix(
                f"http://{handler.headers['Host']}"
            )  # a client that knows of a proxy writes all of it
            connection.request(handler.command, path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
            here = {"transfer-encoding", "connection", "content-length"}
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in here]
            length = answer.getheader("Content-Length") if handler.command == "HEAD" else str(len(data))
            return Answer(answer.status, [*kept, ("Content-Length", length or "0")], data)
        finally:
            connection.close()

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        data = answer.body if answer.cut is None else answer.body[: answer.cut]
        if answer.stall and answer.cut is None:
            time.sleep(answer.stall)
        begin = time.monotonic()
        for at in range(0, len(data), PIECE):
            with self._lock:
                self.answered += len(data[at : at + PIECE])
            handler.wfile.write(data[at : at + PIECE])
            if self.rate:
                time.sleep(max((at + PIECE) / self.rate - (time.monotonic() - begin), 0))
        if answer.cut is not None or answer.reset:
            handler.wfile.flush()
            time.sleep(answer.stall)
            if answer.reset:
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
