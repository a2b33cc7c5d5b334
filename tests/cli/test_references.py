"""Reference assemblies, as people type it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support import commands

pytestmark = pytest.mark.sweep(7)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in a folder with `mini.fa`, its store `refs`; gives what it says."""
    monkeypatch.setenv("MODOS_REFERENCE_STORE", "refs")
    (tmp_path / "mini.fa").write_text(">chr1\nACGTN\n>chr2\nGATTACA\n")

    def command(*words, code=0, said=()):
        result = commands.run(
            ["reference", *words], cwd=tmp_path, capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL
        )
        assert result.returncode == code and "Traceback" not in result.stderr, result.stderr
        assert code == 0 or (result.stderr.startswith("error: ") and len(result.stderr.splitlines()) <= 2)
        assert all(word in result.stderr for word in ([said] if isinstance(said, str) else said)), result.stderr
        return result.stdout

    command("add", "mini", "mini.fa")
    return command


@pytest.mark.core
def test_an_assembly_comes_and_goes(run, tmp_path):
    assert json.loads(run("list", "--json"))["assemblies"]["mini"]["bases"] == 12
    assert [line.split("\t")[:2] for line in run("show", "mini").splitlines()] == [["chr1", "5"], ["chr2", "7"]]
    assert json.loads(run("show", "mini", "--json"))["contigs"][1]["length"] == 7
    run("verify", "mini", said="is whole")
    run("push", "mini", "other", said="12 bytes sent")
    run("pull", "mini", said="nothing had to be fetched")
    file = next(path for path in (tmp_path / "refs/sequences").rglob("*") if path.is_file() and path.stat().st_size == 7)
    file.write_bytes(b"GATTACC")
    assert "does not have the MD5" in run("verify", "mini", code=6, said="1 file of mini")
    run("rm", "mini", code=2, said="--yes")
    run("rm", "mini", "--yes", said="removed mini and 2 sequences")
    run("list", said="no assemblies")
    run("list", "--store", "other")


@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("show minni", 3, "did you mean mini"),
        ("add new none.fa", 3, "none.fa"),
        ("add a/b mini.fa", 2, "cannot be the name"),
        ("add new mini.fa --names mini.fa", 2, "names"),
        ("pull mini --contig chr9", 3, "no contig chr9"),
        ("list --store http://127.0.0.1:9/refs", 5, "connection refused"),
        ("list --store quux://x", 2, "cannot be read"),
        ("list --store nowhere", 3, "there is no reference store at nowhere"),
        ("list --store nowhere --json", 3, "there is no reference store at nowhere"),
        ("push none other", 3, "no assembly none"),
        ("verify none", 3, "no assembly none"),
        ("rm none --yes", 3, "no assembly none"),
    ],
)
def test_what_cannot_be(run, words, code, said):
    run(*words.split(), code=code, said=said)
    run("verify", "mini", said="is whole")


def test_the_cache(run):
    assert "sequences  0" in run("cache")
    run("cache", "--clear", "--yes", said="removed 0 sequences and 0 tables")
    run("cache", "--forget", "mini", said="forgot mini")
    assert run("env").startswith("export REF_CACHE=")


def test_help_has_two_examples():
    for command in ["list", "show", "add", "import", "pull", "push", "verify", "dna", "features", "rm", "env", "cache"]:
        text = commands.run(["reference", command, "--help"], capture_output=True, text=True, timeout=60).stdout
        assert text.count("modos reference ") >= 2, command


GFF3 = "".join(
    f"chr2\tT\t{kind}\t2\t6\t.\t-\t.\t{more}\n"
    for kind, more in (("gene", "ID=g1;gene_name=ABC;Dbxref=GeneID:5"), ("mRNA", "ID=t1;Parent=g1"), ("exon", "ID=e1;Parent=t1"))
)


def test_an_annotation_comes_and_goes(run, tmp_path):
    (tmp_path / "genes.gff3").write_text(GFF3)
    run("add", "mini", "--gff3", "genes.gff3", said="added genes of mini to refs: 1 gene, 1 transcript")
    assert json.loads(run("list", "--json"))["annotations"]["genes"]["rows"]["exon"] == 1 and "genes" in run("list")
    assert (
        run("features", "genes", "chr2:1-3")
        == "contig\tstart\tend\tstrand\tid\tname\ttype\tlevel\tversion\txrefs\tdescription\nchr2\t2\t6\t-\tg1\tABC\tgene\t\t\tGeneID:5\t\n"
    )
    assert run("features", "genes", "--kind", "exon", "--strand=-").splitlines()[1] == "chr2\t2\t6\t-\tt1\t1\te1"
    assert (
        json.loads(run("features", "genes", "--kind", "transcript", "--json"))[0]["gene"] == "g1"
        and run("features", "genes", "--strand=+").count("\n") == 1
    )
    assert run("features", "genes", "--gene", "ABC", "-k", "exon").splitlines()[1] == "chr2\t2\t6\t-\tt1\t1\te1"
    assert run("features", "genes", "chr2:7-7", "--gene", "GeneID:5").count("\n") == 1 and '"GeneID:5"' in run(
        "features", "genes", "--gene", "GeneID:5", "--json"
    )
    run("features", "genes", "--gene", "GeneID:50", code=3, said="no gene GeneID:50")
    run("features", "genes", "--strand=x", code=2, said="neither + nor -")
    run("features", "genes", "chr9:1-3", code=3, said="chr9")
    run("features", "genes", "chr2:9,000-9,100", code=2, said="is beyond the")
    run("features", "genes", "--kind", "genes", code=2, said="gene, transcript, exon")
    run("features", "gene", code=3, said="did you mean genes")
    assert run("dna", "mini", "chr2:2-6", "--reverse").splitlines()[0] == ">chr2:2-6/rc"
    assert run("dna", "genes", "chr2:2-6") == run("dna", "mini", "chr2:2-6")
    run("dna", "genez", "chr2:2-6", code=3, said="did you mean genes")
    assert "transcript  1" in run("show", "genes") and json.loads(run("show", "genes", "--json"))["assembly"] == "mini"
    run("push", "genes", "other", code=3, said="no assembly mini")
    run("push", "mini", "other")
    run("push", "genes", "other", said="genes is in other")
    run("verify", "genes", "--store", "other", said="is whole")
    run("pull", "genes", said="nothing had to be fetched")
    run("pull", "genes", "--contig", "chr2", code=2, said="as a whole")
    run("rm", "mini", "--yes", code=1, said="has annotations")
    run("rm", "genes", "--yes", said="removed genes")
    run("rm", "mini", "--yes")
    (tmp_path / "genes.gff3").write_text(GFF3.replace("\t6\t", "\t8\t"))
    run("add", "mini", "mini.fa")
    run("add", "mini", "--gff3", "genes.gff3", code=2, said="chr2 of the assembly has 7 bases")
    run("add", "mini", code=2, said="nothing to add")
    run("add", "mini", "--annotation", "x", "mini.fa", code=2, said="--annotation names one")
    run("list", "--remote", code=3, said="no server is named")


def test_offline_the_cache_is_listed(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    run("list", "--store", "https://nowhere.example/refs", said="nothing of https://nowhere.example/refs is in the cache")
    run("show", "mini", "--store", "https://nowhere.example/refs", code=3, said="not in the cache, and MODOS_OFFLINE is set")


def test_a_damaged_assembly_can_be_removed(run, tmp_path):
    (tmp_path / "refs/assemblies/mini/assembly.json").write_text("garbage")
    run("show", "mini", code=6, said="is damaged")
    run("rm", "mini", "--yes", said="removed mini")
    run("list", said="no assemblies")
