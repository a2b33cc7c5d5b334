"""The Python interface takes FIFOs: what comes out is what a file gives; what cannot come through one is refused."""

from __future__ import annotations

import os
import random
import threading

import numpy as np
import pytest

from modos.encryption.keys import generate, load_public_key, load_secret_key
from modos.errors import InvalidInputError
from modos.genomics.region import Region, read_regions
from modos.object.modo import MODO
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_store

BASES = "".join(random.Random(3).choices("ACGTacgt", k=150_000))
FASTA = f">chr1 one\n{BASES}\n>chr2\n{BASES[:7]}\n".encode()
VALUES = random.Random(4).choices(range(50), k=9000)
BEDGRAPH = "".join(f"chr1\t{at * 10}\t{at * 10 + 10}\t{value}\n" for at, value in enumerate(VALUES)).encode()


@pytest.fixture
def fifo(tmp_path):
    """Makes a FIFO that gives bytes once."""

    def make(data, name):
        path = tmp_path / f"fifo-{name}"
        os.mkfifo(path)
        threading.Thread(target=lambda: path.write_bytes(data), daemon=True).start()
        return path

    return make


def test_a_genome_and_tracks(fifo, tmp_path):
    """Every base and every value, of text and of a bigWig; a mask as well."""
    from modos.tracks.export import export

    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(fifo(FASTA, "ref.fa"))
    modo.add_track("text", fifo(BEDGRAPH, "x.bedGraph"), mask=str(fifo(b"chr1\t0\t100\n", "mask.bed")))
    genome = modo.open_genome()
    assert genome["chr1"].seq[:].tobytes().decode() == BASES and genome["chr2"].seq[:].tobytes().decode() == BASES[:7]
    wanted = np.repeat(np.array(VALUES, np.float32), 10)
    wanted[:100] = np.nan
    assert np.array_equal(genome.track("text").values("chr1:1-90,000"), wanted, equal_nan=True)
    export(genome.track("text"), str(tmp_path / "x.bw"))
    modo.add_track("bigwig", fifo((tmp_path / "x.bw").read_bytes(), "x"))
    assert np.array_equal(modo.open_genome().track("bigwig").values("chr1:1-90,000"), wanted, equal_nan=True)
    assert modo.find_problems() == []


def test_a_reference_and_an_annotation(fifo, tmp_path):
    store = open_store(str(tmp_path / "refs"))
    assembly = add_files(store, "mini", [str(fifo(FASTA, "ref.fa"))], str(fifo(b"# ucsc\trefseq\nchr1\tNC_1.1\n", "alias.txt")))
    assert [(c.name, c.length, c.aliases) for c in assembly.contigs] == [("chr1", 150_000, ("NC_1.1",)), ("chr2", 7, ())]
    gff3 = (
        b"##gff-version 3\n"
        + b"#\n" * 100_000
        + b"".join(
            b"chr1\tT\t%s\t2\t6\t.\t-\t.\t%s\n" % row
            for row in ((b"gene", b"ID=g1;gene_name=ABC"), (b"mRNA", b"ID=t1;Parent=g1"), (b"exon", b"ID=e1;Parent=t1"))
        )
    )
    made = add_annotation(store, "genes", assembly, str(fifo(gff3, "genes.gff3")))
    assert made.rows["gene"] == made.rows["transcript"] == made.rows["exon"] == 1


def test_what_describes(fifo, tmp_path):
    text = b"- element: {id: s1, '@type': Sample, sex: Female}\n"
    modo = MODO.from_file([fifo(text, "a.yaml"), fifo(b"id\tsex\ns2\tMale\n", "b")], tmp_path / "ex", type="sample")
    assert modo.list_samples() == ["sample/s1", "sample/s2"]
    assert read_regions(str(fifo(b"chr1\t5\t9\n", "x.bed"))) == (Region("chr1", 5, 9),)
    generate(tmp_path / "k.sec", tmp_path / "k.pub", "words")
    secret = load_secret_key(fifo((tmp_path / "k.sec").read_bytes(), "sec"), lambda: "words")
    assert load_public_key(fifo((tmp_path / "k.pub").read_bytes(), "pub")) == secret.public


def test_what_is_refused(example, fifo, tmp_path):
    """Nobody waits for a writer, and nothing is made."""
    os.mkfifo(tmp_path / "never.bam")
    modo = MODO.create(tmp_path / "ex")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidInputError, match="is a pipe"):
        modo.add_element({"id": "x", "@type": "AlignmentSet"}, tmp_path / "never.bam")
    (tmp_path / "a.yaml").write_text("- element: {id: x, '@type': AlignmentSet}\n  args: {source_file: never.bam}\n")
    with pytest.raises(InvalidInputError, match="is a pipe"):
        MODO.from_file(tmp_path / "a.yaml", tmp_path / "new")
    with pytest.raises(InvalidInputError, match="is a pipe"):
        MODO.open(example / "ex").file("demo1.cram", tmp_path / "never.bam")
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "a.yaml") == before
