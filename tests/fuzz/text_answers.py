"""Readers of what servers answer: tickets, discovery, listings, logins, keys, credentials, files."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

from .trying import Target, check_message

_SERVER = "http://127.0.0.1:9"
_EXITS = (2, 3, 4, 5, 6)


@contextmanager
def _answered(answer: Callable[[str, str], bytes]) -> Iterator[None]:
    """Requests of modos for JSON get an answer; no names of hosts are looked up."""
    with (
        patch("modos.remote.services.ask", lambda method, url, **_: (200, answer(method, url))),
        patch("modos.storage.http.reach.socket.getaddrinfo", side_effect=OSError),
    ):
        yield


@contextmanager
def _posted(*answers: bytes) -> Iterator[None]:
    """Forms that are posted get answers one after the other, the last of them for good."""
    left = list(answers)

    def ask(method: str, url: str, **_: Any) -> tuple[int, bytes]:
        return 200, left.pop(0) if len(left) > 1 else left[0]

    with patch("modos.remote.tokens.ask", ask), patch("modos.remote.login.time.sleep", lambda seconds: time_passes(seconds)):
        yield


def time_passes(seconds: float) -> None:
    """What `time.sleep` refuses is refused; nobody waits for the rest."""
    if not 0 <= seconds < 1e9:
        raise ValueError(f"{seconds} seconds")


@contextmanager
def _spoken(data: bytes, whole: bytes | None = None) -> Iterator[str]:
    """A server that says the same to everybody, byte by byte as given, and then hangs up; another thing to those who want no range."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(20)
                        wants_range = b"range: bytes" in connection.recv(1 << 16).lower()
                        connection.sendall(data if wants_range or whole is None else whole)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def _read_ticket(path: Path) -> None:
    from modos.genomics.htsget.addresses import check_allowed
    from modos.genomics.htsget.protocol import Ticket

    ticket = Ticket.from_json(path.read_bytes(), "BAM", "BAM")
    ticket.to_bytes(), ticket.is_one_stream
    for block in ticket.blocks:
        if block.decode_inline() is None:
            with patch("modos.storage.http.reach.socket.getaddrinfo", side_effect=OSError):
                check_allowed(block.url, _SERVER)


def _read_refusal(path: Path) -> None:
    from modos.genomics.htsget.protocol import error_from_response

    for status in (404, 401, 400, 503):
        check_message(error_from_response(status, path.read_bytes(), "x"), _EXITS)


def _read_service_info(path: Path) -> None:
    from modos.genomics.htsget.client import HtsgetClient

    client = HtsgetClient(_SERVER)
    with patch.object(client._transport, "ask", return_value=(200, path.read_bytes())):
        json.dumps(client.service_info("reads"))


def _discover(path: Path) -> None:
    from modos.remote.login import discover_login
    from modos.remote.services import discover

    with _answered(lambda *_: path.read_bytes()):
        discover(_SERVER)
        discover_login(_SERVER)


def _list_objects(path: Path) -> None:
    from modos.catalog.catalog import list_remote

    with _answered(lambda _, url: path.read_bytes() if url.endswith("/list") else b'{"status": "success"}'):
        list_remote(None, _SERVER, None, "x")


def _ask_who(path: Path) -> None:
    from modos.remote.services import fetch_caller

    with _answered(lambda *_: path.read_bytes()):
        json.dumps(fetch_caller(_SERVER, "token"))


def _open_with_credentials(path: Path) -> None:
    """Credentials that a modos server gives for S3."""
    from modos.remote.access import open_remote
    from modos.remote.services import Services

    services = Services(s3=_SERVER, credentials=f"{_SERVER}/credentials", endpoint=_SERVER, root="s3://bucket")
    with _answered(lambda *_: path.read_bytes()), patch.dict("os.environ", MODOS_TOKEN="token"):
        open_remote("s3://bucket/ex", services, None)


def _ask_sts(path: Path) -> None:
    from botocore.awsrequest import AWSResponse

    from modos.storage.s3 import S3Storage
    from modos.storage.sts import scoped_credentials

    storage = S3Storage.from_url("s3://bucket", endpoint_url=_SERVER, s3_kwargs={"key": "a", "secret": "b"})
    raw = Mock(stream=lambda *_, **__: iter([path.read_bytes()]))
    with patch(
        "botocore.httpsession.URLLib3Session.send", lambda *_: AWSResponse(_SERVER, 200, {"Content-Type": "text/xml"}, raw)
    ):
        scoped_credentials(storage, ["ex"], write=False)


def _log_in(path: Path) -> None:
    from modos.remote.login import log_in_by_device

    auth = {"device_authorization_endpoint": f"{_SERVER}/device", "token_endpoint": f"{_SERVER}/token", "client_id": "modos"}
    with _posted(path.read_bytes(), b'{"access_token": "a token", "expires_in": 60}'):
        log_in_by_device(_SERVER, auth, lambda page, code: None)


def _begin_login(path: Path) -> None:
    """What a server says of how to log in."""
    from modos.remote.login import discover_login, log_in_by_device

    with (
        _answered(lambda *_: path.read_bytes()),
        _posted(b'{"device_code": "x", "interval": 1, "expires_in": 1}', b'{"access_token": "a token"}'),
    ):
        log_in_by_device(_SERVER, discover_login(_SERVER), lambda page, code: None)


def _take_token(path: Path) -> None:
    """What a token endpoint gives, kept and read again."""
    from modos.remote import tokens
    from modos.remote.login import log_in_by_device

    auth = {"device_authorization_endpoint": f"{_SERVER}/device", "token_endpoint": f"{_SERVER}/token"}
    with (
        _posted(b'{"device_code": "x", "interval": 1, "expires_in": 1}', path.read_bytes()),
        patch.dict("os.environ", MODOS_CONFIG_DIR=str(path.parent)),
    ):
        tokens.save("http://a:80", log_in_by_device(_SERVER, auth, lambda page, code: None))
        tokens.token_of("http://a:80")


def _ask_provider(path: Path) -> None:
    """What a provider says of itself, on the server: it may be nonsense, and never passes the one who asks."""
    import asyncio

    from modos.server.auth import Access
    from modos.server.rules import Oidc

    access = Access(oidc=Oidc("http://a", "modos"))
    with _answered(lambda _, url: path.read_bytes()):
        json.dumps(asyncio.run(access.login()))


def _read_keys(path: Path) -> None:
    """A provider's keys on the server, which refuses a token that is signed with none of them."""
    import asyncio

    from modos.genomics.htsget.protocol import HtsgetError
    from modos.server.auth import Access
    from modos.server.rules import Oidc

    access = Access(oidc=Oidc("http://a", "modos", jwks_url="http://a/jwks"))
    token = "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.e30.AAAA"
    with _answered(lambda _, url: path.read_bytes()):
        asyncio.run(access.prepare(token))
        try:
            access.identify(token)
        except HtsgetError as error:
            if error.name != "InvalidAuthentication":
                raise


def _discover_by_http(path: Path) -> None:
    from modos.remote.services import discover

    with _spoken(path.read_bytes()) as url:
        discover(url)


def _read_served(path: Path) -> None:
    """A file that a modos server sends."""
    from modos.remote.served import ServedStorage

    with _spoken(path.read_bytes()) as url:
        storage = ServedStorage(url, f"{url}/files", lambda: None)
        info = storage.stat("x")
        assert info.size >= 0
        storage.read("x"), storage.read_changed("x", '"a"')


def _read_part(path: Path) -> None:
    """A part of a file that a modos server sends."""
    from modos.remote.served import ServedStorage

    with _spoken(path.read_bytes(), _http(b"datadata")) as url:
        ServedStorage(url, f"{url}/files", lambda: None).read_part("x", 0, 4)


def _read_anywhere(path: Path) -> None:
    """A file over HTTP, as that of a reference store."""
    from modos.storage.url import AnywhereStorage

    with _spoken(path.read_bytes()) as url:
        storage = AnywhereStorage(url)
        assert storage.stat("x").size >= 0
        storage.read("x")


def _read_part_anywhere(path: Path) -> None:
    from modos.storage.url import AnywhereStorage

    with _spoken(path.read_bytes(), _http(b"datadata", b"Accept-Ranges: bytes")) as url:
        AnywhereStorage(url).read_part("x", 1, 4)


def _keys() -> bytes:
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    number = rsa.RSAPublicNumbers(65537, (1 << 2047) + 12345)
    curve = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    keys = [
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(number.public_key())) | {"kid": "one", "use": "sig", "alg": "RS256"},
        json.loads(jwt.algorithms.ECAlgorithm.to_jwk(curve)) | {"kid": "two", "alg": "ES256"},
    ]
    return json.dumps({"keys": keys}, indent=1).encode()


def _http(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body))


_TICKET = json.dumps(
    {
        "htsget": {
            "format": "BAM",
            "urls": [
                {"url": "data:application/vnd.ga4gh.bam;base64,QkFNAQ==", "class": "header"},
                {
                    "url": "http://127.0.0.1:9/x?a=b",
                    "headers": {"Range": "bytes=0-99", "Authorization": "Bearer x"},
                    "class": "body",
                },
                {"url": "http://127.0.0.1:9/x", "headers": {"range": "bytes=100-199"}},
            ],
            "md5": "0" * 32,
        }
    },
    indent=1,
).encode()
_DISCOVERY = json.dumps(
    {
        "status": "success",
        "auth": {"type": "oidc", "issuer": "http://a"},
        "s3": "http://127.0.0.1:9",
        "htsget": "http://127.0.0.1:9/htsget",
        "credentials": None,
        "fuzon": None,
        "kms": None,
        "refget": "http://127.0.0.1:9/refget",
        "references": None,
        "root": "s3://bucket",
    },
    indent=1,
).encode()
_PROVIDER = json.dumps(
    {
        "issuer": "http://a",
        "jwks_uri": "http://a/jwks",
        "token_endpoint": "http://a/token",
        "device_authorization_endpoint": "http://a/device",
    },
    indent=1,
).encode()
_AUTH = json.dumps(
    {
        "status": "success",
        "auth": {
            "type": "oidc",
            "issuer": "https://a",
            "client_id": "modos",
            "audience": "modos",
            "device_authorization_endpoint": "https://a/device",
            "token_endpoint": "https://a/token",
        },
    },
    indent=1,
).encode()
_STS = (
    b'<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>\n'
    b"<SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken><Expiration>2026-11-26T20:00:00Z</Expiration></Credentials></AssumeRoleResult>"
    b"<ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></AssumeRoleResponse>"
)
_JSON = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[" * 500,
    b"NaN",
    b"Infinity",
    b"1e999",
    b"\\ud800",
    b"\\u001b[2J",
    b'""',
    b'"x"',
    b"-1",
    b"0.5",
    b'"' + b"x" * 3000 + b'"',
    b"9" * 5000,
)
_URLS = (
    b"http://",
    b"http://[",
    b"http://[::1]:x",
    b"http://a:99999999",
    b"ftp://x",
    b"http://a@b",
    b"http://\\u2028",
    b"s3://",
    b"//x",
    b"data:,",
    b"data:;base64,====",
    b"bytes=5-1",
    b"bytes=-1",
    b"Range",
    b"C4GH",
    b"encryptionScheme",
)
_HTTP = (
    b"HTTP/1.1 ",
    b"206 Partial Content",
    b"302 Found",
    b"304 ",
    b"416 ",
    b"500 ",
    b"Content-Length: ",
    b"-1",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Location: http://",
    b"Location: //[\r\n",
    b"ETag: ",
    b"Content-Range: bytes 0-3/8\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
)

TARGETS = [
    Target("ticket", ".json", _read_ticket, lambda: [_TICKET], (*_JSON, *_URLS), _EXITS),
    Target(
        "refusal",
        ".json",
        _read_refusal,
        lambda: [b'{"htsget": {"error": "NotFound", "message": "there is none"}}', b'{"htsget": {"error": "InvalidRange"}}'],
        _JSON,
        _EXITS,
    ),
    Target(
        "service-info",
        ".json",
        _read_service_info,
        lambda: [b'{"id": "x", "htsget": {"datatype": "reads", "formats": ["BAM"]}}'],
        _JSON,
        _EXITS,
    ),
    Target("discovery", ".json", _discover, lambda: [_DISCOVERY], (*_JSON, *_URLS), _EXITS),
    Target(
        "listing",
        ".json",
        _list_objects,
        lambda: [b'{"data": ["s3://bucket/ex", "ex", "."], "next": null}'],
        (*_JSON, *_URLS),
        _EXITS,
    ),
    Target(
        "whoami",
        ".json",
        _ask_who,
        lambda: [b'{"name": "me", "groups": ["a"], "visas": [{"value": "b", "ends": "c"}], "read": [""], "write": []}'],
        _JSON,
        _EXITS,
    ),
    Target(
        "credentials",
        ".json",
        _open_with_credentials,
        lambda: [
            b'{"prefix": "s3://bucket/ex", "access_key": "a", "secret_key": "b", "session_token": "c", "expires": "2030-01-01T00:00:00+00:00"}'
        ],
        (*_JSON, b'"2030-13-01"', b'"expires"', b'"-1"'),
        _EXITS,
    ),
    Target(
        "sts",
        ".xml",
        _ask_sts,
        lambda: [_STS],
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"<Credentials>", b"</", b">", b"<", b"2026-13-26"),
        _EXITS,
    ),
    Target("login", ".json", _begin_login, lambda: [_AUTH], (*_JSON, *_URLS), _EXITS),
    Target(
        "device",
        ".json",
        _log_in,
        lambda: [b'{"device_code": "x", "user_code": "AB", "verification_uri": "http://a", "interval": 1, "expires_in": 60}'],
        _JSON,
        _EXITS,
    ),
    Target(
        "token",
        ".json",
        _take_token,
        lambda: [b'{"access_token": "a", "expires_in": 3600, "refresh_token": "r"}'],
        (*_JSON, b'"expires_in"', b'"error"', b'"slow_down"'),
        _EXITS,
    ),
    Target("provider", ".json", _ask_provider, lambda: [_PROVIDER], _JSON, _EXITS),
    Target(
        "provider-keys",
        ".json",
        _read_keys,
        lambda: [_keys()],
        (*_JSON, b'"kty"', b'"oct"', b'"k"', b'"crv"', b'"P-521"', b'"n"', b'"AQ"', b'"one"'),
        _EXITS,
    ),
    Target(
        "http-discovery",
        ".http",
        _discover_by_http,
        lambda: [_http(_DISCOVERY, b"Content-Type: application/json")],
        _HTTP,
        _EXITS,
    ),
    Target("http-served", ".http", _read_served, lambda: [_http(b"datadata", b'ETag: "a"')], _HTTP, (1, *_EXITS)),
    Target(
        "http-part",
        ".http",
        _read_part,
        lambda: [_http(b"data", b'ETag: "a"', b"Content-Range: bytes 0-3/8", status=b"206 Partial Content")],
        _HTTP,
        (1, *_EXITS),
    ),
    Target("http-anywhere", ".http", _read_anywhere, lambda: [_http(b"datadata", b"Accept-Ranges: bytes")], _HTTP, _EXITS),
    Target(
        "http-part-anywhere",
        ".http",
        _read_part_anywhere,
        lambda: [_http(b"ata", b"Content-Range: bytes 1-3/8", status=b"206 Partial Content")],
        _HTTP,
        _EXITS,
    ),
]
