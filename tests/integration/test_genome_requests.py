"""What the genome browser asks of S3: few requests, none of them twice, and yet whatever was changed is seen."""

from __future__ import annotations

import subprocess
from itertools import pairwise

import pysam
import pytest
import requests

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.genome_view import make_object, write_sources
from tests.support.proxy import Proxy

pytestmark = pytest.mark.stack
STORED = {"Modos-Stored-Key": "1"}
PAGE = "/genome?element=ex/data/reads&locus=chr1:10,001-12,000"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write_sources(folder)
    make_object(folder / "ex", folder)
    return folder


@pytest.fixture
def served(made, stack, tmp_path):
    """`ask(path)` of a server that knows nothing yet, what it asks of S3, and the root of its objects."""
    root = f"s3://{BUCKET}/views/{tmp_path.name}"
    upload(made / "ex", open_storage(root, s3_url=stack.s3, s3_kwargs=CREDENTIALS))
    with Proxy(stack.s3) as proxy:
        storage = open_storage(root, s3_url=proxy.url, s3_kwargs=CREDENTIALS)
        with BackgroundServer(create_app(storage)) as server:

            def ask(path, headers=STORED):
                proxy.requests.clear()
                answer = requests.get(server.url + path, headers=headers, timeout=60)
                assert answer.status_code == 200, answer.text
                return answer, [(method, key.partition("/ex/")[2]) for method, key, _ in proxy.requests]

            def spans(name):
                ranges = [given for method, key, given in proxy.requests if method == "GET" and key.endswith("/" + name)]
                return [tuple(map(int, given.removeprefix("bytes=").split("-"))) for given in ranges]

            ask.spans = spans
            ask.root, ask.services = root, {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
            yield ask


def upload(folder, storage):
    for path in folder.rglob("*"):
        if path.is_file():
            storage.write_stream(f"ex/{path.relative_to(folder)}", iter([path.read_bytes()]), size=path.stat().st_size)


def slice_of(region):
    contig, start, end = region
    return f"/slices/reads/ex/reads?format=BAM&referenceName={contig}&start={start}&end={end}"


def names_in(data, folder):
    (folder / "slice.bam").write_bytes(data)
    with pysam.AlignmentFile(folder / "slice.bam", check_sq=False) as file:
        return [read.query_name for read in file]


def test_a_cold_page_asks_for_nothing_twice(served):
    _, asked = served(PAGE)
    assert len(asked) == len(set(asked)) and {method for method, _ in asked} == {"GET"}
    assert asked[0][1].endswith("zarr.json"), "which tells the rest"
    files = {key for _, key in asked[1:]}
    assert {"reads.bam", "reads.bam.bai", "bases.fa", "bases.fa.fai"} <= files
    assert files <= {f"{name}{end}" for name in ("reads.bam", "bases.fa") for end in ("", ".bai", ".fai", ".parts")}


def test_a_page_of_what_is_known_looks_once_at_each_file(served):
    served(PAGE)
    _, asked = served(PAGE)
    assert sorted(key for _, key in asked) == ["data.zarr/zarr.json", "reads.bam", "reads.bam.bai"]


def test_a_slice_looks_once_and_then_reads_by_the_tag(served, made, tmp_path):
    served(PAGE)
    answer, asked = served(slice_of(("chr1", 10_000, 12_000)))
    assert sorted(key for method, key in asked if method == "HEAD") == ["data.zarr/zarr.json", "reads.bam", "reads.bam.bai"]
    assert {key for method, key in asked if method == "GET"} <= {"reads.bam", "reads.bam.parts"}
    spans = sorted(served.spans("reads.bam"))
    assert spans and all(last < first for (_, last), (first, _) in pairwise(spans)), "no byte is asked for twice"
    expected = subprocess.run(
        ["samtools", "view", made / "reads.bam", "chr1:10,001-12,000"], capture_output=True, check=True, text=True
    ).stdout.splitlines()
    assert names_in(answer.content, tmp_path) == [line.partition("\t")[0] for line in expected] != []


def test_the_first_bins_take_three_requests(served):
    _, asked = served("/bins/ex/data/signal?region=chr1&bins=2000", {"Accept": "application/octet-stream"})
    assert len(asked) <= 3


def test_a_file_that_was_replaced_is_seen_by_all(served, made, tmp_path):
    """Also by a server that has the header, the index and the metadata of the one before."""
    served(PAGE)
    before = names_in(served(slice_of(("chr1", 10_000, 12_000)))[0].content, tmp_path)
    few = tmp_path / "reads.bam"
    subprocess.run(
        ["samtools", "view", "-b", "-s", "0.5", "--write-index", "-o", f"{few}##idx##{few}.bai", made / "reads.bam"], check=True
    )
    modo = MODO.open(f"{served.root}/ex", **served.services)
    modo.remove_element("data/reads")
    modo.add_element({"@type": "AlignmentSet", "id": "reads", "has_reference": ["reference/bases"]}, few)
    after = names_in(served(slice_of(("chr1", 10_000, 12_000)))[0].content, tmp_path)
    expected = subprocess.run(["samtools", "view", few, "chr1:10,001-12,000"], capture_output=True, check=True, text=True).stdout
    assert after == [line.partition("\t")[0] for line in expected.splitlines()] and 0 < len(after) < len(before)
    answer, asked = served(PAGE)
    assert answer.ok and len(asked) == len(set(asked))
