"""A client of a server that misbehaves says so: bytes are never taken for others, nor their lack for an end."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from modos.errors import (
    AccessError,
    ModosError,
    NotFoundError,
    ProtocolError,
    RemoteError,
    TransportError,
    TruncatedStream,
)
from modos.formats import BGZF_EOF, FORMATS
from modos.genomics.htsget import client as client_module
from modos.genomics.htsget import transport as transport_module
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.protocol import Block, Ticket
from modos.genomics.htsget.query import Query
from modos.genomics.htsget.streams import HtsgetSource
from modos.genomics.reader import check_end
from modos.genomics.verification import Recorded
from tests.support.waiting import wait_for_threads

DATA = bytes(range(256)) * 400


class Answers(BaseHTTPRequestHandler):
    """Answers each path as the test has scripted it."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[dict] = {}

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
    server.block_on_close, server.handle_error = False, lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.script = server.RequestHandlerClass.script
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_waiting(monkeypatch):
    waits = []
    monkeypatch.setattr(transport_module.time, "sleep", waits.append)
    return waits


def fetch(server, *blocks):
    return b"".join(HtsgetClient(server.url).iter_bytes(Ticket("BAM", blocks)))


def ranged(server, start=100, end=300):
    return Block(f"{server.url}/file", {"Range": f"bytes={start}-{end - 1}"})


def part(handler):
    start, end = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
    handler.answer(206, DATA[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(DATA)}")


def test_blocks_come_in_their_order(server):
    server.script["/file"] = part
    server.script["/whole"] = lambda handler: handler.answer(200, DATA)
    got = fetch(server, Block("data:,begin"), ranged(server), Block(f"{server.url}/whole"), Block("data:,end"))
    assert got == b"begin" + DATA[100:300] + DATA + b"end"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda h: h.answer(200, DATA), ProtocolError),
        (lambda h: h.answer(206, DATA[100:300]), ProtocolError),
        (lambda h: h.answer(206, DATA[:200], Content_Range="bytes 0-199/9999"), ProtocolError),
        (lambda h: h.answer(206, DATA[100:299], Content_Range="bytes 100-298/9999"), ProtocolError),
        (lambda h: h.answer(206, DATA[100:299], Content_Range="bytes 100-299/9999"), ModosError),
        (lambda h: h.answer(206, DATA[100:250], 200, Content_Range="bytes 100-299/9999"), RemoteError | TruncatedStream),
        (lambda h: h.answer(401, b""), AccessError),
        (lambda h: h.answer(403, b""), AccessError),
        (lambda h: h.answer(404, b""), NotFoundError),
        (lambda h: h.answer(500, b""), RemoteError),
        (lambda h: h.answer(503, b"busy"), RemoteError),
        (lambda h: h.answer(204, b""), RemoteError),
    ],
)
def test_an_answer_that_is_not_the_range_is_an_error(server, answer, error, no_waiting):
    server.script["/file"] = answer
    with pytest.raises(error.__args__ if hasattr(error, "__args__") else error):
        fetch(server, ranged(server))


def test_a_part_where_the_whole_was_asked_for_is_refused(server):
    server.script["/file"] = lambda h: h.answer(206, DATA[:10], Content_Range="bytes 0-9/9999")
    with pytest.raises(ProtocolError):
        fetch(server, Block(f"{server.url}/file"))


def test_a_body_cut_short_is_an_error(server, no_waiting):
    server.script["/file"] = lambda h: h.answer(200, DATA[:5000], len(DATA))
    with pytest.raises((TransportError, TruncatedStream)):
        fetch(server, Block(f"{server.url}/file"))


def test_a_reset_connection_is_an_error(server, no_waiting):
    def reset(handler):
        handler.answer(200, DATA[:5000], len(DATA))
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    server.script["/file"] = reset
    with pytest.raises((TransportError, TruncatedStream)):
        fetch(server, Block(f"{server.url}/file"))


def test_a_server_that_is_gone_is_named(no_waiting):
    with pytest.raises(TransportError, match="127.0.0.1:1.*refused"):
        HtsgetClient("http://127.0.0.1:1").fetch_ticket("reads", "x", Query())


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
    assert HtsgetClient(server.url).fetch_ticket("reads", "a/b", Query()).blocks == (Block("data:,x"),)


def test_a_ticket_without_end_is_refused(server, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_TICKET", 1000)
    server.script["/reads/x"] = lambda h: h.answer(200, ticket_of("data:," + "x" * 5000))
    with pytest.raises(ProtocolError):
        HtsgetClient(server.url).fetch_ticket("reads", "x", Query())


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (401, AccessError), (500, RemoteError)])
def test_a_refused_ticket_is_the_servers_reason(server, status, error, no_waiting):
    server.script["/reads/x"] = lambda h: h.answer(status, b'{"htsget": {"error": "", "message": ""}}')
    with pytest.raises(error):
        HtsgetClient(server.url).fetch_ticket("reads", "x", Query())


def whole(server, size):
    return next(HtsgetSource(HtsgetClient(server.url), "x", FORMATS["BAM"], Recorded(size)).open(None)).pieces


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


def once(handler, broken, good):
    """Answer in one way first, then in another."""
    handler.server.seen = getattr(handler.server, "seen", 0) + 1
    (broken if handler.server.seen == 1 else good)(handler)


def cut(handler):
    """Half of the range that was asked for, then nothing."""
    start, end = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
    body = DATA[start : end + 1]
    handler.answer(206, body[: len(body) // 2], len(body), Content_Range=f"bytes {start}-{end}/{len(DATA)}")


@pytest.mark.parametrize(
    "broken",
    [
        cut,
        lambda h: h.answer(500, b""),
        lambda h: h.answer(503, b"", Retry_After="1"),
        lambda h: h.answer(429, b""),
        lambda h: h.connection.shutdown(socket.SHUT_RDWR),
    ],
)
def test_what_breaks_is_resumed(server, no_waiting, broken):
    server.script["/file"] = lambda h: once(h, broken, part)
    assert fetch(server, ranged(server, 0, 60_000)) == DATA[:60_000]
    assert len(no_waiting) == 1


def test_what_breaks_goes_on_at_the_byte_where_it_broke(server, no_waiting):
    asked = []

    def note(handler):
        asked.append(handler.headers["Range"])
        once(handler, cut, part)

    server.script["/file"] = note
    assert fetch(server, ranged(server, 1000, 3000)) == DATA[1000:3000]
    assert asked == ["bytes=1000-2999", "bytes=2000-2999"]


def test_a_signed_range_is_asked_for_again_as_it_is(server, no_waiting):
    asked = []

    def note(handler):
        asked.append(handler.headers["Range"])
        once(handler, cut, part)

    server.script["/file"] = note
    block = Block(f"{server.url}/file?X-Amz-SignedHeaders=host%3Brange", {"Range": "bytes=1000-2999"})
    assert fetch(server, block) == DATA[1000:3000]
    assert asked == ["bytes=1000-2999"] * 2


def test_a_whole_file_is_resumed_where_ranges_are_not_known(server, no_waiting):
    server.script["/file"] = lambda h: once(h, lambda g: g.answer(200, DATA[:5000], len(DATA)), lambda g: g.answer(200, DATA))
    assert fetch(server, Block(f"{server.url}/file")) == DATA


def test_it_gives_up_in_the_end(server, no_waiting):
    server.script["/file"] = lambda h: h.answer(500, b"")
    with pytest.raises(RemoteError, match="HTTP 500"):
        fetch(server, ranged(server))
    assert len(no_waiting) == transport_module.ATTEMPTS - 1


def test_what_will_not_get_better_is_not_repeated(server, no_waiting):
    for answer in (lambda h: h.answer(404, b""), lambda h: h.answer(206, DATA[:9], Content_Range="bytes 0-8/9")):
        server.script["/file"] = answer
        with pytest.raises(ModosError):
            fetch(server, ranged(server))
    assert no_waiting == []


def test_an_expired_ticket_is_renewed_once_and_goes_on(server):
    server.script["/old"] = lambda h: part(h) if h.headers["Range"] == "bytes=0-9" else h.answer(403, b"")
    server.script["/new"] = part
    old, new = (
        Ticket(
            "BAM",
            (Block(f"{server.url}/{name}", {"Range": "bytes=0-9"}), Block(f"{server.url}/{name}", {"Range": "bytes=10-99"})),
        )
        for name in ("old", "new")
    )
    renewed = []

    def renew():
        renewed.append(1)
        return new

    client = HtsgetClient(server.url)
    assert b"".join(client.iter_bytes(old, renew)) == DATA[:100] and renewed == [1]
    with pytest.raises(AccessError):
        list(client.iter_bytes(old))
    with pytest.raises(AccessError):
        list(client.iter_bytes(old, lambda: old))
    with pytest.raises(ProtocolError, match="changed meanwhile"):
        list(client.iter_bytes(old, lambda: Ticket("BAM", old.blocks[:1])))


def test_large_blocks_come_as_a_whole_where_the_connection_is_fast(server, monkeypatch):
    monkeypatch.setattr(client_module, "PART", 4096)
    monkeypatch.setattr(client_module, "PROBE", 1000)
    monkeypatch.setattr(client_module, "FAST", 1)
    asked = []

    def note(handler):
        asked.append(handler.headers["Range"])
        part(handler)

    server.script["/file"] = note
    assert fetch(server, Block("data:,begin"), ranged(server, 5, 90_000), Block("data:,end")) == (
        b"begin" + DATA[5:90_000] + b"end"
    )
    assert asked == ["bytes=5-89999"]


def test_a_slow_connection_is_helped_by_others(server, monkeypatch):
    """Parts are asked for at once, and come in their order."""
    monkeypatch.setattr(client_module, "PART", 4096)
    monkeypatch.setattr(client_module, "PROBE", 1000)
    monkeypatch.setattr(client_module, "FAST", 1e15)
    monkeypatch.setattr(transport_module, "PIECE", 1000)
    asked = []

    def slow(handler):
        asked.append(handler.headers["Range"])
        time.sleep(0.01)
        part(handler)

    server.script["/file"] = slow
    assert fetch(server, ranged(server, 5, 90_000), ranged(server, 7, 50_000)) == DATA[5:90_000] + DATA[7:50_000]
    assert asked[0] == "bytes=5-89999" and len(asked) == 1 + 22 + 13


@pytest.mark.parametrize(
    ("told", "splits"),
    [
        ({"Accept_Ranges": "bytes"}, True),
        ({}, False),
        ({"Accept_Ranges": "none"}, False),
    ],
)
def test_a_slow_block_without_range_is_split_where_the_server_offers_it(server, monkeypatch, told, splits):
    monkeypatch.setattr(client_module, "PART", 4096)
    monkeypatch.setattr(client_module, "PROBE", 5000)
    monkeypatch.setattr(client_module, "FAST", 1e15)
    monkeypatch.setattr(transport_module, "PIECE", 1000)
    asked = []

    def whole_or_part(handler):
        asked.append(handler.headers.get("Range"))
        time.sleep(0.01)
        part(handler) if asked[-1] else handler.answer(200, DATA, **told)

    server.script["/file"] = whole_or_part
    assert fetch(server, Block(f"{server.url}/file"), Block("data:,end")) == DATA + b"end"
    assert asked[0] is None and (len(asked) == 1 + -(-(len(DATA) - 5000) // 4096)) == splits


def test_a_server_that_ignores_the_range_it_offered_is_handled(server, monkeypatch):
    monkeypatch.setattr(client_module, "PART", 4096 * 10)
    monkeypatch.setattr(client_module, "PROBE", 5000)
    monkeypatch.setattr(client_module, "FAST", 1e15)
    monkeypatch.setattr(transport_module, "PIECE", 1000)
    server.script["/file"] = lambda h: (time.sleep(0.01), h.answer(200, DATA, Accept_Ranges="bytes"))
    assert fetch(server, Block(f"{server.url}/file")) == DATA


def test_leaving_early_ends_the_threads(server):
    server.script["/file"] = part
    pieces = HtsgetClient(server.url).iter_bytes(Ticket("BAM", tuple(ranged(server, n, n + 9) for n in range(100))))
    assert next(pieces) == DATA[:9]
    pieces.close()
    wait_for_threads("modos-fetch")


def test_passwords_of_this_machine_are_not_sent(server, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    sent = []
    server.script["/file"] = lambda h: (sent.append(h.headers.get("Authorization")), part(h))
    fetch(server, ranged(server))
    assert sent == [None]


def test_a_file_that_is_changed_meanwhile_is_an_error(server, no_waiting):
    def changing(handler):
        handler.server.seen = getattr(handler.server, "seen", 0) + 1
        start, end = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        handler.answer(206, DATA[start : end + 1], Content_Range=f"bytes {start}-{end}/9", ETag=f'"{handler.server.seen}"')

    server.script["/file"] = changing
    with pytest.raises(ProtocolError, match="changed while"):
        fetch(server, ranged(server, 0, 9), ranged(server, 9, 20))
