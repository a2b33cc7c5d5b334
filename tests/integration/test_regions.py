"""Regions come out exactly as samtools and bcftools give them, over htsget, from S3, and from a folder."""

from __future__ import annotations

import shutil
import subprocess

import pysam
import pytest

from modos.api import MODO
from modos.errors import NotFoundError, RegionError

if not shutil.which("samtools") or not shutil.which("bcftools"):
    pytest.skip("samtools and bcftools are not installed", allow_module_level=True)

READS = ["chr1", "chr1:1-100", "chr1:30,000-30,000", "chr2:39,000-", "chr1:-500", "chr2:19999-20001", "*"]
VARIANTS = ["chr1", "chr2:1-20,000", "chr1:30,000-30,100", "chr2:39,000-", "chr1:5-5"]


def run(*command) -> list[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout.splitlines()


def sam(path, region, reference):
    """Records of a region as samtools gives them, without the tags whose order differs between its versions."""
    return [line.split("\t")[:11] for line in run("samtools", "view", "-T", reference, path, region)]


@pytest.fixture(params=["folder", "htsget", "s3"])
def modo(request, example, stack):
    if request.param == "folder":
        return MODO.open(example / "ex")
    if request.param == "s3":
        return MODO.open("s3://modos-demo/ex", services={"s3": stack.s3})
    return MODO.open("s3://modos-demo/ex", endpoint=stack.endpoint)


@pytest.mark.sweep(4)
@pytest.mark.parametrize("region", READS)
@pytest.mark.parametrize("file", ["demo1.cram", "demo2.bam"])
def test_reads_are_those_of_samtools(modo, example, file, region):
    got = [record.to_string().split("\t")[:11] for record in modo.stream_genomics(file, region)]
    assert got == sam(example / "ex" / file, region, example / "ex" / "reference.fa")


@pytest.mark.sweep(3)
@pytest.mark.parametrize("region", VARIANTS)
@pytest.mark.parametrize("file", ["calls.vcf.gz", "cohort.bcf"])
def test_variants_are_those_of_bcftools(modo, example, file, region):
    got = [str(record).rstrip("\n") for record in modo.stream_genomics(file, region)]
    assert got == run("bcftools", "view", "-H", "-r", region.replace(",", ""), example / "ex" / file)


def test_without_a_region_all_records_come(modo, example):
    assert sum(1 for _ in modo.stream_genomics("demo2.bam")) == int(run("samtools", "view", "-c", example / "ex/demo2.bam")[0])


@pytest.mark.sweep(1)
def test_a_file_is_found_as_it_is_listed(modo):
    listed = next(path for path in modo.list_files() if path.name == "demo2.bam")
    assert sum(1 for _ in modo.stream_genomics(listed, "chr1:1-1000")) > 0


def test_an_unknown_contig_is_named_with_those_that_exist(modo):
    with pytest.raises(NotFoundError) as error:
        list(modo.stream_genomics("demo1.cram", "chr7:1-5"))
    assert "chr7" in str(error.value) and "chr1, chr2" in error.value.hint


@pytest.mark.sweep(1)
def test_a_malformed_region_is_refused(modo):
    with pytest.raises(RegionError):
        list(modo.stream_genomics("demo1.cram", "chr1:9-3"))


def test_stopping_early_leaves_no_thread(modo):
    import threading

    before = set(threading.enumerate())
    records = modo.stream_genomics("demo2.bam", "chr1")
    next(records)
    records.close()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "modos-feeder"]


def test_contigs_with_colons_are_told_apart(tmp_path):
    header = pysam.AlignmentHeader.from_dict(
        {
            "HD": {"VN": "1.6", "SO": "coordinate"},
            "SQ": [{"SN": "HLA:01", "LN": 1000}, {"SN": "HLA", "LN": 1000}, {"SN": "chr1:5-9", "LN": 1000}],
        }
    )
    with pysam.AlignmentFile(tmp_path / "hla.bam", "wb", header=header) as file:
        for target, start in ((0, 10), (0, 500), (1, 10), (2, 10)):
            read = pysam.AlignedSegment(header)
            read.query_name, read.flag = f"r{target}-{start}", 0
            read.reference_id, read.reference_start, read.cigarstring = target, start, "10M"
            read.query_sequence = "A" * 10
            file.write(read)
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "hla", "@type": "AlignmentSet"}, tmp_path / "hla.bam")

    def names(region):
        return [read.query_name for read in modo.stream_genomics("hla.bam", region)]

    assert names("HLA:01:1-100") == ["r0-10"]
    assert names("{HLA:01}:1-100") == ["r0-10"]
    assert names("chr1:5-9") == ["r2-10"]
    with pytest.raises(RegionError, match="two things"):
        names("HLA:01")


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    "name",
    [
        "1400_index_simple",
        "1402_index_3ref",
        "1403_index_multiref",
        "1404_index_multislice",
        "1405_index_multisliceref",
        "1406_index_long",
        "level-1",
        "level-2",
        "level-4",
    ],
)
def test_real_crams_give_what_samtools_gives(tmp_path, shared_data, name):
    source = shared_data / "hts-specs/cram-3.0/passed" / f"{name}.cram"
    compare_five_regions(tmp_path, source, shared_data / "hts-specs/ce.fa")


@pytest.mark.parametrize("name", ["level-1", "level-9"])
def test_real_bams_give_what_samtools_gives(tmp_path, shared_data, name):
    compare_five_regions(tmp_path, shared_data / "hts-specs/bam/passed" / f"{name}.bam", shared_data / "hts-specs/ce.fa")


def compare_five_regions(tmp_path, source, reference):
    data, fasta = tmp_path / source.name, tmp_path / "ce.fa"
    shutil.copyfile(reference, fasta)
    run("samtools", "faidx", fasta)
    with pysam.AlignmentFile(source, reference_filename=str(fasta)) as file:
        is_sorted = file.header.to_dict().get("HD", {}).get("SO") == "coordinate"
        contigs = dict(zip(file.references, file.lengths))
    if is_sorted:
        shutil.copyfile(source, data)
    else:
        run("samtools", "sort", "--reference", fasta, "-O", data.suffix[1:], "-o", data, source)
    run("samtools", "index", data)
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "x", "@type": "AlignmentSet"}, data)
    contig, length = max(contigs.items(), key=lambda item: item[1])
    regions = [
        contig,
        f"{contig}:1-{length // 2}",
        f"{contig}:{length // 3}-{length // 3 + 50}",
        f"{contig}:100-100",
        list(contigs)[-1],
    ]
    for region in regions:
        got = [record.to_string().split("\t")[:11] for record in modo.stream_genomics(data.name, region, fasta)]
        assert got == sam(data, region, fasta), region
