"""Tables of reads have what samtools writes of them, cell by cell, whatever the reads are, and every damage is an error."""

from __future__ import annotations

import contextlib
import gzip
import random
import struct
from array import array

import pyarrow as pa
import pysam
import pytest

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.genomics import GenomicFile
from modos.genomics.sources import StorageSource
from modos.storage import open_storage
from modos.tables.read_batches import ReadBatches
from modos.tables.record_tables import RecordTable
from tests.support.table_oracle import assert_same, read_rows, rows_of

HEADER = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 2_000_000}, {"SN": "chr2", "LN": 5_000}]}
TAGS = [  # of one name always of one kind
    ("NM", "C", [0, 255]),
    ("XI", "i", [-(1 << 31), -1, 70_000]),
    ("XI", "I", [(1 << 32) - 1]),
    ("XA", "A", ["c", "~"]),
    ("XZ", "Z", ["", "a", "héllo, wörld", "tab-less text " * 30]),
    ("XF", "f", [1.5, float("nan"), float("inf"), 1e-30]),
    ("XH", "H", ["1AE3", ""]),
]
ARRAYS = [("XB", "cCsSiI", [0, 1, 127]), ("XR", "f", [0.5, float("-inf")])]
SAM_LINES = (  # one name, types that have nothing in common
    "r1\t0\tchr1\t10\t60\t4M\t*\t0\t0\tACGT\tIIII\tXM:i:7\tXN:i:7\tXL:B:c,-1,2\tXK:B:C,1\n",
    "r2\t0\tchr1\t11\t60\t4M\t*\t0\t0\tACGT\tIIII\tXM:A:c\tXN:f:1.5\tXL:B:f,0.5\tXK:i:5\n",
    "r3\t0\tchr1\t12\t60\t4M\t*\t0\t0\tACGT\tIIII\tXM:Z:text\n",
)


def table(path, region=None, columns=None, **options):
    file = GenomicFile(StorageSource(open_storage(path.parent), path.name))
    return RecordTable(file, region, columns, **options)


def write(path, reads):
    header = pysam.AlignmentHeader.from_dict(HEADER)
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for read in reads(header):
            file.write(read)
    pysam.index(str(path))
    return path


def write_sam(path, lines):
    head = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:2000000\n@SQ\tSN:chr2\tLN:5000\n"
    path.with_suffix(".sam").write_text(head + "".join(lines))
    pysam.view("-b", "-o", str(path), str(path.with_suffix(".sam")), catch_stdout=False)
    pysam.index(str(path))
    return path


def hard_reads(count, seed):
    """Reads of all kinds: unmapped with and without a place, without bases, qualities or CIGAR, long and short."""
    chance = random.Random(seed)

    def make(header):
        places = sorted(
            chance.choices([(0, at) for at in range(0, 1_900_000, 997)] + [(1, at) for at in range(0, 4_000, 97)], k=count)
        )
        for number, (contig, at) in enumerate([*places, *[(-1, -1)] * 5]):
            read = pysam.AlignedSegment(header)
            read.query_name = chance.choice(["*", f"read{number}", "q" * 254, "r!~"])
            read.flag = chance.choice([0, 16, 99, 256, 1024, 2048]) if contig >= 0 else 4
            read.reference_id, read.reference_start = contig, at
            read.mapping_quality = chance.choice([0, 60, 255])
            length = chance.choice([0, 1, 2, 75, 150, 600])
            if contig >= 0 and chance.random() < 0.9:
                skips = chance.choice(["", f"{chance.randrange(1, 1 << 20)}N1X", "2D3P1="])
                own = max(length - (1 if "=" in skips or "X" in skips else 0), 0)
                read.cigarstring = f"3H{own}M{skips}" if own else "5M" if not length else f"{length}M"
            elif contig >= 0:
                read.flag |= 4
            read.query_sequence = "".join(chance.choices("=ACMGRSVTWYHKDBN", k=length)) or None
            if length and chance.random() < 0.8:
                read.query_qualities = pysam.qualitystring_to_array("".join(chance.choices("!I~#", k=length)))
            if chance.random() < 0.5:
                read.next_reference_id, read.next_reference_start = chance.choice([(0, 5), (1, 7), (contig, at), (0, -1)])
            read.template_length = chance.choice([0, -5, 1 << 30])
            for name, type, values in chance.sample(TAGS, chance.randrange(len(TAGS))):
                read.set_tag(name, chance.choice(values), type)
            for name, types, values in ARRAYS:
                if chance.random() < 0.3:
                    numbers = chance.choices(values, k=chance.choice([1, 2, 40]))
                    code = chance.choice(types)
                    read.set_tag(name, array({"c": "b", "C": "B", "s": "h", "S": "H"}.get(code, code), numbers))
            yield read

    return make


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    return write(tmp_path_factory.mktemp("hard") / "hard.bam", hard_reads(700, 1))


@pytest.mark.parametrize("run_bytes", [1, 5_000, 4 << 20])
def test_cells_are_those_of_samtools(hard, monkeypatch, run_bytes):
    monkeypatch.setattr(ReadBatches, "run_bytes", run_bytes)
    assert_same(rows_of(table(hard).read()), read_rows(hard))


@pytest.mark.parametrize("run_bytes", [1, 5_000, 4 << 20])
def test_batches_are_of_one_schema_and_make_the_table(hard, monkeypatch, run_bytes):
    whole = table(hard).read()
    monkeypatch.setattr(ReadBatches, "run_bytes", run_bytes)
    schema, batches = table(hard).open()
    made = list(batches)
    assert schema == whole.schema and {batch.schema == schema for batch in made} == {True}
    assert repr(pa.Table.from_batches(made, schema).to_pylist()) == repr(whole.to_pylist())


def test_columns_are_those_that_are_named_in_their_order(hard):
    whole = table(hard).read()
    names = ["end", "NM", "qname", "XB", "pos"]
    assert repr(table(hard, None, names).read().to_pylist()) == repr(whole.select(names).to_pylist())
    assert table(hard, None, "pos, qname").read().schema.names == ["pos", "qname"]
    assert repr(table(hard, None, "qname,tags").read().to_pylist()) == repr(
        whole.select(["qname", *sorted(whole.schema.names[12:])]).to_pylist()
    )


@pytest.mark.parametrize("region", ["chr1:100,000-900,000", "chr2", ["chr1:1-50,000", "chr2:100-200"], "*"])
def test_regions_have_the_reads_of_samtools(hard, region):
    words = [region] if isinstance(region, str) else region
    text = pysam.view(str(hard), *words).splitlines()
    found = table(hard, region, ["qname", "flag", "rname", "pos", "seq"]).read().to_pylist()
    lines = [line.split("\t") for line in text]
    expected = [(one[0], int(one[1]), one[2], int(one[3]), one[9]) for one in lines]
    assert [(r["qname"] or "*", r["flag"], r["rname"] or "*", r["pos"] or 0, r["seq"] or "*") for r in found] == expected


def test_a_region_without_reads_is_an_empty_table_of_the_same_types(tmp_path):
    bam = write_sam(tmp_path / "few.bam", SAM_LINES)
    names = ["qname", "pos", "NM", "XM:Z", "XX:f", "XB:Bi"]
    empty = table(bam, "chr2:4,900-5,000", names)
    schema, batches = empty.open()
    assert list(batches) == [] and empty.read().num_rows == 0
    assert empty.read().schema == schema == table(bam, "chr1", names).read().schema
    assert table(bam, "chr2:4,900-5,000").read().schema.names[:3] == ["qname", "flag", "rname"]


def test_columns_have_one_type_whatever_comes_first(hard):
    types = {
        str(table(hard, region, ["NM", "MD", "AS", "ML", "RG"]).read().schema) for region in ("chr1:1-5,000", "chr2", "*", None)
    }
    assert len(types) == 1


def test_types_that_differ_from_read_to_read_lose_nothing(tmp_path, monkeypatch):
    bam = write_sam(tmp_path / "mixed.bam", SAM_LINES)
    for run_bytes in (1, 4 << 20):
        monkeypatch.setattr(ReadBatches, "run_bytes", run_bytes)
        found = table(bam, None, ["XM", "XN", "XL", "XK"]).read()
        assert found.to_pydict() == {
            "XM": ["7", "c", "text"],
            "XN": [7.0, 1.5, None],
            "XL": [[-1.0, 2.0], [0.5], None],
            "XK": ["1", "5", None],
        }
        schema, batches = table(bam, None, ["XM", "XN", "XL", "XK"]).open()
        assert pa.Table.from_batches(list(batches), schema).equals(found)


def test_a_told_type_is_kept_to(tmp_path):
    bam = write_sam(tmp_path / "mixed.bam", SAM_LINES)
    assert table(bam, None, ["XM:Z", "XN:Z"]).read().to_pydict() == {"XM": ["7", "c", "text"], "XN": ["7", "1.5", None]}
    assert table(bam, "chr1:1-10", ["XN:f"]).read().to_pydict() == {"XN": [7.0]}
    with pytest.raises(InvalidInputError, match="the tag XM is text in some reads, and not integer"):
        table(bam, None, ["XM:i"]).read()
    with pytest.raises(InvalidInputError, match="the tag XK is text in some reads, and not integers"):
        table(bam, None, ["XK:Bi"]).read()
    with pytest.raises(InvalidInputError, match="the tag XN is double in some reads, and not integer"):
        table(bam, None, ["XN:i"]).read()


def test_long_cigars_are_those_of_the_tag(tmp_path):
    cigar = "1M1D" * 40_000 + "1M"

    def reads(header):
        for name, text in (("short", "5M"), ("long", cigar)):
            read = pysam.AlignedSegment(header)
            read.query_name, read.reference_id, read.reference_start, read.cigarstring = name, 0, 10, text
            read.query_sequence = "A" * (5 if name == "short" else 40_001)
            read.set_tag("NM", 3)
            yield read

    bam = write(tmp_path / "long.bam", reads)
    found = table(bam).read()
    assert found["cigar"].to_pylist() == ["5M", cigar] and found["end"].to_pylist() == [15, 10 + 80_001]
    assert "CG" not in found.schema.names and found["NM"].to_pylist() == [3, 3]


def test_a_tag_that_a_read_has_twice_is_an_error(tmp_path):
    bam = write_sam(tmp_path / "twice.bam", ["r1\t0\tchr1\t10\t60\t4M\t*\t0\t0\tACGT\tIIII\tXM:i:7\tXM:i:8\n"])
    with pytest.raises(IntegrityError, match="twice"):
        table(bam).read()
    assert table(bam, None, ["qname"]).read().num_rows == 1


@pytest.mark.parametrize(
    ("columns", "message", "hint"),
    [
        (["qnam"], "no column qnam of reads", "did you mean qname"),
        (["pos", "pos"], "named twice", "once"),
        ([], "no column is named", "leave columns out"),
        (["XX:Q"], "no tag with a type", "types are A, i, f"),
        ("toolong", "no column toolong", "columns are qname, flag"),
    ],
)
def test_columns_that_there_are_not(hard, columns, message, hint):
    with pytest.raises(InvalidInputError, match=message) as error:
        table(hard, None, columns)
    assert hint in error.value.hint


def test_what_reads_have_not(hard):
    with pytest.raises(InvalidInputError, match="samples are for VCF and BCF"):
        table(hard, samples=["a"])
    with pytest.raises(NotFoundError, match="no contig chr9"):
        table(hard, "chr9")


def test_damaged_records_are_no_crash(hard, tmp_path):
    """A byte of the uncompressed file is changed: there is a table with what it says, or an error of modos; never another one."""
    data = bytearray(gzip.decompress(hard.read_bytes())[:60_000])
    chance = random.Random(3)
    for number in range(150):
        changed = bytearray(data)
        at = chance.randrange(200, len(data))
        changed[at] = chance.randrange(256)
        path = tmp_path / f"changed{number}.bam"
        with pysam.BGZFile(str(path), "wb") as file:
            file.write(bytes(changed))
        with contextlib.suppress(ModosError):
            table(path).read()


def test_lengths_that_reach_too_far_are_errors(tmp_path):
    bam = write_sam(tmp_path / "one.bam", ["r1\t0\tchr1\t10\t60\t4M\t*\t0\t0\tACGT\tIIII\tXB:B:c,1,2\n"])
    data = gzip.decompress(bam.read_bytes())
    at = data.index(b"XBBc") + 4
    for count in (3, 1 << 20, 0xFFFFFFFF):
        with pysam.BGZFile(str(bam), "wb") as file:
            file.write(data[:at] + struct.pack("<I", count) + data[at + 4 :])
        with pytest.raises(IntegrityError, match="one.bam: a read is damaged"):
            table(bam).read()
