"""Annotations: what files say becomes tables, and tables answer by place, as counting would."""

from __future__ import annotations

import gzip
import json
import os
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import AlreadyExistsError, ConflictError, IntegrityError, InvalidInputError, NotFoundError, TruncatedStream
from modos.reference.adding import add_files
from modos.reference.annotation_store import (
    add_annotation,
    annotation_key,
    name_of,
    open_annotation,
    read_manifest,
    remove_annotation,
    verify_annotation,
)
from modos.reference.annotations.intervals import IntervalIndex
from modos.reference.cached_store import CachedStore
from modos.reference.locate import open_reference, open_store
from tests.support.sampling import most

pytestmark = pytest.mark.sweep(25)

CHR1, CHR2 = "ACGT" * 500, "TTGCA" * 300
ATTRIBUTES = "ID={id};{parent}gene_id=G1.2;gene_type=protein_coding;gene_name=ABC1;{more}"


def line(contig, kind, start, end, strand, attributes, phase="."):
    return "\t".join((contig, "TEST", kind, str(start), str(end), ".", strand, phase, attributes)) + "\n"


GENCODE = (
    "##gff-version 3\n"
    + line("chr1", "gene", 101, 900, "-", "ID=G1.2;gene_id=G1.2;gene_type=protein_coding;gene_name=ABC1;level=2")
    + line(
        "chr1",
        "transcript",
        101,
        900,
        "-",
        "ID=T1.1;Parent=G1.2;gene_id=G1.2;transcript_id=T1.1;transcript_type=protein_coding;transcript_name=ABC1-201;"
        "level=2;transcript_support_level=1;protein_id=P1.1;tag=basic,MANE_Select,appris_principal_1,CCDS;ccdsid=CCDS1.1",
    )
    + "".join(
        line("chr1", kind, start, end, "-", f"ID={kind}:T1.1:{start};Parent=T1.1;exon_id=E{start}.1", phase)
        for kind, start, end, phase in (
            ("exon", 801, 900, "."),
            ("CDS", 801, 850, "0"),
            ("exon", 401, 500, "."),
            ("CDS", 401, 500, "1"),
            ("exon", 101, 200, "."),
            ("CDS", 151, 200, "2"),
        )
    )
    + line(
        "chr1",
        "transcript",
        101,
        500,
        "-",
        "ID=T2.1;Parent=G1.2;transcript_type=retained_intron;transcript_name=ABC1-202;tag=appris_alternative_2",
    )
    + line("chr1", "exon", 101, 500, "-", "ID=exon:T2.1:1;Parent=T2.1;exon_id=E9.1")
    + line("chr2", "gene", 10, 60, "+", "ID=G2.1;gene_id=G2.1;gene_type=lncRNA;gene_name=XYZ")
    + line(
        "chr2",
        "transcript",
        10,
        60,
        "+",
        "ID=T3.1;Parent=G2.1;transcript_type=lncRNA;transcript_name=XYZ-201;tag=MANE_Plus_Clinical",
    )
    + line("chr2", "exon", 10, 60, "+", "ID=exon:T3.1:1;Parent=T3.1;exon_id=E7.1")
)

GTF = "".join(
    line("chr1", kind, start, end, "-", f'gene_id "G1"; transcript_id "T1"; gene_name "ABC1"; exon_number {number};', phase)
    for kind, start, end, phase, number in (
        ("exon", 801, 900, ".", 1),
        ("CDS", 801, 850, "0", 1),
        ("exon", 401, 500, ".", 2),
        ("CDS", 401, 500, "1", 2),
        ("exon", 101, 200, ".", 3),
        ("CDS", 154, 200, "2", 3),
        ("stop_codon", 151, 153, "0", 3),
    )
)

NCBI = (
    "##gff-version 3\n"
    + line("NC_1.1", "region", 1, 2000, "+", "ID=NC_1.1:1..2000;Dbxref=taxon:9606")
    + line(
        "NC_1.1", "gene", 101, 900, "+", "ID=gene-ABC1;Dbxref=GeneID:1;Name=ABC1;gbkey=Gene;gene=ABC1;gene_biotype=protein_coding"
    )
    + line("NC_1.1", "mRNA", 101, 900, "+", "ID=rna-NM_1.1;Parent=gene-ABC1;Name=NM_1.1;tag=MANE Select;transcript_id=NM_1.1")
    + line("NC_1.1", "exon", 101, 200, "+", "ID=exon-NM_1.1-1;Parent=rna-NM_1.1")
    + line("NC_1.1", "exon", 801, 900, "+", "ID=exon-NM_1.1-2;Parent=rna-NM_1.1")
    + line("NC_1.1", "CDS", 151, 200, "+", "ID=cds-NP_1.1;Parent=rna-NM_1.1;protein_id=NP_1.1", "0")
    + line("NC_1.1", "gene", 1001, 1070, "+", "ID=gene-TRNF;Name=TRNF;gene_biotype=tRNA")
    + line("NC_1.1", "tRNA", 1001, 1070, "+", "ID=rna-TRNF;Parent=gene-TRNF;gbkey=tRNA")
    + line("NC_1.1", "exon", 1001, 1070, "+", "ID=exon-TRNF-1;Parent=rna-TRNF")
    + line("NC_1.1", "gene", 1201, 1300, "-", "ID=gene-mirgene;Name=MIR1;gene_biotype=miRNA")
    + line("NC_1.1", "primary_transcript", 1201, 1300, "-", "ID=rna-NR_1.1;Parent=gene-mirgene;Name=NR_1.1")
    + line("NC_1.1", "exon", 1201, 1300, "-", "ID=exon-NR_1.1-1;Parent=rna-NR_1.1")
    + line("NC_1.1", "miRNA", 1211, 1230, "-", "ID=rna-MIR1;Parent=rna-NR_1.1")
    + line("NC_1.1", "exon", 1211, 1230, "-", "ID=exon-MIR1-1;Parent=rna-MIR1")
    + line("NC_1.1", "pseudogene", 1401, 1500, "+", "ID=gene-PSG;Name=PSG;gene_biotype=pseudogene")
    + line("NC_1.1", "gene", 1601, 1650, "+", "ID=gene-bact;Name=bact;gene_biotype=protein_coding")
    + line("NC_1.1", "CDS", 1601, 1650, "+", "ID=cds-bact;Parent=gene-bact", "0")
)

REFGENE = (
    "585\tNM_1\tchr1\t-\t100\t900\t150\t850\t3\t100,400,800,\t200,500,900,\t0\tABC1\tcmpl\tcmpl\t0,2,0,\n"
    "585\tNR_2\tchr2\t+\t9\t60\t60\t60\t1\t9,\t60,\t0\tXYZ\tunk\tunk\t-1,\n"
    "585\tNM_1\tchr1\t-\t1000\t1100\t1000\t1000\t1\t1000,\t1100,\t0\tABC1\tunk\tunk\t-1,\n"
)


@pytest.fixture
def store(tmp_path):
    """A store with an assembly of two contigs that have other names."""
    (tmp_path / "x.fa").write_text(f">chr1\n{CHR1}\n>chr2\n{CHR2}\n")
    (tmp_path / "names.txt").write_text("chr1\t1\tNC_1.1\nchr2\t2\tNC_2.1\n")
    store = open_store(tmp_path / "refs")
    add_files(store, "mini", [str(tmp_path / "x.fa")], str(tmp_path / "names.txt"))
    return store


@pytest.fixture
def annotate(store, tmp_path):
    """Give the store an annotation of some text, and open it."""

    def make(text, name="test", file="test.gff3", **options):
        path = tmp_path / file
        path.write_bytes(gzip.compress(text.encode()) if file.endswith(".gz") else text.encode())
        add_annotation(store, name, store.assembly("mini"), str(path), **options)
        return open_reference("mini", tmp_path / "refs").annotation(name)

    return make


def places(features, *more):
    return [(f.start, f.end, *(getattr(f, name) for name in more)) for f in features]


def test_gencode(annotate):
    found = annotate(GENCODE, file="test.gff3.gz")
    first, second = found.transcripts["T1.1"], found.transcripts["T2"]
    assert (
        [gene.name for gene in found.genes] == ["ABC1", "XYZ"]
        and found.genes["G1.2"].type == "protein_coding"
        and found.genes["G1.2"].level == 2
    )
    assert first.gene == found.genes["G1"] and {t.id for t in first.gene.transcripts} == {"T1.1", "T2.1"}
    assert places(first.exons, "number", "id") == [(800, 900, 1, "E801.1"), (400, 500, 2, "E401.1"), (100, 200, 3, "E101.1")]
    assert places(first.introns, "number") == [(500, 800, 1), (200, 400, 2)]
    assert places(first.cds, "number", "phase") == [(800, 850, 1, 0), (400, 500, 2, 1), (150, 200, 3, 2)]
    assert places(first.utrs, "number", "side") == [(850, 900, 1, "5'"), (100, 150, 3, "3'")]
    assert (first.support, first.protein, first.ccds, first.name, first.mane, first.appris) == (
        "1",
        "P1.1",
        "CCDS1.1",
        "ABC1-201",
        "select",
        "principal_1",
    )
    assert not second.cds and not second.utrs and second.type == "retained_intron" and str(second.region) == "chr1:101-500"
    assert [t.id for t in found.mane_select("ABC1")] == ["T1.1"] and [t.id for t in found.mane_plus_clinical()] == ["T3.1"]
    assert [t.id for t in found.appris("ABC1", principal=False)] == ["T1.1", "T2.1"] and [t.id for t in found.appris()] == [
        "T1.1"
    ]
    assert (
        first.cds[0].transcript == first
        and first.exons[0].gene.name == "ABC1"
        and found.gene("XYZ").transcripts[0].exons[0].id == "E7.1"
    )


def test_gtf_without_genes_and_transcripts(annotate):
    found = annotate(GTF, file="test.gtf")
    (transcript,) = found.transcripts
    assert (transcript.id, transcript.start, transcript.end, transcript.gene.id) == ("T1", 100, 900, "G1")
    assert places(transcript.cds, "phase") == [(800, 850, 0), (400, 500, 1), (150, 200, 2)]  # with the stop codon
    assert places(transcript.utrs, "side") == [(850, 900, "5'"), (100, 150, "3'")]


def test_gtf_names_at_several_places(annotate):
    """A gene and a transcript on two contigs and strands (PAR, UCSC's names): one at each; transcripts without gene lines have genes."""
    text = "".join(
        line(contig, kind, start, end, strand, f'gene_id "G1"; transcript_id "{name}";')
        for contig, kind, start, end, strand, name in (
            ("chr1", "exon", 11, 100, "+", "T1"),
            ("chr1", "exon", 201, 300, "+", "T1"),
            ("chr2", "exon", 511, 600, "-", "T1"),
            ("chr2", "CDS", 521, 590, "-", "T1"),
            ("chr2", "transcript", 611, 700, "-", "T2"),
            ("chr2", "exon", 611, 700, "-", "T2"),
        )
    )
    found = annotate(text, file="x.gtf")
    assert [(g.id, g.contig, g.start, g.end, g.strand) for g in found.genes] == [
        ("G1", "chr1", 10, 300, "+"),
        ("G1", "chr2", 510, 600, "-"),
        ("G1", "chr2", 610, 700, "-"),
    ]
    assert [
        (t.id, t.contig, t.start, t.end, t.gene.contig, len(t.exons), len(t.introns), len(t.cds)) for t in found.transcripts
    ] == [
        ("T1", "chr1", 10, 300, "chr1", 2, 1, 0),
        ("T1", "chr2", 510, 600, "chr2", 1, 0, 1),
        ("T2", "chr2", 610, 700, "chr2", 1, 0, 0),
    ]


def test_parts_of_one_id_at_several_places(annotate):
    """A gene that is spliced from two strands has one ID on two lines: each place has its own parts."""
    found = annotate(
        line("chr1", "gene", 601, 700, "-", "ID=gene-rps12;part=1/2")
        + line("chr1", "gene", 101, 300, "+", "ID=gene-rps12;part=2/2")
        + line("chr1", "CDS", 601, 700, "-", "ID=c;Parent=gene-rps12", "0")
        + line("chr1", "CDS", 101, 150, "+", "ID=c;Parent=gene-rps12", "0")
        + line("chr1", "CDS", 251, 300, "+", "ID=c;Parent=gene-rps12", "1")
    )
    assert [(t.start, t.end, t.strand, t.gene.strand, places(t.exons), len(t.introns)) for t in found.transcripts] == [
        (100, 300, "+", "+", [(100, 150), (250, 300)], 1),
        (600, 700, "-", "-", [(600, 700)], 0),
    ]


def test_a_gtf_of_bacteria(annotate):
    """Coding stretches alone; an exon without a transcript has none."""
    found = annotate(
        line("chr1", "gene", 101, 400, "+", 'gene_id "b1"; transcript_id ""; gene_biotype "protein_coding";')
        + line("chr1", "CDS", 101, 397, "+", 'gene_id "b1"; transcript_id "unassigned_transcript_1"; protein_id "WP_1";', "0")
        + line("chr1", "stop_codon", 398, 400, "+", 'gene_id "b1"; transcript_id "unassigned_transcript_1";', "0")
        + line("chr1", "exon", 501, 600, "+", 'gene_id "b2";'),
        file="x.gtf",
    )
    (transcript,) = found.transcripts
    assert (transcript.gene.id, places(transcript.exons), places(transcript.cds)) == ("b1", [(100, 400)], [(100, 400)])
    assert [gene.id for gene in found.genes] == ["b1"]


def test_genes_of_one_name_that_do_not_meet(annotate):
    """As in UCSC's GTF: one gene wherever some of its transcripts meet, like those of the refGene table."""
    text = "".join(
        line("chr1", "exon", start, end, "+", f'gene_id "MIR1"; transcript_id "{name}";')
        for start, end, name in ((11, 60, "NR_1"), (41, 90, "NR_1_2"), (901, 920, "NR_1_3"))
    )
    found = annotate(text, file="x.gtf")
    assert [(g.start, g.end, len(g.transcripts)) for g in found.genes] == [(10, 90, 2), (900, 920, 1)] and len(
        found.genes.named("MIR1")
    ) == 2


def test_gff3_escapes(annotate):
    found = annotate(
        line("chr%31", "gene", 1, 90, "+", "ID=tP%28UGG%29A;Name=tP%28UGG%29A%3B")
        + line("chr1", "tRNA", 1, 90, "+", "ID=t%2C1;Parent=tP%28UGG%29A")
        + line("chr1", "exon", 1, 90, "+", "Parent=t%2C1")
    )
    assert found.gene("tP(UGG)A;").id == "tP(UGG)A" and found.transcripts["t,1"].exons[0].end == 90


def test_gtf_tags(annotate):
    attributes = 'gene_id "G1"; transcript_id "T1"; tag "basic"; tag "MANE_Select"; tag "appris_principal_2";'
    found = annotate(
        line("chr1", "gene", 1, 50, "+", 'gene_id "G1"; gene_name "A B";')
        + line("chr1", "transcript", 1, 50, "+", attributes)
        + line("chr1", "exon", 1, 50, "+", attributes)
    )
    assert found.genes[0].name == "A B" and found.transcripts[0].tags == "basic,MANE_Select,appris_principal_2"
    assert (found.transcripts[0].mane, found.transcripts[0].appris) == ("select", "principal_2")


def test_ncbi(annotate):
    """Other contig names; a tRNA of the name of its gene; a miRNA within a transcript; a pseudogene without, a gene with a CDS alone."""
    found = annotate(NCBI)
    assert {gene.id for gene in found.genes} == {"ABC1", "TRNF", "mirgene", "PSG", "bact"}
    assert {(t.id, t.gene.name) for t in found.transcripts} == {
        ("NM_1.1", "ABC1"),
        ("TRNF", "TRNF"),
        ("NR_1.1", "MIR1"),
        ("MIR1", "MIR1"),
        ("bact", "bact"),
    }
    assert (
        found.transcripts["NM_1.1"].protein == "NP_1.1"
        and found.transcripts["NM_1.1"].mane == "select"
        and places(found.transcripts["NM_1"].utrs, "side") == [(100, 150, "5'"), (800, 900, "3'")]
    )
    assert places(found.transcripts["bact"].exons) == places(found.transcripts["bact"].cds) == [(1600, 1650)]
    assert found.genes.overlap("1:1,405-1,410")[0].id == "PSG" and found.genes.overlap("NC_1.1", 1404, 1410)[0].contig == "chr1"


def test_ensembl(annotate):
    found = annotate(
        line("1", "chromosome", 1, 2000, ".", "ID=chromosome:1")
        + line("1", "ncRNA_gene", 11, 99, "+", "ID=gene:ENSG1;Name=MIR;biotype=miRNA;gene_id=ENSG1;version=3")
        + line(
            "1",
            "miRNA",
            11,
            99,
            "+",
            "ID=transcript:ENST1;Parent=gene:ENSG1;Name=MIR-201;biotype=miRNA;tag=basic,Ensembl_canonical;transcript_id=ENST1",
        )
        + line("1", "exon", 11, 99, "+", "Parent=transcript:ENST1;exon_id=ENSE1;rank=1")
    )
    assert (found.genes[0].id, found.genes[0].type, found.transcripts[0].id, found.exons[0].id) == (
        "ENSG1",
        "miRNA",
        "ENST1",
        "ENSE1",
    )


def test_an_exon_of_several_transcripts(annotate):
    found = annotate(
        line("chr1", "gene", 1, 90, "+", "ID=g")
        + "".join(line("chr1", "mRNA", 1, 90, "+", f"ID=t{n};Parent=g") for n in (1, 2))
        + line("chr1", "exon", 1, 90, "+", "ID=e;Parent=t1,t2")
    )
    assert [t.exons[0].id for t in found.transcripts] == ["e", "e"] and len(found.exons) == 2


def test_refgene(annotate):
    for text in (REFGENE, REFGENE.replace("585\t", "")):
        found = annotate(text, name=f"refgene{len(text)}", file="refGene.txt")
        first = found.transcripts["NM_1"]
        assert places(first.exons) == [(800, 900), (400, 500), (100, 200)] and places(first.cds, "phase") == [
            (800, 850, 0),
            (400, 500, 1),
            (150, 200, 0),
        ]
        assert first.gene.name == "ABC1" and first.type == "protein_coding" and found.transcripts["NM_1-2"].type == "non_coding"
        assert {gene.id for gene in found.genes} == {"ABC1", "ABC1-2", "XYZ"} and len(found.genes.named("ABC1")) == 2
        with pytest.raises(NotFoundError, match="2 genes ABC1"):
            found.gene("ABC1")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("chr1\tT\texon\t5\n", "line 3: it has 4 columns, not 9"),
        (line("chr1", "exon", "x", 5, "+", "Parent=T1.1"), "line 3: x to 5 are no positions"),
        (line("chr1", "exon", 9, 5, "+", "Parent=T1.1"), "line 3: 9 to 5 are no positions"),
        (line("chr1", "exon", 0, 5, "+", "P=1"), "line 3: 0 to 5"),
        (line("chr1", "exon", 1, 5, "up", "P=1"), "line 3: strand 'up'"),
        (line("chr1", "exon", 1, "", "+", "P=1"), "line 3: 1 to  are no positions"),
        (line("", "exon", 1, 5, "+", "P=1"), "line 3: it has no contig"),
        (line("chr1", "exon", 1, 5, "+", "P=1").rstrip() + "\tmore\n", "line 3: it has 10 columns"),
        (line("chr1", "exon", 1, 2001, "+", "Parent=T1.1"), "chr1:1-2,001, and chr1 of the assembly has 2,000 bases"),
        (line("chr7", "exon", 1, 5, "+", "Parent=T1.1"), "contigs that the assembly lacks: chr7"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_added(annotate, store, broken, said):
    lines = GENCODE.splitlines(keepends=True)
    with pytest.raises(InvalidInputError, match=said.replace(",", ".")):
        annotate("".join(lines[:2]) + broken + "".join(lines[2:]))
    assert store.annotations() == {} and not list(store.storage.iter_files("annotations"))


def test_text_that_is_none(annotate, store, tmp_path):
    for text, said in (
        ("", "no genes"),
        ("##gff-version 3\n", "no genes"),
        ("hello\n", "1 columns"),
        (REFGENE + "585\tx\n", "line 4"),
        (line("chr1", "exon", 1, 5, "+", "Parent=nobody"), "no genes"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            annotate(text)
    data = gzip.compress(GENCODE.encode())
    (tmp_path / "cut.gff3.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedStream, match="ends too early|end too early"):
        add_annotation(store, "cut", store.assembly("mini"), str(tmp_path / "cut.gff3.gz"))
    (tmp_path / "bytes.gff3").write_bytes(b"chr1\tT\tgene\t1\t5\t.\t+\t.\tID=\xff\xfe\n")
    with pytest.raises(InvalidInputError, match="line 1: it is not text"):
        add_annotation(store, "bytes", store.assembly("mini"), str(tmp_path / "bytes.gff3"))


def test_other_contigs_are_left_out_when_asked(annotate):
    found = annotate(
        GENCODE + line("chr7", "gene", 1, 5, "+", "ID=far") + line("chr1", "exon", 1, 5, "+", "Parent=nobody"), skip_unknown=True
    )
    assert len(found.genes) == 2 and dict(found.manifest.left_out) == {
        "lines on contigs that mini lacks": 1,
        "lines without a transcript": 1,
    }


def test_crlf_comments_sequence_and_no_last_line_break(annotate):
    text = (
        GENCODE.replace("\n", "\r\n").replace("##gff-version 3\r\n", "##gff-version 3\r\n# more\r\n\r\n")
        + "###\r\n##FASTA\r\n>chr1\r\nACGT\r\n"
    )
    assert len(annotate(text).exons) == 5
    assert annotate(GENCODE.rstrip("\n"), name="other").transcripts["T1"].ccds == "CCDS1.1"


def test_names_of_files():
    assert [
        name_of(path) for path in ("a/gencode.v47.annotation.gff3.gz", "Homo_sapiens.GRCh38.115.gtf", "refGene.txt.gz", "x.GFF")
    ] == ["gencode.v47", "Homo_sapiens.GRCh38.115", "refGene", "x"]


def test_tables_are_plain_parquet(annotate, store):
    """Any Parquet reader has names and positions, 0-based half-open."""
    manifest = annotate(GENCODE).manifest
    path = store.storage.local_path(annotation_key("test", manifest.tables["exon"].file))
    assert pl.read_parquet(path).select("contig", "start", "end", "strand").row(0) == ("chr1", 100, 200, "-")
    assert set(json.loads(manifest.to_bytes())["tables"]) == {"gene", "transcript", "exon", "intron", "cds", "utr"}


def test_results_as_tables(annotate):
    pyarrow, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    found = annotate(GENCODE).exons.overlap("chr1:150-450")
    assert isinstance(found.to_arrow(), pyarrow.Table) and isinstance(found.to_pandas(), pandas.DataFrame)
    assert (
        found.to_polars()["id"].to_list()
        == found.to_arrow()["id"].to_pylist()
        == found.to_pandas()["id"].tolist()
        == [x.id for x in found]
    )


def test_a_wrong_assembly_is_an_error(annotate, store, tmp_path):
    annotate(GENCODE)
    (tmp_path / "y.fa").write_text(f">chr1\n{CHR2}\n")
    add_files(store, "other", [str(tmp_path / "y.fa")])
    with pytest.raises(InvalidInputError, match="is of the assembly mini"):
        open_reference("other", tmp_path / "refs").annotation("test")
    with pytest.raises(NotFoundError, match="no annotation tesst") as raised:
        open_reference("mini", tmp_path / "refs").annotation("tesst")
    assert raised.value.hint == "did you mean test?"


def test_another_of_the_name_is_refused_and_the_same_is_not(annotate, store):
    annotate(GENCODE)
    annotate(GENCODE)
    with pytest.raises(AlreadyExistsError, match="another annotation test"):
        annotate(NCBI)
    assert len(open_annotation(CachedStore(store), "test", store.assembly("mini")).genes) == 2
    with pytest.raises(ConflictError, match="has annotations"):
        store.remove("mini")
    remove_annotation(store, "test")
    assert store.annotations() == {} and not list(store.storage.iter_files("annotations"))
    store.remove("mini")


def test_the_same_file_gives_the_same_tables(store, tmp_path):
    """Also where many transcripts, exons and coding stretches are at one place: adding again changes nothing."""
    source, text = random.Random(5), []
    for gene in range(60):
        start = source.randrange(1, 900)
        text.append(line("chr1", "gene", start, start + 900, "+", f"ID=g{gene}"))
        for number in range(40):
            text.append(line("chr1", "mRNA", start, start + 900, "+", f"ID=t{gene}.{number};Parent=g{gene}"))
            text += [
                line("chr1", kind, start + at, start + at + 90, "+", f"Parent=t{gene}.{number}")
                for at in (0, 300, 810)
                for kind in ("exon", "CDS")
            ]
    (tmp_path / "many.gff3").write_text("".join(text))
    made = [add_annotation(store, "many", store.assembly("mini"), str(tmp_path / "many.gff3")) for _ in range(4)]
    assert made[0] == made[1] == made[2] == made[3] and made[0].rows["cds"] == 7200


def test_damage_is_found(annotate, store):
    manifest = annotate(GENCODE).manifest
    path = store.storage.local_path(annotation_key("test", manifest.tables["exon"].file))
    data = path.read_bytes()
    os.chmod(path, 0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert len(list(verify_annotation(store, manifest))) == 1
    path.write_bytes(data[:10])
    with pytest.raises(IntegrityError, match="not of"):
        next(iter(open_annotation(CachedStore(store), "test", store.assembly("mini")).exons)).start
    assert len(list(verify_annotation(store, manifest))) == 1
    path = store.storage.local_path(annotation_key("test"))
    path.write_bytes(path.read_bytes().replace(b"chr1", b'chr1", "chr9'))
    with pytest.raises(IntegrityError, match="damaged"):
        read_manifest(store, "test")
    path.write_bytes(b'{"format": 2}')
    with pytest.raises(InvalidInputError, match="of format 2"):
        read_manifest(store, "test")


def test_what_cannot_be_asked(annotate):
    found = annotate(GENCODE)
    for ask, kind, said in (
        (lambda: found.exons.overlap("chr9", 0, 5), NotFoundError, "no contig chr9"),
        (lambda: found.exons.overlap("chr1", 9, 5), InvalidInputError, "no region"),
        *(
            (lambda how=how: getattr(found.exons, how)("chr2", 1, 2, "x"), InvalidInputError, "neither")
            for how in ("overlap", "within", "exact", "aligned_5p", "within_3p")
        ),
        *((lambda how=how: getattr(found.exons, how)("chr9", 1, 2), NotFoundError, "chr9") for how in ("within", "aligned_3p")),
        (lambda: found.exons.overlap_many(["chr1"], [1, 2], [3, 4]), InvalidInputError, "1 contigs, 2 starts"),
        (lambda: found.exons.overlap_many(["chr1"], [5], [4]), InvalidInputError, "ends before"),
        (lambda: found.exons.overlap_many(["chr9"], [5], [6]), NotFoundError, "chr9"),
        (lambda: found.genes["G3"], NotFoundError, "no gene G3"),
        (lambda: found.cds["x"], InvalidInputError, "no id"),
        (lambda: found.genes[7], IndexError, "2 rows"),
    ):
        with pytest.raises(kind, match=said):
            ask()
    with pytest.raises(AttributeError, match="a gene has no phase"):
        found.genes[0].phase
    assert not found.exons.overlap("chr1", 150, 150) and not hasattr(found.genes[0], "transcript") and len(found.genes[:1]) == 1


INTERVALS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(1, 30)), max_size=40)


def index_of(intervals):
    ordered = sorted((contig, start, start + size) for contig, start, size in intervals)
    contigs, starts, ends = (np.array(column, np.int64) for column in (zip(*ordered) if ordered else ((), (), ())))
    return ordered, IntervalIndex(np.searchsorted(contigs, np.arange(4)), starts, ends, np.arange(len(ordered)))


@settings(deadline=None, max_examples=most(300, 60))
@given(
    INTERVALS,
    st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 80), st.integers(0, 40)), max_size=20),
    st.sampled_from([24, 1]),
)
def test_every_way_of_asking_finds_what_counting_finds(intervals, queries, listed):
    import modos.reference.annotations.intervals as module

    before, module._MAX_LISTED = module._MAX_LISTED, listed
    least, module._LISTED_AT_LEAST = module._LISTED_AT_LEAST, 1024 if listed > 1 else 0
    try:
        ordered, index = index_of(intervals)
        if not queries:
            return
        contigs, starts, sizes = (np.array(column, np.int64) for column in zip(*queries))
        found = {
            name: getattr(index, name)(contigs, starts, starts + sizes) for name in ("find_many", "find_within", "find_exact")
        }
        for number, (contig, start, size) in enumerate(queries):
            end = start + size
            rows = [(row, low, high) for row, (other, low, high) in enumerate(ordered) if other == contig]
            wanted = {
                "find_many": [row for row, low, high in rows if low < end and high > start and size],
                "find_within": [row for row, low, high in rows if start <= low and high <= end],
                "find_exact": [row for row, low, high in rows if (low, high) == (start, end)],
            }
            for name, pairs in found.items():
                assert sorted(pairs.row[pairs.query == number].tolist()) == wanted[name], name
            segments = index.segments(contig)
            if segments is not None and ordered:
                assert sorted(segments.find(start, end)) == wanted["find_many"]
    finally:
        module._MAX_LISTED, module._LISTED_AT_LEAST = before, least


def test_intervals_within_each_other_take_space_in_proportion():
    """10,000 intervals that all overlap: full lists would have 10**8 entries."""
    number = 10_000
    starts, ends = np.arange(number, dtype=np.int64), np.full(number, 3 * number) - np.arange(number)
    index = IntervalIndex(np.array([0, number]), starts, ends, np.arange(number))
    assert len(index._covering) <= 25 * number + 1024 and index.segments(0) is None
    source = random.Random(1)
    for _ in range(50):
        start = source.randrange(3 * number)
        end = start + source.randrange(1, 100)
        pairs = index.find_many(np.array([0]), np.array([start]), np.array([end]))
        assert pairs.row.tolist().__len__() == int(((starts < end) & (ends > start)).sum())


def test_one_very_long_interval_is_found_and_hinders_nothing():
    starts = np.concatenate(([0], np.arange(1000, 1_000_000, 100)))
    ends = np.concatenate(([49_000_000], np.arange(1000, 1_000_000, 100) + 50))
    index = IntervalIndex(np.array([0, len(starts)]), starts, ends, np.arange(len(starts)))
    segments = index.segments(0)
    assert list(segments.find(2_000_000, 2_000_001)) == [0] and sorted(segments.find(1000, 1010)) == [0, 1]


WORDS = st.sampled_from(
    [
        "chr1",
        "chr2",
        "",
        "T",
        "gene",
        "exon",
        "1",
        "5",
        "90",
        "0",
        "-3",
        "x",
        "+",
        "-",
        ".",
        "?",
        "ID=a",
        "Parent=a",
        "\xe9",
        '"',
        "#",
        "12345678901234567890",
        " 7",
    ]
)
GOOD = st.sampled_from(
    [
        "chr1\tT\tgene\t1\t5\t.\t+\t.\tID=a",
        'chr2\tT\texon\t3\t9\t0.5\t-\t1\tParent=a;x="y',
        "# comment",
        "",
        "###",
        "chr1\tT\tCDS\t5\t5\t.\t?\t0\t",
    ]
)
LINES = st.lists(st.one_of(GOOD, st.lists(WORDS, max_size=11).map("\t".join)), max_size=8)


@settings(deadline=None, max_examples=most(400, 60))
@given(LINES, st.booleans())
def test_a_text_is_read_where_each_line_is_one_and_else_its_first_wrong_line_is_named(lines, ends):
    from modos.reference.annotations import lines as module

    text = "\n".join(lines) + ("\n" if ends else "")
    wrong = [number for number, one in enumerate(text.split("\n")) if module._fault(one.encode())]
    table = module._parse(text.encode() + (b"" if ends else b"\n"))
    assert (table is None) == bool(wrong)
    if wrong:
        assert f"line {wrong[0] + 1}:" in module._first_error("x", text.encode(), 1).message
    else:
        features = [one.split("\t") for one in lines if one.strip(" \t") and not one.startswith("#")]
        assert table.select("contig", "start", "end", "attributes").rows() == [
            (f[0], int(f[3]) - 1, int(f[4]), f[8]) for f in features
        ]


@settings(deadline=None, max_examples=most(150, 40))
@given(st.data())
def test_a_damaged_text_is_an_error_or_an_annotation(data):
    """Nothing but what the error table has, whatever bytes are changed."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from modos.errors import ModosError
    from modos.reference.annotation_store import read_parts
    from modos.reference.annotations.building import build, place
    from modos.reference.annotations.circles import Circles
    from modos.reference.annotations.parts import Parts

    text = bytearray(data.draw(st.sampled_from([GENCODE, GTF, NCBI, REFGENE])).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.gff3")
        path.write_bytes(text)
        try:
            pieces = [place(parts, {"chr1": 0, "NC_1.1": 0, "chr2": 1}, "x", True)[0] for parts in read_parts(str(path))]
            circles = Circles({0}, [2000, 1500])
            whole = circles.check(Parts.join(pieces), ["chr1", "chr2"], "x") if pieces else None
        except ModosError:
            return
        if whole:
            tables = build(whole, circles).tables
            transcripts, exons = tables["transcript"], tables["exon"]
            assert (transcripts["gene"] < len(tables["gene"])).all() and (exons["transcript"] < len(transcripts)).all()
            for table in tables.values():
                assert (table["start"] < table["end"]).all() and (table["start"] >= 0).all()


def test_a_newer_format_and_another_annotation_of_the_name_are_noticed(store, tmp_path, stack):
    from modos.demo.stack import BUCKET, CREDENTIALS
    from modos.reference.adding import push
    from modos.reference.annotation_store import find_manifest, push_annotation

    (tmp_path / "a.gff3").write_text(GENCODE)
    (tmp_path / "b.gff3").write_text(NCBI)
    add_annotation(store, "test", store.assembly("mini"), str(tmp_path / "a.gff3"))
    there = open_store(f"s3://{BUCKET}/noticed/{tmp_path.name}", stack.endpoint, CREDENTIALS)
    push(store, there, "mini")
    push_annotation(store, there, "test")
    cached = CachedStore(there)
    find_manifest(cached, "test")
    remove_annotation(there, "test")
    add_annotation(there, "test", there.assembly("mini"), str(tmp_path / "b.gff3"))
    with pytest.raises(ConflictError, match="another one than when it was fetched"):
        find_manifest(cached, "test")
    cached.forget("test")
    assert len(open_annotation(cached, "test", there.assembly("mini")).genes) == 5
    there.storage.delete(annotation_key("test"))
    there.change_index("annotations", lambda index: index["test"].update(versions=[2]))
    with pytest.raises(InvalidInputError, match="of format 2, and this modos reads 1"):
        read_manifest(there, "test")


def test_an_annotation_opens_its_assembly_from_afar_and_offline(store, tmp_path, stack, monkeypatch):
    from modos.demo.stack import BUCKET, CREDENTIALS
    from modos.reference.adding import push
    from modos.reference.annotation_store import find_manifest, pull_annotation, push_annotation

    (tmp_path / "a.gff3").write_text(GENCODE)
    add_annotation(store, "test", store.assembly("mini"), str(tmp_path / "a.gff3"))
    place = f"s3://{BUCKET}/opens/{tmp_path.name}"
    there = open_store(place, stack.endpoint, CREDENTIALS)
    push(store, there, "mini")
    push_annotation(store, there, "test")
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    opened = open_reference("test", place, stack.endpoint, CREDENTIALS)
    assert opened.dna("chr1", 0, 4) == "ACGT" and opened.annotation().gene("ABC1").id == "G1.2"
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "other"))
    pull_annotation(CachedStore(there), find_manifest(CachedStore(there), "test"))
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    opened = open_reference("test", place, stack.endpoint, CREDENTIALS)
    assert opened.annotation().transcripts["T1"].exons[0].id == "E801.1"
    with pytest.raises(NotFoundError, match="MODOS_OFFLINE"):
        opened.dna("chr1", 0, 4)
    with pytest.raises(NotFoundError, match="not in the cache"):
        open_reference("tesst", place, stack.endpoint, CREDENTIALS)
