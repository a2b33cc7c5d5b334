"""What a server that is somebody's answers to discovery: any JSON, redirects, and bytes that trickle."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modos.catalog.catalog import list_remote
from modos.errors import ModosError, ProtocolError, TransportError
from modos.remote import services
from modos.remote.services import discover, fetch_caller, fetch_json
from modos.storage.http.asking import certificate_fault, transport_reason
from tests.support.waiting import wait_until


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.server.answer(self)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads, httpd.asked = True, []
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    yield httpd
    httpd.shutdown()


def gives(body, status=200, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    return answer


ANY_JSON = [
    None,
    True,
    7,
    "x",
    [],
    [1],
    {},
    {"status": 1, "s3": 3},
    {"status": 1, "s3": ["http://x"]},
    {"status": 1, "htsget": {"a": 1}},
    {"status": 1, "s3": "http://[::1"},
    {"status": 1, "s3": "http://x:99999999"},
    {"status": 1, "s3": "\x1b[2J"},
    {"status": 1, "s3": "x" * 100_000},
    {"data": None},
    {"data": {}},
    {"data": [1]},
    {"data": [["x"]]},
    {"read": 3},
    {"read": [1]},
    {"read": None},
    {"groups": [[]]},
    {"status": {}, "references": True},
]


@pytest.mark.parametrize("body", ANY_JSON, ids=lambda body: json.dumps(body)[:30])
def test_any_json_is_an_answer_or_a_line(server, body):
    server.answer = gives(body)
    for ask in (
        lambda: discover(server.url),
        lambda: list_remote(None, server.url, None),
        lambda: fetch_caller(server.url, None),
    ):
        try:
            ask()
        except ModosError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000 and "\x1b" not in str(error)


@pytest.mark.parametrize("body", ANY_JSON[14:18], ids=json.dumps)
def test_what_is_no_list_is_not_taken_for_one(server, body):
    server.answer = lambda handler: gives(body if handler.path == "/list" else {"status": "ok"})(handler)
    with pytest.raises(ProtocolError, match="does not list objects"):
        list_remote(None, server.url, None)


@pytest.mark.parametrize(
    "place",
    [
        "http://localhost:{port}/",
        "http://169.254.169.254/latest/",
        "http://127.0.0.1:1/",
        "file:///etc/passwd",
        "//localhost:{port}/x",
        "http://[::1",
    ],
)
def test_a_redirect_leads_to_no_other_host(server, place, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", "abc")
    server.answer = gives(b"", 302, Location=place.format(port=server.server_port))
    with pytest.raises(ProtocolError, match="redirects to"):
        discover(server.url)
    assert len(server.asked) == 1


def test_a_redirect_on_the_same_host_is_followed_and_ends(server):
    server.answer = lambda handler: gives(
        {"status": "ok"} if handler.path == "/there" else b"", 200 if handler.path == "/there" else 302, Location="/there"
    )(handler)
    assert discover(server.url).endpoint == server.url
    server.answer = gives(b"", 302, Location="/again")
    with pytest.raises(ProtocolError, match="again and again"):
        discover(server.url)
    server.asked.clear()
    server.answer = gives(b"", 302, Location="/there")
    with pytest.raises(ProtocolError, match="redirects to"):
        fetch_json(f"{server.url}/credentials", post={})
    assert len(server.asked) == 1


@pytest.mark.parametrize("service", ["s3", "htsget", "credentials", "refget", "references"])
@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "2852039166",
        "0xa9fea9fe",
    ],
)
def test_no_service_is_at_a_metadata_address(server, service, host, monkeypatch):
    server.answer = gives({"status": "ok", service: f"http://{host}/latest"})
    with pytest.raises(ProtocolError, match="internal address"):
        discover(server.url)
    monkeypatch.setenv("MODOS_ALLOW_INTERNAL", "1")
    assert getattr(discover(server.url), service) == f"http://{host}/latest"


@pytest.mark.sweep(1)
@pytest.mark.parametrize("where", ["headers", "body"])
def test_an_answer_that_trickles_meets_a_deadline(server, where):
    enough = threading.Event()

    def answer(handler):
        if where == "body":
            handler.send_response(200)
            handler.end_headers()
        try:
            for _ in range(2000):
                handler.wfile.write(b" " if where == "body" else b"H")
                handler.wfile.flush()
                if enough.wait(0.1):
                    break
        except OSError:
            pass

    server.answer = answer
    before, began = set(threading.enumerate()), time.monotonic()
    with pytest.raises(TransportError, match="did not answer in 1 s"):
        fetch_json(server.url, deadline=1.0)
    assert time.monotonic() - began < 45 and services.DISCOVERY_DEADLINE <= 60
    if where == "headers":
        enough.set()
    asking = [thread for thread in set(threading.enumerate()) - before if thread.name == "modos-asking"]
    wait_until(lambda: not any(thread.is_alive() for thread in asking), 30, lambda: "what asks gives up, too")
    enough.set()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "SSL validation failed for https://s3/b Cannot connect [SSLCertVerificationError: (1, '[SSL: CERTIFICATE_VERIFY_FAILED] "
            "certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)')]",
            "its certificate is not trusted (unable to get local issuer certificate)",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch, certificate is not valid for "
            "'127.0.0.1'. (_ssl.c:1006)",
            "its certificate is not trusted (IP address mismatch, certificate is not valid for '127.0.0.1')",
        ),
        ("Connection refused", ""),
    ],
)
def test_a_certificate_that_is_refused_is_told_from_a_server_that_is_gone(text, fault):
    assert certificate_fault(text) == fault
    assert transport_reason(OSError(text)) == (fault or "connection refused")
