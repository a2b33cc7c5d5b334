"""A line whose value is plainly wrong is an error, and neither taken nor left out without a word."""

from __future__ import annotations

import pytest

from modos.cli.diagnosis import examine
from modos.cli.input import parse_json
from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.formats.assembly_report import read_report
from modos.genomics.region import read_regions
from modos.metadata.description import load_yaml, read_descriptions
from modos.reference.adding import add_files
from modos.reference.annotations.lines import iter_pieces
from modos.reference.annotations.refgene import read_refgene
from modos.reference.fai import check_fai, parse_fai
from modos.reference.locate import open_store
from modos.reference.store import ReferenceStore
from modos.remote.services import server_name, token_for
from modos.remote.tokens import Login
from modos.server.access_file import read_tokens
from modos.server.rules import read_access
from modos.storage import open_storage
from modos.tracks.conditions import Condition
from modos.tracks.contig_files import read_agp, read_map
from modos.tracks.mask_files import MaskFile
from modos.tracks.wiggle import read_text

REPORT = "# Sequence-Name\tSequence-Role\tUCSC-style-name\n1\tassembled-molecule\tchr1\n2\tassembled-molecule\tchr2\n"
GENE = "585\tNM_1\tchr1\t+\t100\t5000\t200\t4000\t2\t100,1000,\t500,5000,\t0\tA\tcmpl\tcmpl\t0,1,\n"
CDS = "chr1\tx\tCDS\t200\t500\t.\t+\t{}\tID=c\n"


def scored(path):
    return MaskFile(path, Condition.parse("ge 1"))


def features(path):
    return [piece.parse() for piece in iter_pieces(path)]


@pytest.mark.parametrize(
    "read, suffix, good, bad",
    [
        (lambda path: read_agp([path]), ".agp", "a\t1\t9\t1\tW\n", "a\t1\t9\t1\tX\n"),
        (lambda path: read_agp([path]), ".agp", "a\t1\t9\t1\tW\na\t10\t12\t2\tN\n", "a\t1\t9\t1\tW\na\t5\t12\t2\tN\n"),
        (lambda path: read_report(path, "UCSC-style-name"), ".txt", REPORT, REPORT.replace("\tchr2", "")),
        (read_map, ".tsv", "a\tb\na\tb\n", "a\tb\na\tc\n"),
        (scored, ".bed", "chr1\t0\t5\tx\t1e4\n", "chr1\t0\t5\tx\t1e400\n"),
        (scored, ".bed", "chr1\t0\t5\tx\t1e4\n", "chr1\t0\t5\tx\tnan\n"),
        (read_regions, ".tsv", "chr1\t1\t5\n", "chr1\t1\t-5\n"),
        (
            lambda path: list(read_text(path)),
            ".wig",
            "fixedStep chrom=a start=1 step=1\n1\n",
            "fixedStep chrom=a start=1 start=5 step=1\n1\n",
        ),
        (
            lambda path: list(read_text(path)),
            ".wig",
            "fixedStep chrom=a start=1 step=1\n1\n",
            "fixedStepp chrom=a start=1 step=1\n1\n",
        ),
        (features, ".gff3", CDS.format(0), CDS.format(7)),
        (features, ".gff3", CDS.format("."), CDS.format("x")),
        (read_refgene, ".txt", GENE, GENE.replace("0,1,", "0,9,")),
        (read_refgene, ".txt", GENE, GENE.replace("0,1,", "0,")),
        (read_refgene, ".txt", GENE, GENE.replace("1000,", "400,")),
        (read_refgene, ".txt", GENE.replace("\t200\t4000", "\t9\t9"), GENE.replace("\t200\t4000", "\t9\t4000")),
        (load_yaml, ".yaml", "a: {b: 1}\nc: {b: 2}\n", "a: {b: 1, b: 2}\n"),
        (read_access, ".toml", 'tokens = "x"\n', "tokens = 5\n"),
        (read_tokens, ".txt", "a 0123456789abcdef\nb fedcba9876543210\n", "a 0123456789abcdef\nb 0123456789abcdef\n"),
    ],
)
def test_damaged_lines_are_refused(read, suffix, good, bad, tmp_path):
    for name, text in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}{suffix}").write_text(text)
        (tmp_path / f"{name}{suffix}").chmod(0o600)
    read(str(tmp_path / f"good{suffix}") if read is not load_yaml else tmp_path / f"good{suffix}")
    with pytest.raises(InvalidInputError):
        read(str(tmp_path / f"bad{suffix}") if read is not load_yaml else tmp_path / f"bad{suffix}")


@pytest.mark.parametrize("text", [b"", b"a\t4\t3\t4\t5\na\t4\t3\t4\t5\n", b"a\t0_4\t3\t4\t5\n", b"a\t+4\t3\t4\t5\n"])
def test_a_damaged_fai_is_refused(text):
    with pytest.raises(IntegrityError):
        parse_fai(text)


def test_a_fai_that_ends_too_early_is_not_that_of_its_fasta():
    fasta = b">a\nACGT\n>b\nAC\n"
    check_fai(lambda start, end: fasta[start:end], len(fasta), b"a\t4\t3\t4\t5\nb\t2\t11\t2\t3\n")
    with pytest.raises(IntegrityError, match="it lacks what follows a"):
        check_fai(lambda start, end: fasta[start:end], len(fasta), b"a\t4\t3\t4\t5\n")


def test_names_of_other_sequences_are_refused(tmp_path):
    (tmp_path / "x.fa").write_text(">chr1\nACGT\n")
    (tmp_path / "names.txt").write_text("chr7\t7\n")
    with pytest.raises(InvalidInputError, match="none of the sequences"):
        add_files(ReferenceStore(open_storage(tmp_path / "store")), "x", [str(tmp_path / "x.fa")], str(tmp_path / "names.txt"))


def test_numbers_that_are_too_large_are_refused():
    with pytest.raises(InvalidInputError):
        Condition.parse("lt 1e400")
    for seconds in (float("inf"), float("nan"), -1, 10**400):
        with pytest.raises(ModosError):
            Login.from_answer({"access_token": "a", "expires_in": seconds}, "http://a", "modos", None)
    with pytest.raises(InvalidInputError, match="twice"):
        parse_json('{"id": "a", "id": "b"}', "--element")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_cells_of_several_lines_stay_whole(ends, tmp_path):
    (tmp_path / "x.csv").write_text(ends.join(["id,description,name", 's1,"one', 'two",a\u2028b', "s2,three,c", ""]), newline="")
    first, second = read_descriptions([tmp_path / "x.csv"], "sample")
    assert first.attributes["description"] == f"one{ends}two" and first.attributes["name"] == "a\u2028b"
    assert second.attributes["description"] == "three"


def test_messages_stay_short():
    error = InvalidInputError("x" * 10_000_000 + " is wrong", "\x1b" * 10_000_000)
    assert len(error.message) <= 3500 and error.message.endswith(" is wrong") and len(error.hint) <= 3500


@pytest.mark.parametrize("url", ["http://[", "http://a:99999999", "http://", "x"])
def test_an_endpoint_that_is_no_address_is_refused(url, monkeypatch):
    for look in (
        lambda: server_name(url),
        lambda: token_for(url, None),
        lambda: token_for(url, "http://a"),
        lambda: open_store("http://a/x", url),
    ):
        with pytest.raises(InvalidInputError):
            look()
    assert "failed" in {found.state for found in examine(url, None, None)}


@pytest.mark.parametrize("url", ["github://x", "dir://x", "reference://x", "tar:///", "ftp://x", "jupyter://x"])
def test_a_place_that_nothing_reads_is_refused(url):
    with pytest.raises(InvalidInputError, match="cannot be read"):
        open_store(url)


@pytest.mark.parametrize("phase", ["-", "-1", ""])
def test_a_phase_that_means_nothing_is_not_looked_at(tmp_path, phase):
    path = tmp_path / "a.gff3"
    path.write_text(f"chr1\tx\trepeat_region\t1\t9\t.\t+\t{phase}\tID=r\n" + CDS.format(0))
    assert [lines.table["type"].to_list() for lines in features(str(path))] == [["repeat_region", "CDS"]]
