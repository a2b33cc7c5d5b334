"""Damaged records are one clear error or are given out safely: they never tell more than may be told."""

from __future__ import annotations

import gzip
import re
import struct
from contextlib import suppress

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from modos.errors import IntegrityError, ModosError
from modos.formats import BGZF_EOF
from modos.genomics.bounded_slices import cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.index.bgzf import frame_stored
from modos.genomics.planning import Planner
from modos.genomics.region import Region
from modos.storage import open_storage
from tests.support.hard_files import run
from tests.support.masking_oracle import lies_in, places_told, spans_of, write_telling_reads
from tests.support.sampling import most
from tests.support.variant_oracle import write_telling_variants

ALLOWED = (Region("chr1", 5_000, 25_000), Region("chr2", 1_000, 2_000))
BLOCK = 4_000


def store(path, content: bytes) -> None:
    """Write content in blocks whose size does not depend on it, so that an index stays right when bytes change."""
    pieces = (content[at : at + BLOCK] for at in range(0, len(content), BLOCK))
    path.write_bytes(b"".join(part for piece in pieces for part in frame_stored(piece, isal_zlib.crc32(piece))) + BGZF_EOF)


@pytest.fixture(scope="module", params=["bam", "bcf", "vcf.gz"])
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / f"a.{request.param}"
    if request.param == "bam":
        write_telling_reads(path, 400)
    else:
        write_telling_variants(path, request.param[:3], 400)
    content = gzip.decompress(path.read_bytes())
    store(path, content)
    for index in path.parent.glob("*.*i"):
        index.unlink()
    run(*(("samtools", "index") if request.param == "bam" else ("bcftools", "index", "-c")), path)
    return path, content, first_record(path, content)


def first_record(path, content: bytes) -> int:
    if path.suffix == ".bam":
        at = 8 + struct.unpack_from("<I", content, 4)[0]
        count = struct.unpack_from("<I", content, at)[0]
        at += 4
        for _ in range(count):
            at += 8 + struct.unpack_from("<I", content, at)[0]
        return at
    if path.suffix == ".bcf":
        return 9 + struct.unpack_from("<I", content, 5)[0]
    return content.index(b"\n", content.index(b"#CHROM")) + 1


def cut(path, bounds):
    storage = open_storage(str(path.parent))
    return b"".join(cut_file(storage, Planner(storage), path.name, None, bounds, threads=1).pieces)


def check_told(path, data: bytes) -> None:
    """Check what htslib makes of a slice; what it cannot read is told to nobody."""
    out = path.with_name(f"out{path.suffix}")
    pysam.set_verbosity(0)
    out.write_bytes(data)
    spans = spans_of(ALLOWED)
    try:
        if path.suffix == ".bam":
            with pysam.AlignmentFile(str(out), check_sq=False) as reads:
                for read in reads.fetch(until_eof=True):
                    start = read.reference_start
                    assert lies_in(spans, read.reference_name, start, read.reference_end or start + 1)
                    read.to_string()
                    assert [place for place in places_told(read) if not lies_in(spans, *place)] == []
        else:
            with pysam.VariantFile(str(out)) as variants:
                for variant in variants:
                    told = [
                        int(end) for end in re.findall(r"[\t;]END=(\d+)", str(variant))
                    ]  # which pysam leaves out for breakends
                    assert lies_in(spans, variant.contig, variant.start, max(variant.stop, variant.start + 1, *told))
                    for allele in variant.alts or ():
                        if "[" in allele or "]" in allele:
                            contig, _, position = allele.strip("ACGTN[]").rpartition(":")
                            assert lies_in(spans, contig, int(position) - 1, int(position)), allele
    except (OSError, ValueError, UnicodeDecodeError, KeyError):
        pass


@settings(max_examples=most(600, 60), deadline=None)
@given(data=st.data())
def test_changed_bytes_tell_no_more(file, data):
    path, content, first = file
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(first, len(content) - 1))
        changed[at] = data.draw(st.sampled_from([0, 1, 9, 10, 0x5B, 0x7F, 0xFF]) | st.integers(0, 255))
    store(path, bytes(changed))
    try:
        given = cut(path, Bounds(ALLOWED))
    except ModosError:
        return
    check_told(path, given)


@settings(max_examples=most(150, 20), deadline=None)
@given(data=st.data())
def test_changed_bytes_are_at_most_our_errors_where_fields_are_left_out(file, data):
    path, content, first = file
    changed = bytearray(content)
    at = data.draw(st.integers(first, len(content) - 1))
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    store(path, bytes(changed))
    reads = Bounds(ALLOWED, fields=("QNAME", "SEQ"), tags=("NM",), samples=frozenset(("alice",)))
    variants = Bounds(ALLOWED, info=frozenset(("AC",)), formats=frozenset(("GT",)), samples=frozenset(("alice",)))
    with suppress(ModosError):
        cut(path, reads if path.suffix == ".bam" else variants)


def change(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def reads_at(content: bytes, first: int):
    at = first
    while at < len(content):
        size = struct.unpack_from("<I", content, at)[0]
        yield at
        at += 4 + size


DAMAGES = {
    "the contig is none of the header": (4, struct.pack("<i", 90)),
    "no bytes for the name": (12, b"\0"),
    "more CIGAR operations than fit": (16, b"\xff\xff"),
    "more bases than fit": (20, struct.pack("<i", 1 << 20)),
    "fewer than no bases": (20, struct.pack("<i", -5)),
    "the contig of the mate is none of the header": (24, struct.pack("<i", 77)),
    "the position of the mate is negative": (28, struct.pack("<i", -9)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_read_that_does_not_fit_is_refused(file, damage):
    path, content, first = file
    if path.suffix != ".bam":
        pytest.skip("the damages are those of reads")
    offset, new = DAMAGES[damage]
    places = [at for at in reads_at(content, first) if 6_000 < struct.unpack_from("<i", content, at + 8)[0] < 20_000]
    store(path, change(content, places[3] + offset, new))
    with pytest.raises(IntegrityError):
        cut(path, Bounds(ALLOWED))


@pytest.mark.parametrize("kind", [b"?", b"B"])
def test_tags_that_do_not_fill_a_read_are_refused(file, kind):
    path, content, first = file
    if path.suffix != ".bam":
        pytest.skip("tags are those of reads")
    at = content.index(b"MQ", first + 10_000)
    store(path, change(content, at + 2, kind))
    with pytest.raises(IntegrityError):
        cut(path, Bounds(tags=None, notags=("zz",)))


def test_an_operation_that_is_none_is_refused(file):
    path, content, first = file
    if path.suffix != ".bam":
        pytest.skip("a CIGAR is of reads")
    at = next(at for at in reads_at(content, first) if struct.unpack_from("<H", content, at + 16)[0])
    place = at + 36 + content[at + 12]
    store(path, change(content, place, bytes([content[place] & 0xF0 | 11])))
    with pytest.raises(IntegrityError, match="damaged"):
        cut(path, Bounds(notags=("zz",)))


def test_records_out_of_order_are_refused(file):
    path, content, first = file
    if path.suffix == ".bam":
        at = list(reads_at(content, first))[150]
        changed = change(content, at + 8, struct.pack("<i", 3))
    elif path.suffix == ".bcf":
        at = first
        for _ in range(150):
            at += 8 + sum(struct.unpack_from("<II", content, at))
        changed = change(content, at + 12, struct.pack("<i", 3))
    else:
        lines = content[first:].split(b"\n")
        columns = lines[150].split(b"\t")
        columns[1] = b"4".rjust(len(columns[1]), b"0")
        lines[150] = b"\t".join(columns)
        changed = content[:first] + b"\n".join(lines)
    store(path, changed)
    with pytest.raises(IntegrityError, match="not sorted"):
        cut(path, Bounds(ALLOWED))


def test_a_line_without_its_samples_is_refused_where_they_are_cut(file):
    path, content, first = file
    if path.suffix != ".gz":
        pytest.skip("lines are of a VCF")
    lines = content[first:].split(b"\n")
    columns = lines[150].split(b"\t")
    lines[150] = b"\t".join([*columns[:7], columns[7].ljust(len(b"\t".join(columns[7:])), b"x")])
    store(path, content[:first] + b"\n".join(lines))
    with pytest.raises(IntegrityError, match="malformed"):
        cut(path, Bounds(samples=frozenset(("alice",))))
