"""Fields and tags are left out of reads as a text program would do it."""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
import subprocess
import sys

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import FORMATS
from modos.genomics import GenomicFile
from modos.genomics.blanking import Blanking
from modos.genomics.htsget.query import Query
from modos.genomics.sources import StorageSource
from modos.genomics.writer import OutputFormat
from modos.storage import open_storage
from tests.support.fields_oracle import FIELDS, left, sam, spelled_out
from tests.support.sampling import most

pytestmark = pytest.mark.sweep(8)

if not shutil.which("samtools"):
    pytest.skip("samtools is not installed", allow_module_level=True)

HEADER = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:1000000\n@SQ\tSN:chr2\tLN:500000\n"
LONG = 70_000  # operations of a CIGAR, more than a record has room for
ODD = [
    "plain\t99\tchr1\t100\t60\t5M\t=\t300\t205\tACGTN\tIIIII\tNM:i:0\tMD:Z:5\tRG:Z:a",
    "other\t97\tchr1\t100\t60\t3S2M\tchr2\t300\t0\tACGTN\t*\tNM:C:1\tXA:Z:chr1,+5,3M,0;\tXB:B:c,-1,2,3\tXF:B:f,1.5\tXE:B:I",
    "nobases\t0\tchr1\t120\t255\t10M\t*\t0\t0\t*\t*\tXH:H:1AE3\tXC:A:!\tXf:f:1.25\tMM:Z:\tNM:i:-70000",
    "placed\t69\tchr1\t120\t0\t*\t=\t120\t0\tACG\tIII",
    "clipped\t0\tchr1\t130\t60\t5S2N\t*\t0\t0\tACGTN\tIIIII\tCG:B:I,80",
    "*\t0\tchr1\t200\t7\t2M1D2M\t*\t0\t0\tACGT\t!!!!\tNM:i:1",
    f"long\t0\tchr1\t400\t60\t{'1M1I' * (LONG // 2)}\t*\t0\t0\t{'ACGT' * (LONG // 4)}\t{'IJKL' * (LONG // 4)}\tNM:i:3\tXX:Z:y",
    f"longbare\t16\tchr2\t400\t60\t{'1M1D' * (LONG // 2)}\t*\t0\t0\t{'ACGTA' * (LONG // 10)}\t*\tNM:i:3",
    "free\t4\t*\t0\t0\t*\t*\t0\t0\tACGTACG\tIIIIIII\tRG:Z:b\tNM:i:0",
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder with reads of all kinds."""
    folder = tmp_path_factory.mktemp("odd")
    subprocess.run(
        ["samtools", "view", "-b", "-o", folder / "odd.bam", "-"], input=HEADER + "\n".join(ODD) + "\n", text=True, check=True
    )
    subprocess.run(["samtools", "index", folder / "odd.bam"], check=True)
    return folder


def choices(seed, count):
    pick = random.Random(seed)
    tags = ["NM", "MD", "RG", "XB", "XX", "CG", "ZZ", "XH"]
    for _ in range(count):
        wanted = pick.choice([None, (), tuple(pick.sample(tags, 3))])
        yield Query(
            fields=tuple(pick.sample(FIELDS, pick.randint(0, 10))),
            tags=wanted,
            notags=tuple(tag for tag in pick.sample(tags, pick.randint(0, 3)) if tag not in (wanted or ())),
        )


def opened(folder, name, query):
    return GenomicFile(StorageSource(open_storage(folder), name), hints=query)


def written(folder, name, query, path, region=None, output=None):
    with open(path, "wb") as file:
        opened(folder, name, query).write(file.fileno(), region, output)
    return path


def expected(lines, query):
    return [left(line, query.fields, query.tags, query.notags) for line in lines]


def is_in_a_tag(query):
    """htslib takes a CIGAR from its tag for reads with a place alone."""
    return "CIGAR" in (query.fields or FIELDS) and not {"RNAME", "POS"} <= set(query.fields or FIELDS)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("seed", range(6))
def test_what_is_left_is_that_of_a_text_program(odd, tmp_path, seed):
    for query in choices(seed, 25):
        got = sam(written(odd, "odd.bam", query, tmp_path / "out.bam"))
        wanted = expected(sam(odd / "odd.bam"), query)
        if is_in_a_tag(query):
            got, wanted = ([line for n, line in enumerate(lines) if not ODD[n].startswith("long")] for lines in (got, wanted))
        assert got == wanted, query


@pytest.mark.parametrize("seed", range(3))
def test_records_of_a_cram_are_left_the_same(odd, tmp_path, seed):
    subprocess.run(["samtools", "view", "-C", "-O", "cram,no_ref=1", "-o", tmp_path / "odd.cram", odd / "odd.bam"], check=True)
    for query in choices(seed + 100, 15):
        text = written(tmp_path, "odd.cram", query, tmp_path / "out.sam", output=OutputFormat("SAM")).read_text()
        got = [spelled_out(line) for line in text.splitlines() if not line.startswith("@")]
        wanted = expected(sam(tmp_path / "odd.cram"), query)
        assert got == wanted, query


@pytest.mark.sweep(1)
@pytest.mark.parametrize("name", ["level-1.bam", "level-9.bam"])
def test_files_of_others(shared_data, tmp_path, name):
    folder = shared_data / "hts-specs/bam/passed"
    lines = sam(folder / name)
    for query in choices(7, 6):
        assert sam(written(folder, name, query, tmp_path / "out.bam")) == expected(lines, query), query


def test_regions_are_those_of_the_whole_reads(example, tmp_path):
    """Also where nothing is kept that says where a read is."""
    regions = ["chr1:20,001-25,000", "chr2:1-3,000"]
    lines = sam(example / "ex/demo2.bam", "chr1:20001-25000", "chr2:1-3000")
    for query in (Query(fields=("QNAME", "SEQ"), tags=()), Query(fields=("QUAL",)), Query(notags=("NM",)), Query(tags=("NM",))):
        out = written(example / "ex", "demo2.bam", query, tmp_path / "out.bam", regions)
        assert sam(out) == expected(lines, query) and len(lines) == 1488
        subprocess.run(["samtools", "quickcheck", out], check=True)
        assert opened(example / "ex", "demo2.bam", query).count(regions) == len(lines)
        records = [record.to_string() for record in opened(example / "ex", "demo2.bam", query).fetch(regions)]
        assert len(records) == len(lines)


def test_tags_are_left_out_of_a_cram_that_is_written(example, tmp_path):
    for query in (Query(tags=("RG",)), Query(notags=("NM", "MD"))):
        out = written(example / "ex", "demo2.bam", query, tmp_path / "out.cram", output=OutputFormat("CRAM"))
        text = subprocess.run(
            ["samtools", "view", "--input-fmt-option", "decode_md=0", out], capture_output=True, text=True, check=True
        ).stdout
        got = [sorted(spelled_out(line).split("\t")) for line in text.splitlines()]
        assert got == [sorted(line.split("\t")) for line in expected(sam(example / "ex/demo2.bam"), query)]


def test_bins_are_what_htslib_computes(odd, tmp_path):
    for query in (Query(fields=("QNAME", "POS", "RNAME")), Query(fields=("SEQ",)), Query(tags=())):
        with pysam.AlignmentFile(written(odd, "odd.bam", query, tmp_path / "out.bam")) as file:
            for record, raw in zip(file, raw_bins(tmp_path / "out.bam")):
                if record.flag & 4 == 0:
                    assert record.bin == raw


def raw_bins(path):
    data = pysam.BGZFile(str(path)).read()
    at = 8 + struct.unpack_from("<I", data, 4)[0] + 4
    for _ in range(struct.unpack_from("<I", data, at - 4)[0]):
        at += 8 + struct.unpack_from("<I", data, at)[0]
    while at < len(data):
        yield struct.unpack_from("<H", data, at + 14)[0]
        at += 4 + struct.unpack_from("<I", data, at)[0]


def test_what_cannot_be_left_out_is_refused(example, tmp_path):
    query = Query(fields=("QNAME",))
    with pytest.raises(InvalidInputError, match="variants"):
        opened(example / "ex", "calls.vcf.gz", query)
    file = opened(example / "ex", "demo2.bam", query)
    with pytest.raises(InvalidInputError, match="all fields"):
        file.coverage("chr1:1-1000")
    with pytest.raises(InvalidInputError, match="all fields"):
        next(file.iter_bytes("chr1"))
    with open(tmp_path / "out", "wb") as out, pytest.raises(InvalidInputError, match="CRAM"):
        opened(example / "ex", "demo1.cram", query).write(out.fileno())
    for wrong in (
        {"fields": ("QNAM",)},
        {"fields": ("qname",)},
        {"tags": ("NMX",)},
        {"notags": ("N",)},
        {"tags": ("NM",), "notags": ("NM",)},
    ):
        with pytest.raises(InvalidInputError):
            Query(**wrong)


@settings(max_examples=most(300, 60), deadline=None)
@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 255))
def test_damaged_reads_are_errors(tail, at, byte):
    """Whatever a read's lengths say, it is cut, or an error; never read beyond its end."""
    read = bytearray(READ + tail)
    if at < len(read):
        read[at] = byte
    for query in (Query(tags=("NM",)), Query(fields=("SEQ", "QUAL"), notags=("MD",)), Query(fields=("CIGAR",), tags=())):
        with contextlib.suppress(IntegrityError):
            assert len(Blanking(query).apply(bytes(read))) <= 3 * len(read) + 100


READ = struct.pack("<IiiBBHHHIiii", 32 + 2 + 4 + 2 + 3 + 7, 0, 5, 2, 60, 4681, 1, 0, 3, -1, -1, 0) + (
    b"a\0" + struct.pack("<I", 3 << 4) + b"\x12\x40" + b"III" + b"NMi\1\0\0\0"
)


LYING = """
import struct
from modos.genomics.blanking import Blanking
from modos.errors import IntegrityError
from modos.formats import BGZF_EOF, FORMATS
from modos.genomics.htsget.query import Query
from modos.genomics.index.bgzf import compress
from modos.genomics.reader import RecordReader
tags = b"BBBI" + struct.pack("<I", 1 << 28) + bytes(4)
read = struct.pack("<IiiBBHHHIiii", 32 + 2 + 4 + 2 + 3 + len(tags), 0, 5, 2, 60, 4681, 1, 0, 3, -1, -1, 0)
read += b"a\\0" + struct.pack("<I", 3 << 4) + b"\\x12\\x40" + b"III" + tags
header = b"@SQ\\tSN:c\\tLN:100\\n"
bam = b"BAM\\1" + struct.pack("<I", len(header)) + header + struct.pack("<II2sI", 1, 2, b"c\\0", 100) + read
with RecordReader([compress(bam) + BGZF_EOF], FORMATS["BAM"]) as reader:
    for record in reader:
        try:
            Blanking(Query(tags=("NM",))).apply_to_record(record)
        except IntegrityError as error:
            print(error)
"""


def test_a_tag_that_goes_on_behind_its_read():
    """pysam's list of tags reads as many numbers as it says, until the process ends: it is not asked for one."""
    done = subprocess.run([sys.executable, "-c", LYING], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "a read is damaged: its fields do not fit into it\n"), done.stderr


def test_nothing_left_out_is_nothing_done():
    assert Blanking.from_query(Query("BAM"), FORMATS["BAM"], "x") is None
    assert Blanking(Query(notags=("ZZ",))).apply(READ) == READ
