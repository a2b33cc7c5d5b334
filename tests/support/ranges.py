"""A server of the files of a folder over HTTP, with ranges and tags, or without; it counts what is asked."""

from __future__ import annotations

import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class RangeServer:
    """A server under way; a context manager.

    Parameters
    ----------
    has_ranges
        Whether it answers with ranges.
    has_tags
        Whether it gives ETags.
    query
        What has to follow each path: then it is refused without, and to HEAD, as by an address that is signed for GET.
    """

    def __init__(self, folder: Path, has_ranges: bool = True, has_tags: bool = True, query: str = ""):
        self.requests: list[tuple[str, str, str]] = []  # method, path, Range
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                server.requests.append((self.command, self.path, self.headers.get("Range", "")))
                plain, _, given = self.path.partition("?")
                path = folder / unquote(plain).lstrip("/")
                is_refused = query and (given != query or self.command != "GET")
                if is_refused or not path.is_file():
                    self.send_response(403 if is_refused else 404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                size = path.stat().st_size
                match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if has_ranges else None
                start, end = (int(match[1]), min(int(match[2]) + 1, size)) if match else (0, size)
                self.send_response(206 if match else 200)
                self.send_header("Content-Length", str(end - start))
                if match:
                    self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
                if has_tags:
                    status = path.stat()
                    self.send_header("ETag", f'"{status.st_ino}-{status.st_mtime_ns}-{size}"')
                self.end_headers()
                if self.command == "GET":
                    with open(path, "rb") as file:
                        self.wfile.write(os.pread(file.fileno(), end - start, start))

            do_GET = do_HEAD = answer

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> RangeServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
