"""Files in Python: depth as samtools has it, elements of a notebook, and nothing left behind by those who stop."""

from __future__ import annotations

import gc
import itertools
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pysam
import pytest

from modos.api import MODO
from modos.errors import IntegrityError, InvalidInputError, NotFoundError, RegionError
from modos.formats import FORMATS
from modos.genomics import GenomicFile
from modos.genomics.region import Region
from modos.genomics.sources import Stream
from tests.support.waiting import list_open, wait_for_threads, wait_until

if not shutil.which("samtools"):
    pytest.skip("samtools is not installed", allow_module_level=True)


@pytest.fixture(params=["folder", "endpoint"])
def modo(request, example, stack):
    if request.param == "folder":
        return MODO.open(example / "ex")
    return MODO.open("s3://modos-demo/ex", endpoint=stack.endpoint)


def depths(path, region):
    lines = subprocess.run(["samtools", "depth", "-a", "-r", region, str(path)], capture_output=True, text=True, check=True)
    return [int(line.split("\t")[2]) for line in lines.stdout.splitlines()]


@pytest.mark.sweep(4)
@pytest.mark.parametrize("file", ["demo1.cram", "demo2.bam"])
@pytest.mark.parametrize("region", ["chr1:1-1000", "chr1:20,001-26,000", "chr2"])
def test_depth_is_that_of_samtools(modo, example, file, region, monkeypatch):
    monkeypatch.setattr("modos.genomics.coverage._TILE", 777)
    depth = modo.coverage(file, region)
    wanted = depths(example / "ex" / file, region.replace(",", ""))
    assert depth.dtype == np.int64 and depth.tolist() == wanted and max(wanted) > 5
    for bins in (1, 7, len(wanted)):
        binned = modo.coverage(file, region, bins=bins)
        edges = [-(-n * len(wanted) // bins) for n in range(bins + 1)]
        assert binned.tolist() == pytest.approx([np.mean(wanted[a:b]) for a, b in itertools.pairwise(edges)])


def test_depth_of_spliced_and_deleted_reads(tmp_path, monkeypatch):
    """Reads that reach over several tiles, with every operation of a CIGAR and every flag that does not count."""
    monkeypatch.setattr("modos.genomics.coverage._TILE", 100)
    rng, header = random.Random(5), pysam.AlignmentHeader.from_references(["chr1"], [5_000])
    path = tmp_path / "a.bam"
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for number, start in enumerate(sorted(rng.randrange(4_000) for _ in range(500))):
            read = pysam.AlignedSegment(header)
            read.query_name, read.reference_id, read.reference_start = f"r{number}", 0, start
            read.flag = rng.choice([0, 0, 0, 4, 16, 0x100, 0x200, 0x400, 0x800])
            middle = rng.choice(["50D", "300N", "5I", "2P", "10X", "10=", "7I3D"])
            read.cigarstring = f"3H2S{rng.randrange(5, 60)}M{middle}{rng.randrange(5, 60)}M4S"
            length = read.infer_query_length()
            read.query_sequence, read.mapping_quality = "A" * length, 30
            read.query_qualities = pysam.qualitystring_to_array("I" * length)
            out.write(read)
    pysam.samtools.index(str(path))
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, path)
    for region in ("chr1", "chr1:950-1,050", "chr1:4,900-"):
        assert modo.coverage("a.bam", region).tolist() == depths(path, region.replace(",", ""))


@pytest.mark.parametrize(
    ("region", "bins", "error"),
    [
        ("chr1:1-10", 0, InvalidInputError),
        ("chr1:1-10", -1, InvalidInputError),
        ("chr1:999999-", None, RegionError),
        ("*", None, InvalidInputError),
        ("chr9", None, NotFoundError),
        ("chr1:9-3", None, RegionError),
    ],
)
def test_a_depth_that_cannot_be(modo, region, bins, error):
    with pytest.raises(error):
        modo.coverage("demo2.bam", region, bins=bins)


def test_counts(modo, example):
    for file, contig in (("demo2.bam", "chr1"), ("demo1.cram", "chr2"), ("calls.vcf.gz", "chr1"), ("cohort.bcf", "chr2")):
        for region in (None, contig, [f"{contig}:1-9000", Region(contig, 5_000, 20_000)]):
            assert modo.count(file, region) == sum(1 for _ in modo.stream_genomics(file, region))


def test_a_region_is_text_or_a_region_or_several(modo):
    def names(region):
        return [read.query_name for read in modo.stream_genomics("demo1.cram", region)]

    assert names("chr1:1,001-2,000") == names(Region("chr1", 1_000, 2_000)) == names(["chr1:1001-1500", "chr1:1500-2000"])
    with pytest.raises(RegionError):
        list(modo.stream_genomics("demo1.cram", []))


@pytest.mark.sweep(2)
@pytest.mark.parametrize("file", ["demo2.bam", "demo1.cram", "calls.vcf.gz", "cohort.bcf"])
def test_what_cannot_be_is_said_by_the_call(modo, file):
    for region, kind in (("chr7", NotFoundError), ("chr1:9-3", RegionError), ([], RegionError)):
        with pytest.raises(kind):
            modo.stream_genomics(file, region)
    with pytest.raises(InvalidInputError if file.startswith("demo") else NotFoundError):
        modo.stream_genomics(file, samples=["nobody"])
    settle()


def test_a_reference_that_is_missing_is_said_by_the_call(tmp_path, monkeypatch, example):
    monkeypatch.setenv("REF_PATH", str(tmp_path / "none"))
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "alone", "@type": "AlignmentSet", "data_path": "alone.cram"}, example / "source/demo1.cram")
    with pytest.raises(IntegrityError, match="was not found"):
        modo.stream_genomics("alone.cram", "chr1:1-1000")
    settle()


@pytest.mark.sweep(1)
def test_records_that_nobody_asks_for_leave_nothing(modo):
    for file in ("demo2.bam", "demo1.cram", "calls.vcf.gz", "cohort.bcf"):
        records = modo.stream_genomics(file, "chr1")
        del records
    gc.collect()
    settle()


def test_samples(modo):
    names = modo.file("cohort.bcf").header.samples
    record = next(modo.stream_genomics("cohort.bcf", "chr1", samples=[names[1]]))
    assert list(record.samples) == [names[1]]
    with pytest.raises(NotFoundError, match="nobody"):
        next(modo.stream_genomics("cohort.bcf", "chr1", samples=["nobody"]))


def test_an_element_is_shown_and_read(modo):
    element = modo["data/demo1"]
    assert element["data_path"] == "demo1.cram" and dict(element) == modo.metadata["data/demo1"]
    assert modo["demo1"].id == "data/demo1"
    assert len(list(element.fetch("chr1:1-1000"))) == element.count("chr1:1-1000") > 0
    assert element.coverage("chr1:1-1000", bins=2).shape == (2,)
    with pytest.raises(KeyError):
        modo["data/none"]
    with pytest.raises(InvalidInputError, match="no file"):
        modo["sample/sample1"].count()


def test_a_notebook_shows_tables(tmp_path):
    modo = MODO(tmp_path / "ex")
    for number in range(150):
        modo.add_element({"id": f"s{number}", "@type": "Sample", "description": "<script>alert(1)</script>" * 20})
    html = modo._repr_html_()
    assert html.count("<tr>") == 101 and "51 more" in html
    element = modo["sample/s3"]._repr_html_()
    assert "<script>" not in element + html and "&lt;script&gt;" in element and len(element) < 2_000


# --- those who stop ---


OF_STREAMS = ("modos-fetch", "modos-feeder", "modos-remaking", "modos-decoder", "modos-asking")


def settle():
    """Wait until nothing runs that a stream has left."""
    wait_for_threads(*OF_STREAMS)


def count_sockets():
    return sum(os.path.islink(place) and os.readlink(place).startswith("socket:") for place in Path("/proc/self/fd").iterdir())


@pytest.mark.sweep(1)
@pytest.mark.parametrize("file", ["demo2.bam", "demo1.cram", "calls.vcf.gz", "cohort.bcf"])
@pytest.mark.parametrize("way", ["break", "error", "collected"])
def test_who_stops_early_leaves_nothing(modo, file, way):
    next(modo.stream_genomics(file, "chr1")).__class__  # what is made once is made
    gc.collect()
    settle()
    before = list_open()

    def stop_early():
        """Stop three times; whether no more than a connection, of client and server here, has come with it."""
        sockets = count_sockets()
        for _ in range(3):
            records = modo.stream_genomics(file, "chr1")
            next(records)
            if way == "error":
                with pytest.raises(ZeroDivisionError):
                    for _record in records:
                        1 / 0
            if way != "collected":
                records.close()
            del records
            gc.collect()
        settle()
        return count_sockets() <= sockets + 2

    assert any(stop_early() for _ in range(5))  # as many connections are kept as were ever needed at once
    wait_until(lambda: list_open() <= before)


def test_a_fork_in_the_middle_hangs_nobody(modo):
    records = modo.stream_genomics("demo2.bam", "chr1")
    next(records)
    child = os.fork()
    if child == 0:
        time.sleep(120)  # holds what it got, as a worker of a pool would
        os._exit(0)
    try:
        begin = time.monotonic()
        assert sum(1 for _ in records) > 0
        assert time.monotonic() - begin < 60
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


FORK = """
import os, sys
from modos.api import MODO
records = MODO.open(sys.argv[1]).stream_genomics("demo2.bam", "chr1")
next(records)
child = os.fork()
if child == 0:
    sys.exit(0)  # with all that Python does at an exit
os.waitpid(child, 0)
print(sum(1 for _ in records))
"""


def test_a_child_that_exits_takes_nothing_away(example):
    result = subprocess.run([sys.executable, "-c", FORK, str(example / "ex")], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) + 1 == MODO.open(example / "ex").count("demo2.bam", "chr1")


def test_the_first_record_comes_before_the_last_byte(example):
    data, enough = (example / "source/demo2.bam").read_bytes(), threading.Event()

    class Slow:
        name, format = "slow", FORMATS["BAM"]

        def open(self, regions):
            yield Stream((Region("chr1"),), None, self.pieces())

        def pieces(self):
            yield data[:200_000]
            yield data[200_000:400_000]
            assert enough.wait(60)
            yield data[400_000:]

    records = GenomicFile(Slow()).fetch("chr1")
    next(records)
    enough.set()
    assert sum(1 for _ in records) > 0


def test_who_sets_a_progress_is_told_of_bytes(example):
    file, told = MODO.open(example / "ex").file("demo2.bam"), []
    file.progress = told.append
    assert file.count() and sum(told) == (example / "ex/demo2.bam").stat().st_size
