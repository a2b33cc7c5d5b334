"""What differs from samtools and bcftools is documented with its reason, and does differ."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from modos.api import MODO
from modos.errors import InvalidInputError
from modos.genomics.writer import OutputFormat
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage

from .files import bgzipped
from .known import KNOWN
from .oracle import Refused, consulted

ROOT = Path(__file__).resolve().parents[2]
SECTION = "## What differs from samtools and bcftools"
VCF = """##fileformat=VCFv4.3
##contig=<ID=1,length=1000>
##contig=<ID=2,length=1000>
##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
1	10	a	A	<DEL>	.	.	SVLEN=-90
1	200	b	A	C	.	.	.
2	10	c	A	C	.	.	.
"""
SAM = "@HD\tVN:1.6\n@SQ\tSN:1\tLN:1000\n" + "".join(f"r{at}\t0\t1\t{at}\t9\t4M\t*\t0\t0\tACGT\tIIII\n" for at in (10, 500))
UNPLACED = "@HD\tVN:1.6\n@SQ\tSN:1\tLN:1000\nu\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII\n"


@pytest.fixture(scope="module")
def oracle():
    with consulted() as oracle:
        yield oracle


@pytest.fixture
def variants(tmp_path, oracle):
    (tmp_path / "a.vcf").write_text(VCF)
    path = tmp_path / "a.vcf.gz"
    oracle.run("bcftools", "view", "--no-version", "-Oz", "-o", path, tmp_path / "a.vcf")
    oracle.run("bcftools", "index", "-t", path)
    return path


def reads(oracle, folder, text):
    (folder / "a.sam").write_text(text)
    path = folder / "a.bam"
    oracle.run("samtools", "view", "--no-PG", "-b", "-o", path, folder / "a.sam")
    oracle.run("samtools", "index", path)
    return path


def named(path, region):
    """The names of what modos gives."""
    modo = MODO(path.parent / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet" if path.name.endswith(".gz") else "AlignmentSet"}, path)
    return [record.id if hasattr(record, "id") else record.query_name for record in modo.stream_genomics(path.name, region)]


def said(oracle, path, *words):
    """The names of what the oracle gives."""
    if path.name.endswith(".gz"):
        return [line.split("\t")[2] for line in oracle.lines("bcftools", "view", "-H", *words, path)]
    return [line.split("\t")[0] for line in oracle.lines("samtools", "view", "-M", path, *words)]


def test_the_documentation_has_the_same_table():
    text = (ROOT / "docs/explanation/regions.md").read_text()
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    rows = [re.fullmatch(r"\| (.+?) \| (.+) \|", line).groups() for line in section.splitlines() if line.startswith("| ")][1:]
    assert rows == [(entry.title, entry.reason) for entry in KNOWN]


def test_each_difference_is_shown():
    for entry in KNOWN:
        assert entry.files or callable(globals().get(entry.shown_by)), entry.title


def test_bcftools_takes_a_position_as_one_base(oracle, variants):
    assert said(oracle, variants, "-r", "1:150") == []
    assert named(variants, "1:150") == said(oracle, variants, "-r", "1:150-") == ["b"]


def test_bcftools_gives_contigs_as_they_are_listed(oracle, variants):
    assert said(oracle, variants, "-r", "2,1") == ["c", "a", "b"]
    assert named(variants, ["2", "1"]) == ["a", "b", "c"]


def test_samtools_leaves_out_a_region_without_an_end(oracle, tmp_path):
    path = reads(oracle, tmp_path, SAM)
    assert said(oracle, path, "1:400-", "1:1-20") == ["r10"]
    assert named(path, ["1:400-", "1:1-20"]) == ["r10", "r500"]


def test_samtools_leaves_out_a_name_in_braces(oracle, tmp_path):
    path = reads(
        oracle,
        tmp_path,
        SAM.replace("SN:1\t", "SN:a:1\t").replace("\t1\t10\t", "\ta:1\t10\t").replace("\t1\t500\t", "\ta:1\t500\t"),
    )
    assert said(oracle, path, "{a:1}:400-600", "{a:1}:1-20") == []
    assert named(path, ["{a:1}:400-600", "{a:1}:1-20"]) == ["r10", "r500"]


def test_samtools_loses_a_contig_of_a_cram(oracle, tmp_path):
    (tmp_path / "a.sam").write_text(
        SAM.replace("@SQ", "@SQ\tSN:2\tLN:1000\n@SQ", 1) + "r2\t0\t2\t10\t9\t4M\t*\t0\t0\tACGT\tIIII\n"
    )
    path = tmp_path / "a.cram"
    oracle.run("samtools", "view", "--no-PG", "-C", "--output-fmt-option", "no_ref=1", "-o", path, tmp_path / "a.sam")
    oracle.run("samtools", "index", path)
    assert said(oracle, path, "1", "2") != ["r10", "r500", "r2"]
    assert named(path, ["1", "2"]) == ["r10", "r500", "r2"]


def test_samtools_refuses_regions_of_unplaced_reads_only(oracle, tmp_path):
    path = reads(oracle, tmp_path, UNPLACED)
    with pytest.raises(Refused, match="retrieval of region"):
        said(oracle, path, "*", "1")
    assert named(path, ["*", "1"]) == ["u"]


def test_old_bcftools_does_not_look_at_svlen(variants):
    if not shutil.which("bcftools"):
        pytest.skip("bcftools is not installed")
    version = subprocess.run(["bcftools", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if tuple(map(int, version.split(".")[:2])) > (1, 16):
        pytest.skip(f"bcftools {version} is new")
    subprocess.run(["bcftools", "index", "-f", "-c", variants], check=True)
    old = subprocess.run(
        ["bcftools", "view", "-H", "-r", "1:50-60", f"{variants}##idx##{variants}.csi"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert old.stdout == ""
    assert named(variants, "1:50-60") == ["a"]


def test_a_server_does_not_tell_the_contigs_of_the_index(oracle, tmp_path):
    text = "".join(line for line in VCF.splitlines(keepends=True) if not line.startswith("##contig"))
    path = tmp_path / "a.vcf.gz"
    path.write_bytes(bgzipped(text.encode()))
    oracle.run("bcftools", "index", "-t", path)
    oracle.run("bcftools", "view", "-Ou", path)
    MODO(tmp_path / "objects/ex").add_element({"id": "a", "@type": "VariantSet"}, path)
    with BackgroundServer(create_app(open_storage(tmp_path / "objects"))) as server, open(tmp_path / "out", "wb") as out:
        served = open_served_file(f"{server.url}/htsget/variants/ex/a", None)
        with pytest.raises(InvalidInputError, match="does not declare"):
            served.write(out.fileno(), output=OutputFormat("BCF"))
