"""The demo data set is what real files are: valid, consistent with each other, and the same every time."""

import gzip
import hashlib
import shutil
import subprocess
from pathlib import Path

import pysam
import pytest
import yaml

from modos.demo.bases import GAP_LENGTH, LENGTHS, REPEAT_COPIES, REPEAT_UNIT
from modos.demo.dataset import generate
from modos.demo.reads import Block, Read, align, compare
from modos.demo.variants import LONG_DELETION, SAMPLES
from modos.formats import BGZF_EOF, CRAM3_EOF

pytestmark = pytest.mark.sweep(20)

FILES = [
    "calls.vcf.gz",
    "calls.vcf.gz.tbi",
    "cohort.bcf",
    "cohort.bcf.csi",
    "demo1.cram",
    "demo1.cram.crai",
    "demo2.bam",
    "demo2.bam.bai",
    "modo.yaml",
    "reference.fa",
    "reference.fa.fai",
]
REGIONS = ["chr1", "chr1:1-100", "chr1:29,900-30,800", "chr2:12345-12345", "chr2:39901-40000"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data set, in a folder whose name is easy to find in a file."""
    return generate(tmp_path_factory.mktemp("leaked") / "deep" / "demo").parent


def run(program: str, *arguments: str | Path, cwd: Path) -> str:
    """What samtools or bcftools prints; a complaint on stderr fails the test."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def reads(path: Path) -> list[pysam.AlignedSegment]:
    with pysam.AlignmentFile(path, reference_filename=str(path.parent / "reference.fa")) as file:
        return list(file.fetch(until_eof=True))


def test_the_files_are_those_promised(folder):
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_two_runs_write_the_same_bytes(folder, tmp_path):
    again = generate(tmp_path / "a, different = folder").parent
    for name in FILES:
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_files_that_were_there_are_replaced(folder, tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes(b"something else\n")
    generate(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_no_file_holds_a_path_of_this_machine(folder):
    """htslib writes the path of a CRAM and of its reference into it, compressed, so headers are looked at too."""
    with pysam.AlignmentFile(folder / "demo1.cram", reference_filename=str(folder / "reference.fa")) as file:
        headers = str(file.header)
    for name in ("demo2.bam", "calls.vcf.gz", "calls.vcf.gz.tbi", "cohort.bcf"):
        headers += gzip.decompress((folder / name).read_bytes()).decode("latin-1")
    assert "leaked" not in headers
    assert "UR:" not in headers
    for name in FILES:
        assert b"leaked" not in (folder / name).read_bytes(), name
    file_id = (folder / "demo1.cram").read_bytes()[6:26]  # 20 bytes, so the start of a path only
    assert file_id.rstrip(b"\0") == b"demo1.cram"


def test_the_reference_has_a_gap_a_repeat_and_its_index(folder):
    with pysam.FastaFile(folder / "reference.fa") as fasta:
        genome = {name: fasta.fetch(name) for name in fasta.references}
    assert {name: len(sequence) for name, sequence in genome.items()} == LENGTHS
    for sequence in genome.values():
        assert sequence.count("N") == GAP_LENGTH and "N" * GAP_LENGTH in sequence
        assert REPEAT_UNIT * REPEAT_COPIES in sequence
        assert 0.3 < sum(map(sequence.count, "GC")) / len(sequence) < 0.6
    assert all(len(line) <= 60 for line in (folder / "reference.fa").read_text().splitlines())


@pytest.mark.parametrize("name", ["demo1.cram", "demo2.bam"])
def test_the_header_names_sample_sort_order_and_checksums(folder, name):
    with pysam.FastaFile(folder / "reference.fa") as fasta:
        checksums = [hashlib.md5(fasta.fetch(contig).encode()).hexdigest() for contig in fasta.references]
    with pysam.AlignmentFile(folder / name, reference_filename=str(folder / "reference.fa")) as file:
        header = file.header.to_dict()
    assert header["HD"]["SO"] == "coordinate"
    assert [line["M5"] for line in header["SQ"]] == checksums
    assert header["RG"] == [{"ID": "lane1", "SM": "SAMPLE1", "LB": "library1", "PL": "ILLUMINA"}]


def test_files_end_with_their_markers_and_the_cram_is_of_version_3_0(folder):
    assert (folder / "demo1.cram").read_bytes()[:6] == b"CRAM\x03\x00"
    assert (folder / "demo1.cram").read_bytes().endswith(CRAM3_EOF)
    for name in ("demo2.bam", "calls.vcf.gz", "cohort.bcf"):
        assert (folder / name).read_bytes().endswith(BGZF_EOF), name


def test_samtools_accepts_both_files_and_reads_the_same_from_them(folder):
    run("samtools", "quickcheck", "-v", "demo1.cram", "demo2.bam", cwd=folder)
    from_bam = run("samtools", "view", "demo2.bam", cwd=folder)
    assert run("samtools", "view", "-T", "reference.fa", "demo1.cram", cwd=folder) == from_bam
    assert len(from_bam.splitlines()) == pytest.approx(20_000, rel=0.02)


def test_the_cram_needs_its_reference(folder, tmp_path, monkeypatch):
    """It is compressed against the reference, not self-contained."""
    monkeypatch.setenv("REF_PATH", str(tmp_path))
    monkeypatch.setenv("REF_CACHE", str(tmp_path / "%s"))
    with pysam.AlignmentFile(folder / "demo1.cram") as file, pytest.raises(OSError):
        list(file.fetch(until_eof=True))


@pytest.mark.parametrize("region", REGIONS)
def test_the_indexes_find_the_reads_of_a_region(folder, region):
    """By index and by going through all reads: the same number, from both formats."""
    by_index = run("samtools", "view", "-c", "demo2.bam", region, cwd=folder)
    assert run("samtools", "view", "-c", "-T", "reference.fa", "demo1.cram", region, cwd=folder) == by_index
    contig, _, span = region.replace(",", "").partition(":")
    first, last = map(int, span.split("-")) if span else (1, 10**9)
    overlapping = [
        read
        for read in reads(folder / "demo2.bam")
        if read.reference_name == contig
        and read.reference_start < last
        and (read.reference_end or read.reference_start + 1) >= first
    ]
    assert int(by_index) == len(overlapping) > 0


def test_a_region_of_the_cram_is_a_small_part_of_it(folder):
    """Streaming by region would show nothing with one slice for all."""
    rows = gzip.decompress((folder / "demo1.cram.crai").read_bytes()).decode().splitlines()
    assert len(rows) > 15


def test_reads_are_of_all_the_kinds_that_real_files_have(folder):
    records = reads(folder / "demo2.bam")
    operations = {operation for read in records for operation, _ in read.cigartuples or ()}
    assert operations == {pysam.CMATCH, pysam.CINS, pysam.CDEL, pysam.CSOFT_CLIP}
    assert any(read.is_duplicate for read in records)
    assert any(read.is_unmapped and read.reference_id >= 0 and not read.mate_is_unmapped for read in records)
    assert records[-1].is_unmapped and records[-1].mate_is_unmapped and records[-1].reference_id == -1
    assert {len(read.query_sequence) for read in records} == {100}
    assert len({read.query_name for read in records}) == len(records) / 2
    lengths = sorted(read.template_length for read in records if read.is_proper_pair and read.template_length > 0)
    assert 340 < lengths[len(lengths) // 2] < 360


def test_flags_and_mate_fields_agree_with_samtools_fixmate(folder, tmp_path):
    run("samtools", "sort", "-n", "-o", tmp_path / "by_name.bam", "demo2.bam", cwd=folder)
    run("samtools", "fixmate", "by_name.bam", "fixed.bam", cwd=tmp_path)
    fixed = [line.split("\t")[:9] for line in run("samtools", "view", "fixed.bam", cwd=tmp_path).splitlines()]
    ours = [line.split("\t")[:9] for line in run("samtools", "view", "demo2.bam", cwd=folder).splitlines()]
    assert sorted(ours) == sorted(fixed)


def test_edit_distances_agree_with_samtools_calmd(folder):
    computed = run("samtools", "calmd", "demo2.bam", "reference.fa", cwd=folder).splitlines()
    ours = run("samtools", "view", "demo2.bam", cwd=folder).splitlines()
    assert [line for line in computed if not line.startswith("@")] == ours


def test_errors_are_as_frequent_as_the_qualities_say(folder):
    """Over the reads that no variant touches: mismatches seen against those expected."""
    with pysam.VariantFile(folder / "calls.vcf.gz") as file:
        touched = {(call.contig, base) for call in file for base in range(call.start - 100, call.stop)}
    plain = [
        read
        for read in reads(folder / "demo2.bam")
        if not read.is_unmapped and read.cigarstring == "100M" and (read.reference_name, read.reference_start) not in touched
    ]
    expected = sum(10 ** (-quality / 10) for read in plain for quality in read.query_qualities)
    assert sum(read.get_tag("NM") for read in plain) == pytest.approx(expected, rel=0.1)


def test_reads_carry_the_variants_of_their_sample(folder):
    """The fraction of bases with the alternate allele follows from the genotype, at every SNV."""
    with pysam.VariantFile(folder / "calls.vcf.gz") as calls, pysam.AlignmentFile(folder / "demo2.bam") as file:
        for call in calls:
            if len(call.ref) != 1 or len(call.alts[0]) != 1:
                continue
            counts = file.count_coverage(call.contig, call.start, call.stop, quality_threshold=20)
            depth = sum(base[0] for base in counts)
            fraction = counts["ACGT".index(call.alts[0])][0] / depth
            low, high = {0: (0, 0.1), 1: (0.1, 0.9), 2: (0.9, 1)}[sum(call.samples["SAMPLE1"]["GT"])]
            assert low <= fraction <= high, call


def test_bcftools_reads_the_same_variants_from_both_files(folder):
    variants = run("bcftools", "view", "-H", "calls.vcf.gz", cwd=folder)
    assert run("bcftools", "view", "-H", "cohort.bcf", cwd=folder) == variants
    for region in ("chr1:30000-30600", "chr2:1-2000"):
        found = run("bcftools", "view", "-H", "calls.vcf.gz", region, cwd=folder)
        assert run("bcftools", "view", "-H", "cohort.bcf", region, cwd=folder) == found
        assert 0 < len(found.splitlines()) < 10


def test_variants_match_the_reference_and_are_left_aligned(folder):
    variants = run("bcftools", "view", "-H", "calls.vcf.gz", cwd=folder)
    normal = run("bcftools", "norm", "--check-ref", "e", "-f", "reference.fa", "calls.vcf.gz", cwd=folder)
    assert [line for line in normal.splitlines() if line[0] != "#"] == variants.splitlines()


def test_variants_are_of_all_kinds_with_frequencies_that_follow_from_the_genotypes(folder):
    with pysam.VariantFile(folder / "cohort.bcf") as file:
        assert tuple(file.header.samples) == SAMPLES
        calls = list(file)
    assert len(calls) == pytest.approx(200, abs=10)
    growth = {len(call.alts[0]) - len(call.ref) for call in calls}
    assert {0, 1, -1, -LONG_DELETION} <= growth
    for call in calls:
        alleles = [allele for sample in call.samples.values() for allele in sample["GT"]]
        assert call.info["AF"] == (pytest.approx(sum(alleles) / 4),)
        assert sum(alleles) > 0
        assert call.info["DP"] == sum(sample["DP"] for sample in call.samples.values())


def test_the_description_names_files_and_elements_that_exist(folder):
    entries = yaml.safe_load((folder / "modo.yaml").read_text())
    elements = {entry["element"]["id"]: entry["element"] for entry in entries}
    assert list(elements) == [
        "ex",
        "assay/assay1",
        "sample/sample1",
        "sample/sample2",
        "reference/reference1",
        "sequence/chr1",
        "sequence/chr2",
        "data/demo1",
        "data/demo2",
        "data/calls",
        "data/cohort",
    ]
    stems = []
    for entry in entries:
        element, args = entry["element"], entry.get("args", {})
        linked = element.get("has_sample", []) + element.get("has_reference", []) + [args.get("part_of", "ex")]
        assert set(linked) <= set(elements)
        if "data_path" in element:
            assert args["source_file"] == element["data_path"]
            assert (folder / args["source_file"]).is_file()
            stems.append(element["data_path"].split(".")[0])
    assert len(set(stems)) == len(stems), "htsget ids have no extension"


def test_the_description_has_the_checksums_of_the_sequences(folder):
    entries = yaml.safe_load((folder / "modo.yaml").read_text())
    described = {
        entry["element"]["name"]: entry["element"]["sequence_md5"]
        for entry in entries
        if entry["element"]["@type"] == "ReferenceSequence"
    }
    with pysam.FastaFile(folder / "reference.fa") as fasta:
        assert described == {contig: hashlib.md5(fasta.fetch(contig).encode()).hexdigest() for contig in LENGTHS}


@pytest.mark.parametrize(
    ("positions", "start", "cigar"),
    [
        (list(range(5, 45)), 5, "40M"),
        ([*range(20), *range(23, 43)], 0, "20M3D20M"),
        ([*range(20), -1, -1, *range(20, 40)], 0, "20M2I20M"),
        ([*range(20), -1, -1], 0, "20M2S"),
        ([-1, *range(7, 27)], 7, "1S20M"),
        ([*range(9), *range(12, 42)], 12, "9S30M"),
        ([*range(30), -1, *range(30, 35)], 0, "30M6S"),
        ([*range(30), *range(230, 270)], 230, "30S40M"),
    ],
)
def test_alignment_from_known_positions(positions, start, cigar):
    """Gaps become I and D; ends too short to be found by an aligner are clipped."""
    blocks = align(positions)
    assert blocks[0].start == start
    assert Read("A" * len(positions), [], 0, blocks).cigar == cigar


def test_mismatch_string_across_gaps():
    """The example has a mismatch, an insertion, a deletion and a mismatch right after it."""
    read = Read("ACTTGGACGA", [], 0, [Block(0, 0, 4), Block(6, 4, 2), Block(8, 8, 2)])
    assert compare(read, "ACGTACTTTA") == (6, "2G3^TT0T1")
