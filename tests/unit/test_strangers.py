"""Servers of strangers: they lead to no internal place that the user did not name, and cannot make a client wait for ever."""

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modos import reach
from modos.config import discover, resolve_services
from modos.errors import ModosError, ProtocolError, RemoteError
from modos.storage import anywhere, served
from modos.storage.anywhere import AnywhereStorage
from modos.storage.served import ServedStorage


class Stranger(BaseHTTPRequestHandler):
    """Answers as the test has it, and notes what it was asked."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.answer(self)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
        server.daemon_threads, server.answer, server.asked = True, answer, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def redirect(to):
    def answer(request):
        request.send_response(302)
        request.send_header("Location", to)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def give(body, status=200):
    def answer(request):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)

    return answer


def pretend_public(monkeypatch):
    """127.0.0.1 counts as a server of the internet; localhost stays what it is."""
    real = reach.reach
    monkeypatch.setattr(reach, "reach", lambda host, port: 0 if host == "127.0.0.1" else real(host, port))


@pytest.mark.parametrize("ask", [lambda s: s.stat("x"), lambda s: s.read("x"), lambda s: list(s.iter_range("x", 0, 4))])
def test_a_store_does_not_lead_to_internal_places(serve, monkeypatch, ask):
    _, inner = serve(give(b"secret"))
    url, _ = serve(redirect(f"http://localhost:{inner.server_port}/x"))
    pretend_public(monkeypatch)
    with pytest.raises(ProtocolError, match="points to the internal address localhost"):
        ask(AnywhereStorage(url))
    assert inner.asked == []


def test_a_store_leads_to_where_it_may(serve, monkeypatch):
    url, inner = serve(give(b"bases"))
    outer, _ = serve(redirect(f"{url}/y"))
    assert AnywhereStorage(outer).read("x")[0] == b"bases"
    inner.asked.clear()
    pretend_public(monkeypatch)
    monkeypatch.setenv("MODOS_ALLOW_INTERNAL", "1")
    outer, _ = serve(redirect(f"http://localhost:{inner.server_port}/y"))
    assert AnywhereStorage(outer).read("x")[0] == b"bases" and inner.asked


def test_a_store_of_this_machine_does_not_lead_to_metadata(serve):
    url, _ = serve(redirect("http://169.254.169.254/latest/meta-data"))
    with pytest.raises(ProtocolError, match="169.254.169.254"):
        AnywhereStorage(url).read("x")


@pytest.mark.parametrize("service", ["s3", "htsget", "credentials", "refget", "references"])
def test_an_endpoint_names_no_internal_places(serve, service):
    url, _ = serve(give(json.dumps({"status": "ok", service: "http://169.254.169.254/x"}).encode()))
    with pytest.raises(ProtocolError, match="the modos server 127.0.0.1 points to the internal address 169.254.169.254"):
        discover(url)


def test_what_the_user_names_may_be_anywhere(serve):
    url, _ = serve(give(json.dumps({"status": "ok", "s3": "http://169.254.169.254/x"}).encode()))
    assert resolve_services(url, {"s3": "http://10.0.0.7:9000"}).s3 == "http://10.0.0.7:9000"


def test_a_server_signs_no_internal_addresses(serve, monkeypatch):
    _, inner = serve(give(b"secret"))
    url, _ = serve(redirect(f"http://localhost:{inner.server_port}/x"))
    pretend_public(monkeypatch)
    with pytest.raises(ProtocolError, match="internal"):
        ServedStorage("s3://b/x", f"{url}/files/x", lambda: None).read("y")
    assert inner.asked == []


@pytest.mark.parametrize("where", ["a store", "signed addresses"])
def test_a_server_that_trickles_meets_a_deadline(serve, monkeypatch, where):
    def trickle(request):
        if request.path.startswith("/files/"):
            redirect("/signed")(request)
            return
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        if request.command == "GET":
            with suppress(OSError):  # the client has gone
                for _ in range(1000):
                    request.wfile.write(b"A")
                    time.sleep(0.1)

    for module in (anywhere, served):
        monkeypatch.setattr(module, "_PATIENCE", 1.0, raising=False)
    url, _ = serve(trickle)
    begun = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        (AnywhereStorage(url) if where == "a store" else ServedStorage("s3://b/x", f"{url}/files/x", lambda: None)).read("x")
    assert time.monotonic() - begun < 10 and isinstance(caught.value, ModosError)
    assert "timed out" in caught.value.message
