"""Log requests and count them for operators."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modos.errors.escaping import escape_line, escape_text
from modos.server.noting import REQUEST_ID, finish_readings

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))  # of others a stranger makes any number
_HEADER = "X-Request-ID"
_FIELDS = ("request_id", "method", "path", "status", "seconds", "bytes", "client", "caller")
REQUESTS = Counter("modos_requests_total", "Requests", ["method", "route", "status"])
SECONDS = Histogram(
    "modos_request_seconds",
    "Time until a request was answered",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
SENT = Counter("modos_sent_bytes_total", "Bytes of answers", ["route"])

logger = logging.getLogger("modos.requests")


class Observed:
    """Logs and counts each request, and gives it an id: the client's own, where it sends one.

    Of an address the path alone is logged: what stands behind it may be a
    region of somebody's genome.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status, sent, is_whole = time.perf_counter(), 500, 0, False
        given = Headers(scope=scope).get(_HEADER, "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex

        scope[REQUEST_ID] = request_id

        async def observe(message: Message) -> None:
            nonlocal status, sent, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[_HEADER] = request_id
                add_headers(headers)
            await send(message)
            sent += len(message.get("body", b""))
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self._app(scope, receive, observe)
        finally:
            seconds = time.perf_counter() - begin
            finish_readings(scope, sent, is_whole=is_whole)
            route = getattr(scope.get("route"), "path", "other")
            REQUESTS.labels(scope["method"] if scope["method"] in _METHODS else "other", route, status).inc()
            SECONDS.labels(route).observe(seconds)
            SENT.labels(route).inc(sent)
            caller = scope.get("modos.caller")
            logger.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "seconds": round(seconds, 4),
                    "bytes": sent,
                    "client": (scope.get("client") or [None])[0],
                    "caller": caller.name if caller else None,
                },
            )


def add_headers(headers: MutableHeaders) -> None:
    """Add what every answer says: its type is not to be guessed, and it is kept only where it can be asked about again."""
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "private, no-cache" if "ETag" in headers else "private, no-store")


def metrics() -> Response:
    """Return the metrics of all processes of this server, in Prometheus' text format."""
    import os

    registry: Any = None
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(*([registry] if registry else [])), media_type=CONTENT_TYPE_LATEST)


class JsonLines(logging.Formatter):
    """Log format of one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record of the log as one line."""
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return escape_text(json.dumps(line))


class TextLines(logging.Formatter):
    """Log format of one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record of the log as one line."""
        text = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower()} {record.getMessage()}"
        text += "".join(f" {name}={getattr(record, name)}" for name in _FIELDS if getattr(record, name, None) is not None)
        return escape_line(text) + ("\n" + escape_text(self.formatException(record.exc_info)) if record.exc_info else "")


def set_up_logging(style: str) -> None:
    """Log to stderr: `json`, `text`, or nothing but errors with `quiet`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger("modos")
    root.handlers = [handler]
    root.setLevel(logging.WARNING if style == "quiet" else logging.INFO)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).propagate = False
