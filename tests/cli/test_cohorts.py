"""`modos coverage --cohort` names the exons and regions below a depth, as samtools depth counts them."""

import json
import shutil

import pytest

from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_store
from tests.support.cohort import CONTIGS, brute_depth, make_cohort
from tests.support.commands import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three objects in `cohort`, and a store with an annotation in `refs`."""
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 3)
    (folder / "g.fa").write_text("".join(f">{name}\n{'ACGTTGCAAT' * (length // 10)}\n" for name, length in CONTIGS.items()))
    lines = ["chr1 T gene 101 900 . - . ID=G1;gene_name=ABC1", "chr1 T transcript 101 900 . - . ID=T1;Parent=G1"]
    lines += [f"chr1 T exon {start} {end} . - . Parent=T1" for start, end in ((801, 900), (101, 200))]
    (folder / "g.gff3").write_text("".join(line.replace(" ", "\t") + "\n" for line in lines))
    store = open_store(folder / "refs")
    add_files(store, "g", [str(folder / "g.fa")])
    add_annotation(store, "g.v1", store.assembly("g"), str(folder / "g.gff3"))
    return folder


def modos(*words, code=0, **options):
    done = run(words, capture_output=True, text=True, **options)
    assert done.returncode == code, done.stderr
    return done


def count_below(folder, sample, contig, start, end, depth):
    return int((brute_depth(folder / f"files/{sample}.bam", contig, start, end) < depth).sum())


def test_regions_of_a_file(folder, tmp_path):
    (tmp_path / "panel.bed").write_text("chr1\t100\t400\nchr2\t0\t50\n")
    done = modos("coverage", "--cohort", folder / "cohort", "-R", tmp_path / "panel.bed", "--min-depth", "6")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0][:5] == ["object", "element", "sample", "gene", "exon"]
    expected = {
        (f"s00{n}", contig, str(start + 1), str(end), str(low))
        for n in range(3)
        for contig, start, end in (("chr1", 100, 400), ("chr2", 0, 50))
        if (low := count_below(folder, f"S{n}", contig, start, end, 6))
    }
    assert {(row[0], row[5], row[6], row[7], row[9]) for row in rows[1:]} == expected
    assert f"{len(expected)} of 6 regions in 3 files below 6x" in done.stderr


def test_exons_of_genes(folder, monkeypatch):
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(folder / "refs"))
    command = ["coverage", "--cohort", folder / "cohort", "--genes", "ABC1", "--annotation", "g.v1", "--where", "sex = 'Female'"]
    rows = json.loads(modos(*command, "--min-depth", "100", "--json").stdout)
    assert [(row["object"], row["gene"], row["exon"], row["start"], row["end"]) for row in rows] == [
        (name, "ABC1", exon, *span) for name in ("s000", "s002") for exon, span in ((1, (101, 200)), (2, (801, 900)))
    ]
    below = {(row["object"], row["exon"]) for row in json.loads(modos(*command, "--min-depth", "4", "--json").stdout)}
    spans = {1: (100, 200), 2: (800, 900)}
    assert below == {(f"s00{n}", exon) for n in (0, 2) for exon in spans if count_below(folder, f"S{n}", "chr1", *spans[exon], 4)}


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["--cohort", "cohort"], "neither genes nor regions", 2),
        (["--cohort", "cohort", "--genes", "ABC1"], "genes take an annotation", 2),
        (["--cohort", "cohort", "--genes", "A", "-r", "chr1"], "do not go together", 2),
        (["--cohort", "cohort", "-r", "chr1", "s000/S0.bam"], "do not go together", 2),
        (["--cohort", "none", "-r", "chr1"], "there is no folder", 3),
        (["--cohort", "cohort", "-r", "chr9"], "3 of 3 partitions failed: s000 data/reads chr9: no contig chr9", 3),
        (["--genes", "ABC1", "cohort/s000/S0.bam"], "goes with --cohort", 2),
        ([], "neither a file nor a cohort", 2),
    ],
)
def test_refusals(folder, words, told, code):
    done = modos("coverage", *words, cwd=folder, code=code)
    assert told in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_a_sealed_cohort(folder, tmp_path):
    copied = shutil.copytree(folder / "cohort", tmp_path / "cohort")
    modos("c4gh", "keygen", "--no-passphrase", tmp_path / "me.sec")
    for name in ("s000", "s001", "s002"):
        modos("c4gh", "encrypt", "-y", "-p", tmp_path / "me.pub", copied / name)
    asked = ["-r", "chr1:1-500", "--min-depth", "8"]
    plain = modos("coverage", "--cohort", folder / "cohort", *asked).stdout
    assert modos("coverage", "--cohort", copied, *asked, "--secret-key", tmp_path / "me.sec").stdout == plain
    assert "is encrypted" in modos("coverage", "--cohort", copied, *asked, code=4).stderr
