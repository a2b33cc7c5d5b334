"""References over HTTP: refget 2.0.0 (https://ga4gh.github.io/refget/), and a store that is only read."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from modos.api import MODO
from modos.errors import AccessError, IntegrityError, InvalidInputError, NotFoundError, ProtocolError
from modos.reference.adding import add_files, push
from modos.reference.annotation_store import add_annotation, find_manifest, pull_annotation
from modos.reference.assembly import sequence_key
from modos.reference.cache import cached_files, sequence_path
from modos.reference.cached_store import CachedStore
from modos.reference.digests import sha512t24u, trunc512_of
from modos.reference.locate import open_reference, open_store, provide
from modos.server.app import create_app
from modos.server.run import BackgroundServer, Settings
from modos.storage import open_storage
from modos.storage.url import AnywhereStorage
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(30)

BASES = {"chr1": "ACGTNRYacgtn" * 900, "chr2": "TTGACCA" * 700}
MD5 = {name: hashlib.md5(bases.upper().encode()).hexdigest() for name, bases in BASES.items()}
TOKEN = "a-token-that-is-long-enough"
GFF3 = (
    "chr1\tT\tgene\t11\t90\t.\t+\t.\tID=g1;gene_name=ABC\nchr1\tT\tmRNA\t11\t90\t.\t+\t.\tID=t1;Parent=g1\n"
    "chr1\tT\texon\t11\t90\t.\t+\t.\tID=e1;Parent=t1\n"
)


@pytest.fixture(scope="module")
def refs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refs")
    (folder / "x.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in BASES.items()))
    (folder / "names.txt").write_text("chr1\t1\tNC_1.1\n")
    (folder / "x.gff3").write_text(GFF3)
    store = open_store(folder / "store")
    add_files(store, "mini", [str(folder / "x.fa")], str(folder / "names.txt"))
    add_annotation(store, "genes", store.assembly("mini"), str(folder / "x.gff3"))
    return store


@pytest.fixture(scope="module", params=["folder", "S3"])
def url(request, refs, tmp_path_factory, stack):
    """A server that gives out the store, where the store is a folder and where it is on S3."""
    from modos.demo.stack import BUCKET, CREDENTIALS

    store = refs
    if request.param == "S3":
        store = open_store(f"s3://{BUCKET}/refget", stack.endpoint, CREDENTIALS)
        push(refs, store, "mini")
    with BackgroundServer(create_app(open_storage(tmp_path_factory.mktemp("objects")), references=store)) as server:
        yield server.url


@pytest.fixture(scope="module")
def served(refs, tmp_path_factory):
    """A server over a folder with the store, and no objects."""
    with BackgroundServer(create_app(open_storage(tmp_path_factory.mktemp("objects")), references=refs)) as server:
        yield server.url


def get(url, name="", headers=None, **params):
    return requests.get(f"{url}/refget/sequence/{name}", params=params, headers=headers, timeout=20)


def test_a_sequence_by_each_of_its_names(url):
    whole = BASES["chr1"].upper()
    ga4gh = sha512t24u(whole.encode())
    for name in (
        MD5["chr1"],
        MD5["chr1"].upper(),
        f"md5:{MD5['chr1']}",
        f"SQ.{ga4gh}",
        f"ga4gh:SQ.{ga4gh}",
        trunc512_of(f"SQ.{ga4gh}"),
    ):
        answer = get(url, name)
        assert (answer.status_code, answer.text) == (200, whole), name
        assert (
            answer.headers["content-type"].startswith("text/vnd.ga4gh.refget.v2.0.0+plain")
            and answer.headers["accept-ranges"] == "bytes"
        )
    for name in ("0" * 32, "nonsense", "SQ." + "A" * 32):
        assert get(url, name).status_code == 404


@pytest.mark.parametrize(
    ("params", "status", "part"),
    [
        ({"start": 0, "end": 5}, 200, slice(0, 5)),
        ({"start": 7}, 200, slice(7, None)),
        ({"end": 7}, 200, slice(0, 7)),
        ({"start": 5, "end": 5}, 200, slice(5, 5)),
        ({"start": 10799, "end": 10800}, 200, slice(10799, None)),
        ({"start": 10800}, 416, None),
        ({"end": 10801}, 416, None),
        ({"start": 9, "end": 5}, 501, None),
        ({"start": 20000, "end": 5}, 416, None),
        ({"start": -1}, 400, None),
        ({"start": "x"}, 400, None),
        ({"start": 1.5}, 400, None),
        ({"end": ""}, 400, None),
    ],
)
def test_sub_sequences(url, params, status, part):
    answer = get(url, MD5["chr1"], **params)
    assert answer.status_code == status
    if part is not None:
        assert answer.text == BASES["chr1"].upper()[part] and answer.headers["accept-ranges"] == "none"


@pytest.mark.parametrize(
    ("range", "status", "part"),
    [
        ("bytes=5-9", 206, slice(5, 10)),
        ("bytes=10790-99999", 206, slice(10790, None)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=10800-", 416, None),
        ("bytes=9-5", 416, None),
        ("units=1-5", 400, None),
        ("bytes=1-2,4-5", 400, None),
    ],
)
def test_ranges(url, range, status, part):
    answer = get(url, MD5["chr1"], {"Range": range})
    assert answer.status_code == status
    if part is not None:
        assert answer.text == BASES["chr1"].upper()[part] and answer.headers["content-range"].endswith("/10800")
    assert get(url, MD5["chr1"], {"Range": "bytes=1-5"}, start=1).status_code == 400


def test_metadata_service_info_and_head(url):
    found = get(url, f"{MD5['chr1']}/metadata").json()["metadata"]
    assert (
        found["md5"] == MD5["chr1"]
        and found["length"] == 10800
        and found["ga4gh"] == f"SQ.{sha512t24u(BASES['chr1'].upper().encode())}"
    )
    assert {"alias": "NC_1.1", "naming_authority": "mini"} in found["aliases"] and found["trunc512"] == trunc512_of(
        found["ga4gh"]
    )
    info = get(url, "service-info").json()
    assert (
        info["type"] == {"group": "org.ga4gh", "artifact": "refget", "version": "2.0.0"}
        and info["refget"]["circular_supported"] is False
    )
    assert set(info["refget"]["algorithms"]) == {"md5", "ga4gh", "trunc512"}
    head = requests.head(f"{url}/refget/sequence/{MD5['chr2']}", timeout=20)
    assert head.headers["content-length"] == "4900" and head.text == ""
    assert get(url, MD5["chr1"], {"Accept": "application/json"}).status_code == 406
    assert get(url, MD5["chr1"], {"Accept": "text/plain"}).status_code == 200


def test_only_the_store_is_given_out(url):
    for key in (
        "%2e%2e/secret",
        "index.json/%2e%2e",
        "sequences/%2e%2e/index.json",
        "x",
        "assemblies/..%2f..%2fx",
        "assemblies/%2e%2e/index.json",
    ):
        assert requests.get(f"{url}/references/{key}", timeout=20).status_code in (400, 404), key
    assert requests.get(f"{url}/references/index.json", timeout=20).json()["assemblies"]["mini"]["contigs"] == 2


def test_htslib_takes_it_as_ref_path(url, tmp_path):
    """samtools decodes a CRAM with the sequences of refget, and those of the store's layout."""
    (tmp_path / "c.fa").write_text(f">chr2\n{BASES['chr2']}\n")
    sam = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr2\tLN:4900\n" + "".join(
        f"r{n}\t0\tchr2\t{n * 10 + 1}\t60\t20M\t*\t0\t0\t{BASES['chr2'][n * 10 : n * 10 + 20]}\t{'I' * 20}\n" for n in range(100)
    )
    subprocess.run(["samtools", "view", "-C", "-T", "c.fa", "-o", "x.cram", "-"], input=sam.encode(), check=True, cwd=tmp_path)
    for file in tmp_path.glob("c.fa*"):
        file.unlink()
    for number, place in enumerate((f"{url}/refget/sequence/%s", f"{url}/references/sequences/%2s/%2s/%s")):
        environment = {"REF_PATH": place.replace(":", "::"), "REF_CACHE": str(tmp_path / f"cache{number}" / "%2s/%2s/%s")}
        result = subprocess.run(
            ["samtools", "view", "-c", "x.cram"], capture_output=True, text=True, env={**os.environ, **environment}, cwd=tmp_path
        )
        assert result.stdout == "100\n", (place, result.stderr)


def test_a_store_over_http(served, monkeypatch):
    """Found by the endpoint, read by part, pulled, and used offline."""
    monkeypatch.setenv("MODOS_ENDPOINT", served)
    assert requests.get(served, timeout=20).json()["refget"] == f"{served}/refget"
    reference = open_reference("mini")
    assert reference.dna("NC_1.1", 3, 9) == BASES["chr1"].upper()[3:9] and not list(cached_files("sequences"))
    assert reference.annotation("genes").genes.overlap("1:50-60")[0].name == "ABC" and list(cached_files("tables"))
    assert reference.dna("chr1", 0, 12, soft_mask=True) == BASES["chr1"][:12]
    cached = CachedStore(open_store())
    cached.locate(reference.assembly.contig("chr1"))
    pull_annotation(cached, find_manifest(cached, "genes"))
    monkeypatch.setenv("MODOS_REFERENCE_STORE", f"{served}/references")
    monkeypatch.setattr("fsspec.implementations.http.HTTPFileSystem._cat_file", None)
    monkeypatch.setattr("fsspec.implementations.http.HTTPFileSystem._info", None)
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    offline = open_reference("mini")
    assert (
        offline.dna("chr1", 3, 9) == BASES["chr1"].upper()[3:9]
        and offline.annotation("genes").transcripts["t1"].gene.name == "ABC"
    )
    with pytest.raises(NotFoundError, match=r"chr2 \(MD5 .* is not in the cache"):
        offline.dna("chr2", 0, 5)


def test_a_server_with_refget_alone(served, refs, monkeypatch):
    """A sequence that no store has is asked for by its MD5."""
    monkeypatch.setenv("MODOS_ENDPOINT", served)
    monkeypatch.setenv("REF_PATH", "/nowhere")
    monkeypatch.setattr("modos.reference.locate.open_served_store", lambda endpoint: None)
    contig = refs.assembly("mini").contig("chr2")
    provide([contig, replace(contig, md5="0" * 32)])
    assert sequence_path(contig.md5).read_text() == BASES["chr2"] and len(list(cached_files())) == 1
    assert os.environ["REF_PATH"].startswith(str(sequence_path(contig.md5).parents[2]))


def test_a_store_that_is_only_read_is_not_written(served, tmp_path):
    with pytest.raises(AccessError, match="only read"):
        add_files(open_store(f"{served}/references"), "new", [_fasta(tmp_path)])
    with pytest.raises(InvalidInputError, match="cannot be read"):
        open_store("quux://somewhere")


def _fasta(folder: Path) -> str:
    (folder / "new.fa").write_text(">new\nACGTT\n")
    return str(folder / "new.fa")


def test_tokens_guard_references_too(refs, tmp_path, monkeypatch):
    with BackgroundServer(create_app(open_storage(tmp_path), references=refs, tokens=[TOKEN])) as server:
        assert get(server.url, MD5["chr1"]).status_code in (401, 403)
        assert requests.get(f"{server.url}/references/index.json", timeout=20).status_code in (401, 403)
        monkeypatch.setenv("MODOS_ENDPOINT", server.url)
        with pytest.raises(AccessError, match="no access"):
            open_reference("mini").dna("chr1", 0, 5)
        monkeypatch.setenv("MODOS_TOKEN", TOKEN)
        assert open_reference("mini").dna("chr1", 0, 5) == "ACGTN"


def test_a_server_without_references(tmp_path):
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        assert requests.get(server.url, timeout=20).json()["refget"] is None and get(server.url, MD5["chr1"]).status_code == 404
    with pytest.raises(NotFoundError, match="no folder"):
        Settings(str(tmp_path), references=str(tmp_path / "none")).app()


def test_a_damaged_assembly_and_a_lost_sequence_hide_no_others(refs, tmp_path):
    store = open_store(tmp_path / "store")
    push(refs, store, "mini")
    (tmp_path / "y.fa").write_text(">other\nACGTACGT\n")
    add_files(store, "other", [str(tmp_path / "y.fa")])
    (tmp_path / "store/assemblies/other/assembly.json").write_text("x")
    (tmp_path / "store/sequences" / MD5["chr2"][:2] / MD5["chr2"][2:4] / MD5["chr2"][4:]).unlink()
    with BackgroundServer(create_app(open_storage(tmp_path), references=store)) as server:
        assert get(server.url, MD5["chr1"]).status_code == 200 and get(server.url, MD5["chr2"]).status_code == 404
        assert get(server.url, MD5["chr1"], {"Range": f"bytes=0-{'9' * 5000}"}).status_code == 400
        for accept, status in (("Text/Plain", 200), ("text/*;q=0", 406), ("text/html, */*;q=0.1", 200)):
            assert get(server.url, MD5["chr1"], {"Accept": accept}).status_code == status
        assert get(server.url, f"{MD5['chr1']}/metadata", {"Accept": "text/embl"}).status_code == 406


def test_a_token_goes_to_its_own_server_alone(refs, tmp_path, monkeypatch):
    """MODOS_TOKEN is for the endpoint; a store elsewhere gets nothing."""
    with BackgroundServer(create_app(open_storage(tmp_path), references=refs)) as server, Proxy(server.url) as proxy:
        seen = []
        proxy.fault = lambda proxy, handler, answer: seen.append(handler.headers.get("Authorization"))
        monkeypatch.setenv("MODOS_TOKEN", TOKEN)
        for endpoint, wanted in (("http://127.0.0.1:9", None), (None, None), (proxy.url, f"Bearer {TOKEN}")):
            monkeypatch.setenv("MODOS_ENDPOINT", endpoint or "")
            assert open_reference("mini", f"{proxy.url}/references").dna("chr2", 0, 7) == "TTGACCA"
            assert set(seen) == {wanted}
            seen.clear()


def test_a_server_that_sends_more_or_no_ranges(refs, tmp_path):
    def endless(proxy, handler, answer):
        if handler.command == "GET":
            answer.status, answer.body = 200, b"A" * 50_000_000
            answer.headers = [
                (name, value) for name, value in answer.headers if name.lower() not in ("content-length", "content-range")
            ]

    with BackgroundServer(create_app(open_storage(tmp_path), references=refs)) as server, Proxy(server.url) as proxy:
        store = open_store(f"{proxy.url}/references")
        store.assembly("mini")
        proxy.fault = endless
        with pytest.raises(ProtocolError, match="HTTP 200"):
            store.storage.read_part(sequence_key(MD5["chr1"]), 5, 10)
        with pytest.raises(IntegrityError, match="damaged"):
            store.index()
        assert proxy.answered < 40_000_000  # the connection was closed


def test_offline_the_store_of_the_endpoint_is_remembered(served, monkeypatch):
    monkeypatch.setenv("MODOS_ENDPOINT", served)
    reference = open_reference("mini")
    CachedStore(open_store()).locate(reference.assembly.contig("chr2"))
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    assert open_reference("mini").dna("chr2", 0, 7) == "TTGACCA"


def test_other_places_by_fsspec_and_by_entry_point(refs, monkeypatch):
    """A scheme of fsspec (memory), and one that an installed package adds."""
    import fsspec

    memory = fsspec.filesystem("memory")
    for info in refs.storage.iter_files():
        memory.pipe_file(f"/refs/{info.key}", refs.storage.read(info.key)[0])
    assert open_reference("mini", "memory://refs").dna("chr2", 0, 7) == "TTGACCA"

    class Found:
        def load(self):
            return lambda url: AnywhereStorage(url.replace("vault", "memory"))

    monkeypatch.setattr(
        "modos.reference.locate.entry_points",
        lambda group, name: [Found()] if (group, name) == ("modos.reference_stores", "vault") else [],
    )
    assert open_reference("mini", "vault://refs").dna("chr2", 0, 7) == "TTGACCA"


def test_a_cram_is_streamed_with_the_references_of_the_endpoint(refs, tmp_path, monkeypatch):
    """The object has no FASTA; the server that gives it out has the store; no flag is given, and samtools reads what comes."""
    (tmp_path / "c.fa").write_text(f">chr2\n{BASES['chr2']}\n")
    sam = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr2\tLN:4900\n" + "".join(
        f"r{n}\t0\tchr2\t{n * 10 + 1}\t60\t20M\t*\t0\t0\t{BASES['chr2'][n * 10 : n * 10 + 20]}\t{'I' * 20}\n" for n in range(100)
    )
    subprocess.run(
        ["samtools", "view", "-C", "-T", "c.fa", "-o", "x.cram", "--write-index", "-"],
        input=sam.encode(),
        check=True,
        cwd=tmp_path,
    )
    for file in tmp_path.glob("c.fa*"):
        file.unlink()
    modo = MODO.create(tmp_path / "objects/ex")
    modo.add_element({"id": "reads", "@type": "AlignmentSet", "data_path": "x.cram"}, tmp_path / "x.cram")
    monkeypatch.setenv("REF_PATH", "/nowhere")
    with BackgroundServer(create_app(open_storage(tmp_path / "objects"), references=refs)) as server:
        monkeypatch.setenv("MODOS_ENDPOINT", server.url)
        assert sum(1 for _ in modo.stream_genomics("x.cram", "chr2:1-100")) == 10
        result = subprocess.run(
            f"{sys.executable} -c 'from modos.cli import main; main()' stream objects/ex/x.cram | samtools view -c",
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert result.stdout == "100\n", result.stderr
