"""Header, plan and end marker make a file that has the records of the region, each once.

pysam, samtools and bcftools are the oracles: they read the assembled file, and
say with their own index which records the original has.
"""

from __future__ import annotations

import gzip
import itertools
import shutil
import struct
from collections import Counter
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import InvalidInputError, ModosError, NotFoundError, TruncatedStream
from modos.formats import BGZF_EOF, CRAM2_EOF, CRAM3_EOF, FileFormat
from modos.genomics.index import parse_index, plan_regions
from modos.genomics.region import Region
from modos.storage import ByteRange
from tests.support.hard_files import (
    CASES,
    CONTIGS,
    WITHOUT_CONTIGS,
    File,
    contigs_of,
    index_reads,
    index_variants,
    run,
    some_regions,
    write_variants,
)

pytestmark = pytest.mark.sweep(70)


@pytest.fixture(scope="module", params=[name for name in CASES if name not in WITHOUT_CONTIGS])
def file(request, tmp_path_factory) -> File:
    return CASES[request.param](tmp_path_factory.mktemp("data"))


def test_the_assembled_file_has_exactly_the_records_of_the_region(file, tmp_path):
    some = 0
    for region in some_regions(file):
        expected = file.records(region)
        assembled = file.assemble(tmp_path / file.path.name, region)
        assert file.filtered(assembled, region) == expected, region
        some += len(expected)
    assert some > 0 or file.path.stat().st_size < 1500


def test_regions_together_give_each_record_once_in_file_order(file, tmp_path):
    regions = some_regions(file, 12, seed=4)
    regions = [region for region in regions if region.end is not None][:6]
    assembled = file.assemble(tmp_path / file.path.name, *regions, *regions[:2])
    got = file.filtered(assembled, *regions)
    assert got == file.filtered(file.path, *regions)
    assert max(Counter(got).values(), default=1) == 1


def test_the_header_is_that_of_the_file_and_nothing_else(file, tmp_path):
    header = file.resolve(file.header.segments)
    if file.format.name == "CRAM":
        assert file.data.startswith(header)
    else:
        content = gzip.decompress(file.data)
        assert content.startswith(gzip.decompress(header))
        assert gzip.decompress(header) == content[: header_length(file.format, content)]
    alone = tmp_path / file.path.name
    alone.write_bytes(header + file.header.eof)
    with file.open(alone) as got, file.open(file.path) as original:
        assert str(got.header) == str(original.header)
        assert list(file.header.contigs) == list(contigs_of(original))
        assert list(got) == []


def header_length(format: FileFormat, content: bytes) -> int:
    """Found another way than by the package: what pysam and the specification say."""
    if format.name == "VCF":
        return content.index(b"\n", content.index(b"\n#CHROM") + 1) + 1
    if format.name == "BCF":
        return 9 + struct.unpack_from("<I", content, 5)[0]
    at = 8 + struct.unpack_from("<I", content, 4)[0]
    (count,) = struct.unpack_from("<I", content, at)
    at += 4
    for _ in range(count):
        at += 8 + struct.unpack_from("<I", content, at)[0]
    return at


def test_the_plan_has_no_byte_twice_and_ends_before_the_end_marker(file):
    for region in some_regions(file, 10, seed=5):
        ranges = [s for s in file.plan(region) if isinstance(s, ByteRange)]
        assert all(0 <= r.start < r.end <= file.size - len(file.header.eof) for r in ranges)
        gap = 1 if file.format.name == "CRAM" else 0  # neighbouring containers are one range
        assert all(a.end + gap <= b.start for a, b in itertools.pairwise(ranges))


def test_the_programs_read_the_assembled_file_as_they_read_the_original(file, tmp_path):
    region = next(
        r
        for r in some_regions(file, 20)[::-1]
        if (r.contig != "*" and ":" not in r.contig and file.records(r)) or r.contig == "empty"
    )
    assembled = file.assemble(tmp_path / file.path.name, region)
    if file.format.kind == "reads":
        run("samtools", "quickcheck", assembled)
        whole = run("samtools", "view", "--no-PG", assembled)
        index = assembled.with_name(assembled.name + file.index_path.suffix)
        run("samtools", "index", *(["-c"] if index.suffix == ".csi" else []), assembled, index)
        view = ["samtools", "view", "--no-PG"]
    else:
        whole = run("bcftools", "view", "-H", assembled)
        run("bcftools", "index", "-c", assembled)
        view = ["bcftools", "view", "-H"]
    text = str(region)
    expected = run(*view, file.path, text)
    assert run(*view, assembled, text) == expected
    assert set(expected.splitlines()) <= set(whole.splitlines())


def test_a_contig_that_nobody_knows_is_not_found(file):
    with pytest.raises(NotFoundError, match="no contig nosuch"):
        file.plan(Region("nosuch"))


def test_a_contig_without_records_gives_nothing(file):
    if "empty" not in file.header.contigs:
        pytest.skip("no empty contig in this file")
    assert file.plan(Region("empty")) == []


def test_little_is_read_for_a_small_region(file):
    file.reads.clear()
    name = next(iter(file.header.contigs))
    file.plan(Region(name, 1000, 2000))
    assert len(file.reads) <= 4
    assert sum(end - start for start, end in file.reads) <= 1 << 19


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_damaged_index_gives_a_plan_within_the_file_or_one_of_our_errors(file, data):
    content = file.index_path.read_bytes()
    content = bytearray(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[at] = data.draw(st.sampled_from([*b"\0\1\xff0-9\t"]) | st.integers(0, 255))
    try:
        index = parse_index(bytes(content))
        for name in ("*", *list(file.header.contigs)[:2]):
            plan = list(plan_regions(file.format, file.read, file.size, file.header, index, [Region(name, 0, 100_000)]))
            assert all(0 <= s.start < s.end <= file.size for s in plan if isinstance(s, ByteRange))
    except ModosError:
        pass


# --- what only one format has ----------------------------------------------------------------------------------------


def test_a_chunk_is_trimmed_to_less_than_whole_blocks(tmp_path):
    file = CASES["bam-full-blocks"](tmp_path)
    body = file.resolve(file.plan(Region("chr1", 500_000, 500_100)))
    assert 0 < len(gzip.decompress(body)) < 0xFF00 * 2


def test_contigs_only_in_the_index_of_a_vcf_count(tmp_path):
    path = write_variants(tmp_path / "a.vcf.gz", CONTIGS, 1000, "vcf", declare=False)
    index = Path(pysam.tabix_index(str(path), preset="vcf", force=True) + ".tbi")
    file = File(path, index)
    assert file.header.contigs == {}
    region = Region("chr2", 1000, 150_000)
    assembled = file.assemble(tmp_path / "b.vcf.gz", region)
    lines = gzip.decompress(assembled.read_bytes()).decode().splitlines()
    expected = list(pysam.TabixFile(str(path)).fetch("chr2", 1000, 150_000))
    assert [line for line in lines if line in set(expected)] == expected != []
    with pytest.raises(NotFoundError) as error:
        file.plan(Region("chr3"))
    assert "chr2" in error.value.hint


def test_bcf_ids_follow_idx(tmp_path):
    text = (
        "##fileformat=VCFv4.3\n##contig=<ID=b,length=1000,IDX=3>\n##contig=<ID=a,length=1000,IDX=1>\n"
        "##contig=<ID=c,length=1000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "a\t10\tva\tA\tC\t.\t.\t.\nb\t20\tvb\tA\tC\t.\t.\t.\nc\t30\tvc\tA\tC\t.\t.\t.\n"
    )
    run("bcftools", "view", "-Ob", "-o", tmp_path / "a.bcf", input=text.encode())
    file = index_variants(tmp_path / "a.bcf", "-c", ".csi")
    assert file.header.target_ids == {"a": 1, "b": 3, "c": 4}
    assert list(file.header.contigs) == ["a", "b", "c"]
    for name in "abc":
        assembled = file.assemble(tmp_path / "b.bcf", Region(name))
        with pysam.VariantFile(str(assembled)) as got:
            assert f"v{name}" in [record.id for record in got]


def test_variants_have_no_region_without_a_position(tmp_path):
    file = CASES["bcf"](tmp_path)
    with pytest.raises(InvalidInputError, match="reads without a position"):
        file.plan(Region("*"))


def test_an_index_of_another_kind_is_refused(tmp_path):
    bam, bcf = CASES["bam"](tmp_path), CASES["bcf"](tmp_path)
    with pytest.raises(InvalidInputError, match="a BAI index is not for BCF files"):
        plan_regions(bcf.format, bcf.read, bcf.size, bcf.header, bam.index, [Region("chr1")])


@pytest.mark.parametrize("case", ["bam", "cram-3.0", "cram-2.1", "vcf-tbi", "bcf"])
def test_a_cut_file_is_truncated_and_never_shorter(case, tmp_path):
    file = CASES[case](tmp_path)
    whole = file.data
    file.data = whole[: len(whole) * 2 // 3]
    with pytest.raises(TruncatedStream):
        file.plan(Region("chr10"))


@pytest.mark.parametrize(("byte", "known"), [(0xFF, True), (0x0E, False)])
def test_unused_bits_of_the_end_marker_of_a_cram_may_be_set(byte, known, tmp_path):
    file = CASES["cram-3.0"](tmp_path)
    expected = file.plan(Region("*"))
    at = file.size - len(CRAM3_EOF) + 8
    file.data = file.data[:at] + bytes([byte]) + file.data[at + 1 :]
    if known:
        assert file.plan(Region("*")) == expected
    else:
        with pytest.raises(TruncatedStream):
            file.plan(Region("*"))


@pytest.mark.parametrize("case", ["bam", "cram-3.0"])
def test_a_missing_end_marker_is_noticed_where_the_end_is_needed(case, tmp_path):
    file = CASES[case](tmp_path)
    file.data = file.data[: -len(file.header.eof)]
    with pytest.raises(TruncatedStream, match="end marker"):
        file.plan(Region("*"))


def test_the_end_marker_is_that_of_the_version(tmp_path):
    for case, eof in [("cram-2.1", CRAM2_EOF), ("cram-3.0", CRAM3_EOF), ("cram-3.1", CRAM3_EOF), ("bam", BGZF_EOF)]:
        folder = tmp_path / case
        folder.mkdir()
        assert CASES[case](folder).header.eof == eof


# --- files of others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "1400_index_simple",
        "1401_index_unmapped",
        "1402_index_3ref",
        "1403_index_multiref",
        "1404_index_multislice",
        "1405_index_multisliceref",
        "1406_index_long",
    ],
)
def test_the_cram_files_of_the_specification(shared_data, tmp_path, name, monkeypatch):
    folder = shared_data / "hts-specs" / "cram-3.0" / "passed"
    reference = str(shared_data / "hts-specs" / "ce.fa")
    file = File(folder / f"{name}.cram", folder / f"{name}.cram.crai")
    monkeypatch.setattr(
        File,
        "open",
        lambda self, path, **more: pysam.AlignmentFile(str(path), check_sq=False, reference_filename=reference, **more),
    )
    found = 0
    for region in some_regions(file, 40):
        expected = file.records(region)
        assert file.filtered(file.assemble(tmp_path / "a.cram", region), region) == expected, region
        found += len(expected)
    assert found > 0


@pytest.mark.parametrize("level", ["level-1", "level-9"])
def test_the_bam_files_of_the_specification(shared_data, tmp_path, level):
    pysam.sort("-o", str(tmp_path / "a.bam"), str(shared_data / "hts-specs" / "bam" / "passed" / f"{level}.bam"))
    file = index_reads(tmp_path / "a.bam")
    for region in some_regions(file):
        assert file.filtered(file.assemble(tmp_path / "b.bam", region), region) == file.records(region)


def test_the_example_of_an_existing_object(shared_data, tmp_path):
    folder = shared_data / "modos-ex" / "ex"
    file = File(Path(shutil.copy(folder / "demo1.cram", tmp_path)), folder / "demo1.cram.crai")
    for region in some_regions(file, 5):
        assembled = file.assemble(tmp_path / "b.cram", region)
        assert run("samtools", "head", assembled) == run("samtools", "head", file.path)
