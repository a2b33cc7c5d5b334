"""Servers that send a byte now and then: whoever asks them goes after a while, whatever was asked."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modos.errors import ModosError
from modos.genomics.htsget import transport
from modos.genomics.htsget.protocol import Block
from modos.genomics.htsget.transport import Seen, Transport
from modos.remote import services, tokens
from modos.remote.login import log_in_by_device
from modos.remote.served import ServedStorage
from modos.storage import url as anywhere
from modos.storage.http import pace
from modos.storage.s3 import S3Storage
from modos.storage.url import AnywhereStorage

pytestmark = pytest.mark.sweep(3)

SIZE = 1 << 24


class Trickling(BaseHTTPRequestHandler):
    """Sends the head, or the body after a whole head, byte by byte; or all in a few large parts, each after a pause."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        with suppress(OSError):  # the client has gone
            self.answer(self.path.strip("/").split("/")[0])

    do_HEAD = do_POST = do_GET

    def answer(self, how):
        self.close_connection = True
        if how == "head":
            self.trickle(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 0\r\n" % number for number in range(10_000)))
        elif how == "again":
            for _ in range(1000):
                self.trickle(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.send_response(206 if "Range" in self.headers and how != "whole" else 200)
        self.send_header("Content-Length", str(SIZE))
        self.send_header("ETag", '"x"')
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes 0-{SIZE - 1}/{SIZE}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if how != "fast":
            self.trickle(bytes(SIZE))
        for _ in range(8):
            time.sleep(0.5)
            self.wfile.write(bytes(SIZE // 8))

    def trickle(self, data):
        for byte in data:
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for module, name in (
        (pace, "PATIENCE"),
        (services, "DISCOVERY_DEADLINE"),
        (tokens, "_DEADLINE"),
        (transport, "DEADLINE"),
        (anywhere, "_PATIENCE"),
    ):
        monkeypatch.setattr(module, name, 1.0)
    monkeypatch.setattr(transport, "PROGRESS", 1 << 16)
    monkeypatch.setattr(services.fetch_json, "__kwdefaults__", services.fetch_json.__kwdefaults__ | {"deadline": 1.0})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Trickling)
    httpd.daemon_threads, httpd.asked = True, []
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    yield httpd
    httpd.shutdown()


def s3(url):
    host, _, bucket = url.rpartition("/")
    return S3Storage.from_url(f"s3://{bucket}-bucket/x", endpoint_url=f"{host}/{bucket}", s3_kwargs={"anon": True})


ASKED = {
    "discovery": lambda url: services.discover(url),
    "a ticket": lambda url: Transport(url).ask(f"{url}/reads/x", {}, None, 1 << 20),
    "a block": lambda url: list(Transport(url).pieces(lambda: Block(url), seen=Seen())),
    "a part of a block": lambda url: list(Transport(url).pieces(lambda: Block(url), 0, SIZE, seen=Seen())),
    "a reference store": lambda url: AnywhereStorage(url).read_part("x", 0, 1 << 20),
    "a served object": lambda url: ServedStorage("s3://b/x", f"{url}/files/x", lambda: None).read_part("x", 0, SIZE),
    "S3, a file": lambda url: s3(url).read("y"),
    "S3, a part": lambda url: s3(url).read_part("y", 0, SIZE),
    "S3, a list": lambda url: list(s3(url).iter_files()),
    "S3, a size": lambda url: s3(url).stat("y"),
    "a device login": lambda url: log_in_by_device(
        url, {"device_authorization_endpoint": f"{url}/d", "token_endpoint": f"{url}/t", "client_id": "x"}, lambda *_: None
    ),
    "a renewed token": lambda url: tokens.post_form(f"{url}/t", {"refresh_token": "x"}),
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    ("what", "how"),
    [
        (what, how)
        for what in ASKED
        for how in (["head"] if what == "S3, a size" else ["head", "body", "again"])
        if what not in ("S3, a list", "S3, a part") or how == "body"
    ],
)
def test_who_asks_goes_after_a_while(server, monkeypatch, what, how):
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.1)
    if what.startswith("S3"):  # it tries again
        monkeypatch.setattr(pace, "PATIENCE", 0.2)
    errors = []

    def ask():
        try:
            ASKED[what](f"{server.url}/{how}")
        except ModosError as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive() and errors and server.asked, (what, how)
    assert len(errors[0].message.splitlines()) == 1


@pytest.fixture
def patience(monkeypatch):
    """Longer than each pause by what a busy machine may add, and shorter than all of them."""
    monkeypatch.setattr(pace, "PATIENCE", 3.0)


def test_what_pauses_and_is_fast_is_read(server, patience):
    url = f"{server.url}/fast"
    assert sum(map(len, Transport(url).pieces(lambda: Block(url), seen=Seen()))) == SIZE
    assert len(s3(url).read("y")[0]) == SIZE
    assert len(ServedStorage("s3://b/x", f"{url}/files/x", lambda: None).read_part("x", 0, SIZE)[0]) == SIZE


def test_a_reader_that_takes_its_time_is_no_slow_server(server, patience):
    url = f"{server.url}/fast"
    pieces = Transport(url).pieces(lambda: Block(url), seen=Seen())
    took = 0
    for number, piece in enumerate(pieces):
        took += len(piece)
        if number < 4:
            time.sleep(1.0)
    assert took == SIZE and len(server.asked) == 1


def test_the_pace():
    found = pace.Pace()
    for _ in range(600):
        found.note(pace.LEAST // 60 + 1, 1.0)
    found.begin()
    found.note(0, pace.PATIENCE - 1)
    found.note(pace.LEAST, 2.0)
    with pytest.raises(TimeoutError, match="only 59 bytes came in 60 s"):
        for _ in range(61):
            found.note(1, 1.0 + 1 / 59)


def test_a_device_login_has_an_end(monkeypatch):
    given = {"device_code": "x", "interval": 1, "expires_in": 1}
    for wrong in (
        {"interval": 1e9},
        {"interval": -1},
        {"interval": float("nan")},
        {"expires_in": float("nan")},
        {"interval": "x"},
        {"interval": 10**400},
    ):
        monkeypatch.setattr("modos.remote.login.post_form", lambda *_, wrong=wrong: (200, given | wrong))
        with pytest.raises(ModosError, match="does not say how long"):
            log_in_by_device(
                "http://x", {"device_authorization_endpoint": "http://x/d", "token_endpoint": "http://x/t"}, lambda *_: None
            )
    answer = json.loads('{"access_token": "x", "expires_in": %s}' % ("9" * 400))
    with pytest.raises(ModosError, match="gives a token for 99999999999999999999 seconds"):
        tokens.Login.from_answer(answer, "http://x", "x", None)
