"""Servers of strangers: they lead to no internal place that the user did not name, and cannot make a client wait for ever."""

import json
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modos.cli.diagnosis import _endpoint
from modos.errors import ModosError, ProtocolError, RemoteError
from modos.genomics.htsget.transport import Transport
from modos.remote import served
from modos.remote.served import ServedStorage
from modos.remote.services import discover, resolve_services
from modos.storage import url as anywhere
from modos.storage.http import reach
from modos.storage.s3 import S3Storage
from modos.storage.url import AnywhereStorage

pytestmark = pytest.mark.sweep(12)


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
        server = ThreadingHTTPServer(("", 0), Stranger)
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
    reach._known_reach.cache_clear()
    yield
    reach._known_reach.cache_clear()


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
    """127.0.0.1 counts as a server of the internet; 127.0.0.2 stays what it is."""
    real = reach._reach_of
    monkeypatch.setattr(reach, "_reach_of", lambda address: 0 if str(address) == "127.0.0.1" else real(address))
    reach._known_reach.cache_clear()


@pytest.mark.sweep(2)
@pytest.mark.parametrize("ask", [lambda s: s.stat("x"), lambda s: s.read("x"), lambda s: list(s.iter_range("x", 0, 4))])
def test_a_store_does_not_lead_to_internal_places(serve, monkeypatch, ask):
    _, inner = serve(give(b"secret"))
    url, _ = serve(redirect(f"http://127.0.0.2:{inner.server_port}/x"))
    pretend_public(monkeypatch)
    with pytest.raises(ProtocolError, match="points to the internal address 127.0.0.2"):
        ask(AnywhereStorage(url))
    assert inner.asked == []


def test_a_store_leads_to_where_it_may(serve, monkeypatch):
    url, inner = serve(give(b"bases"))
    outer, _ = serve(redirect(f"{url}/y"))
    assert AnywhereStorage(outer).read("x")[0] == b"bases"
    inner.asked.clear()
    pretend_public(monkeypatch)
    monkeypatch.setenv("MODOS_ALLOW_INTERNAL", "1")
    outer, _ = serve(redirect(f"http://127.0.0.2:{inner.server_port}/y"))
    assert AnywhereStorage(outer).read("x")[0] == b"bases" and inner.asked


def test_a_store_of_this_machine_does_not_lead_to_metadata(serve):
    url, _ = serve(redirect("http://169.254.169.254/latest/meta-data"))
    with pytest.raises(ProtocolError, match="169.254.169.254"):
        AnywhereStorage(url).read("x")


@pytest.mark.sweep(2)
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
    url, _ = serve(redirect(f"http://127.0.0.2:{inner.server_port}/x"))
    pretend_public(monkeypatch)
    with pytest.raises(ProtocolError, match="internal"):
        ServedStorage("s3://b/x", f"{url}/files/x", lambda: None).read("y")
    assert inner.asked == []


@pytest.mark.sweep(1)
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
    assert time.monotonic() - begun < 45 and isinstance(caught.value, ModosError)
    assert "timed out" in caught.value.message


def rebind(monkeypatch, name, *addresses):
    """A name stands for the first address when it is looked up first, then for the second, ..., and for the last one from then on."""
    real, given = socket.getaddrinfo, list(addresses)

    def look_up(host, *rest, **options):
        return real((given.pop(0) if len(given) > 1 else given[0]) if host == name else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "ask",
    [
        lambda url: discover(url),
        lambda url: AnywhereStorage(url).read("x"),
        lambda url: (reach.reach("stranger.example", 0), ServedStorage("s3://b/x", f"{url}/files/x", lambda: None).read("y")),
        lambda url: (reach.reach("stranger.example", 0), Transport(url).ask(f"{url}/reads/x", {}, None, 100)),
    ],
    ids=["discovery", "a store", "signed addresses", "tickets"],
)
def test_the_name_of_a_server_does_not_become_that_of_an_internal_place(serve, monkeypatch, ask):
    _, inner = serve(give(b'{"status": "ok"}'))
    pretend_public(monkeypatch)
    rebind(monkeypatch, "stranger.example", "127.0.0.1", "127.0.0.2")
    with pytest.raises(ProtocolError, match="stranger.example leads to the internal address 127.0.0.2"):
        reach.reach("stranger.example", 0)
        ask(f"http://stranger.example:{inner.server_port}")
    assert inner.asked == []


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "ask",
    [
        lambda url: AnywhereStorage(url).read("x"),
        lambda url: ServedStorage("s3://b/x", f"{url}/files/x", lambda: None).read("y"),
        lambda url: Transport(url).ask(f"{url}/reads/x", {}, None, 100),
    ],
    ids=["a store", "signed addresses", "tickets"],
)
def test_a_redirect_does_not_lead_to_a_name_that_becomes_that_of_an_internal_place(serve, monkeypatch, ask):
    _, inner = serve(give(b"secret"))
    url, _ = serve(redirect(f"http://there.example:{inner.server_port}/x"))
    pretend_public(monkeypatch)
    rebind(monkeypatch, "there.example", "127.0.0.1", "127.0.0.2")
    with pytest.raises(ProtocolError, match="there.example leads to the internal address 127.0.0.2"):
        ask(url)
    assert inner.asked == []


def test_a_name_that_could_not_be_looked_up_once_is_not_taken_for_public(serve, monkeypatch):
    _, server = serve(give(b"{}"))
    with monkeypatch.context() as broken:
        broken.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror("later")))
        assert reach.reach("localhost", 0) == 0
    assert Transport(f"http://localhost:{server.server_port}").ask(f"http://localhost:{server.server_port}/x", {}, None, 100) == (
        200,
        b"{}",
    )


def test_an_s3_server_does_not_lead_to_internal_places(serve, monkeypatch):
    _, inner = serve(give(b"secret"))
    url, _ = serve(redirect(f"http://127.0.0.2:{inner.server_port}/x"))
    pretend_public(monkeypatch)
    with pytest.raises(ModosError, match="points to the internal address 127.0.0.2"):
        S3Storage.from_url("s3://bucket/x", endpoint_url=url, s3_kwargs={"anon": True}).read("y")
    assert inner.asked == []


@pytest.mark.sweep(2)
@pytest.mark.parametrize("target", ["http://[::1", "http://a:99999/x", "http://[evil]/x", "//[", "\xe9\xff"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda url: Transport(url).ask(f"{url}/htsget/reads/x", {}, None, 1000),
        lambda url: ServedStorage("s3://b/p", f"{url}/files", str).read("a"),
        lambda url: ServedStorage("s3://b/p", f"{url}/files", str).stat("a"),
        discover,
        lambda url: list(_endpoint(url)),
    ],
)
def test_a_redirect_to_what_is_no_address_is_one_line(serve, ask, target):
    """Whoever asks: htsget, the files of an endpoint, discovery and `doctor`."""
    url, server = serve(redirect(target))
    with pytest.raises(ModosError, match="redirects to what is no address"):
        ask(url)
    assert len(server.asked) == 1


@pytest.mark.parametrize("goes_on", [True, False], ids=["pages", "a circle"])
def test_all_pages_of_uploads_are_listed(serve, monkeypatch, goes_on):
    """A bucket has more than a page of those that were interrupted; a server that goes in a circle ends the list."""

    def lists(request):
        number = len(server.asked) if goes_on else 1
        upload = f"<Key>p/k{number}</Key><UploadId>u{number}</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated>"
        last = f"<IsTruncated>{str(number < 3).lower()}</IsTruncated><NextKeyMarker>p/k{number}</NextKeyMarker>"
        give(f"<ListMultipartUploadsResult>{last}<Upload>{upload}</Upload></ListMultipartUploadsResult>".encode())(request)

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    url, server = serve(lists)
    storage = S3Storage.from_url("s3://bucket/p", endpoint_url=url, s3_kwargs={"key": "k", "secret": "s"})
    names = [partial.name for partial in storage.partial_writes()]
    assert names == ([f"k{n}?uploadId=u{n}" for n in (1, 2, 3)] if goes_on else ["k1?uploadId=u1"])
    assert len(server.asked) == (3 if goes_on else 2)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("tokens", [["a"], ["a", "b"], [None]])
def test_an_s3_server_does_not_list_for_ever(serve, monkeypatch, tokens):
    """Nor does one that does not say where its next page begins end in a KeyError."""

    def lists(request):
        token = tokens[len(server.asked) % len(tokens)]
        following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
        give(
            f"<ListBucketResult><IsTruncated>{str(len(server.asked) < 40).lower()}</IsTruncated>{following}</ListBucketResult>".encode()
        )(request)

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    url, server = serve(lists)
    storage = S3Storage.from_url("s3://bucket/p", endpoint_url=url, s3_kwargs={"key": "k", "secret": "s"})
    for ask in (lambda: list(storage.iter_files()), storage.list_folders):
        before = len(server.asked)
        with pytest.raises(ProtocolError, match="it is no S3 server"):
            ask()
        assert len(server.asked) - before <= 3
