"""`modos stream` and `modos coverage` give what samtools and bcftools give."""

from __future__ import annotations

import gzip
import json
import os
import pty
import shutil
import subprocess

import pytest

from tests.support import commands

pytestmark = pytest.mark.sweep(24)

if not shutil.which("samtools") or not shutil.which("bcftools"):
    pytest.skip("samtools and bcftools are not installed", allow_module_level=True)

REGIONS = ("chr1:5,000-9,000", "chr2:1-3000", "chr1:8500-12000", "chr1:30000-30000")


def run(*command, code=0, text=True, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=text, timeout=120, **options)
    assert result.returncode == code, result.stderr
    return result


def modos(*arguments, code=0, text=True, **environment):
    result = commands.run(
        arguments, capture_output=True, text=text, timeout=120, stdin=subprocess.DEVNULL, env=os.environ | environment
    )
    assert result.returncode == code, result.stderr
    return result


def records(text):
    """Records as SAM or VCF, without the header and the tags whose order differs between versions."""
    return [line.split("\t")[:11] for line in text.splitlines() if not line.startswith(("@", "#"))]


@pytest.fixture(params=["folder", "endpoint"])
def place(request, example, stack):
    """What goes before the command, and where the object is."""
    return ((), str(example / "ex")) if request.param == "folder" else (("--endpoint", stack.endpoint), "s3://modos-demo/ex")


@pytest.fixture(scope="module")
def fasta(example):
    return example / "ex/reference.fa"


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    path = tmp_path_factory.mktemp("regions") / "regions.bed"
    path.write_text("chr1\t4999\t9000\nchr2\t0\t3000\nchr1\t8499\t12000\nchr1\t29999\t30000\n")
    return path


def several():
    return [part for region in REGIONS for part in ("-r", region)]


@pytest.mark.parametrize("file", ["demo1.cram", "demo2.bam"])
def test_several_regions_are_those_of_samtools(place, example, fasta, bed, file):
    options, folder = place
    wanted = records(run("samtools", "view", "-M", "-L", bed, "-T", fasta, example / "ex" / file).stdout)
    for regions in (several(), ["-R", bed], ["-R", bed, "-r", "chr2:100-200"]):
        got = records(modos(*options, "stream", *regions, "-O", "sam", f"{folder}/{file}").stdout)
        assert got == wanted, regions
    assert modos(*options, "stream", "-c", "-R", bed, f"{folder}/{file}").stdout == f"{len(wanted)}\n"


@pytest.mark.parametrize("file", ["calls.vcf.gz", "cohort.bcf"])
def test_several_regions_are_those_of_bcftools(place, example, bed, file):
    options, folder = place
    wanted = records(run("bcftools", "view", "-H", "-R", bed, example / "ex" / file).stdout)
    got = records(modos(*options, "stream", "-R", bed, "-O", "vcf", f"{folder}/{file}").stdout)
    assert sorted(got) == sorted(wanted)
    assert got == sorted(got, key=lambda record: (record[0], int(record[1])))
    assert modos(*options, "stream", "-c", "-R", bed, f"{folder}/{file}").stdout == f"{len(got)}\n"


def test_regions_from_stdin(example, bed):
    folder = example / "ex"
    piped = commands.run(
        ["stream", "-c", "-R", "-", folder / "demo2.bam"],
        capture_output=True,
        text=True,
        input="chr1\t5000\t9000\n",
        check=True,
    )
    assert piped.stdout == run("samtools", "view", "-c", folder / "demo2.bam", "chr1:5000-9000").stdout


@pytest.mark.core
@pytest.mark.parametrize(
    ("file", "formats"),
    [
        ("demo1.cram", ("sam", "bam", "cram")),
        ("demo2.bam", ("sam", "bam", "cram")),
        ("calls.vcf.gz", ("vcf", "bcf")),
        ("cohort.bcf", ("vcf", "bcf")),
    ],
)
def test_formats(example, fasta, tmp_path, file, formats):
    """What is piped or written is the format that was asked for, by name or by the end of the file's name."""
    program = ["samtools", "view", "-T", fasta] if file.startswith("demo") else ["bcftools", "view", "-H"]
    starts = {"sam": b"@HD", "cram": b"CRAM", "vcf": b"##fileformat"}
    source = example / "ex" / file
    indexed = (*program, source, "chr1:5000-9000") if file.startswith("demo") else (*program, "-r", "chr1:5000-9000", source)
    for region, wanted in (
        (("-r", "chr1:5,000-9,000"), records(run(*indexed).stdout)),
        ((), records(run(*program, source).stdout)),
    ):
        for name in formats:
            piped = tmp_path / f"piped.{name}"
            piped.write_bytes(modos("stream", *region, "-O", name, source, text=False).stdout)
            assert piped.read_bytes().startswith(starts.get(name, b"\x1f\x8b"))
            assert records(run(*program, piped).stdout) == wanted
            for ending in (name, "vcf.gz") if name == "vcf" else (name,):
                filed = tmp_path / f"filed.{ending}"
                modos("stream", *region, "-o", filed, source)
                assert filed.read_bytes()[:2] == b"\x1f\x8b" or ending in ("sam", "cram", "vcf")
                assert records(run(*program, filed).stdout) == wanted
    assert sorted(path.suffix for path in tmp_path.iterdir()).count(".part") == 0


def test_a_compressed_file_is_small(example, tmp_path):
    source = example / "ex/demo2.bam"
    modos("stream", "-r", "chr1", "-o", tmp_path / "a.bam", source)
    run("samtools", "view", "-b", "-o", tmp_path / "b.bam", source, "chr1")
    assert (tmp_path / "a.bam").stat().st_size < 1.1 * (tmp_path / "b.bam").stat().st_size
    run("samtools", "quickcheck", tmp_path / "a.bam")
    run("samtools", "index", tmp_path / "a.bam")


def test_headers(place, example):
    options, folder = place
    for file, program in (
        ("demo1.cram", "samtools"),
        ("demo2.bam", "samtools"),
        ("calls.vcf.gz", "bcftools"),
        ("cohort.bcf", "bcftools"),
    ):
        got = modos(*options, "stream", "-H", f"{folder}/{file}").stdout.splitlines()
        wanted = run(program, "head", example / "ex" / file).stdout.splitlines()
        keep = [line for line in wanted if not line.startswith(("@PG", "##bcftools"))]
        assert [line for line in got if not line.startswith(("@PG", "##bcftools"))] == keep
    bam = modos(*options, "stream", "-H", "-O", "bam", f"{folder}/demo2.bam", text=False).stdout
    assert gzip.decompress(bam)[:4] == b"BAM\1"


def test_samples(example, tmp_path):
    names = run("bcftools", "query", "-l", example / "ex/cohort.bcf").stdout.split()
    assert len(names) > 1
    wanted = run("bcftools", "view", "-I", "-s", names[-1], "-H", "-r", "chr1:1-20000", example / "ex/cohort.bcf").stdout
    got = modos("stream", "--samples", names[-1], "-r", "chr1:1-20000", "-O", "vcf", example / "ex/cohort.bcf").stdout
    assert [line for line in got.splitlines() if not line.startswith("#")] == wanted.splitlines() != []
    assert got.splitlines()[got.splitlines().index(next(x for x in got.splitlines() if x.startswith("#CHROM")))].endswith(
        f"FORMAT\t{names[-1]}"
    )
    out = tmp_path / "some.bcf"
    modos("stream", "--samples", ",".join(names[:2]), "-o", out, example / "ex/cohort.bcf")
    assert run("bcftools", "query", "-l", out).stdout.split() == names[:2]
    refused = modos("stream", "--samples", "nobody", "-O", "vcf", example / "ex/cohort.bcf", code=3)
    assert "nobody" in refused.stderr and names[0] in refused.stderr and refused.stdout == ""
    modos("stream", "--samples", names[0], example / "ex/demo2.bam", code=2)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("-c", "-H"), 2, ("--count", "--header")),
        (("-c", "--raw"), 2, ("--count", "--raw")),
        (("--raw", "-O", "sam"), 2, ("--raw", "--output-format")),
        (("-O", "vcf"), 2, ("reads", "VCF")),
        (("-O", "fasta"), 2, ("fasta", "sam, bam, cram")),
        (("-o", "x.vcf"), 2, ("reads", "VCF")),
        (("-r", "chr1", "-R", "none.bed"), 3, ("none.bed",)),
        (("-@", "0"), 2, ()),
        (("-r", ""), 2, ("region",)),
        (("-T", "none.fa"), 3, ("none.fa",)),
    ],
)
def test_what_cannot_be_says_why(example, tmp_path, options, code, words):
    result = commands.run(
        ["stream", *options, example / "ex/demo2.bam"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert result.returncode == code, result.stderr
    assert result.stdout == "" and "Traceback" not in result.stderr and list(tmp_path.iterdir()) == []
    for word in words:
        assert word in result.stderr


def in_terminal(*command):
    """Exit code and output of a command whose stdout is a terminal."""
    parent, child = pty.openpty()
    process = commands.start(command, stdout=child, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    os.close(child)
    output = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    os.close(parent)
    return process.wait(timeout=60), output.decode(), process.stderr.read().decode()


def test_a_terminal_shows_text_and_no_binary(example):
    code, output, errors = in_terminal("stream", "-r", "chr1:5000-5100", example / "ex/demo2.bam")
    assert code == 2 and output == "" and "-O sam" in errors
    code, output, _ = in_terminal("stream", "-r", "chr1:5000-5100", "-O", "sam", example / "ex/demo2.bam")
    assert code == 0 and output.startswith("@HD")


def test_a_pipe_that_closes_early_is_no_error(example):
    for options in ((), ("-O", "sam"), ("-r", "chr1"), ("-r", "chr1", "-O", "cram")):
        command = " ".join([*map(repr, commands.MODOS), "stream", *options, f"'{example}/ex/demo2.bam'"])
        result = subprocess.run(
            ["bash", "-c", f"{command} | head -c 100 >/dev/null; echo ${{PIPESTATUS[0]}}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.stdout.strip() in ("0", "141") and result.stderr == ""


# --- depth ---


@pytest.mark.parametrize("file", ["demo1.cram", "demo2.bam"])
def test_coverage_is_that_of_samtools(place, example, fasta, file, tmp_path):
    options, folder = place
    bam = tmp_path / "a.bam"  # samtools coverage takes no qualities from a CRAM
    run("samtools", "view", "-b", "-T", fasta, "-o", bam, example / "ex" / file)
    got = [line.split("\t") for line in modos(*options, "coverage", f"{folder}/{file}").stdout.splitlines()]
    wanted = [line.split("\t") for line in run("samtools", "coverage", bam).stdout.splitlines()]
    assert got[0] == wanted[0] and [row[:5] for row in got] == [row[:5] for row in wanted]
    for ours, theirs in zip(got[1:], wanted[1:]):
        assert [float(x) for x in ours[5:]] == pytest.approx([float(x) for x in theirs[5:]], rel=0.01)


@pytest.mark.parametrize("region", REGIONS)
def test_the_coverage_of_a_region_is_that_of_samtools(example, region):
    got = modos("coverage", "-r", region, example / "ex/demo2.bam").stdout.splitlines()[1].split("\t")
    wanted = run("samtools", "coverage", "-r", region.replace(",", ""), example / "ex/demo2.bam").stdout.splitlines()[1]
    (row,) = json.loads(modos("coverage", "--json", "-r", region, example / "ex/demo2.bam").stdout)
    assert [f"{float(x):.3g}" for x in list(row.values())[1:]] == [f"{float(x):.3g}" for x in got[1:]]
    assert [float(x) for x in got[1:]] == pytest.approx([float(x) for x in wanted.split("\t")[1:]], rel=0.01)


def test_a_terminal_shows_a_picture(example):
    code, output, _ = in_terminal("coverage", "-r", "chr1:1-20,000", example / "ex/demo2.bam")
    assert code == 0 and "█" in output and "deep" in output
    assert "█" not in modos("coverage", "-r", "chr1:1-20,000", example / "ex/demo2.bam").stdout


@pytest.mark.parametrize(
    ("options", "file", "code", "word"),
    [
        ((), "calls.vcf.gz", 2, "no depth"),
        (("-r", "chr9"), "demo2.bam", 3, "chr9"),
        (("-r", "*"), "demo2.bam", 2, "depth"),
        (("-r", "chr1:90,000,000-"), "demo2.bam", 2, "beyond"),
    ],
)
def test_what_has_no_depth_says_why(example, options, file, code, word):
    assert word in modos("coverage", *options, example / "ex" / file, code=code).stderr
