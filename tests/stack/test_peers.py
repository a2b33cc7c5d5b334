"""Our client and our server with those of others: htsget-rs over MinIO, samtools, and the htsget client of PyPI."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from modos.api import MODO
from modos.formats import FORMATS
from modos.genomics import GenomicFile
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.streams import HtsgetSource
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.s3 import S3Storage

pytestmark = pytest.mark.stack

FILES = {"BAM": "demo2.bam", "CRAM": "demo1.cram", "VCF": "calls.vcf.gz", "BCF": "cohort.bcf"}
REGIONS = ["chr1", "chr1:1-100", "chr1:30,000-30,000", "chr2:39,000-", "chr1:5,000-9,000"]
SEVERAL = ["chr2:1-3000", "chr1:5,000-9,000", "chr1:8,500-12,000", "chr1:30000-30000"]


@pytest.fixture(scope="module", params=["modos", "modos on MinIO", "htsget-rs on MinIO"])
def server(request, example, tmp_path_factory):
    """An htsget server with the demo object: ours, over a folder and over S3, and htsget-rs."""
    if request.param == "modos":
        root = tmp_path_factory.mktemp("served")
        shutil.copytree(example / "ex", root / "ex")
        with BackgroundServer(create_app(open_storage(root))) as server:
            yield f"{server.url}/htsget"
        return
    native = request.getfixturevalue("native")
    if request.param == "htsget-rs on MinIO":
        yield f"{native.url}/htsget"
        return
    storage = S3Storage.from_url("s3://modos-demo", endpoint_url=native.s3, s3_kwargs=native.credentials("server"))
    with BackgroundServer(create_app(storage)) as server:
        yield f"{server.url}/htsget"


def stem(name):
    return FILES[name].partition(".")[0]


def served(server, name, reference):
    client = HtsgetClient(server)
    return GenomicFile(HtsgetSource(client, f"ex/{stem(name)}", FORMATS[name]), lambda regions, progress: reference)


def texts(records):
    return [str(record) for record in records]


@pytest.mark.parametrize("name", FILES)
def test_our_client_gets_exactly_the_records(server, example, name):
    reference = str(example / "ex/reference.fa")
    genomic, local = served(server, name, reference), MODO.open(example / "ex")
    for region in (*REGIONS, SEVERAL):
        got, wanted = texts(genomic.fetch(region)), texts(local.stream_genomics(FILES[name], region))
        assert got == wanted, region
        assert genomic.count(region) == len(wanted)
    assert b"".join(genomic.iter_bytes()) == (example / "ex" / FILES[name]).read_bytes()


def test_our_client_gets_the_reads_without_a_position(server, example):
    genomic, local = served(server, "BAM", None), MODO.open(example / "ex")
    assert texts(genomic.fetch("*")) == texts(local.stream_genomics("demo2.bam", "*")) != []


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, check=True, timeout=120).stdout


@pytest.mark.parametrize("name", ["BAM", "CRAM"])
def test_samtools_reads_the_server(server, example, name):
    url = f"{server}/reads/ex/{stem(name)}?format={name}"
    reference = ("-T", example / "ex/reference.fa")
    assert run("samtools", "view", "-c", *reference, url) == run(
        "samtools", "view", "-c", *reference, example / "ex" / FILES[name]
    )
    part = run("samtools", "view", *reference, f"{url}&referenceName=chr1&start=5000&end=9000").splitlines()
    wanted = run("samtools", "view", *reference, example / "ex" / FILES[name], "chr1:5001-9000").splitlines()
    assert wanted and {line.split(b"\t", 4)[0] for line in wanted} <= {line.split(b"\t", 4)[0] for line in part}
    assert len(part) == len(set(part))


@pytest.mark.parametrize("name", ["VCF", "BCF"])
def test_bcftools_reads_the_server(server, example, name):
    url = f"{server}/variants/ex/{stem(name)}?format={name}"
    wanted = run("bcftools", "view", "-H", example / "ex" / FILES[name])
    assert run("bcftools", "view", "-H", url) == wanted != b""


@pytest.mark.parametrize("name", FILES)
def test_the_htsget_client_of_pypi_reads_the_server(server, example, tmp_path, name):
    out, kind = tmp_path / FILES[name], FORMATS[name].kind
    url = f"{server}/{kind}/ex/{stem(name)}"
    code = "import htsget, sys; htsget.get(sys.argv[1], open(sys.argv[2], 'wb'), data_format=sys.argv[3], **eval(sys.argv[4]))"
    run(sys.executable, "-c", code, url, out, name, "{}")
    assert out.read_bytes() == (example / "ex" / FILES[name]).read_bytes()
    run(sys.executable, "-c", code, url, out, name, "dict(reference_name='chr1', start=5000, end=9000)")
    reference = ("-T", example / "ex/reference.fa")
    program = ("samtools", "view", "-c", *reference) if kind == "reads" else ("bcftools", "view", "-H")
    assert run(*program, out)
