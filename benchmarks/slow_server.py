"""An htsget server over one file, far away: each answer takes a while, and each connection has its rate.

python slow_server.py FILE DELAY RATE BLOCK: seconds, bytes per second (0: all it can), bytes of a block (0: one block).
Prints its address.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH, DELAY, RATE, BLOCK = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
SIZE = os.path.getsize(PATH)
STEP = 1 << 18


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        time.sleep(DELAY)
        if self.path.startswith("/reads/"):
            self.answer_ticket()
        else:
            self.answer_data()

    def answer_ticket(self) -> None:
        url, step = f"http://{self.headers['Host']}/data.bam", BLOCK or SIZE
        blocks = (
            [{"url": url, "headers": {"Range": f"bytes={at}-{min(at + step, SIZE) - 1}"}} for at in range(0, SIZE, step)]
            if BLOCK
            else [{"url": url}]
        )
        body = json.dumps({"htsget": {"format": "BAM", "urls": blocks}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_data(self) -> None:
        match = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(match[1]), int(match[2] or SIZE - 1) + 1) if match else (0, SIZE)
        self.send_response(206 if match else 200)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{SIZE}")
        self.end_headers()
        self.wfile.flush()
        begin, at = time.monotonic(), start
        with open(PATH, "rb") as file:
            while at < end:
                sent = os.sendfile(self.connection.fileno(), file.fileno(), at, min(STEP, end - at))
                if not sent:
                    break
                at += sent
                if RATE:
                    time.sleep(max((at - start) / RATE - (time.monotonic() - begin), 0))

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
