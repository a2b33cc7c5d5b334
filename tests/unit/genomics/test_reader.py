"""Records come out of bytes as htslib would read them from a file, and never fewer without an error."""

from __future__ import annotations

import threading

import pysam
import pytest

from modos.errors import IntegrityError, ModosError, RemoteError, TransportError, TruncatedStream
from modos.formats import BGZF_EOF, FORMATS
from modos.genomics.indexer import check_complete
from modos.genomics.reader import RecordReader, check_end
from modos.genomics.region import Region
from modos.genomics.writer import OutputFormat, RecordWriter
from tests.support.waiting import list_open, wait_for_threads, wait_until

FILES = {"BAM": "demo2.bam", "CRAM": "demo1.cram", "VCF": "calls.vcf.gz", "BCF": "cohort.bcf"}


@pytest.fixture(params=FILES)
def file(request, example):
    """A format's name, the bytes of its file, and the FASTA."""
    folder = example / "source"
    return request.param, (folder / FILES[request.param]).read_bytes(), str(folder / "reference.fa")


def pieces(data, size=10_000):
    return (data[start : start + size] for start in range(0, len(data), size))


def reader(name, data, fasta):
    return RecordReader(pieces(data), FORMATS[name], fasta, "the test")


def test_all_records_come(file, example):
    name, data, fasta = file
    with reader(name, data, fasta) as records:
        count = sum(1 for _ in records)
    path = str(example / "source" / FILES[name])
    opener = pysam.VariantFile(path) if name in ("VCF", "BCF") else pysam.AlignmentFile(path, reference_filename=fasta)
    with opener as direct:
        everything = direct if name in ("VCF", "BCF") else direct.fetch(until_eof=True)
        assert count == sum(1 for _ in everything) > 0


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.999])
def test_a_stream_cut_anywhere_is_an_error(file, keep):
    name, data, fasta = file
    with pytest.raises(IntegrityError), reader(name, data[: int(len(data) * keep)], fasta) as records:
        list(records)
    wait_for_threads("modos-feeder")


def test_a_stream_cut_between_two_blocks_is_an_error(example):
    data = (example / "source/demo2.bam").read_bytes()
    ends = [end for start, end in block_bounds(data)]
    assert len(ends) > 3
    for end in (ends[0], ends[len(ends) // 2], ends[-2]):
        with pytest.raises(TruncatedStream), reader("BAM", data[:end], None) as records:
            list(records)


def block_bounds(data):
    start = 0
    while start < len(data):
        end = start + int.from_bytes(data[start + 16 : start + 18], "little") + 1
        yield start, end
        start = end


@pytest.mark.parametrize("name", ["BAM", "BCF", "VCF"])
def test_a_flipped_byte_is_an_error(name, example):
    data = bytearray((example / "source" / FILES[name]).read_bytes())
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ModosError), reader(name, bytes(data), None) as records:
        list(records)


def test_a_broken_transport_surfaces_in_the_loop(file):
    name, data, fasta = file

    def breaking():
        yield data[: len(data) // 2]
        raise TransportError("the line broke")

    with pytest.raises(RemoteError, match="the line broke"), RecordReader(breaking(), FORMATS[name], fasta) as records:
        list(records)
    wait_for_threads("modos-feeder")


def test_leaving_early_leaves_nothing(file):
    name, data, fasta = file
    before = list_open()
    for _ in range(5):
        with reader(name, data, fasta) as records:
            next(iter(records))
    wait_for_threads("modos-feeder")
    wait_until(lambda: list_open() <= before)


def test_the_first_record_comes_before_the_last_byte(example):
    data, enough = (example / "source/demo2.bam").read_bytes(), threading.Event()

    def slow():
        yield data[:200_000]
        assert enough.wait(60)
        yield data[200_000:]

    with RecordReader(slow(), FORMATS["BAM"]) as records:
        everything = iter(records)
        next(everything)
        enough.set()
        assert sum(1 for _ in everything) > 0


def test_a_cram_without_its_reference_says_so(example, monkeypatch, tmp_path):
    monkeypatch.setenv("REF_PATH", str(tmp_path))
    data = (example / "source/demo1.cram").read_bytes()
    reference = (example / "source/reference.fa").rename(example / "source/hidden.fa")
    try:
        with (
            pytest.raises(IntegrityError, match=r"reference of chr1 \(MD5 [0-9a-f]{32}\), chr2 \(MD5"),
            reader("CRAM", data, None) as records,
        ):
            list(records)
        with (
            pytest.raises(IntegrityError, match=r"reference of chr2 \(MD5 [0-9a-f]{32}\) was not found"),
            reader("CRAM", data, None) as records,
        ):
            list(records.iter_overlapping((Region("chr2"),)))
    finally:
        reference.rename(example / "source/reference.fa")


@pytest.mark.parametrize("name", ["BAM", "CRAM"])
def test_what_is_written_reads_the_same(name, example, tmp_path):
    folder = example / "source"
    data, fasta, out = (folder / FILES[name]).read_bytes(), str(folder / "reference.fa"), tmp_path / FILES[name]
    region = Region("chr1", 20_000, 25_000)
    for compress in (True, False):
        with open(out, "wb") as target, reader(name, data, fasta) as records:
            writer = RecordWriter(records.header, OutputFormat(name, compress), target.fileno())
            writer.write(records.iter_overlapping((region,)))
            writer.close()
        with reader(name, data, fasta) as records:
            kept = [str(record) for record in records.iter_overlapping((region,))]
        with RecordReader(pieces(out.read_bytes()), FORMATS[name], fasta) as again:
            assert [str(record) for record in again] == kept != []


def test_a_failure_leaves_no_end_marker(example, tmp_path):
    data = (example / "source/demo2.bam").read_bytes()
    out = tmp_path / "out.bam"
    with open(out, "wb") as target, pytest.raises(IntegrityError), reader("BAM", data[:-2000], None) as records:
        RecordWriter(records.header, OutputFormat("BAM"), target.fileno()).write(records)
    with pytest.raises(TruncatedStream):
        check_complete(out, FORMATS["BAM"])


@pytest.mark.parametrize("size", [1, 7, 28, 1000])
def test_the_end_marker_is_found_across_pieces(size):
    data = b"x" * 100 + BGZF_EOF
    assert b"".join(check_end(pieces(data, size), FORMATS["BAM"])) == data
    for wrong in (data[:-1], b"x" * 100, b"", data + b"x"):
        with pytest.raises(TruncatedStream):
            list(check_end(pieces(wrong, size), FORMATS["BAM"]))


def test_both_forms_of_the_cram_end_marker_count(example):
    data = (example / "source/demo1.cram").read_bytes()
    at = len(data) - 38 + 8
    assert data[at] == 0x0F
    assert list(check_end([data[:at] + b"\xff" + data[at + 1 :]], FORMATS["CRAM"]))
