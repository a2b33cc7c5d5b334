"""`fields`, `tags` and `notags`: the same reads cut the same way, by any way they come."""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

from modos.api import MODO
from modos.errors import AccessError, InvalidInputError, ModosError, ProtocolError, RemoteError
from modos.formats import BGZF_EOF, FORMATS
from modos.genomics import GenomicFile
from modos.genomics.htsget import transport
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.query import Query
from modos.genomics.htsget.streams import HtsgetSource
from modos.genomics.region import Region
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands
from tests.support.fields_oracle import FIELDS, left, sam
from tests.support.older import forget_digests
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep(20)

if not shutil.which("samtools"):
    pytest.skip("samtools is not installed", allow_module_level=True)

ALICE, BOB = "the-token-of-alice", "the-token-of-bobby"
QUERIES = [
    Query(fields=("QNAME", "FLAG", "SEQ")),
    Query(fields=("RNAME", "POS", "CIGAR", "MAPQ"), tags=()),
    Query(tags=("NM", "RG")),
    Query(notags=("NM", "MD")),
    Query(fields=("QUAL",), notags=("NM",)),
    Query(tags=()),
    Query(fields=("TLEN", "RNEXT", "PNEXT")),
]
SOME = (Region("chr1", 20_000, 25_000), Region("chr1", 30_000, 31_000), Region("chr2", 0, 3_000))


@pytest.fixture(scope="module")
def root(example, tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(example / "ex", root / "ex")
    return root


@pytest.fixture(scope="module")
def url(root):
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(transport, "_waits", lambda: iter([0.01, None]))


def fetched(client, query, path, file_id="ex/demo2"):
    path.write_bytes(b"".join(client.iter_bytes(client.fetch_ticket("reads", file_id, query))))
    return path


def parts(query):
    return {"fields": query.fields, "tags": query.tags, "notags": query.notags}


def made_url(ticket):
    return next(block.url for block in ticket.blocks if "/htsget/data/" in block.url)


# --- the server ---


@pytest.mark.sweep(2)
@pytest.mark.parametrize("regions", [(), SOME[:1], SOME, (Region("*"),), (Region("chr1", 39_999, 40_000),)])
def test_a_ticket_has_the_reads_of_one_without_fields_cut(url, tmp_path, regions):
    client = HtsgetClient(f"{url}/htsget")
    whole = sam(fetched(client, Query("BAM", regions), tmp_path / "all.bam"))
    for query in QUERIES:
        out = fetched(client, Query("BAM", regions, **parts(query)), tmp_path / "out.bam")
        subprocess.run(["samtools", "quickcheck", "-u", out], check=True)
        assert sam(out) == [left(line, **parts(query)) for line in whole], query


def test_many_regions_are_many_addresses(url, tmp_path, monkeypatch):
    """Together they are one file, that ends once."""
    from modos.server import partial

    monkeypatch.setattr(partial, "_MOST", 1)
    monkeypatch.setattr("modos.genomics.index.slices._GAP", 1)
    client, regions = (
        HtsgetClient(f"{url}/htsget"),
        tuple(Region(contig, at, at + 10) for contig in ("chr1", "chr2") for at in (100, 35_000)),
    )
    ticket = client.fetch_ticket("reads", "ex/demo2", Query("BAM", regions, fields=("QNAME", "POS")))
    made = [block for block in ticket.blocks if "/htsget/data/" in block.url]
    assert len(made) > 2 and ["last=1" in block.url for block in made] == [False] * (len(made) - 1) + [True]
    out = fetched(client, Query("BAM", regions, fields=("QNAME", "POS")), tmp_path / "out.bam")
    assert out.read_bytes().count(BGZF_EOF) == 1
    assert sam(out) == [
        left(line, ("QNAME", "POS")) for line in sam(fetched(client, Query("BAM", regions), tmp_path / "all.bam"))
    ]


@pytest.mark.parametrize("regions", [(), (Region("chr1"),), SOME])
def test_large_files_are_many_addresses(url, tmp_path, monkeypatch, regions):
    """What breaks is to be made again in part only; cut where the index has records begin."""
    from modos.server import partial

    client = HtsgetClient(f"{url}/htsget")
    whole = sam(fetched(client, Query("BAM", regions, tags=()), tmp_path / "all.bam"))
    monkeypatch.setattr(partial, "SPLIT", 20_000)
    ticket = client.fetch_ticket("reads", "ex/demo2", Query("BAM", regions, tags=()))
    assert sum("/htsget/data/" in block.url for block in ticket.blocks) > 3 or len(regions) > 1
    out = fetched(client, Query("BAM", regions, tags=()), tmp_path / "out.bam")
    assert sam(out) == whole and len(whole) > 1000 and out.read_bytes().count(BGZF_EOF) == 1


def test_the_header_is_as_it_was(url, root):
    answer = requests.get(f"{url}/htsget/reads/ex/demo2", {"class": "header", "fields": "QNAME"}, timeout=20)
    assert (answer.status_code, answer.json()["htsget"]["error"]) == (400, "InvalidInput")
    for content in ({"class": "header", "tags": []}, {"class": "header", "notags": ["NM"]}):
        assert requests.post(f"{url}/htsget/reads/ex/demo2", json.dumps(content), timeout=20).status_code == 400


def test_no_tags_and_all_tags_are_two_things(url, tmp_path):
    """`tags=` and `"tags": []` are none, no tags are all (htsget.md)."""
    every = sam(fetched(HtsgetClient(f"{url}/htsget"), Query("BAM"), tmp_path / "all.bam"))
    for given in ({"params": {"tags": ""}}, {"params": {"tags": "NM", "notags": ""}}):
        ticket = requests.get(f"{url}/htsget/reads/ex/demo2", timeout=20, **given).json()["htsget"]
        assert any("/htsget/data/" in block["url"] for block in ticket["urls"])
    posted = requests.post(f"{url}/htsget/reads/ex/demo2", json.dumps({"tags": []}), timeout=20).json()["htsget"]
    assert any("tags=&" in block["url"] or block["url"].endswith("tags=") for block in posted["urls"])
    assert sam(fetched(HtsgetClient(f"{url}/htsget"), Query("BAM", tags=()), tmp_path / "none.bam")) == [
        left(line, tags=()) for line in every
    ]
    for content in ({"tags": None}, {"fields": None, "notags": []}):
        plain = requests.post(f"{url}/htsget/reads/ex/demo2", json.dumps(content), timeout=20).json()["htsget"]
        assert not any("/htsget/data/" in block["url"] for block in plain["urls"])


@pytest.mark.parametrize(
    "params",
    [
        {"fields": "QNAME,XYZ"},
        {"fields": "qname"},
        {"fields": ""},
        {"tags": "NMX"},
        {"notags": "1A"},
        {"tags": "NM", "notags": "MD,NM"},
    ],
)
def test_what_there_is_not_is_refused(url, params):
    for answer in (
        requests.get(f"{url}/htsget/reads/ex/demo2", params, timeout=20),
        requests.post(
            f"{url}/htsget/reads/ex/demo2",
            timeout=20,
            data=json.dumps({name: [word for word in text.split(",") if word] for name, text in params.items()}),
        ),
    ):
        assert (answer.status_code, answer.json()["htsget"]["error"]) == (400, "InvalidInput")


def test_service_info_says_where_they_count(url):
    for kind, effective in (("reads", True), ("variants", False)):
        info = HtsgetClient(f"{url}/htsget").service_info(kind)["htsget"]
        assert info["fieldsParameterEffective"] is info["tagsParametersEffective"] is effective


def test_a_cram_comes_whole(url, root, tmp_path):
    """A server may send more than the fields that are asked for; the client leaves them out."""
    client = HtsgetClient(f"{url}/htsget")
    out = fetched(client, Query("CRAM", fields=("QNAME",)), tmp_path / "out.cram", "ex/demo1")
    assert out.read_bytes() == (root / "ex/demo1.cram").read_bytes()


def test_variants_come_whole(url, root, tmp_path):
    answer = requests.get(f"{url}/htsget/variants/ex/calls", {"fields": "QNAME", "tags": ""}, timeout=20)
    assert answer.status_code == 200 and "/htsget/data/" not in answer.text


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("demo2.bam", "demo1.cram"),
        lambda text: text.replace("demo2.bam", "demo2.bam.bai"),
        lambda text: text.replace("demo2.bam", "none.bam"),
        lambda text: text.replace("ex/demo2.bam", "..%2Fdemo2.bam"),
        lambda text: text.replace("ex/demo2.bam", "ex/data.zarr/zarr.json"),
    ],
)
def test_nothing_else_is_given_out(url, change):
    ticket = HtsgetClient(f"{url}/htsget").fetch_ticket("reads", "ex/demo2", Query("BAM", fields=("QNAME",)))
    assert requests.get(made_url(ticket), timeout=20).status_code == 200
    assert requests.get(change(made_url(ticket)), timeout=20).status_code == 404


@pytest.mark.parametrize(
    "chunks",
    [
        "",
        "0-f0000",
        "f50000",
        "f50000-f50000",
        "aee820000-f50000",
        "f50000-aee820000,f50000-aee820000",
        "f50000-ffffffffffffffff",
        "f50001-aee820000",
        "-1-5",
        "x-y",
        ",".join(["f50000-f60000"] * 5_000),
    ],
)
def test_places_that_are_not_in_the_file_are_refused(url, chunks):
    ticket = HtsgetClient(f"{url}/htsget").fetch_ticket("reads", "ex/demo2", Query("BAM", fields=("QNAME",)))
    address, _, query = made_url(ticket).partition("?")
    params = dict(part.split("=", 1) for part in query.split("&")) | {"chunks": chunks}
    try:
        answer = requests.get(address, params, timeout=20)
    except requests.RequestException:
        return  # ended in the middle
    assert answer.status_code >= 400


# --- access ---


def test_access_is_checked_each_time(root):
    """An address is no key: who may not read the file may not read what is made of it."""
    rules = Rules((Rule(frozenset({"user:alice"}), read=("ex",)), Rule(frozenset({"user:bob"}), read=("other",))))
    with BackgroundServer(create_app(open_storage(root), access=Access({ALICE: "alice", BOB: "bob"}, rules))) as server:
        client = HtsgetClient(f"{server.url}/htsget", token=ALICE)
        ticket = client.fetch_ticket("reads", "ex/demo2", Query("BAM", fields=("QNAME",)))
        address = made_url(ticket)
        assert ALICE not in address and len(b"".join(client.iter_bytes(ticket))) > 1000
        for headers, status in (
            ({}, 403),
            ({"Authorization": f"Bearer {BOB}"}, 403),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {ALICE}"}, 200),
        ):
            assert requests.get(address, headers=headers, timeout=20).status_code == status
        with pytest.raises(AccessError):
            HtsgetClient(f"{server.url}/htsget", token=BOB).fetch_ticket("reads", "ex/demo2", Query("BAM", fields=("QNAME",)))


# --- what goes wrong ---


def changed(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_damage_in_the_middle_is_no_shorter_file(root, tmp_path, quick, monkeypatch):
    """The answer breaks off without an end marker, for any client."""
    monkeypatch.setattr("modos.genomics.planning.LOCAL_PART", 1 << 16)
    monkeypatch.setattr("modos.genomics.slicing._BATCH", 1 << 15)
    shutil.copytree(root / "ex", tmp_path / "ex")
    target = tmp_path / "ex/demo2.bam"
    changed(target, target.stat().st_size // 2, b"\0" * 1000)
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        client = HtsgetClient(f"{server.url}/htsget")
        ticket = client.fetch_ticket("reads", "ex/demo2", Query("BAM", tags=("NM",)))
        raw = raw_answer(made_url(ticket))
        head, _, body = raw.partition(b"\r\n\r\n")
        assert b"200" in head.split(b"\r\n")[0] and b"chunked" in head.lower()
        assert len(body) > 10_000 and not body.endswith(b"0\r\n\r\n") and BGZF_EOF not in body
        with pytest.raises(ModosError):
            b"".join(client.iter_bytes(ticket))
        with pytest.raises(ModosError):
            GenomicFile(HtsgetSource(client, "ex/demo2", FORMATS["BAM"], hints=Query(tags=()))).count()


def raw_answer(url):
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), 20) as connection:
        connection.sendall(f"GET {place.path}?{place.query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def test_a_truncated_file_is_an_error(root, tmp_path):
    shutil.copytree(root / "ex", tmp_path / "ex")
    target = tmp_path / "ex/demo2.bam"
    os.truncate(target, target.stat().st_size - len(BGZF_EOF))
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        assert requests.get(f"{server.url}/htsget/reads/ex/demo2", {"tags": ""}, timeout=20).status_code == 500


def test_a_file_that_was_changed_is_seen(root, tmp_path, quick):
    shutil.copytree(root / "ex", tmp_path / "ex")
    forget_digests(tmp_path / "ex")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        client = HtsgetClient(f"{server.url}/htsget")
        ticket = client.fetch_ticket("reads", "ex/demo2", Query("BAM", fields=("QNAME",)))
        subprocess.run(["samtools", "view", "-b", "-o", tmp_path / "ex/demo2.bam", root / "ex/demo2.bam", "chr1"], check=True)
        assert requests.get(made_url(ticket), timeout=20).status_code == 412
        with pytest.raises(ProtocolError, match="412"):
            b"".join(client.iter_bytes(ticket))


def test_a_file_that_is_not_the_recorded_one_is_not_made_reads_of(root, tmp_path, quick):
    shutil.copytree(root / "ex", tmp_path / "ex")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        client = HtsgetClient(f"{server.url}/htsget")
        ticket = client.fetch_ticket("reads", "ex/demo2", Query("BAM", fields=("QNAME",)))
        data = bytearray((tmp_path / "ex/demo2.bam").read_bytes())
        data[200_000] ^= 1
        (tmp_path / "ex/demo2.bam").write_bytes(data)
        with pytest.raises((ProtocolError, RemoteError)):
            b"".join(client.iter_bytes(client.fetch_ticket("reads", "ex/demo2", Query("BAM", fields=("QNAME",)))))
        with pytest.raises((ProtocolError, RemoteError)):
            b"".join(client.iter_bytes(ticket))


def test_a_connection_that_breaks_is_made_anew(url, root, tmp_path, quick):
    """What is made again is the same, byte for byte, so that it goes on where it broke."""
    broken = []

    def cut(proxy, handler, answer):
        if "/htsget/data/" in handler.path and len(broken) < 1:
            broken.append(answer)
            answer.cut = len(answer.body) // 2

    with Proxy(url, fault=cut) as proxy:
        ticket = HtsgetClient(f"{url}/htsget").fetch_ticket("reads", "ex/demo2", Query("BAM", tags=("NM",)))
        moved = type(ticket)(ticket.format, tuple(type(b)(b.url.replace(url, proxy.url), b.headers) for b in ticket.blocks))
        data = b"".join(HtsgetClient(f"{proxy.url}/htsget").iter_bytes(moved))
    assert broken and data == b"".join(HtsgetClient(f"{url}/htsget").iter_bytes(ticket))


# --- crowds ---


def test_many_clients_at_once(url, root):
    query = Query("BAM", SOME, fields=("QNAME", "FLAG", "RNAME", "POS", "CIGAR"), tags=())
    client = HtsgetClient(f"{url}/htsget")
    ticket = client.fetch_ticket("reads", "ex/demo2", query)
    wanted = b"".join(client.iter_bytes(ticket))
    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(lambda _: b"".join(HtsgetClient(f"{url}/htsget").iter_bytes(ticket)), range(80))) == {wanted}


def test_clients_that_go_away_leave_nothing_behind(url):
    ticket = HtsgetClient(f"{url}/htsget").fetch_ticket("reads", "ex/demo2", Query("BAM", tags=("NM",)))
    place = urlsplit(made_url(ticket))
    gone = []
    for _ in range(20):
        connection = socket.create_connection((place.hostname, place.port), 20)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET {place.path}?{place.query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.recv(1000)
        gone.append(connection)
    assert requests.get(made_url(ticket), timeout=60).status_code == 200  # nobody is held up
    for connection in gone:
        connection.close()

    def is_let_go():  # the server notices a little later that they are gone
        gc.collect()
        return not any(thread.name == "modos-fetch" for thread in threading.enumerate())

    wait_until(is_let_go)


# --- the client, by every way ---


@pytest.fixture(params=["folder", "htsget", "endpoint", "s3"])
def way(request, example, url):
    """Opens demo2.bam with some fields."""
    if request.param == "htsget":
        client = HtsgetClient(f"{url}/htsget")
        return lambda query: GenomicFile(HtsgetSource(client, "ex/demo2", FORMATS["BAM"], hints=query), hints=query)
    if request.param == "folder":
        modo = MODO.open(example / "ex")
    else:
        services = {"htsget": None} if request.param == "s3" else None
        modo = MODO.open("s3://modos-demo/ex", endpoint=request.getfixturevalue("stack").endpoint, services=services)
    return lambda query: modo.file("demo2.bam", hints=query)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("regions", [None, ["chr1:20,001-25,000"], ["chr1:20,001-25,000", "chr2:1-3,000", "chr1:30,001-31,000"]])
def test_every_way_gives_the_same(way, example, tmp_path, regions):
    """Exactly the records that samtools has, whether the fields that place them are kept or not."""
    wanted = sam(example / "ex/demo2.bam", *(region.replace(",", "") for region in regions or ()))
    for query in QUERIES[1:5]:
        with open(tmp_path / "out.bam", "wb") as out:
            way(query).write(out.fileno(), regions)
        assert sam(tmp_path / "out.bam") == [left(line, **parts(query)) for line in wanted], query
        assert way(query).count(regions) == len(wanted)


def test_less_goes_over_the_network(url, example):
    with Proxy(url) as proxy:
        client = HtsgetClient(f"{proxy.url}/htsget")
        sizes = []
        for query in (Query(), Query(fields=("FLAG", "RNAME", "POS", "CIGAR"), tags=())):
            ticket = HtsgetClient(f"{url}/htsget").fetch_ticket("reads", "ex/demo2", Query("BAM", **parts(query)))
            sizes.append(sum(len(piece) for piece in client.iter_bytes(ticket)))
        assert sizes[1] < sizes[0] / 5


def run(*arguments, code=0, **environment):
    result = commands.run(
        arguments,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    assert result.returncode == code, result.stderr
    return result


@pytest.mark.core
@pytest.mark.parametrize("file", ["demo1.cram", "demo2.bam"])
@pytest.mark.parametrize("where", ["folder", "htsget"])
def test_the_command(example, url, where, file):
    source = str(example / "ex" / file) if where == "folder" else f"{url}/htsget/reads/ex/{file.partition('.')[0]}"
    reference = ("-T", example / "ex/reference.fa") if file == "demo1.cram" and where == "htsget" else ()
    whole = run("stream", *reference, "-r", "chr1:20,001-25,000", "-O", "sam", source).stdout.splitlines()
    whole = [line for line in whole if not line.startswith("@")]
    for options, kept in (
        (("--fields", "QNAME,SEQ", "--tags", ""), {"fields": ("QNAME", "SEQ"), "tags": ()}),
        (("--notags", "NM, MD"), {"notags": ("NM", "MD")}),
        (("--tags", "RG"), {"tags": ("RG",)}),
    ):
        got = run("stream", *reference, "-r", "chr1:20,001-25,000", "-O", "sam", *options, source).stdout.splitlines()
        wanted = [left(line, **kept) for line in whole]
        assert [line for line in got if not line.startswith("@")] == wanted and len(wanted) == 969
        assert run("stream", *reference, "-c", "-r", "chr1:20,001-25,000", *options, source).stdout == "969\n"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--fields", "QNAM"), "did you mean QNAME"),
        (("--fields", ""), "names no field"),
        (("--tags", "NMX"), "NMX"),
        (("--tags", "NM", "--notags", "NM"), "both tags and notags"),
        (("--raw", "--fields", "QNAME"), "do not go together"),
        (("--raw", "--tags", ""), "do not go together"),
    ],
)
def test_the_command_refuses(example, options, word):
    assert word in run("stream", *options, example / "ex/demo2.bam", code=2).stderr


def test_variants_have_no_fields(example):
    assert "has variants" in run("stream", "--tags", "NM", example / "ex/calls.vcf.gz", code=2).stderr


def test_a_server_that_leaves_the_places_out_all_the_same(example, url):
    """The client asks for what it has to know, so that no record is lost in silence."""
    asked = []

    class Noting(HtsgetClient):
        def fetch_ticket(self, kind, file_id, query):
            asked.append(query)
            return super().fetch_ticket(kind, file_id, query)

    source = HtsgetSource(Noting(f"{url}/htsget"), "ex/demo2", FORMATS["BAM"], hints=Query(fields=("QNAME",)))
    assert GenomicFile(source, hints=Query(fields=("QNAME",))).count("chr1:20,001-25,000") == 969
    assert set(asked[-1].fields) == {"QNAME", "FLAG", "RNAME", "POS", "CIGAR"} and set(asked[-1].fields) < set(FIELDS)
    with pytest.raises(InvalidInputError):
        GenomicFile(source, hints=Query(fields=("QNAME",))).coverage("chr1")
