"""A CRAM whose reference lives only in the store, streamed to pysam and samtools with no flag given."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import ConflictError, ModosError, NotFoundError
from modos.genomics.region import Region
from modos.reference.adding import add_files, push
from modos.reference.cache import cached_files
from modos.reference.locate import open_reference, open_store
from tests.support import commands


@pytest.fixture
def place(tmp_path, example, monkeypatch):
    """A folder with the demo's CRAM in the object `own` without a reference, and a store `refs` that has it."""
    monkeypatch.setenv("REF_PATH", "/nowhere")
    add_files(open_store(tmp_path / "refs"), "demo", [str(example / "source/reference.fa")])
    modo = MODO.create(tmp_path / "own")
    modo.add_element({"id": "reads", "@type": "AlignmentSet", "data_path": "reads.cram"}, example / "source/demo1.cram")
    return tmp_path


def test_without_a_reference_what_is_missing_is_named(place):
    with pytest.raises(ModosError, match="the reference of chr1 .*MD5|chr1"):
        list(MODO.open(place / "own").stream_genomics("reads.cram", "chr1:20,001-25,000"))


def test_a_store_on_this_machine(place, monkeypatch):
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(place / "refs"))
    assert sum(1 for _ in MODO.open(place / "own").stream_genomics("reads.cram", "chr1:20,001-25,000")) == 969
    assert list(cached_files()) == []  # it is read where it is
    result = subprocess.run(
        f"{sys.executable} -c 'from modos.cli import main; main()' stream -r chr1:20,001-25,000 own/reads.cram | samtools view -c",
        shell=True,
        cwd=place,
        capture_output=True,
        text=True,
    )
    assert result.stdout == "969\n", result.stderr


def test_a_store_far_away_gives_the_contig_of_the_region_alone(place, stack, monkeypatch):
    keys = {
        "AWS_ACCESS_KEY_ID": CREDENTIALS["key"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"],
        "MODOS_ENDPOINT": stack.endpoint,
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    target = f"s3://{BUCKET}/refs-{place.name}"
    push(open_store(place / "refs"), open_store(target), "demo")
    monkeypatch.setenv("MODOS_REFERENCE_STORE", target)
    result = commands.run(
        ["stream", "-c", "-r", "chr1:20,001-25,000", "own/reads.cram"],
        cwd=place,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert result.stdout == "969\n", result.stderr
    assert len(list(cached_files())) == 1
    modo = MODO.open(place / "own")
    assert sum(1 for _ in modo.stream_genomics("reads.cram")) > 969 and len(list(cached_files())) == 2
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    assert sum(1 for _ in modo.stream_genomics("reads.cram", "chr1:20,001-25,000")) == 969


def test_a_cram_of_an_htsget_server_takes_the_fasta_that_is_given(stack, example):
    """The address of a file on a server, as `modos stream` takes it."""
    from modos.object.finding import open_served_file

    url = f"{stack.endpoint}/htsget/reads/ex/demo1"
    assert open_served_file(url, None, example / "source/reference.fa").count("chr1:20,001-25,000") == 969
    assert sum(1 for _ in open_served_file(url, None, example / "source/reference.fa").fetch("chr1:20,001-25,000")) == 969


@pytest.fixture
def named(place, monkeypatch):
    """The object `own`, whose ReferenceGenome names an assembly of the store; its contigs have other names, too."""
    names = place / "names.txt"
    names.write_text("".join(f"chr{n}\t{n}\tNC_{n}.1\n" for n in range(1, 5)))
    store = open_store(place / "refs")
    contigs = store.assembly("demo").contigs
    (place / "named.fa").write_text(
        "".join(f">{c.name}\n{open_reference('demo', place / 'refs').dna(c.name)}\n" for c in contigs)
    )
    add_files(store, "named", [str(place / "named.fa")], str(names))
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(place / "refs"))
    modo = MODO.open(place / "own")
    modo.add_element(
        {"id": "named", "@type": "ReferenceGenome", "assembly": "named", "seqcol_digest": store.assembly("named").seqcol}
    )
    modo.update_element("data/reads", {"has_reference": ["reference/named"]})
    return modo


def test_an_element_names_an_assembly_of_the_store(named, place):
    reference = named.reference("named")
    assert reference.dna("NC_1.1", 0, 5) == reference.dna("chr1", 0, 5) == named.reference().dna("1:1-5")
    assert named.reference("demo").dna("chr1", 0, 5) == reference.dna("chr1", 0, 5)  # of the store alone
    with pytest.raises(NotFoundError, match="no reference hg38, and there is no assembly hg38"):
        named.reference("hg38")
    named.update_element("reference/named", {"seqcol_digest": "A" * 32})
    with pytest.raises(ConflictError, match="another one than the object was made with"):
        named.reference("named")


def test_other_names_of_contigs_are_understood_in_streams(named, place):
    wanted = [read.query_name for read in named.stream_genomics("reads.cram", "chr1:20,001-25,000")]
    assert len(wanted) == 969
    for region in (
        "1:20,001-25,000",
        "NC_1.1:20,001-25,000",
        Region("1", 20_000, 25_000),
        ["NC_1.1:20,001-22,000", "1:22,001-25,000"],
    ):
        assert [read.query_name for read in named.stream_genomics("reads.cram", region)] == wanted, region
    assert named.count("reads.cram", "1:20,001-25,000") == 969 and named.coverage("reads.cram", "1:20,001-20,100").shape == (100,)
    result = commands.run(
        ["stream", "-c", "-r", "NC_1.1:20,001-25,000", "own/reads.cram"], cwd=place, capture_output=True, text=True
    )
    assert result.stdout == "969\n", result.stderr
    with pytest.raises(NotFoundError, match="chr99"):
        named.count("reads.cram", "chr99:1-5")


def test_a_genome_for_tracks_has_all_names(named):
    named.add_genome(reference="named", id="named-tracks")
    assert named.open_genome("named-tracks").contigs.resolve("NC_1.1") == "chr1"


def test_enrich_fills_sequences_with_their_digests(named):
    assert named.enrich_metadata() == []
    assembly = open_store().assembly("named")
    links = named.metadata["reference/named"]["has_sequence"]
    found = {
        named.metadata[link]["name"]: (named.metadata[link]["sequence_md5"], named.metadata[link]["refget_digest"])
        for link in links
    }
    assert found == {contig.name: (contig.md5, contig.ga4gh) for contig in assembly.contigs} and named.find_problems() == []
    before = named.metadata
    named.enrich_metadata()
    assert {k: v for k, v in named.metadata.items() if "/" in k} == {k: v for k, v in before.items() if "/" in k}


def test_a_fasta_of_the_object_is_a_reference_too(example, tmp_path, stack):
    """Read by part where it is, also on S3; enrich gives it its digests."""
    import pysam

    with pysam.FastaFile(str(example / "source/reference.fa")) as fasta:
        wanted = fasta.fetch("chr1", 1000, 1100).upper()
        whole = fasta.fetch("chr2").upper()
    local = MODO.open(example / "ex")
    remote = MODO.open(f"s3://{BUCKET}/ex", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    for modo in (local, remote):
        reference = modo.reference()
        assert reference.dna("chr1", 1000, 1100) == wanted and reference.dna("chr2") == whole
        assert reference.dna("chr1:1,001-1,100") == wanted
        with pytest.raises(NotFoundError, match="no annotations"):
            reference.annotation("x")


def test_enrich_reads_the_fasta_once_and_again_when_it_is_another(example, tmp_path):
    import shutil

    shutil.copytree(example / "ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    modo.enrich_metadata()
    reference = next(id for id in modo.metadata if id.startswith("reference/"))
    first = modo.metadata[reference]["seqcol_digest"]
    add_files(open_store(tmp_path / "refs"), "same", [str(example / "source/reference.fa")])
    assert open_store(tmp_path / "refs").assembly("same").seqcol == first
    assert modo.reference().assembly.seqcol == first
    (tmp_path / "other.fa").write_text(">chr1\nACGT\n")
    subprocess.run(["samtools", "faidx", tmp_path / "other.fa"], check=True)
    modo.update_element(reference, {}, tmp_path / "other.fa")
    assert "seqcol_digest" not in modo.metadata[reference]
    modo.enrich_metadata()
    assert modo.metadata[reference]["seqcol_digest"] not in (None, first)


def test_check_compares_a_cram_with_its_reference(named, place):
    """Before anyone decodes: one contig has other bases than those the CRAM was made with."""
    assert named.find_problems() == []
    bases = {c.name: open_reference("named").dna(c.name) for c in open_store().assembly("named").contigs}
    bases["chr2"] = "T" + bases["chr2"][1:]
    (place / "wrong.fa").write_text("".join(f">{name}\n{text}\n" for name, text in bases.items()))
    add_files(open_store(), "wrong", [str(place / "wrong.fa")])
    named.add_element({"id": "wrong", "@type": "ReferenceGenome", "assembly": "wrong"})
    named.update_element("data/reads", {"has_reference": ["reference/wrong"]})
    (problem,) = named.find_problems()
    assert problem.kind == "sequence" and not problem.harmless
    assert "made with other sequences than reference/wrong: chr2 (M5 " in problem.message and "chr1" not in problem.message
    result = commands.run(["check", "own"], cwd=place, capture_output=True, text=True)
    assert result.returncode == 6 and "chr2 (M5" in result.stdout + result.stderr
    open_store().remove("wrong")
    (problem,) = named.find_problems()
    assert problem.harmless and "cannot be compared" in problem.message


def test_what_is_missing_is_named_with_the_ways_to_get_it(place):
    with pytest.raises(ModosError) as raised:
        list(MODO.open(place / "own").stream_genomics("reads.cram", "chr1:20,001-25,000"))
    assert "chr1" in raised.value.message and "MD5" in raised.value.message
    assert "modos reference" in raised.value.hint and "-T" in raised.value.hint, raised.value.hint


def test_digests_of_a_fasta_that_was_replaced_are_not_those_of_the_new_one(tmp_path):
    """What the metadata record of sequences counts only if it is of the FASTA that is there, and whatever was before."""
    texts = {"one": ">chr1\nACGT\n>chr2\nGG\n", "two": ">chr1\nTTTT\n>chr2\nCC\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.fa").write_text(text)
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "r", "@type": "ReferenceGenome"}, tmp_path / "one.fa")
    modo.enrich_metadata()
    for name in ("two", "one"):
        modo.update_element("reference/r", {}, tmp_path / f"{name}.fa")
        bases = texts[name].split("\n")[1]
        assert modo.reference("r").assembly.seqcol == "" and modo.reference("r").dna("chr1") == bases
        modo.enrich_metadata()
        contig = modo.reference("r").assembly.by_name["chr1"]
        assert contig.md5 in (hashlib.md5(bases.encode()).hexdigest(), "none of chr1")
