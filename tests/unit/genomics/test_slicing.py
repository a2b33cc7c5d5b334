"""The records that are cut out by their bytes are those that overlap, each once, and every damage is noticed."""

from __future__ import annotations

from functools import partial

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import IntegrityError, ModosError, TruncatedStream
from modos.formats import BGZF_EOF, FORMATS
from modos.genomics import GenomicFile
from modos.genomics.index import bgzf, open_stream
from modos.genomics.reader import check_end
from modos.genomics.region import Region, settle
from modos.genomics.slicing import select, to_compressed_blocks, to_stored_blocks
from modos.genomics.sources import StorageSource
from modos.genomics.writer import OutputFormat
from modos.storage import open_storage
from tests.foreign.asking import bytes_of
from tests.support.hard_files import CASES, File, run, some_regions
from tests.support.sampling import most

pytestmark = pytest.mark.sweep(60)

NAMES = [name for name in CASES if name.startswith(("bam", "bcf", "vcf"))]


@pytest.fixture(scope="module", params=NAMES)
def file(request, tmp_path_factory) -> File:
    return CASES[request.param](tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bam(tmp_path_factory) -> File:
    return CASES["bam-reblocked"](tmp_path_factory.mktemp("data"))


def pieces(data, size=3_000):
    return (data[start : start + size] for start in range(0, len(data), size))


def opened(file, data=None, size=3_000):
    return open_stream(file.format, check_end(pieces(file.data if data is None else data, size), file.format))


def write(path, opening, body):
    path.write_bytes(opening.header_bytes + b"".join(part for parts in body for part in parts))
    return path


@pytest.mark.sweep(2)
@pytest.mark.parametrize("encode", [to_stored_blocks, to_compressed_blocks])
def test_the_records_are_those_that_overlap(file, tmp_path, encode):
    for region in some_regions(file, 12):
        opening = opened(file)
        out = write(tmp_path / file.path.name, opening, encode(select(opening, file.format, (region,))))
        assert file.all(out) == file.filtered(file.path, region), region


def test_several_regions_give_each_record_once(file, tmp_path):
    regions = settle(some_regions(file, 20, seed=5)[8:], list(file.header.contigs))
    opening = opened(file)
    out = write(tmp_path / file.path.name, opening, to_stored_blocks(select(opening, file.format, regions)))
    assert file.all(out) == file.filtered(file.path, *regions)


@pytest.mark.sweep(6)
def test_regions_from_several_streams_give_each_record_once(file, tmp_path):
    regions = settle(some_regions(file, 30, seed=6)[8:], list(file.header.contigs))
    runs, last = [], None
    for region in regions:
        opening = opened(file)
        runs += select(opening, file.format, (region,), last)
        last = region
    out = write(tmp_path / file.path.name, opened(file), to_stored_blocks(runs))
    assert file.all(out) == file.filtered_in_turn(file.path, *regions)
    assert sum(run.records for run in runs) == len(file.filtered(file.path, *regions))


def test_without_regions_all_records_come(file, tmp_path):
    opening = opened(file)
    out = write(tmp_path / file.path.name, opening, to_stored_blocks(select(opening, file.format, None)))
    assert file.all(out) == file.all(file.path)


def test_the_programs_read_what_is_written(bam, tmp_path):
    region = Region("chr1", 100_000, 300_000)
    for encode in (to_stored_blocks, to_compressed_blocks):
        opening = opened(bam)
        out = write(tmp_path / "out.bam", opening, encode(select(opening, bam.format, (region,))))
        run("samtools", "quickcheck", "-v", out)
        assert run("samtools", "view", out) == run("samtools", "view", bam.path, "chr1:100001-300000")


starts = st.integers(0, 1_000_000)


@settings(max_examples=most(60, 10), deadline=None)
@given(
    regions=st.lists(
        st.tuples(st.sampled_from(["chr1", "chr2", "chr10", "empty", "HLA-A*01:01"]), starts, st.integers(1, 200_000)),
        min_size=1,
        max_size=6,
    ),
    cut=st.integers(0, 6),
    size=st.integers(1, 100_000),
)
def test_any_regions_in_any_pieces(bam, regions, cut, size):
    united = settle([Region(contig, start, start + width) for contig, start, width in regions], list(bam.header.contigs))
    first, second = united[:cut], united[cut:]
    counts = [
        sum(run.records for run in select(opened(bam, size=size), bam.format, part, after))
        for part, after in ((first, None), (second, first[-1] if first else None))
        if part
    ]
    assert sum(counts) == len(bam.filtered(bam.path, *united))


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_a_stream_that_ends_early_is_truncated(file, keep):
    with pytest.raises(TruncatedStream):
        list(select(opened(file, file.data[: int(len(file.data) * keep)]), file.format, None))


def test_a_stream_that_ends_within_a_record_is_truncated(bam):
    ends = [at for at in range(len(bam.data) - 4) if bam.data[at : at + 4] == b"\x1f\x8b\x08\x04"]
    cut = bam.data[: ends[-40]] + BGZF_EOF
    with pytest.raises(TruncatedStream, match="within a record"):
        list(select(opened(bam, cut), bam.format, None))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_is_one_of_our_errors(bam, data):
    at, bit = data.draw(st.integers(0, len(bam.data) - 29)), data.draw(st.integers(0, 7))
    damaged = bam.data[:at] + bytes([bam.data[at] ^ 1 << bit]) + bam.data[at + 1 :]
    try:
        count = sum(run.records for run in select(opened(bam, damaged), bam.format, None))
    except ModosError:
        return
    assert count == len(bam.all(bam.path))  # an unused header field


def test_a_record_of_absurd_size_is_refused(tmp_path, monkeypatch, bam):
    monkeypatch.setattr("modos.genomics.slicing.MAX_RECORD", 100)
    with pytest.raises(IntegrityError, match="record"):
        list(select(opened(bam), bam.format, None))


def test_reads_beyond_a_gap_overlap_what_they_skip(tmp_path):
    """As samtools has it: from the first base to the last, with deletions and introns."""
    header = pysam.AlignmentHeader.from_references(["chr1"], [1_000_000])
    path = tmp_path / "a.bam"
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for number, (start, cigar) in enumerate([(100, "10M5000N10M"), (100, "10M50D10M"), (100, "20S10M"), (150, "5H")]):
            read = pysam.AlignedSegment(header)
            read.query_name, read.reference_id, read.reference_start = f"r{number}", 0, start
            read.cigarstring = cigar
            read.query_sequence = "A" * read.infer_query_length() if read.infer_query_length() else None
            out.write(read)
    run("samtools", "index", path)
    for region in ("chr1:3000-3000", "chr1:120-140", "chr1:111-111", "chr1:150-151", "chr1:5120-5121", "chr1:101-101"):
        parsed = Region.parse(region)
        opening = open_stream(FORMATS["BAM"], pieces(path.read_bytes()))
        count = sum(r.records for r in select(opening, FORMATS["BAM"], (parsed,)))
        assert count == int(run("samtools", "view", "-c", path, region)), region


def test_records_and_remarks_that_begin_with_a_hash(tmp_path):
    """All of a file has the records that bcftools finds: one whose name begins with # was read, and neither counted nor written."""
    path = tmp_path / "a.vcf.gz"
    text = b"##fileformat=VCFv4.3\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n1\t5\ta\tA\tC\t.\t.\t.\n#hr1\t7\tb\tA\tC\t.\t.\t.\n1\t9\tc\tA\tC\t.\t.\t.\n"
    for content, count in (
        (text, 3),
        (text.replace(b"#hr1\t7", b"#CHROM\tPOS"), 2),
        (text.replace(b"#hr1\t7\tb\tA\tC\t.\t.\t.", b"# a remark"), 2),
    ):
        path.write_bytes(bgzf.compress(content) + BGZF_EOF)
        file = GenomicFile(StorageSource(open_storage(tmp_path), "a.vcf.gz"))
        written = bytes_of(partial(file.write, output=OutputFormat("VCF", False)))
        assert (
            file.count()
            == count
            == len([line for line in written.splitlines() if line[:6] not in (b"##file", b"##cont", b"#CHROM")])
        )
    path.write_bytes(bgzf.compress(text) + BGZF_EOF)
    assert len(run("bcftools", "view", "-H", path).splitlines()) == 3
