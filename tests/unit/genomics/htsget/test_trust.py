"""The client tells its token to its server alone, and goes nowhere that its server may not send it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modos.errors import AccessError, InvalidInputError, NotFoundError, ProtocolError, RemoteError
from modos.formats import BGZF_EOF, FORMATS
from modos.genomics.htsget.addresses import check_allowed
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.protocol import Block, Ticket, error_from_response, error_to_json
from modos.genomics.htsget.query import Query
from modos.genomics.htsget.streams import HtsgetSource, htsget_source
from modos.genomics.region import Region
from modos.genomics.verification import Recorded
from modos.remote.services import token_for
from modos.storage.http import reach

REGIONS = (Region("chr1", 0, 10), Region("chr1", 50, 60), Region("chr2"))


class Host:
    """A server that answers as it is told, and remembers what it was asked."""

    def __init__(self, name="127.0.0.1"):
        self.seen, self.answers, host = [], {}, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                host.seen.append((self.command, self.path, dict(self.headers), body))
                status, headers, data = host.answers[self.command, self.path.partition("?")[0]]
                data = data(self.path, body) if callable(data) else data
                self.send_response(status)
                for key, value in (headers | {"Content-Length": str(len(data))}).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.block_on_close = True, False
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://{name}:{self._server.server_port}"

    def on(self, path, data, status=200, method="GET", **headers):
        self.answers[method, path] = status, {k.replace("_", "-"): v for k, v in headers.items()}, data

    def told(self, header):
        return [headers.get(header) for _, _, headers, _ in self.seen]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def host():
    host = Host()
    yield host
    host.close()


@pytest.fixture
def other():
    host = Host("localhost")  # another host by name
    yield host
    host.close()


def ticket(*urls, **headers):
    entries = [{"url": url, "headers": {k.replace("_", "-"): v for k, v in headers.items()}} for url in urls]
    return json.dumps({"htsget": {"format": "BAM", "urls": entries}}).encode()


def read(client, *, query=Query("BAM")):
    return b"".join(client.iter_bytes(client.fetch_ticket("reads", "x", query)))


def test_the_token_is_for_the_server_alone(host, other):
    host.on("/reads/x", ticket(f"{host.url}/data", f"{other.url}/data"))
    host.on("/data", b"one")
    other.on("/data", b"two")
    assert read(HtsgetClient(host.url, token="secret")) == b"onetwo"
    assert host.told("Authorization") == ["Bearer secret", None] and other.told("Authorization") == [None]


def test_a_blocks_headers_are_for_its_address(host, other):
    host.on("/reads/x", ticket(f"{other.url}/data", Authorization="Bearer of-the-block", X_Key="1"))
    other.on("/data", b"two")
    assert read(HtsgetClient(host.url, token="secret")) == b"two"
    assert other.told("Authorization") == ["Bearer of-the-block"] and other.told("X-Key") == ["1"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_secrets_to_another_host(host, other, status, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password mine\nmachine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    host.on("/reads/x", b"", status, Location=f"{other.url}/reads/x")
    other.on("/reads/x", ticket(f"{host.url}/data", Authorization="Bearer of-the-block", X_Key="1", Cookie="a=b"))
    host.on("/data", b"", status, Location=f"{other.url}/data")
    other.on("/data", b"two")
    assert read(HtsgetClient(host.url, token="secret")) == b"two"
    assert other.told("Authorization") == [None, None]
    assert other.told("X-Key") == [None, None] and other.told("Cookie") == [None, None]


def test_a_redirect_on_the_same_host_keeps_them(host):
    host.on("/reads/x", b"", 307, Location="/there")
    host.on("/there", ticket("data:,x"))
    assert read(HtsgetClient(host.url, token="secret")) == b"x"
    assert host.told("Authorization") == ["Bearer secret"] * 2


def test_redirects_in_a_circle_end(host):
    host.on("/reads/x", b"", 302, Location="/reads/x")
    with pytest.raises(ProtocolError):
        read(HtsgetClient(host.url))


@pytest.mark.parametrize(
    ("server", "url", "allowed"),
    [
        ("https://htsget.example", "http://127.0.0.1/x", False),
        ("https://htsget.example", "http://10.0.0.5/x", False),
        ("https://htsget.example", "http://169.254.169.254/x", False),
        ("https://htsget.example", "http://[::1]/x", False),
        ("https://htsget.example", "http://[::ffff:127.0.0.1]/x", False),
        ("https://htsget.example", "http://0.0.0.0/x", False),
        ("https://htsget.example", "http://2130706433/x", False),
        ("https://htsget.example", "http://0x7f.1/x", False),
        ("https://htsget.example", "http://8.8.8.8/x", True),
        ("http://10.0.0.5", "http://10.0.0.6/x", True),
        ("http://10.0.0.5", "http://127.0.0.1/x", False),
        ("http://10.0.0.5", "http://169.254.169.254/x", False),
        ("http://127.0.0.1", "http://127.0.0.1:9000/x", True),
        ("http://127.0.0.1", "http://169.254.169.254/x", False),
        ("http://localhost", "http://10.0.0.5/x", True),
        ("https://htsget.example", "http://[64:ff9b::a9fe:a9fe]/x", False),
        ("https://htsget.example", "http://[64:ff9b::7f00:1]/x", False),
        ("https://htsget.example", "http://[2002:a9fe:a9fe::1]/x", False),
        ("https://htsget.example", "http://[64:ff9b::808:808]/x", True),
    ],
)
def test_where_a_server_may_send_its_clients(monkeypatch, server, url, allowed):
    real = reach.socket.getaddrinfo
    names = {"htsget.example": "93.184.216.34"}
    monkeypatch.setattr(reach.socket, "getaddrinfo", lambda host, *a, **k: real(names.get(host, host), *a, **k))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    reach._known_reach.cache_clear()
    if allowed:
        check_allowed(url, server)
    else:
        with pytest.raises(ProtocolError, match="internal"):
            check_allowed(url, server)
        monkeypatch.setenv("MODOS_ALLOW_INTERNAL", "1")
        check_allowed(url, server)
    reach._known_reach.cache_clear()


# --- several regions ---


def source(host):
    return HtsgetSource(HtsgetClient(host.url), "x", FORMATS["BAM"])


def asked(host):
    return [(method, (body and json.loads(body).get("regions")) or path.partition("?")[2]) for method, path, _, body in host.seen]


def test_several_regions_are_one_request(host):
    host.on("/reads/x", ticket("data:,body"), method="POST")
    streams = list(source(host)._open_several(REGIONS))
    assert [(stream.regions, b"".join(stream.pieces)) for stream in streams] == [(REGIONS, b"body")]
    assert asked(host) == [
        (
            "POST",
            [{"referenceName": "chr1", "end": 10}, {"referenceName": "chr1", "start": 50, "end": 60}, {"referenceName": "chr2"}],
        )
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b""),
        (405, b""),
        (501, b""),
        (400, b'{"htsget": {"error": "InvalidInput", "message": "no"}}'),
        (200, b"<html>"),
    ],
)
def test_a_server_without_post_is_asked_for_one_at_a_time(host, status, body, monkeypatch):
    host.on("/reads/x", body, status, method="POST")
    host.on("/reads/x", lambda path, _: ticket("data:," + path.partition("?")[2].replace("&", "+")))
    streams = list(source(host)._open_several(REGIONS))
    assert [stream.regions for stream in streams] == [(region,) for region in REGIONS]
    assert [stream.after for stream in streams] == [None, *REGIONS[:2]]
    assert [b"referenceName=chr1" in b"".join(stream.pieces) for stream in streams] == [True, True, False]
    assert [method for method, _ in asked(host)] == ["POST", "GET", "GET", "GET"]


def test_files_glued_together_are_not_taken_for_one(host):
    glued = {
        "htsget": {
            "format": "BAM",
            "urls": [
                {"url": f"{host.url}/data?signature={n}", "headers": {"Range": f"bytes={start}-{end}"}}
                for n, (start, end) in enumerate([(0, 99), (500, 599), (0, 99), (700, 799)])
            ],
        }
    }
    host.on("/reads/x", json.dumps(glued).encode(), method="POST")
    host.on("/reads/x", ticket("data:,x"))
    assert [stream.regions for stream in source(host)._open_several(REGIONS)] == [(region,) for region in REGIONS]
    assert not Ticket.from_json(json.dumps(glued).encode(), "BAM").is_one_stream


def test_a_refused_post_is_not_tried_otherwise(host):
    host.on("/reads/x", b'{"htsget": {"error": "PermissionDenied", "message": "no"}}', 403, method="POST")
    with pytest.raises(AccessError):
        list(source(host)._open_several(REGIONS))
    assert [method for method, _ in asked(host)] == ["POST"]


def test_what_no_region_has_is_an_error_of_the_first(host):
    for method in ("GET", "POST"):
        host.on("/reads/x", b'{"htsget": {"error": "NotFound", "message": "no chr1"}}', 404, method=method)
    with pytest.raises(NotFoundError, match="no chr1"):
        list(source(host)._open_several(REGIONS))


@pytest.mark.parametrize("unread", ["BAM", "CRAM", "BAM CRAM"])
def test_a_storage_that_the_server_cannot_read_does_not_pass_for_a_file_that_is_not_there(monkeypatch, unread):
    """htsget-rs says NotFound for both: with `aws error` if S3 refused it, was gone, or had a certificate that it does not trust."""

    def refuse(client, kind, file_id, query):
        is_unread = (query.format or "BAM") in unread
        message = "aws error: unhandled error, with key: x" if is_unread else "key not found in storage: x"
        raise error_from_response(404, json.dumps(error_to_json("NotFound", message)).encode(), "x")

    monkeypatch.setattr(HtsgetClient, "fetch_ticket", refuse)
    with pytest.raises(RemoteError, match="cannot read its storage for x: aws error: unhandled error") as caught:
        htsget_source("http://localhost:1/reads/x")
    assert not isinstance(caught.value, NotFoundError)


def test_a_file_in_another_format_is_found_where_the_storage_refuses_what_is_not_there(monkeypatch):
    """As S3 does for keys that may not list the bucket."""

    def give(client, kind, file_id, query):
        if query.format == "CRAM":
            return Ticket("CRAM", ())
        raise error_from_response(404, json.dumps(error_to_json("NotFound", "aws error: unhandled error")).encode(), "x")

    monkeypatch.setattr(HtsgetClient, "fetch_ticket", give)
    assert htsget_source("http://localhost:1/reads/x").format.name == "CRAM"


def test_thousands_of_regions_are_asked_for_in_batches(host):
    host.on("/reads/x", ticket("data:,x"), method="POST")
    regions = tuple(Region("chr1", n * 10, n * 10 + 5) for n in range(2_500))
    streams = list(source(host)._open_several(regions))
    assert [len(stream.regions) for stream in streams] == [1000, 1000, 500]
    assert [stream.after for stream in streams] == [None, regions[999], regions[1999]]


def test_another_format_than_asked_for_is_refused(host):
    host.on("/reads/x", json.dumps({"htsget": {"format": "CRAM", "urls": []}}).encode())
    with pytest.raises(InvalidInputError, match="CRAM only"):
        next(source(host).open(None))


def test_the_hints_are_passed_on(host):
    host.on("/reads/x", ticket("data:,x"))
    hinted = HtsgetSource(
        HtsgetClient(host.url),
        "x",
        FORMATS["BAM"],
        recorded=Recorded(5),
        hints=Query(fields=("QNAME", "POS"), tags=("NM",), notags=("MD",)),
    )
    assert b"".join(next(hinted.open(None)).pieces) == b"x"  # whose size is another then
    assert asked(host) == [("GET", "format=BAM&fields=QNAME%2CPOS&tags=NM&notags=MD")]


def test_service_info_is_a_small_json(host):
    host.on("/reads/service-info", b'{"id": "x"}')
    host.on("/variants/service-info", b"[" * 50_000)
    client = HtsgetClient(host.url)
    assert client.service_info("reads") == {"id": "x"}
    with pytest.raises(ProtocolError):
        client.service_info("variants")


def test_a_block_without_range_is_all_of_its_address(host):
    host.on("/reads/x", ticket(f"{host.url}/data"))
    host.on("/data", BGZF_EOF)
    assert read(HtsgetClient(host.url)) == BGZF_EOF
    assert b"".join(HtsgetClient(host.url).iter_bytes(Ticket("BAM", (Block("data:,a"), Block(f"{host.url}/data"))))) == (
        b"a" + BGZF_EOF
    )


@pytest.mark.parametrize(
    "url", ["http:///x", "http://a:99999/x", "http://[::1/x", "http://me:password@host/x", "ftp://host/x", "//host/x", "", None]
)
def test_what_is_no_address_of_a_server(url):
    with pytest.raises(InvalidInputError) as caught:
        HtsgetClient(url)
    assert "password@" not in str(caught.value)


def test_a_token_that_is_none_stays_out_of_messages(monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", "a-secret\nwith-lines")
    with pytest.raises(InvalidInputError) as caught:
        token_for("http://127.0.0.1:1", None)
    assert "secret" not in caught.value.message + caught.value.hint
    monkeypatch.setenv("MODOS_TOKEN", " a-secret\n")
    assert token_for("http://127.0.0.1:1", None) == "a-secret"
