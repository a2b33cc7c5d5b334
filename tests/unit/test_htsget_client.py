"""A client of a server that misbehaves says so: bytes are never taken for others, nor their lack for an end."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modos.errors import (
    AccessError, ModosError, NotFoundError, ProtocolError, RemoteError, TransportError, TruncatedStream,
)
from modos.formats import BGZF_EOF, FORMATS
from modos.htsget import client as client_module
from modos.htsget.client import HtsgetClient
from modos.htsget.protocol import Block, Query, Ticket
from modos.records import check_end
from modos.streaming import HtsgetSource

DATA = bytes(range(256)) * 400


class Answers(BaseHTTPRequestHandler):
    """Answers each path as the test has scripted it."""

    protocol_version = "HTTP/1.1"
    script: dict = {}

    def do_GET(self):
        self.script[self.path.partition("?")[0]](self)

    def answer(self, status, body, declared=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if declared is None else declared))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        if declared is not None:
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Scripted", (Answers,), {"script": {}}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.script = server.RequestHandlerClass.script
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(server, *blocks):
    return b"".join(HtsgetClient(server.url).iter_bytes(Ticket("BAM", blocks)))


def ranged(server, start=100, end=300):
    return Block(f"{server.url}/file", {"Range": f"bytes={start}-{end - 1}"})


def part(handler):
    start, end = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
    handler.answer(206, DATA[start:end + 1], Content_Range=f"bytes {start}-{end}/{len(DATA)}")


def test_blocks_come_in_their_order(server):
    server.script["/file"] = part
    server.script["/whole"] = lambda handler: handler.answer(200, DATA)
    got = fetch(server, Block("data:,begin"), ranged(server), Block(f"{server.url}/whole"), Block("data:,end"))
    assert got == b"begin" + DATA[100:300] + DATA + b"end"


@pytest.mark.parametrize(("answer", "error"), [
    (lambda h: h.answer(200, DATA), ProtocolError),
    (lambda h: h.answer(206, DATA[100:300]), ProtocolError),
    (lambda h: h.answer(206, DATA[:200], Content_Range="bytes 0-199/9999"), ProtocolError),
    (lambda h: h.answer(206, DATA[100:299], Content_Range="bytes 100-298/9999"), ProtocolError),
    (lambda h: h.answer(206, DATA[100:299], Content_Range="bytes 100-299/9999"), ModosError),
    (lambda h: h.answer(206, DATA[100:250], 200, Content_Range="bytes 100-299/9999"), RemoteError | TruncatedStream),
    (lambda h: h.answer(401, b""), AccessError), (lambda h: h.answer(403, b""), AccessError),
    (lambda h: h.answer(404, b""), NotFoundError), (lambda h: h.answer(500, b""), RemoteError),
    (lambda h: h.answer(503, b"busy"), RemoteError), (lambda h: h.answer(204, b""), RemoteError),
])
def test_an_answer_that_is_not_the_range_is_an_error(server, answer, error):
    server.script["/file"] = answer
    with pytest.raises(error.__args__ if hasattr(error, "__args__") else error):
        fetch(server, ranged(server))


def test_a_part_where_the_whole_was_asked_for_is_refused(server):
    server.script["/file"] = lambda h: h.answer(206, DATA[:10], Content_Range="bytes 0-9/9999")
    with pytest.raises(ProtocolError):
        fetch(server, Block(f"{server.url}/file"))


def test_a_body_cut_short_is_an_error(server):
    server.script["/file"] = lambda h: h.answer(200, DATA[:5000], len(DATA))
    with pytest.raises((TransportError, TruncatedStream)):
        fetch(server, Block(f"{server.url}/file"))


def test_a_reset_connection_is_an_error(server):
    def reset(handler):
        handler.answer(200, DATA[:5000], len(DATA))
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    server.script["/file"] = reset
    with pytest.raises((TransportError, TruncatedStream)):
        fetch(server, Block(f"{server.url}/file"))


def test_a_server_that_is_gone_is_named():
    with pytest.raises(TransportError, match="127.0.0.1:1.*refused"):
        HtsgetClient("http://127.0.0.1:1").ticket("reads", "x", Query())


def test_signatures_stay_out_of_messages(server):
    server.script["/file"] = lambda h: h.answer(403, b"")
    with pytest.raises(AccessError) as caught:
        fetch(server, Block(f"{server.url}/file?X-Amz-Signature=secret"))
    assert "secret" not in str(caught.value)


def ticket_of(*urls):
    return json.dumps({"htsget": {"format": "BAM", "urls": [{"url": url} for url in urls]}}).encode()


def test_tickets_may_be_compressed(server):
    body = gzip.compress(ticket_of("data:,x"))
    server.script["/reads/a/b"] = lambda h: h.answer(200, body, Content_Encoding="gzip")
    assert HtsgetClient(server.url).ticket("reads", "a/b", Query()).blocks == (Block("data:,x"),)


def test_a_ticket_without_end_is_refused(server, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_TICKET", 1000)
    server.script["/reads/x"] = lambda h: h.answer(200, ticket_of("data:," + "x" * 5000))
    with pytest.raises(ProtocolError):
        HtsgetClient(server.url).ticket("reads", "x", Query())


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (401, AccessError), (500, RemoteError)])
def test_a_refused_ticket_is_the_servers_reason(server, status, error):
    server.script["/reads/x"] = lambda h: h.answer(status, b'{"htsget": {"error": "", "message": ""}}')
    with pytest.raises(error):
        HtsgetClient(server.url).ticket("reads", "x", Query())


def whole(server, size):
    return HtsgetSource(server.url, "x", FORMATS["BAM"], size).open(None).pieces


def test_a_file_of_another_size_is_an_error(server):
    server.script["/reads/x"] = lambda h: h.answer(200, ticket_of("data:,12345"))
    assert b"".join(whole(server, 5)) == b"12345"
    for size in (4, 6):
        with pytest.raises(TruncatedStream):
            list(whole(server, size))


def test_a_stream_without_its_end_marker_is_an_error(server):
    server.script["/reads/x"] = lambda h: h.answer(200, ticket_of(f"{server.url}/file"))
    server.script["/file"] = lambda h: h.answer(200, DATA)
    with pytest.raises(TruncatedStream):
        list(check_end(whole(server, None), FORMATS["BAM"]))
    server.script["/file"] = lambda h: h.answer(200, DATA + BGZF_EOF)
    assert b"".join(check_end(whole(server, None), FORMATS["BAM"])) == DATA + BGZF_EOF
