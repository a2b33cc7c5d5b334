"""What the server asks of its clients, tells them, and bears: POST, tokens, pages of other origins, crowds."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import requests

from modos.api import MODO
from modos.errors import AccessError, InvalidInputError, NotFoundError
from modos.formats import FORMATS
from modos.genomics import GenomicFile
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.protocol import Ticket
from modos.genomics.htsget.query import Query
from modos.genomics.htsget.streams import HtsgetSource, htsget_source
from modos.genomics.region import Region
from modos.server.access_file import read_tokens
from modos.server.app import create_app
from modos.server.htsget import MAX_REQUEST
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.url import AnywhereStorage
from tests.support.waiting import wait_for_requests

TOKEN = "a-token-that-is-long-enough"


@pytest.fixture(scope="module")
def root(example, tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(example / "ex", root / "ex")
    return root


@pytest.fixture(scope="module")
def url(root):
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url


@pytest.fixture(scope="module")
def guarded(root):
    with BackgroundServer(create_app(open_storage(root), tokens=[TOKEN, "another-token-of-somebody"])) as server:
        yield server.url


def post(url, content, **options):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return requests.post(url, data=body, timeout=20, **options)


def refusal(answer):
    return answer.status_code, answer.json()["htsget"]["error"]


def test_a_post_without_regions_is_the_whole_file(url, example):
    answer = post(f"{url}/htsget/reads/ex/demo2", {"format": "BAM"})
    client = HtsgetClient(f"{url}/htsget")
    assert b"".join(client.iter_bytes(Ticket.from_json(answer.content, "BAM"))) == (example / "ex/demo2.bam").read_bytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", (400, "InvalidInput")),
        (b"[]", (400, "InvalidInput")),
        (b"[" * 100_000, (400, "InvalidInput")),
        ({"regions": []}, (400, "InvalidInput")),
        ({"regions": [{}]}, (400, "InvalidInput")),
        ({"regions": [{"referenceName": "chr1", "start": 5, "end": 5}]}, (400, "InvalidRange")),
        ({"regions": [{"referenceName": "chr1", "start": "5"}]}, (400, "InvalidInput")),
        ({"regions": [{"referenceName": "chr1", "start": True}]}, (400, "InvalidInput")),
        ({"regions": [{"referenceName": "*", "start": 5}]}, (400, "InvalidInput")),
        ({"regions": [{"referenceName": "chr9"}]}, (404, "NotFound")),
        ({"tags": ["NM"], "notags": ["NM"]}, (400, "InvalidInput")),
        ({"format": "VCF"}, (400, "UnsupportedFormat")),
        ({"format": 5}, (400, "InvalidInput")),
        (b" " * (MAX_REQUEST + 1), (413, "PayloadTooLarge")),
    ],
)
def test_a_post_that_cannot_be_met_says_why(url, content, expected):
    assert refusal(post(f"{url}/htsget/reads/ex/demo2", content)) == expected


def test_a_post_has_no_parameters(url):
    assert refusal(post(f"{url}/htsget/reads/ex/demo2?format=BAM", {})) == (400, "InvalidInput")


def test_a_small_region_comes_with_its_ticket(url):
    client = HtsgetClient(f"{url}/htsget")
    ticket = client.fetch_ticket("reads", "ex/demo2", Query("BAM", (Region("chr1", 20_000, 21_000),)))
    assert all(block.url.startswith("data:") for block in ticket.blocks)


@pytest.mark.parametrize("kind", ["reads", "variants"])
def test_service_info_has_what_ga4gh_wants(url, kind):
    info = HtsgetClient(f"{url}/htsget").service_info(kind)
    assert {"id", "name", "type", "organization", "version"} <= set(info)
    assert set(info["type"]) == {"group", "artifact", "version"} and {"name", "url"} <= set(info["organization"])


# --- pages of other origins ---


def test_a_page_may_ask_for_tickets_and_data(url):
    page = {"Origin": "https://viewer.example"}
    ticket = requests.get(f"{url}/htsget/reads/ex/demo2", headers=page, timeout=20)
    data = requests.get(f"{url}/files/ex/demo2.bam", headers=page | {"Range": "bytes=0-9"}, timeout=20)
    refused = requests.get(f"{url}/htsget/reads/ex/none", headers=page, timeout=20)
    for answer in (ticket, data, refused):
        assert answer.headers["access-control-allow-origin"] == "https://viewer.example"
        assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-origin" not in requests.get(f"{url}/meta", headers=page, timeout=20).headers


@pytest.mark.parametrize("which", ["url", "guarded"])
def test_a_page_may_ask_first(which, request):
    answer = requests.options(
        request.getfixturevalue(which) + "/htsget/reads/ex/demo2",
        timeout=20,
        headers={
            "Origin": "https://viewer.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://viewer.example"
    assert set(answer.headers["access-control-allow-headers"].lower().split(", ")) >= {"authorization", "content-type"}
    assert answer.headers["access-control-max-age"] == str(30 * 24 * 3600)


# --- tokens ---


@pytest.mark.parametrize(
    "path",
    [
        "/list",
        "/meta",
        "/get?query=ex",
        "/htsget/reads/ex/demo2",
        "/files/ex/demo2.bam",
        "/files/none",
        "/htsget/reads/none",
        "/files/ex/data.zarr/zarr.json",
    ],
)
def test_without_a_token_no_data_are_told(guarded, path):
    for headers, expected in (
        ({}, (403, "PermissionDenied")),
        ({"Authorization": "Bearer wrong"}, (401, "InvalidAuthentication")),
        ({"Authorization": f"Basic {TOKEN}"}, (401, "InvalidAuthentication")),
    ):
        answer = requests.get(guarded + path, headers=headers, timeout=20)
        assert refusal(answer) == expected and "Bearer" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/whoami", "/htsget/reads/service-info", "/ga4gh/drs/v1/service-info", "/openapi.json"]
)
def test_what_holds_no_data_is_open_and_a_wrong_token_is_refused_all_the_same(guarded, path):
    assert requests.get(guarded + path, timeout=20).status_code == 200
    assert requests.get(guarded + path, headers={"Authorization": "Bearer wrong"}, timeout=20).status_code == 401


def test_with_a_token_all_is_as_without_one(guarded, url, example):
    assert requests.get(guarded + "/list", headers={"Authorization": f"bearer {TOKEN}"}, timeout=20).status_code == 200
    genomic = GenomicFile(HtsgetSource(HtsgetClient(f"{guarded}/htsget", token=TOKEN), "ex/demo2", FORMATS["BAM"]))
    assert b"".join(genomic.iter_bytes()) == (example / "ex/demo2.bam").read_bytes()
    assert genomic.count(["chr1:1-5000", "chr2"]) == MODO.open(example / "ex").count("demo2.bam", ["chr1:1-5000", "chr2"])


def test_the_token_comes_from_the_environment(guarded, monkeypatch):
    from modos.object.finding import open_served_file

    address = f"{guarded}/htsget/reads/ex/demo2"
    with pytest.raises(AccessError, match="refuses"):
        htsget_source(address)
    monkeypatch.setenv("MODOS_TOKEN", TOKEN)
    assert open_served_file(address, None).count("chr1:1-5000") > 0
    assert open_served_file(address, guarded).count("chr1:1-5000") > 0
    with pytest.raises(AccessError):  # the token is meant for another server
        open_served_file(address, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("text", "mode", "error"),
    [
        (TOKEN, 0o644, AccessError),
        ("", 0o600, InvalidInputError),
        ("# nothing\n", 0o600, InvalidInputError),
        ("short\n", 0o600, InvalidInputError),
        ("with blanks in it is none\n", 0o600, InvalidInputError),
        ("tökentökentökentöken", 0o600, InvalidInputError),
        (None, 0, NotFoundError),
    ],
)
def test_a_token_file_that_is_not_safe_is_refused(tmp_path, text, mode, error):
    path = tmp_path / "tokens"
    if text is not None:
        path.write_text(text)
        os.chmod(path, mode)
    with pytest.raises(error):
        read_tokens(path)


def test_a_token_file_has_a_token_a_line(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# ours\n{TOKEN}\n\nanother-token-of-somebody\n")
    os.chmod(path, 0o600)
    assert read_tokens(path) == {TOKEN: "token", "another-token-of-somebody": "token"}


# --- crowds ---


def test_a_hundred_streams_at_once(url, example):
    regions = [f"chr{1 + n % 2}:{1 + 300 * n}-{1 + 300 * n + 5_000}" for n in range(100)]
    local = MODO.open(example / "ex").file("demo2.bam")
    expected = [local.count(region) for region in regions]
    source = HtsgetSource(HtsgetClient(f"{url}/htsget"), "ex/demo2", FORMATS["BAM"])
    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(GenomicFile(source).count, regions)) == expected


def test_a_slow_client_holds_up_nobody(root):
    """Fifty clients that ask for a file, larger than what the system holds for them, and do not read it."""
    large = root / "ex/demo2.bam"
    with BackgroundServer(create_app(open_storage(root)), send_buffer=1 << 16) as server, ExitStack() as slow:
        address = urlsplit(server.url)
        for _ in range(50):
            connection = slow.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((address.hostname, address.port))
            connection.sendall(b"GET /files/ex/demo2.bam HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for_requests(server, 50)
        begin = time.monotonic()
        assert requests.get(f"{server.url}/files/ex/demo2.bam", timeout=60).content == large.read_bytes()
        assert time.monotonic() - begin < 25 and len(server._server.server_state.tasks) >= 50


def test_files_of_a_storage_without_addresses_are_passed_on(root):
    """The application asked any storage that is not local for the address of an S3 server, and led clients to no address."""
    import fsspec

    memory = fsspec.filesystem("memory")
    stored = open_storage(root)
    for info in stored.iter_files():
        memory.pipe_file(f"/served/{info.key}", stored.read(info.key)[0])
    with BackgroundServer(create_app(AnywhereStorage("memory://served"))) as server:
        for path in ("ex/data.zarr/zarr.json", "ex/demo2.bam"):
            answer = requests.get(f"{server.url}/files/{path}", allow_redirects=False, timeout=20)
            assert answer.status_code == 200 and answer.content == (root / path).read_bytes()
        answer = requests.get(f"{server.url}/files/ex/demo2.bam", headers={"Range": "bytes=0-3"}, timeout=20)
        assert answer.content == (root / "ex/demo2.bam").read_bytes()  # a server may give the whole


def test_a_changed_file_is_seen(tmp_path, example):
    """Neither the index nor the metadata of before are used for what is there now."""
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, example / "ex/demo2.bam")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        source = HtsgetSource(HtsgetClient(f"{server.url}/htsget"), "ex/demo2", FORMATS["BAM"])
        assert GenomicFile(source).count("chr1") > 0
        modo.remove_element("data/a")
        with pytest.raises(NotFoundError):
            GenomicFile(source).count("chr1")
