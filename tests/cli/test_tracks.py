"""Genomes and tracks, as people type it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.support.commands import run, start
from tests.support.waiting import wait_until_read

pytestmark = pytest.mark.sweep(12)


def modos(*arguments, cwd, stdin=subprocess.DEVNULL, text=None):
    return run(
        arguments,
        capture_output=True,
        cwd=cwd,
        timeout=180,
        text=True,
        **({"input": text} if text is not None else {"stdin": stdin}),
    )


@pytest.fixture
def place(tmp_path):
    """A folder with an object `ex` that has a genome with sequence and two tracks."""
    (tmp_path / "g.fa").write_text(">chr1 first\n" + "ACGTacgtNN" * 300 + "\n>chr2\n" + "TTTT" * 100 + "\n")
    (tmp_path / "steps.bedGraph").write_text("chr1\t0\t1000\t3\nchr1\t1000\t1010\t7.5\nchr2\t0\t400\t1\nchrUn\t0\t5\t2\n")
    (tmp_path / "dense.wig").write_text("fixedStep chrom=chr1 start=1\n" + "".join(f"{n / 8}\n" for n in range(800)))
    for words in (
        ("create", "ex"),
        ("genome", "init", "ex", "*.fa"),
        ("track", "add", "ex", "steps=steps.bedGraph", "dense=dense.wig"),
    ):
        result = modos(*words, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    return tmp_path


@pytest.fixture
def good(place):
    def run(*arguments, **options):
        result = modos(*arguments, cwd=place, **options)
        assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture
def fails(place):
    def run(code, *arguments, words=(), **options):
        result = modos(*arguments, cwd=place, **options)
        assert result.returncode == code and "Traceback" not in result.stderr, result.stderr
        assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) <= 2, result.stderr
        assert all(word in result.stderr for word in words), result.stderr
        return result

    return run


def test_what_a_genome_is(good):
    facts = json.loads(good("genome", "info", "ex", "--json").stdout)
    assert facts == {
        "id": "genome",
        "contigs": 2,
        "bases": 3400,
        "supercontigs": 2,
        "sequence": True,
        "aliases": 0,
        "tracks": ["steps", "dense"],
    }
    assert "bases        3,400" in good("genome", "info", "ex").stdout
    assert good("genome", "sizes", "ex").stdout == "chr1\t3000\nchr2\t400\n"
    assert good("genome", "contigs", "ex").stdout == "chr1\t0\t3000\nchr2\t0\t400\n"
    assert good("genome", "seq", "ex", "chr1:5-12", "chr2:1-2").stdout == ">chr1:5-12\nacgtNNAC\n>chr2:1-2\nTT\n"
    whole = good("genome", "seq", "ex", "chr1").stdout.splitlines()
    assert whole[0] == ">chr1" and len(whole) == 51 and "".join(whole[1:]) == "ACGTacgtNN" * 300


def test_the_sequence_is_what_samtools_says(good, place):
    subprocess.run(["samtools", "faidx", "g.fa"], cwd=place, check=True)
    theirs = subprocess.run(["samtools", "faidx", "g.fa", "chr1:51-200"], cwd=place, capture_output=True, text=True, check=True)
    assert good("genome", "seq", "ex", "chr1:51-200").stdout == theirs.stdout


def test_adding_says_what_was_taken(good):
    result = good("track", "add", "ex", "again=steps.bedGraph", "-e", '{"description": "twice"}')
    assert result.stderr == "again added to ex: 2 contigs; not in the genome and left out: chrUn\n" and result.stdout == ""
    assert json.loads(good("show", "ex", "data/again", "--json").stdout)["data/again"]["description"] == "twice"
    good("-q", "track", "add", "ex", "piped=-", text="chr2 5 9 1.5\n")
    assert (
        good("track", "query", "ex", "piped", "-r", "chr2:5-6").stdout == "#contig\tposition\tpiped\nchr2\t5\tnan\nchr2\t6\t1.5\n"
    )


@pytest.mark.core
def test_queries(good, place):
    assert good("track", "query", "ex", "-r", "chr1:1,000-1,001", "-r", "chr2:400").stdout == (
        "#contig\tposition\tsteps\tdense\nchr1\t1000\t3.0\tnan\nchr1\t1001\t7.5\tnan\nchr2\t400\t1.0\tnan\n"
    )
    (place / "r.bed").write_text("chr1\t999\t1001\n")
    assert (
        good("track", "query", "ex", "steps", "-R", "r.bed", "--runs").stdout == "chr1\t999\t1000\t3.0\nchr1\t1000\t1001\t7.5\n"
    )
    assert len(good("track", "query", "ex", "dense").stdout.splitlines()) == 3401
    rows = json.loads(good("track", "stats", "ex", "--json").stdout)
    assert [(row["track"], row["n"], row["max"]) for row in rows] == [("steps", 1410, 7.5), ("dense", 800, 99.875)]
    assert good("track", "stats", "ex", "dense", "--histogram", "2").stdout.splitlines()[1:] == [
        "dense\t0\t49.9375\t400",
        "dense\t49.9375\t99.875\t400",
    ]
    assert [row["contig"] for row in json.loads(good("track", "stats", "ex", "steps", "--by-contig", "--json").stdout)] == [
        "chr1",
        "chr2",
    ]
    empty = json.loads(good("track", "stats", "ex", "dense", "-r", "chr2", "--json").stdout)[0]
    assert (empty["n"], empty["mean"]) == (0, None)
    info = json.loads(good("track", "info", "ex", "dense", "--json").stdout)
    assert info["id"] == "data/dense" and info["n"] == 800 and info["masked"] is False
    assert (
        "encoding" in good("track", "info", "ex", "dense").stdout
        and len(json.loads(good("track", "list", "ex", "--json").stdout)) == 2
    )


def test_a_closed_pipe_is_no_error(place):
    result = subprocess.run(
        f"{sys.executable} -c 'from modos.cli import main; main()' track query ex | head -1",
        shell=True,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.stdout == "#contig\tposition\tsteps\tdense\n" and result.stderr == ""


@pytest.mark.core
def test_exports(good, fails, place):
    good("track", "export", "ex", "steps", "-o", "s.bw")
    assert (
        good("track", "query", "s.bw", "-r", "chr1:1,000-1,001").stdout
        == "#contig\tposition\ts\nchr1\t1000\t3.0\nchr1\t1001\t7.5\n"
    )
    good("track", "export", "ex", "dense", "-o", "d.wig.gz")
    good("track", "add", "ex", "dense2=d.wig.gz")
    assert (
        good("track", "stats", "ex", "dense").stdout.split("\n")[1].split()[1:]
        == good("track", "stats", "ex", "dense2").stdout.split("\n")[1].split()[1:]
    )
    assert good("track", "export", "ex", "steps", "-r", "chr2", "-O", "wig").stdout.splitlines()[1:] == [
        "variableStep chrom=chr2 span=400",
        "1 1.0",
    ]
    fails(1, "track", "export", "ex", "steps", "-o", "s.bw", words=["exists already", "--force"])
    good("track", "export", "ex", "steps", "-o", "s.bw", "--force")
    fails(2, "track", "export", "ex", "steps", "-o", "s.what", words=["which format"])
    fails(2, "track", "export", "ex", "steps", "-O", "bigWig", words=["pipe"])
    fails(2, "track", "export", "ex", "steps", "-O", "sam", words=["bigWig"])
    assert not [name for name in os.listdir(place) if name.startswith(".")]


def test_pictures(good, fails, place):
    line = good("track", "plot", "ex", "chr1", "dense", "--width", "30").stdout
    assert (line.startswith("dense  ▁") and "█" in line and line.rstrip().endswith("98")) or "to" in line
    good("track", "plot", "ex", "chr1:1-1000", "-o", "x.svg")
    assert ElementTree.parse(place / "x.svg").getroot().tag.endswith("svg")
    good("track", "plot", "ex", "chr1", "dense", "-o", "x.png")
    assert (place / "x.png").read_bytes().startswith(b"\x89PNG")
    fails(2, "track", "plot", "ex", "chr1", "-o", "x.bmp", words=[".svg"])
    fails(3, "track", "plot", "ex", "chr1", "-o", "none/x.svg", words=["no folder"])


@pytest.mark.core
def test_masking(good, fails, place):
    assert good("track", "mask", "ex", "steps", "gt", "5", "--dry-run").stderr == "10 values of steps would be masked\n"
    good("track", "mask", "ex", "steps", "gt", "5")
    (place / "m.bed").write_text("chr2\t0\t100\n")
    assert good("track", "mask", "ex", "steps", "m.bed").stderr == "100 values of steps masked\n"
    assert json.loads(good("track", "stats", "ex", "steps", "--json").stdout)[0]["n"] == 1300
    fails(2, "track", "mask", "ex", "steps", "lt", "2", "--hard", words=["--yes"])
    good("track", "unmask", "ex", "steps")
    assert json.loads(good("track", "stats", "ex", "steps", "--json").stdout)[0]["n"] == 1410
    good("track", "mask", "ex", "steps", "lt", "2", "--hard", "--yes")
    fails(2, "track", "unmask", "ex", "steps", words=["no mask"])
    assert json.loads(good("track", "stats", "ex", "steps", "--json").stdout)[0]["n"] == 1010
    for where, code in ((("below", "3"), 2), (("lt",), 2), (("lt", "x"), 2), (("none.bed",), 3), (("g.fa",), 2), ((), 2)):
        fails(code, "track", "mask", "ex", "steps", *where)


def test_removing_asks(good, fails):
    fails(2, "track", "remove", "ex", "steps", words=["--yes"])
    good("track", "remove", "ex", "steps", "dense", "--yes")
    assert good("track", "list", "ex").stderr == "ex has no tracks\n" and good("check", "ex").returncode == 0
    fails(2, "track", "query", "ex", words=["no tracks"])


@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (3, "track add ex new=none.bw", "cannot read none.bw"),
        (2, "track add ex new", "NAME=FILE"),
        (2, "track add ex new=", "NAME=FILE"),
        (1, "track add ex steps=dense.wig", "replace it"),
        (3, "track add nowhere new=dense.wig", "no MODO at nowhere"),
        (2, "track add ex a=- b=-", "one file only"),
        (3, "track replace ex none=dense.wig", "no track none"),
        (3, "track add ex new=dense.wig --genome hg19", "no element"),
        (2, "track add ex new=g.fa", "line 1"),
        (2, "track add ex new=steps.bedGraph --strict", "no contig chrUn"),
        (3, "track add ex new=dense.wig --mask none.bed", "none.bed"),
        (3, "track query ex step -r chr1", "did you mean steps"),
        (3, "track query ex -r chr9", "no contig chr9"),
        (2, "track query ex -r chr1:2,900-3,001", "3,001 is past the end of chr1"),
        (2, "track query ex -r chr1:10-5", "start is after its end"),
        (2, "track query ex --runs", "name one track"),
        (1, "track rename ex steps dense", "already"),
        (3, "track rename ex none x", "no track none"),
        (1, "genome init ex g.fa", "already"),
        (3, "genome init ex none.fa --id x", "none.fa"),
        (2, "genome init ex --id x", "give one of them"),
        (2, "genome init ex dense.wig --id x", "no FASTA"),
        (3, "genome info ex --genome x", "no element"),
        (3, "genome seq ex chr7", "no contig chr7"),
        (3, "track import-genomedata ex none", "no archive"),
        (2, "track import-genomedata ex g.fa --id x", "no archive"),
        (2, "c4gh encrypt ex data/steps --keep -p {key}", "cannot be both encrypted and plain"),
    ],
)
def test_what_cannot_be(fails, good, place, code, words, said):
    if "{key}" in words:
        good("c4gh", "keygen", "--no-passphrase", "k.sec")
    fails(code, *words.format(key="k.pub").split(), words=[said])
    assert "ex is whole: 3 elements" in good("check", "ex").stderr + good("check", "ex").stdout


def test_a_load_that_is_stopped_leaves_the_old_object(place):
    """Ctrl-C and a kill while data still come in."""
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        process = start(["track", "replace", "ex", "steps=-"], cwd=place, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until_read(process, b"fixedStep chrom=chr1 start=1\n" + b"1\n" * 500)
        process.send_signal(number)
        assert process.wait(60) == code and b"Traceback" not in process.stderr.read()
        process.stdin.close()
        assert json.loads(modos("track", "stats", "ex", "steps", "--json", cwd=place).stdout)[0]["n"] == 1410
    assert modos("track", "replace", "ex", "steps=dense.wig", cwd=place).returncode == 0
    assert modos("check", "ex", cwd=place).returncode == 0


def test_encrypting_names_what_stays_open(good):
    good("c4gh", "keygen", "--no-passphrase", "k.sec")
    told = good("c4gh", "encrypt", "-p", "k.pub", "ex", "data/steps").stderr
    assert "encrypted 1 file" in told and "not encrypted, as not named: " in told and "reference/genome" in told
    assert "not encrypted" not in good("c4gh", "encrypt", "-p", "k.pub", "ex").stderr


def test_help_has_two_examples():
    for group, commands in (
        ("genome", "init info contigs sizes seq"),
        ("track", "add replace remove rename list info query stats mask unmask plot export import-genomedata"),
    ):
        for command in commands.split():
            text = run([group, command, "--help"], capture_output=True, text=True, timeout=60).stdout
            assert text.count(f"modos {group} {command} ") >= 2, command
