"""Readers of what people and programs type or send: regions, searches, settings, keys, requests, and the files of a server."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote_to_bytes

from .text_tables import dressed
from .trying import Target


def _text(path: Path) -> str:
    """As a shell gives it."""
    return path.read_bytes().decode(errors="surrogateescape")


def _parse_region(path: Path) -> None:
    from modos.genomics.region import Region, settle

    for contigs in (None, ["chr1", "chr2", "HLA-A*01:01", "a:1-2", "*"]):
        str(Region.parse(_text(path), contigs))
        list(map(str, settle([_text(path)], contigs)))


def _parse_search(path: Path) -> None:
    from modos.catalog.searching import parse_search

    metadata = {"ex": {"@type": "MODO", "name": "a"}, "sample/s": {"@type": "Sample", "sex": "Male", "taxon_id": ["x", {"a": 1}]}}
    [term.is_in(metadata) for term in parse_search(_text(path))]


def _query(path: Path) -> None:
    """What `modos query` does."""
    from modos.metadata.graph import select

    select(_graph(), _text(path))


@cache
def _graph() -> Any:
    from modos.metadata.graph import build_graph

    return build_graph(
        {"ex": {"@type": "MODO", "name": "a"}, "sample/s": {"@type": "Sample", "sex": "Male", "taxon_id": ["NCBITaxon:9606"]}},
        "http://x",
    )


def _parse_condition(path: Path) -> None:
    import numpy as np

    from modos.tracks.conditions import Condition

    Condition.parse(_text(path)).test(np.array([0.5, np.nan], np.float32))


def _read_parameters(path: Path) -> None:
    from modos.genomics.htsget.query import Query

    params = dict(parse_qsl(path.read_bytes().decode(errors="replace"), keep_blank_values=True, max_num_fields=None))
    query = Query.from_params(params, "reads")
    query.to_params(), query.to_body()


def _read_body(path: Path) -> None:
    from modos.genomics.htsget.query import Query

    query = Query.from_body(path.read_bytes(), "reads")
    query.to_body()


def _read_settings(path: Path) -> None:
    """Settings in the environment: `NAME=VALUE` a line."""
    from modos.encryption.at_hand import find_own_key
    from modos.reference.cache import cache_folder, cache_limit, htslib_has, is_offline
    from modos.remote.services import check_url, endpoint_from_environment, server_name, token_for

    pairs = (line.partition("=") for line in _text(path).replace("\0", "").split("\n"))
    known = {name: value for name, _, value in pairs if name in _SETTINGS}
    with patch.dict(os.environ, {"HOME": str(path.parent), "XDG_CONFIG_HOME": str(path.parent), **known}):
        cache_limit(), cache_folder("sequences"), is_offline(), htslib_has("0" * 32)
        if endpoint := endpoint_from_environment():
            token_for(endpoint, None), server_name(endpoint), check_url(endpoint, "a modos server")
        if "MODOS_SECRET_KEY" in known:
            find_own_key()


_SETTINGS = (
    "MODOS_ENDPOINT",
    "MODOS_TOKEN",
    "MODOS_CACHE_LIMIT",
    "MODOS_CACHE_DIR",
    "MODOS_OFFLINE",
    "REF_PATH",
    "REF_CACHE",
    "MODOS_SECRET_KEY",
)


def _read_access(path: Path) -> None:
    from modos.server.auth import Access
    from modos.server.rules import ANYONE, Caller

    tokens = path.parent / "tokens"
    tokens.write_bytes(b"me 0123456789abcdef0123\n")
    tokens.chmod(0o600)
    access = Access.from_file(path)
    for caller in (ANYONE, Caller("me", frozenset({"lab"}))):
        access.places(caller, "read"), access.allows(caller, "write", "ex/x.bam")


def _read_token_file(path: Path) -> None:
    from modos.server.access_file import read_tokens
    from modos.server.auth import Access

    path.chmod(0o600)
    Access(read_tokens(path))


def _read_bearer(path: Path) -> None:
    """The header of a stranger: it is refused in any case, and by nothing else than what says so."""
    from modos.errors import InvalidInputError
    from modos.genomics.htsget.protocol import HtsgetError

    access = _guarded()
    header = path.read_bytes().decode("latin-1")
    with patch("modos.remote.services.ask", lambda *_, **__: (200, _jwks())):
        asyncio.run(access.prepare(header))
        try:
            access.identify(header)
        except HtsgetError as error:
            if error.name != "InvalidAuthentication":
                raise
            return
    raise InvalidInputError("taken")  # only what was taken as a seed


def _read_claims(path: Path) -> None:
    """A token that the provider has signed: its header in the first line, and what it claims after it."""
    import jwt

    head, _, claims = path.read_bytes().partition(b"\n")
    parts = b".".join(jwt.utils.base64url_encode(part) for part in (head, claims))
    key = _private_key()
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(parts, key)
    header = f"Bearer {parts.decode()}.{jwt.utils.base64url_encode(signature).decode()}"
    access = _guarded()
    with patch("modos.remote.services.ask", lambda *_, **__: (200, _jwks())):
        asyncio.run(access.prepare(header))
        access.identify(header)


def _read_visa(path: Path) -> None:
    """A visa that its issuer has signed: its header in the first line, and what it says after it."""
    import jwt

    from modos.errors import InvalidInputError
    from modos.server.trusting import Passport
    from modos.server.visas import Checker

    head, _, claims = path.read_bytes().partition(b"\n")
    parts = b".".join(jwt.utils.base64url_encode(part) for part in (head, claims))
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(parts, _private_key())
    visa = f"{parts.decode()}.{jwt.utils.base64url_encode(signature).decode()}"
    trusted = {"issuer": "https://a", "jwks_url": "https://a/jwks"}
    checker = Checker(Passport.model_validate({"issuers": [trusted], "brokers": [trusted]}), {})
    with patch("modos.remote.services.ask", lambda *_, **__: (200, _jwks())):
        found, is_complete = checker.check([visa], ("me", "https://a"))
    assert is_complete
    if not found:
        raise InvalidInputError("it does not count")


@cache
def _private_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _guarded() -> Any:
    from modos.server.auth import Access
    from modos.server.rules import Oidc

    return Access(oidc=Oidc("http://a", "modos", jwks_url="http://a/jwks"))


@cache
def _jwks() -> bytes:
    from jwt.algorithms import RSAAlgorithm

    return json.dumps(
        {"keys": [json.loads(RSAAlgorithm.to_jwk(_private_key().public_key())) | {"kid": "one", "alg": "RS256"}]}
    ).encode()


def _load_public(path: Path) -> None:
    from modos.encryption.keys import load_public_key

    load_public_key(path)


def _load_secret(path: Path) -> None:
    from modos.encryption.keys import load_secret_key

    path.chmod(0o600)
    load_secret_key(path, lambda: "secret").public


def _read_passphrase(path: Path) -> None:
    from modos.encryption.keys import read_passphrase

    path.chmod(0o600)
    read_passphrase(path)


def _send_request(path: Path) -> None:
    """A request as HTTP has it: a line, headers, a body; the server has an answer to everything."""
    head, _, body = path.read_bytes().partition(b"\n\n")
    line, *headers = head.split(b"\n")
    method, _, target = line.partition(b" ")
    raw, _, query = target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode("latin-1").upper(),
        "scheme": "http",
        "path": unquote_to_bytes(raw).decode(errors="replace"),
        "raw_path": raw,
        "query_string": query,
        "root_path": "",
        "headers": [(name.strip().lower(), value.strip()) for name, _, value in (header.partition(b":") for header in headers)],
        "client": ("127.0.0.1", 1),
        "server": ("192.0.2.1", 80),
    }
    status = asyncio.run(_ask(scope, body))
    assert 200 <= status < 500 or status in (501, 503), f"HTTP {status}"


async def _ask(scope: dict[str, Any], body: bytes) -> int:
    """The status of an answer; whatever else the application raises passes."""
    sent: list[dict[str, Any]] = []
    pieces = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if pieces:
            return pieces.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await _application()(scope, receive, send)
    return int(sent[0]["status"])


@cache
def _application() -> Any:
    """A server over a small object and a small reference store, open to everybody."""
    from modos.api import MODO
    from modos.formats import BGZF_EOF
    from modos.genomics.index.bgzf import compress
    from modos.reference.adding import add_files
    from modos.reference.store import ReferenceStore
    from modos.server.app import create_app
    from modos.storage import open_storage

    folder = Path(tempfile.mkdtemp(prefix="modos-fuzz-served-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "x.fa").write_bytes(b">chr1\nACGTACGT\n")
    store = ReferenceStore(open_storage(folder / "store"))
    add_files(store, "small", [str(folder / "x.fa")])
    modo = MODO(folder / "served" / "ex", id="ex")
    header = b"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:8\n"
    bam = b"BAM\1" + len(header).to_bytes(4, "little") + header + b"\1\0\0\0\5\0\0\0chr1\0\x08\0\0\0"
    (folder / "x.bam").write_bytes(compress(bam) + BGZF_EOF)
    modo.add_element({"@type": "AlignmentSet", "id": "x", "data_format": "BAM"}, source_file=folder / "x.bam")
    return create_app(open_storage(folder / "served"), references=store)


_ACCESS = (
    b'tokens = "tokens"\n[oidc]\nissuer = "https://a"\naudience = "modos"\n\n[[rule]]\nwho = ["anyone"]\nread = ["open"]\n'
    b'[[rule]]\nwho = ["user:me", "group:lab", "visa:https://b/1"]\nread = ["/"]\nwrite = ["ex"]\n'
    b'[passport]\nissuers = ["https://a", {issuer = "https://b", jwks_url = "https://b/jwks"}]\nbrokers = ["https://c"]\n'
    b'[[passport.grants]]\nvalue = "https://b/1"\nsources = ["https://b"]\nby = ["dac"]\n'
)
_PUBLIC = (
    b"-----BEGIN CRYPT4GH PUBLIC KEY-----\nAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n-----END CRYPT4GH PUBLIC KEY-----\n"
)


@cache
def _public_keys() -> list[bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    ssh = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    pem = (
        X25519PrivateKey.from_private_bytes(bytes(range(32)))
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return [_PUBLIC, ssh + b" somebody\n", pem, _PUBLIC.replace(b"\n", b"\r\n")]


@cache
def _secret_keys() -> list[bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

    from modos.encryption.keys import generate

    ssh, x25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32))), X25519PrivateKey.from_private_bytes(bytes(range(32)))
    cheap = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(1).build(b"secret")
    with tempfile.TemporaryDirectory() as folder:
        generate(f"{folder}/a.sec", f"{folder}/a.pub", None, "a comment")
        generate(f"{folder}/b.sec", f"{folder}/b.pub", "secret")
        own = [Path(folder, name).read_bytes() for name in ("a.sec", "b.sec")]
    return [
        *own,
        ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, cheap),
        x25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        x25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    ]


def _claims() -> list[bytes]:
    claims = {"iss": "http://a", "aud": "modos", "sub": "me", "groups": ["lab"], "iat": 1, "nbf": 1, "exp": 4_000_000_000}
    return [b'{"alg": "RS256", "typ": "JWT", "kid": "one"}\n' + json.dumps(claims, indent=1).encode()]


def _visas() -> list[bytes]:
    header = {"alg": "RS256", "typ": "vnd.ga4gh.visa+jwt", "kid": "one", "jku": "https://a/jwks"}
    visa = {"type": "ControlledAccessGrants", "asserted": 1, "value": "https://b/1", "source": "https://b", "by": "dac"}
    claims = {"iss": "https://a", "sub": "me", "iat": 1, "exp": 4_000_000_000, "ga4gh_visa_v1": visa | {"conditions": []}}
    return [json.dumps(header).encode() + b"\n" + json.dumps(claims, indent=1).encode()]


_REQUESTS = [
    b"GET /",
    b"GET /list?search=sex=male&limit=2\nHost: localhost",
    b"GET /meta?after=a",
    b"GET /get?query=ex&fuzzy=true",
    b"GET /whoami\nAuthorization: Bearer x",
    b"GET /htsget/reads/ex/x?referenceName=chr1&start=1&end=5&format=BAM&fields=QNAME&tags=NM",
    b"GET /htsget/reads/service-info",
    b'POST /htsget/reads/ex/x\nContent-Type: application/json\n\n{"format": "BAM", "regions": [{"referenceName": "chr1", "start": 1, "end": 5}]}',
    b'GET /files/ex/x.bam\nRange: bytes=0-9\nIf-Range: "a"\nIf-None-Match: *',
    b"HEAD /files/ex/data.zarr/zarr.json",
    b"GET /ga4gh/drs/v1/objects/ex%2Fx.bam",
    b"GET /refget/sequence/md5:0f343b0931126a20f133d67c2b018a3b?start=1&end=3\nAccept: */*",
    b"GET /refget/sequence/service-info",
    b"GET /references/index.json\nRange: bytes=1-",
    b"GET /references/assemblies/small/assembly.json",
    b"GET /metrics",
    b"GET /readyz",
    b"OPTIONS /files/ex/x.bam\nOrigin: http://a\nAccess-Control-Request-Method: GET",
    b'POST /credentials\n\n{"prefix": "s3://b/x", "write": true}',
    b"GET /authorize\nX-Forwarded-Uri: /htsget/reads/ex/x?a=b",
    b"GET /?search=sex=male&class=Sample&organism=x&after=a&part=found\nAccept: text/html",
    b"GET /objects/ex?group=data&after=a&files=b\nAccept: text/html;q=0.9, */*;q=0.5",
    b"GET /objects/ex?format=turtle",
    b"GET /elements/ex/data/x?array=a/b&annotation=c&gene=d\nAccept: text/html",
    b"GET /assets/pages.css?v=a\nIf-None-Match: *",
    b"GET /docs\nAccept: text/html",
]
_REQUEST_WORDS = (
    b"%00",
    b"%2e%2e/",
    b"..",
    b"//",
    b"%ff",
    b"%ed%a0%80",
    b"%",
    b"?",
    b"&",
    b"=",
    b"search=",
    b"limit=-1",
    b"start=",
    b"end=",
    b"/files/",
    b"/htsget/variants/",
    b"\nRange: bytes=",
    b"\nContent-Length: -1",
    b"\nHost: ",
    b"\nAccept: ",
    b'\nIf-Match: "',
    b"\nTransfer-Encoding: chunked",
    b"\n\n",
    b"\nX-Forwarded-Uri: ",
    b"HEAD ",
    b"POST ",
    b"[" * 2000,
    b"//[",
    b"\nHost: [",
    b"\nHost: a@b",
    b"[::1",
    b"\nX-Forwarded-Uri: //[",
)
_JSON = (b"null", b"[]", b"{}", b"[" * 2000, b"1e999", b"NaN", b"Infinity", b"\\ud800", b"9" * 5000, b'"chr1"', b"-1")

TARGETS = [
    Target(
        "region",
        ".txt",
        _parse_region,
        lambda: [b"chr1:1,000-2,000", b"chr1", b"{HLA-A*01:01}:1-10", b"chr2:5-", b"*"],
        (b":", b"-", b",", b"{", b"}", b"*", b"chr1:"),
        exits=(2, 3),
    ),
    Target(
        "search",
        ".txt",
        _parse_search,
        lambda: [b'sex=male name~"two words" ex', b"@type=Sample"],
        (b"=", b"~", b'"', b" ", b"sex", b"name="),
    ),
    Target(
        "sparql",
        ".rq",
        _query,
        lambda: [
            b'SELECT ?s ?o WHERE { ?s schema:name ?o . FILTER(REGEX(?o, "a")) } LIMIT 5',
            b"ASK { ?s a modos:Sample }",
            b"CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o }",
        ],
        (
            b"SELECT",
            b"{ ?s ?p ?o }",
            b"FILTER(",
            b"OPTIONAL",
            b"UNION",
            b"?x",
            b"(COUNT(?s) AS ?n)",
            b"BIND(1/0 AS ?z)",
            b"SERVICE <http://x>",
            b"{" * 200,
            b"(" * 200,
            b"!" * 300,
        ),
    ),
    Target("condition", ".txt", _parse_condition, lambda: [b"lt 0.5", b"ge-1e3"], (b"lt", b"eq ", b"e", b"-", b".", b"1e400")),
    Target(
        "htsget-parameters",
        ".txt",
        _read_parameters,
        lambda: [b"referenceName=chr1&start=1&end=5&format=BAM&fields=QNAME,SEQ&tags=&notags=NM", b"class=header"],
        (b"&", b"=", b"referenceName=", b"start=", b"class=", b"tags=NM", b"%00", b"%ff", b"encryptionScheme=c4gh"),
    ),
    Target(
        "htsget-body",
        ".json",
        _read_body,
        lambda: [
            b'{"format": "BAM", "fields": ["QNAME"], "tags": [], "regions": [{"referenceName": "chr1", "start": 1, "end": 5}]}'
        ],
        _JSON,
    ),
    Target(
        "settings",
        ".txt",
        _read_settings,
        lambda: [
            b"MODOS_ENDPOINT=http://a:80\nMODOS_TOKEN=abc\nMODOS_CACHE_LIMIT=20G\nREF_PATH=/x/%2s/%s:http://a\nREF_CACHE=/x/%2s/%2s/%s\n"
        ],
        (*(name.encode() + b"=" for name in _SETTINGS), b"1e3G", b"%s", b"%5000s", b"%", b"http://["),
        exits=(2, 3, 4, 6),
    ),
    Target(
        "access",
        ".toml",
        _read_access,
        lambda: [_ACCESS, _ACCESS.replace(b"\n", b"\r\n")],
        (
            b"[[rule]]\n",
            b'who = ["anyone"]\n',
            b'write = ["ex"]\n',
            b"read = []\n",
            b"../",
            b"[oidc]\n",
            b"[passport]\n",
            b"[" * 2000,
            b"a = " + b"[" * 500,
            b"1979-05-27T07:32:00Z",
            b"inf",
            b'"""',
        ),
        exits=(2, 3, 4, 6),
    ),
    Target(
        "token-file",
        ".txt",
        _read_token_file,
        lambda: dressed(b"# tokens\nme 0123456789abcdef0123\nfedcba98765432100123456789\n")[:1],
        (b"me ", b"#", b"0123456789abcdef0123"),
    ),
    Target(
        "bearer",
        ".txt",
        _read_bearer,
        lambda: [b"Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.e30.AAAA", b"Bearer eyJhbGciOiJub25lIn0.e30."],
        (b"Bearer ", b".", b"eyJ", b"=", b"Basic "),
    ),
    Target(
        "claims",
        ".txt",
        _read_claims,
        _claims,
        (*_JSON, b'"exp"', b'"aud"', b'"kid"', b'"none"', b'"HS256"', b'"crit"', b'"b64"', b'"sub"'),
    ),
    Target(
        "visa",
        ".txt",
        _read_visa,
        _visas,
        (
            *_JSON,
            b'"conditions": [[{"type": "ResearcherStatus", "by": "const:so"}]]',
            b'"LinkedIdentities"',
            b'"scope": "openid"',
            b'"crit"',
            b'"aud"',
        ),
    ),
    Target(
        "public-key",
        ".pub",
        _load_public,
        _public_keys,
        (b"-----BEGIN PUBLIC KEY-----\n", b"ssh-ed25519 ", b"ssh-rsa ", b"AAAA", b"-----END ", b"=", b"\n\n", b"#"),
    ),
    Target(
        "secret-key",
        ".sec",
        _load_secret,
        _secret_keys,
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"AAAA", b"////", b"=", b"-----BEGIN CRYPT4GH PRIVATE KEY-----\n", b"\n\n"),
    ),
    Target("passphrase", ".txt", _read_passphrase, lambda: [b"secret\n", b"\xef\xbb\xbfsecret\r\nmore\n"], (b"\n", b"\r")),
    Target("request", ".http", _send_request, lambda: _REQUESTS, _REQUEST_WORDS),
]
