"""Annotations as others write them: what each says is there, and what has no place is said."""

from __future__ import annotations

import json
import random

import pytest

from modos.errors import InvalidInputError, NotFoundError
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation, read_manifest
from modos.reference.annotations.building import KINDS
from modos.reference.locate import open_reference, open_store

pytestmark = pytest.mark.sweep(25)

BASES = 2000


def line(kind, start, end, strand, attributes, phase=".", contig="chr1"):
    return "\t".join((contig, "TEST", kind, str(start), str(end), ".", strand, phase, attributes)) + "\n"


@pytest.fixture
def store(tmp_path):
    (tmp_path / "x.fa").write_text(f">chr1\n{'ACGT' * (BASES // 4)}\n>chr2\n{'TTGCA' * 300}\n")
    store = open_store(tmp_path / "refs")
    add_files(store, "mini", [str(tmp_path / "x.fa")])
    return store


@pytest.fixture
def annotate(store, tmp_path):
    """Give the store an annotation of some text, and open it."""

    def make(text, name="test", file="test.gff3"):
        (tmp_path / file).write_bytes(text.encode())
        add_annotation(store, name, store.assembly("mini"), str(tmp_path / file))
        return open_reference("mini", tmp_path / "refs").annotation(name)

    return make


def places(features, *more):
    return [(f.start, f.end, *(getattr(f, name) for name in more)) for f in features]


def shape(found):
    """All that an annotation has but names."""
    return [
        (
            g.contig,
            g.start,
            g.end,
            g.strand,
            sorted((t.start, t.end, places(t.exons, "number"), places(t.cds), places(t.utrs, "side")) for t in g.transcripts),
        )
        for g in found.genes
    ]


SAME = 'gene_id "NR_1"; transcript_id "NR_1";'


@pytest.mark.parametrize(
    "before",
    ["", line("transcript", 101, 900, "+", SAME), line("gene", 101, 900, "+", SAME) + line("transcript", 101, 900, "+", SAME)],
)
def test_a_gene_of_the_name_of_its_transcript(annotate, before):
    """UCSC's GTF (genePredToGtf, the table browser) has it so: with transcript lines, and without."""
    found = annotate(
        before
        + line("exon", 101, 200, "+", SAME)
        + line("exon", 801, 900, "+", SAME)
        + line("CDS", 151, 200, "+", SAME, "0")
        + line("CDS", 801, 850, "+", SAME, "1")
        + line("stop_codon", 851, 853, "+", SAME, "0"),
        file="x.gtf",
    )
    (gene,), (transcript,) = found.genes, found.transcripts
    assert (gene.id, transcript.id, transcript.gene) == ("NR_1", "NR_1", gene) and places(found.genes) == places(
        found.transcripts
    ) == [(100, 900)]
    assert places(transcript.exons) == [(100, 200), (800, 900)] and places(transcript.cds) == [(150, 200), (800, 853)]
    assert dict(found.manifest.left_out) == {}


def test_a_gff3_with_one_id_for_a_gene_and_its_transcript(annotate):
    found = annotate(
        line("gene", 101, 900, "+", "ID=X;Name=N")
        + line("mRNA", 101, 900, "+", "ID=X;Parent=X")
        + line("exon", 101, 900, "+", "Parent=X")
        + line("mRNA", 1001, 1100, "+", "ID=Y;Parent=Y")
        + line("exon", 1001, 1100, "+", "Parent=Y")
    )
    assert [(t.id, t.gene.id, t.gene.name, places(t.exons)) for t in found.transcripts] == [
        ("X", "X", "N", [(100, 900)]),
        ("Y", "Y", "Y", [(1000, 1100)]),
    ]
    assert len(found.genes) == 2


def test_empty_and_repeated_parents(annotate):
    """`Parent=X,` makes no phantom, and `Parent=X,X` no second exon."""
    found = annotate(
        line("gene", 1, 90, "+", "ID=g")
        + line("mRNA", 1, 90, "+", "ID=t;Parent=g,")
        + line("exon", 1, 90, "+", "Parent=t,")
        + line("CDS", 1, 30, "+", "Parent=,t,t", "0")
        + line("mRNA", 1, 50, "+", "ID=u;Parent=")
        + line("exon", 1, 50, "+", "Parent=u")
    )
    assert [(t.id, t.gene.id, places(t.exons), places(t.cds)) for t in found.transcripts] == [
        ("u", "u", [(0, 50)], []),
        ("t", "g", [(0, 90)], [(0, 30)]),
    ]
    assert dict(found.manifest.left_out) == {}


NCBI = (
    "##gff-version 3\n"
    + line("region", 1, 2000, "+", "ID=chr1:1..2000;Dbxref=taxon:9606")
    + line(
        "gene",
        101,
        900,
        "+",
        "ID=gene-ABC1;Dbxref=GeneID:17,HGNC:HGNC:5;Name=ABC1;description=alpha%2C beta;gene=ABC1;gene_biotype=protein_coding",
    )
    + line(
        "mRNA",
        101,
        900,
        "+",
        "ID=rna-NM_1.1;Parent=gene-ABC1;Dbxref=GeneID:17,GenBank:NM_1.1,HGNC:HGNC:5;Name=NM_1.1;product=alpha%3B long;transcript_id=NM_1.1",
    )
    + line("exon", 101, 900, "+", "ID=exon-NM_1.1-1;Parent=rna-NM_1.1;Dbxref=GeneID:17")
    + line("CDS", 151, 300, "+", "ID=cds-NP_1.1;Parent=rna-NM_1.1;protein_id=NP_1.1;product=alpha", "0")
    + line("gene", 1001, 1300, "-", "ID=gene-dnaA;Dbxref=GeneID:18;Name=dnaA;gene_biotype=protein_coding")
    + line(
        "CDS",
        1001,
        1300,
        "-",
        "ID=cds-WP_1.1;Parent=gene-dnaA;Dbxref=GenBank:WP_1.1,GeneID:18;product=initiator;protein_id=WP_1.1",
        "0",
    )
)


def test_what_ncbi_says_of_genes_is_kept(annotate):
    found = annotate(NCBI)
    gene, transcript = found.gene("GeneID:17"), found.transcripts["NM_1.1"]
    assert (gene.id, gene.xrefs, gene.description) == ("ABC1", "GeneID:17,HGNC:HGNC:5", "alpha, beta")
    assert (transcript.xrefs, transcript.product, transcript.protein) == (
        "GeneID:17,GenBank:NM_1.1,HGNC:HGNC:5",
        "alpha; long",
        "NP_1.1",
    )
    assert [t.id for t in found.transcripts.with_xref("GeneID:17")] == ["NM_1.1"] and not found.transcripts.with_xref("GeneID:1")
    assert found.gene("GeneID:18").transcripts[0].protein == "WP_1.1" and found.gene("dnaA").transcripts[0].product == "initiator"
    assert dict(found.manifest.left_out) == {"lines of which nothing is kept: region": 1}
    with pytest.raises(NotFoundError, match=r"no gene GeneID:1($| \()"):
        found.gene("GeneID:1")
    with pytest.raises(InvalidInputError, match="exon of test has no cross-references"):
        found.exons.with_xref("GeneID:17")


def test_tables_of_before_have_no_cross_references(annotate, monkeypatch):
    """An annotation that an older modos has added answers all else, and says what it lacks."""
    from modos.reference.annotations import building

    whole = building._gene_table
    monkeypatch.setattr(building, "_gene_table", lambda genes: whole(genes).drop("version", "xrefs", "description"))
    found = annotate(NCBI)
    assert found.gene("ABC1").transcripts[0].id == "NM_1.1" and found.genes.overlap("chr1:200-210")[0].name == "ABC1"
    with pytest.raises(InvalidInputError, match="gene of test has no cross-references"):
        found.gene("GeneID:17")
    with pytest.raises(AttributeError, match="a gene has no xrefs"):
        found.genes[0].xrefs


def test_ncbi_as_gtf(annotate):
    found = annotate(
        line(
            "gene",
            101,
            300,
            "+",
            'gene_id "ABC"; transcript_id ""; db_xref "GeneID:1"; db_xref "HGNC:HGNC:2"; description "x; y (z)"; gene "ABC"; '
            'gene_biotype "protein_coding"; ',
        )
        + line(
            "transcript",
            101,
            300,
            "+",
            'gene_id "ABC"; transcript_id "NM_1.1"; db_xref "GeneID:1"; product "one, a; b"; gene "ABC"; transcript_biotype "mRNA"; ',
        )
        + line("exon", 101, 300, "+", 'gene_id "ABC"; transcript_id "NM_1.1"; exon_number "1"; ')
        + line("CDS", 101, 203, "+", 'gene_id "ABC"; transcript_id "NM_1.1"; protein_id "NP_1.1"; exon_number "1"; ', "0")
        + line("gene", 401, 500, "+", 'gene_id "b1"; transcript_id ""; db_xref "GeneID:2"; ')
        + line(
            "CDS",
            401,
            497,
            "+",
            'gene_id "b1"; transcript_id "unassigned_transcript_1"; product "two"; protein_id "WP_1.1"; ',
            "0",
        ),
        file="x.gtf",
    )
    assert places(found.genes, "id", "xrefs", "description") == [
        (100, 300, "ABC", "GeneID:1,HGNC:HGNC:2", "x; y (z)"),
        (400, 500, "b1", "GeneID:2", None),
    ]
    assert places(found.transcripts, "protein", "product") == [(100, 300, "NP_1.1", "one, a; b"), (400, 497, "WP_1.1", "two")]


def test_versions_of_ensembl(annotate):
    gtf = annotate(
        line("gene", 101, 300, "+", 'gene_id "ENSG1"; gene_version "5"; gene_name "A; B"; gene_biotype "protein_coding";')
        + line(
            "transcript",
            101,
            300,
            "+",
            'gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; transcript_version "2"; tag "basic"; '
            'tag "Ensembl_canonical"; transcript_support_level "1 (assigned to previous version 1)";',
        )
        + line("exon", 101, 300, "+", 'gene_id "ENSG1"; transcript_id "ENST1"; exon_id "ENSE1"; exon_version "1";')
        + line("CDS", 101, 203, "+", 'gene_id "ENSG1"; transcript_id "ENST1"; protein_id "ENSP1"; protein_version "4";', "0")
        + line("Selenocysteine", 101, 103, "+", 'gene_id "ENSG1"; transcript_id "ENST1";'),
        file="x.gtf",
    )
    gff3 = annotate(
        line("gene", 101, 300, "+", "ID=gene:ENSG1;Name=A%3B B;biotype=protein_coding;gene_id=ENSG1;version=5")
        + line(
            "mRNA",
            101,
            300,
            "+",
            "ID=transcript:ENST1;Parent=gene:ENSG1;tag=basic,Ensembl_canonical;transcript_id=ENST1;version=2;transcript_support_level=1",
        )
        + line("exon", 101, 300, "+", "Parent=transcript:ENST1;exon_id=ENSE1;version=1")
        + line("CDS", 101, 203, "+", "ID=CDS:ENSP1;Parent=transcript:ENST1;protein_id=ENSP1;version=4", "0"),
        name="gff3",
    )
    for found in gtf, gff3:
        (gene,), (transcript,) = found.genes, found.transcripts
        assert (gene.id, gene.version, gene.name) == ("ENSG1", "5", "A; B")
        assert (transcript.id, transcript.version, transcript.protein, transcript.tags, transcript.support) == (
            "ENST1",
            "2",
            "ENSP1.4",
            "basic,Ensembl_canonical",
            "1",
        )
    assert dict(gtf.manifest.left_out) == {"lines of which nothing is kept: Selenocysteine": 1}


def test_gencode_names_other_databases(annotate):
    found = annotate(
        line("gene", 1, 50, "+", "ID=G1.2;gene_id=G1.2;gene_name=A;hgnc_id=HGNC:5;havana_gene=OTTHUMG1.2")
        + line("transcript", 1, 50, "+", "ID=T1.1;Parent=G1.2;hgnc_id=HGNC:5;havana_gene=OTTHUMG1.2;havana_transcript=OTTHUMT1.3")
        + line("exon", 1, 50, "+", "ID=exon:T1.1:1;Parent=T1.1;exon_id=E1.1")
    )
    assert found.gene("HGNC:5").xrefs == "HGNC:5,OTTHUMG1.2" and found.transcripts[0].xrefs == "HGNC:5,OTTHUMT1.3"
    assert dict(found.manifest.left_out) == {}


def test_an_id_without_its_version_is_that_of_one(annotate):
    """Y1.1 and Y1.2 (WormBase, TAIR) are two transcripts, not versions of one."""
    found = annotate(
        line("gene", 1, 90, "+", "ID=Gene:W1;Name=W1;locus=aap-1")
        + "".join(
            line("mRNA", 1, 90, "+", f"ID=Transcript:{name};Parent=Gene:W1")
            + line("exon", 1, 90, "+", f"Parent=Transcript:{name}")
            for name in ("Y1.1", "Y1.2", "Z.1")
        )
    )
    assert found.gene("aap-1").id == "W1" and found.transcripts["Y1.2"].id == "Y1.2" and found.transcripts["Z"].id == "Z.1"
    with pytest.raises(NotFoundError, match="several transcripts Y1") as raised:
        found.transcripts["Y1"]
    assert raised.value.hint == "there are Y1.1, Y1.2"


def test_flybase(annotate):
    """Pseudogenes are transcripts there; what a gene lies in is no gene."""
    gff3 = annotate(
        line("operon", 1, 500, "+", "ID=op")
        + line("gene", 101, 300, "+", "ID=FBgn1;Name=x;Parent=op;Dbxref=FlyBase:FBan1")
        + line("pseudogene", 101, 300, "+", "ID=FBtr1;Name=x-RA;Parent=FBgn1")
        + line("exon", 101, 300, "+", "Parent=FBtr1")
    )
    gtf = annotate(
        line("gene", 101, 300, "+", 'gene_id "FBgn1"; gene_symbol "x";')
        + line("pseudogene", 101, 300, "+", 'gene_id "FBgn1"; gene_symbol "x"; transcript_id "FBtr1"; transcript_symbol "x-RA";')
        + line("exon", 101, 300, "+", 'gene_id "FBgn1"; gene_symbol "x"; transcript_id "FBtr1"; transcript_symbol "x-RA";'),
        name="gtf",
        file="x.gtf",
    )
    for found in gff3, gtf:
        assert [(g.id, g.name) for g in found.genes] == [("FBgn1", "x")] and [
            (t.id, t.name, t.gene.id) for t in found.transcripts
        ] == [("FBtr1", "x-RA", "FBgn1")]
    assert dict(gff3.manifest.left_out) == {"lines of which nothing is kept: operon": 1}


def test_attributes_that_are_a_name_alone(annotate):
    """AUGUSTUS writes `g1` and `g1.t1` for genes and transcripts: their parts say the same, and the lines are counted."""
    more = 'transcript_id "g1.t1"; gene_id "g1";'
    found = annotate(
        line("gene", 101, 300, "+", "g1")
        + line("transcript", 101, 300, "+", "g1.t1")
        + line("exon", 101, 300, "+", more)
        + line("CDS", 101, 300, "+", more, "0"),
        file="x.gtf",
    )
    assert [(t.id, t.gene.id, places(t.cds)) for t in found.transcripts] == [("g1.t1", "g1", [(100, 300)])]
    assert dict(found.manifest.left_out) == {"lines of which nothing is kept: gene, transcript": 2}


def test_what_has_no_place_is_said(annotate):
    found = annotate(
        line("gene", 101, 300, "+", "ID=g")
        + line("mRNA", 101, 300, "+", "ID=t;Parent=g,h")
        + line("exon", 101, 300, "+", "Parent=t")
        + line("gene", 401, 450, "+", "Name=no id")
        + line("enhancer", 1, 2, "+", "ID=e") * 2
        + line("exon", 1, 2, "+", "Parent=nobody")
        + line("mRNA", 1, 9, "+", "ID=a;Parent=b")
        + line("mRNA", 1, 9, "+", "ID=b;Parent=a")
        + line("A", 101, 120, "+", "ID=x;Parent=t")
        + line("B", 101, 120, "+", "ID=y;Parent=x")
        + line("C", 101, 120, "+", "ID=z;Parent=y")
        + line("exon", 101, 120, "+", "Parent=z")
    )
    assert [(t.id, t.gene.id) for t in found.transcripts] == [("z", "g"), ("t", "g")]  # however deep
    assert dict(found.manifest.left_out) == {
        "further parents of a line that has one already": 1,
        "lines of which nothing is kept: enhancer, mRNA, A, B, gene": 7,
        "lines without a transcript": 1,
        "transcripts without a gene": 2,
    }


def test_a_gene_with_two_products(annotate):
    """E. coli's dnaX: two proteins of one gene, each in coding stretches of its own, and no transcripts."""
    found = annotate(
        line("gene", 101, 400, "+", "ID=gene-dnaX;gene_biotype=protein_coding")
        + line("CDS", 101, 400, "+", "ID=c1;Parent=gene-dnaX;protein_id=NP_1", "0")
        + line("CDS", 101, 300, "+", "ID=c2;Parent=gene-dnaX;protein_id=NP_2", "0")
        + line("CDS", 300, 310, "+", "ID=c2;Parent=gene-dnaX;protein_id=NP_2", "0")
    )
    assert sorted((t.id, t.gene.id, t.protein, places(t.cds)) for t in found.transcripts) == [
        ("NP_1", "dnaX", "NP_1", [(100, 400)]),
        ("NP_2", "dnaX", "NP_2", [(100, 300), (299, 310)]),
    ]


def gtf(gene, transcript, *lines, contig="chr1", strand="+"):
    """Lines of a gene and a transcript: kind, start, end."""
    return "".join(
        line(kind, start, end, strand, f'gene_id "{gene}"; transcript_id "{transcript}";', contig=contig)
        for kind, start, end in lines
    )


@pytest.mark.parametrize("with_genes", [True, False])
@pytest.mark.parametrize("with_transcripts", [True, False])
def test_one_transcript_id_of_several_genes(annotate, with_genes, with_transcripts):
    """NCBI's GTF has `unknown_transcript_1` for the genes of mitochondria; no intron goes from one gene to the next."""
    name = "unknown_transcript_1"
    genes = ("ND1", 1, 300), ("ND2", 701, 1000), ("1", 1101, 1200)
    parts = [
        (line("gene", start, end, "+", f'gene_id "{gene}"; transcript_id "";') if with_genes else "")
        + gtf(
            gene, name, *([("transcript", start, end)] if with_transcripts else []), ("exon", start, end), ("CDS", start, end - 3)
        )
        for gene, start, end in genes
    ]
    mixed = sorted("".join(parts).splitlines(keepends=True), key=lambda text: text.split("\t")[2], reverse=True)
    for number, text in enumerate(("".join(parts), "".join(mixed))):
        found = annotate(text, name=f"test{number}", file="x.gtf")
        assert [(t.id, t.gene.id, places(t.exons, "number"), places(t.cds)) for t in found.transcripts] == [
            (name, gene, [(start - 1, end, 1)], [(start - 1, end - 3)]) for gene, start, end in genes
        ]
        assert places(found.genes, "id") == [(start - 1, end, gene) for gene, start, end in genes] and not len(found.introns)
        with pytest.raises(NotFoundError, match=f"several transcripts {name}"):
            found.transcripts[name]
        assert dict(found.manifest.left_out) == {}


def test_parts_elsewhere_than_their_transcript_join_it_not(annotate):
    """On another contig or strand GTF tells of a transcript of its own there; GFF3, and what lies beyond, is counted. No number shifts."""
    found = annotate(
        line("gene", 101, 900, "+", 'gene_id "G";')
        + gtf("G", "T", ("transcript", 101, 900), ("exon", 101, 200), ("CDS", 151, 200), ("exon", 801, 900), ("exon", 1801, 1900))
        + gtf("G", "T", ("exon", 501, 600), strand="-")
        + gtf("G", "T", ("exon", 301, 400), ("CDS", 301, 390), contig="chr2"),
        file="x.gtf",
    )
    assert [
        (t.contig, t.strand, t.gene.contig, places(t.exons, "number"), places(t.cds, "number")) for t in found.transcripts
    ] == [
        ("chr1", "+", "chr1", [(100, 200, 1), (800, 900, 2)], [(150, 200, 1)]),
        ("chr1", "-", "chr1", [(500, 600, 1)], []),
        ("chr2", "+", "chr2", [(300, 400, 1)], [(300, 390, 1)]),
    ]
    assert places(found.introns, "contig") == [(200, 800, "chr1")] and dict(found.manifest.left_out) == {
        "lines that are not within their transcripts": 1
    }
    gff3 = annotate(
        line("exon", 1, 50, "+", "Parent=t")
        + line("mRNA", 1, 100, "+", "ID=t;Parent=g")
        + line("gene", 1, 100, "+", "ID=g")
        + line("exon", 80, 100, ".", "Parent=t")
        + line("exon", 1, 50, "+", "Parent=t", contig="chr2")
        + line("exon", 60, 70, "-", "Parent=t")
        + line("CDS", 201, 300, "+", "Parent=t", "0"),
        name="gff3",
    )
    (transcript,) = gff3.transcripts
    assert places(transcript.exons, "number") == [(0, 50, 1), (79, 100, 2)] and not len(gff3.cds)
    assert dict(gff3.manifest.left_out) == {"lines that are not within their transcripts": 3}


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("genes_first", [True, False])
def test_a_gene_in_two_places(annotate, strand, genes_first):
    """Trans-splicing (NCBI: two lines of one ID): each place has what lies there, wherever the lines are."""
    genes = line("gene", 101, 200, "+", "ID=gene-nad5;part=1/2") + line("gene", 1001, 1900, strand, "ID=gene-nad5;part=2/2")
    coding = line("CDS", 101, 200, "+", "ID=c;Parent=gene-nad5;protein_id=P", "0") + line(
        "CDS", 1001, 1500, strand, "ID=c;Parent=gene-nad5;protein_id=P", "1"
    )
    found = annotate(genes + coding if genes_first else coding + genes)
    assert [(t.id, places([t]), places(t.exons), places(t.cds)) for t in found.transcripts] == [
        ("nad5", [(100, 200)], [(100, 200)], [(100, 200)]),
        ("nad5", [(1000, 1900)], [(1000, 1500)], [(1000, 1500)]),
    ]
    assert [t.start for t in found.transcripts.overlap("chr1:150-160")] == [100] and dict(found.manifest.left_out) == {}


PROKKA = (
    line("CDS", 10, 99, "+", "ID=PK_1;Name=abc;gene=abc;locus_tag=PK_1;product=P one;protein_id=X.1", "0")
    + line("CDS", 200, 299, "-", "ID=PK_2;locus_tag=PK_2;product=hypothetical protein", "0")
    + line("CDS", 300, 350, "-", "ID=PK_2;locus_tag=PK_2", "0")
)


@pytest.mark.parametrize("more", ["", line("tRNA", 400, 470, "+", "ID=PK_3;locus_tag=PK_3")])
def test_coding_stretches_alone_are_genes(annotate, more):
    """Prokka writes no genes, nor parents."""
    found = annotate(PROKKA + more)
    assert places(found.genes, "id", "name", "strand")[:2] == [(9, 99, "PK_1", "abc", "+"), (199, 350, "PK_2", "PK_2", "-")]
    assert [(t.id, t.gene.id, t.protein, t.product, places(t.exons, "number"), places(t.cds)) for t in found.transcripts][:2] == [
        ("PK_1", "PK_1", "X.1", "P one", [(9, 99, 1)], [(9, 99)]),
        ("PK_2", "PK_2", None, "hypothetical protein", [(299, 350, 1), (199, 299, 2)], [(299, 350), (199, 299)]),
    ]
    assert len(found.genes) == 2 + bool(more) and dict(found.manifest.left_out) == {}


def test_coding_stretches_without_a_parent_beside_genes(annotate):
    """In the place of a gene they are its own; within another one, derived from one or without an ID they are counted."""
    found = annotate(
        line("gene", 101, 400, "+", "ID=g;Name=n")
        + line("CDS", 101, 400, "+", "ID=c", "0")
        + line("CDS", 201, 300, "+", "ID=d", "0")
        + line("CDS", 501, 600, "+", "ID=e;Derives_from=g", "0")
        + line("CDS", 601, 700, "+", "note=x", "0")
        + line("CDS", 801, 900, "+", "ID=g", "0")
    )
    assert places(found.genes, "id", "name") == [(100, 400, "g", "n"), (800, 900, "g", "g")] and places(found.cds) == [
        (100, 400),
        (800, 900),
    ]
    assert dict(found.manifest.left_out) == {"lines without a transcript": 3}


def test_semicolons_within_quotes_end_no_attribute(annotate):
    more = 'note "was; gene_id OLD; transcript_id OLDT"; '
    own = 'gene_id "A; a"; gene_name "N"; transcript_id "T;1";'
    found = annotate(
        line("gene", 101, 400, "+", more + own)
        + line("exon", 101, 200, "+", more + own)
        + line("exon", 301, 400, "+", own + ' note "x; exon_id y"')
        + line("CDS", 301, 399, "+", "note \"; product 'no'\"; " + own + ' product "one; two";', "0"),
        file="x.gtf",
    )
    (transcript,) = found.transcripts
    assert (transcript.id, transcript.gene.id, transcript.gene.name, transcript.product) == ("T;1", "A; a", "N", "one; two")
    assert places(transcript.exons, "id") == [(100, 200, None), (300, 400, None)] and dict(found.manifest.left_out) == {}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_blank_lines_and_a_mark_of_unicode(annotate, ends):
    text = (
        "\ufeff##gff-version 3\n\n"
        + line("gene", 1, 90, "+", "ID=g;Name=caf%C3%A9")
        + "\n   \n\t\n"
        + line("mRNA", 1, 90, "+", "ID=t;Parent=g;")
        + line("exon", 1, 90, "+", "Parent=t")
    )
    assert annotate(text.rstrip("\n").replace("\n", ends)).transcripts["t"].gene.name == "caf\xe9"


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "text",
    [
        NCBI,
        "".join(
            line(kind, start, end, "-", f'gene_id "G"; transcript_id "T{start % 7}"; note "{"x" * 90}";')
            for start, end, kind in ((at, at + 20, kind) for at in range(1, 900, 40) for kind in ("exon", "CDS"))
        ),
    ],
)
def test_a_file_in_many_pieces(annotate, monkeypatch, text):
    """Wherever they end, the tables are the same, a sequence at the end is none of it, and a wrong line has its number."""
    whole = annotate(text)
    for number, size in enumerate((150, 211, 512, 1000)):
        monkeypatch.setattr("modos.reference.annotations.lines._PIECE", size)
        parts = annotate(text + "##FASTA\n>chr1\n" + "ACGT\n" * 300, name=f"test{number}")
        for kind in KINDS:
            assert parts.table(kind).to_polars().equals(whole.table(kind).to_polars())
        assert dict(parts.manifest.left_out) == dict(whole.manifest.left_out)
        with pytest.raises(InvalidInputError, match=f"line {text.count(chr(10)) + 1}: 9 to 5"):
            annotate(text + line("gene", 9, 5, "+", "ID=x"), name="wrong")


PREDICTION = "chr1\t-\t100\t900\t150\t850\t3\t100,400,800,\t200,500,900,"
EXTENDED = "\t0\tABC1\tcmpl\tcmpl\t0,2,0,"


@pytest.mark.parametrize(
    ("row", "gene"),
    [
        (f"NM_1\t{PREDICTION}", "NM_1"),
        (f"585\tNM_1\t{PREDICTION}", "NM_1"),
        (f"NM_1\t{PREDICTION}{EXTENDED}", "ABC1"),
        (f"585\tNM_1\t{PREDICTION}{EXTENDED}", "ABC1"),
        (f"ABC1\tNM_1\t{PREDICTION}", "ABC1"),
        (f"585\tABC1\tNM_1\t{PREDICTION}", "ABC1"),
        (f"#geneName\tname\tchrom\n585\tNM_1\t{PREDICTION}", "585"),
        (f"1017\tNM_1\t{PREDICTION}", "1017"),
        (f"#bin\tname\tchrom\n9\tNM_1\t{PREDICTION}", "NM_1"),
        (f"NM_1\t{PREDICTION}\tP123\tNM_1.x", "NM_1"),
        (f"9999\tNM_1\t{PREDICTION}{EXTENDED}", "ABC1"),
        (f"9999\tNM_1\t{PREDICTION}\tP123\tNM_1.x", "NM_1"),
        (f"ABC1\tNM_1\t{PREDICTION}\r\n\r\n", "ABC1"),
        (f"\tNM_1\t{PREDICTION}", "NM_1"),
    ],
)
def test_every_table_of_ucsc(annotate, row, gene):
    """genePred, genePredExt, refFlat and knownGene; with and without `bin`, a header, a gene; some genes are numbers."""
    found = annotate(row, file="table.txt")
    (transcript,) = found.transcripts
    assert (transcript.id, transcript.gene.id, transcript.protein) == ("NM_1", gene, "P123" if "P123" in row else None)
    assert places(transcript.exons) == [(800, 900), (400, 500), (100, 200)] and places(transcript.cds) == [
        (800, 850),
        (400, 500),
        (150, 200),
    ]


def test_a_row_of_ucsc_that_is_cut_is_an_error(annotate):
    for cut in (f"585\tNM_1\t{PREDICTION}\t0\tABC1\tcmpl\tcmpl", f"ABC1\tNM_1\t{PREDICTION}"[:-8]):
        with pytest.raises(InvalidInputError, match="line 2: this is no row"):
            annotate(
                (f"585\tNM_1\t{PREDICTION}{EXTENDED}\n" if cut[0] == "5" else f"ABC1\tNM_1\t{PREDICTION}\n") + cut,
                file="table.txt",
            )


def test_one_annotation_in_every_form_of_ucsc(annotate, shared_data, store, tmp_path):
    """GENCODE's excerpt, written as refFlat, as genePredExt, and as a GTF whose genes have the names of their transcripts: the same parts."""
    text = (shared_data / "genomekit-mini/gencode.v29.annotation.gff3").read_text()
    (tmp_path / "y.fa").write_text(">chr2\n" + "ACGTT" * 2101 + "\n")
    add_files(store, "excerpt", [str(tmp_path / "y.fa")])

    def add(name, text):
        (tmp_path / name).write_text(text)
        add_annotation(store, name, store.assembly("excerpt"), str(tmp_path / name))
        return open_reference(name, tmp_path / "refs").annotation()

    known = add("a.gff3", text)
    rows, gtf = [], ""
    for t in known.transcripts:
        exons, cds = sorted(t.exons, key=lambda e: e.start), sorted(t.cds, key=lambda e: e.start)
        low, high = (cds[0].start, cds[-1].end) if cds else (t.end, t.end)
        rows.append(
            "\t".join(
                map(
                    str,
                    (
                        t.gene.id,
                        t.id,
                        t.contig,
                        t.strand,
                        t.start,
                        t.end,
                        low,
                        high,
                        len(exons),
                        "".join(f"{e.start}," for e in exons),
                        "".join(f"{e.end}," for e in exons),
                    ),
                )
            )
        )
        own = f'gene_id "{t.id}"; transcript_id "{t.id}";'
        gtf += line("transcript", t.start + 1, t.end, t.strand, own, contig=t.contig) + "".join(
            line(kind, e.start + 1, e.end, e.strand, own, contig=t.contig)
            for kind, parts in (("exon", exons), ("CDS", cds))
            for e in parts
        )
    flat, pred, same = (
        add("flat.txt", "\n".join(rows)),
        add("pred.txt", "\n".join(row.partition("\t")[2] for row in rows)),
        add("same.gtf", gtf),
    )
    parts = sorted(
        (t.id, places(t.exons, "number"), places(t.cds, "number"), places(t.utrs, "side"), places(t.introns))
        for t in known.transcripts
    )
    for other in flat, pred, same:
        assert (
            sorted(
                (t.id, places(t.exons, "number"), places(t.cds, "number"), places(t.utrs, "side"), places(t.introns))
                for t in other.transcripts
            )
            == parts
        )
    assert len(pred.genes) == len(same.genes) == len(known.transcripts) and {t.gene.name for t in flat.transcripts} == {
        t.gene.id for t in known.transcripts
    }


CIRCULAR = (
    line("region", 1, BASES, "+", "ID=chr1:1..2000;Is_circular=true;genome=plasmid")
    + line("gene", 1901, 2100, "+", "ID=gene-repA;Name=repA")
    + line("CDS", 1901, 2100, "+", "ID=c;Parent=gene-repA;protein_id=WP_1", "0")
    + line("gene", 1951, 2200, "-", "ID=gene-b")
    + line("mRNA", 1951, 2200, "-", "ID=rna-b;Parent=gene-b")
    + "".join(line("exon", start, end, "-", "Parent=rna-b") for start, end in ((1951, 1980), (11, 50), (2101, 2200)))
    + line("CDS", 21, 45, "-", "ID=d;Parent=rna-b", "0")
    + line("gene", 501, 600, "+", "ID=gene-c")
)


def test_what_crosses_the_origin_of_a_circular_contig(annotate, store):
    """GFF3: it ends beyond the last base. It is one gene, found on both sides; its parts are numbered along it, however they are written."""
    found = annotate(CIRCULAR)
    assert (
        places(found.genes, "id") == [(500, 600, "c"), (1900, 2100, "repA"), (1950, 2200, "b")]
        and found.transcripts["b"].region.end == 2200
    )
    assert places(found.transcripts["b"].exons, "number") == [(100, 200, 1), (10, 50, 2), (1950, 1980, 3)]
    assert places(found.transcripts["b"].introns) == [(50, 100), (1980, 2010)] and places(
        found.transcripts["b"].cds, "number"
    ) == [(20, 45, 2)]
    assert places(found.transcripts["b"].utrs, "side") == [(100, 200, "5'"), (45, 50, "5'"), (10, 20, "3'"), (1950, 1980, "3'")]
    assert [g.id for g in found.genes.overlap("chr1:1-5")] == ["repA", "b"] and [
        g.id for g in found.genes.overlap("chr1:150-160")
    ] == ["b"]
    assert {g.id for g in found.genes.overlap("chr1:1990-2005")} == {"repA", "b"} and len(found.genes.overlap("chr1")) == 3
    assert dict(read_manifest(store, "test").circular) == {"chr1": BASES}
    assert json.loads(read_manifest(store, "test").to_bytes())["circular"] == {"chr1": BASES}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CIRCULAR.replace("Is_circular=true;", ""), "chr1:1,901-2,100, and chr1 of the assembly has 2,000"),
        (CIRCULAR.replace("1901\t2100", "101\t2101"), "101-2,101"),
        (CIRCULAR + line("gene", 1001, 1600, "+", "ID=x", contig="chr2"), "chr2:1,001-1,600"),
    ],
)
def test_what_goes_beyond_a_contig_otherwise_is_an_error(annotate, store, text, said):
    with pytest.raises(InvalidInputError, match=said):
        annotate(text)
    assert store.annotations() == {}


def test_every_way_of_asking_around_the_origin(annotate):
    """Against sets of bases."""
    source = random.Random(3)
    genes = {(source.randrange(BASES), source.randint(1, 900), source.choice("+-")) for _ in range(60)} | {
        (0, 300, "+"),
        (1900, 100, "-"),
        (1900, 300, "-"),
    }
    found = annotate(
        line("region", 1, BASES, "+", "ID=r;Is_circular=true")
        + "".join(line("gene", start + 1, start + size, strand, f"ID=g{start}-{size}{strand}") for start, size, strand in genes)
    )

    def bases(start, size):
        return {(start + at) % BASES for at in range(size)}

    queries = [(0, BASES), (0, 300), (1900, 2000)] + [
        (start, start + source.randint(1, 900)) for start in source.sample(range(BASES), 40)
    ]
    queries += [(start, start + size) for start, size, _ in source.sample(sorted(genes), 20)] + [
        ((s + z) % BASES, (s + z) % BASES + 5) for s, z, _ in sorted(genes)
    ]
    queries += [(max((s + z) % BASES - 7, 0), (s + z) % BASES or 1) for s, z, _ in sorted(genes)]
    for start, end in queries:
        asked = bases(start, end - start)
        first = {g: (g[0] if g[2] == "+" else g[0] + g[1] - 1) % BASES for g in genes}
        last = {g: (g[0] + g[1] - 1 if g[2] == "+" else g[0]) % BASES for g in genes}
        wanted = {
            "overlap": {g for g in genes if bases(*g[:2]) & asked},
            "within": {g for g in genes if bases(*g[:2]) <= asked},
            "exact": {g for g in genes if g[0] == start and g[1] == end - start},
            "aligned_5p": {g for g in genes if first[g] == (start if g[2] == "+" else end - 1) % BASES},
            "aligned_3p": {g for g in genes if last[g] == (end - 1 if g[2] == "+" else start) % BASES},
            "within_5p": {g for g in genes if first[g] in asked},
            "within_3p": {g for g in genes if last[g] in asked},
        }
        for how, expected in wanted.items():
            for strand in (None, "+", "-"):
                got = [(g.start, g.end - g.start, g.strand) for g in getattr(found.genes, how)("chr1", start, end, strand)]
                assert sorted(got) == sorted(g for g in expected if strand in (None, g[2])), (how, start, end, strand)
                many = getattr(found.genes, f"{how}_many")(["chr2", "chr1"], [start, start], [end, end], strand)
                assert set(many.query.tolist()) <= {1} and len(many.row) == len(got)


def test_the_name_of_an_annotation_opens_its_assembly(annotate, store, tmp_path):
    """As `Genome("gencode.v29")` of GenomeKit."""
    annotate(NCBI, name="genes.v1")
    reference = open_reference("genes.v1", tmp_path / "refs")
    assert (
        reference.name == "mini"
        and reference.dna("chr1", 0, 8) == "ACGTACGT"
        and reference.annotation().gene("GeneID:17").name == "ABC1"
    )
    assert reference.annotation("genes.v1") is reference.annotation()
    with pytest.raises(InvalidInputError, match="opened by its own name"):
        open_reference("mini", tmp_path / "refs").annotation()
    with pytest.raises(NotFoundError, match="neither an assembly nor an annotation genes.v2") as raised:
        open_reference("genes.v2", tmp_path / "refs")
    assert raised.value.hint == "did you mean genes.v1?"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('a "x"; level 2; exon_number 12; tag "y";', False),
        ('a "x"; b "y"', False),
        ('a "x;y"; level 2;', True),
        ('a "; level 2;"; b "y";', True),
        ('a "x"; note "q; exon_number 2; z";', True),
    ],
)
def test_semicolons_within_quotes_are_noticed(attributes, expected):
    """With another line before that has all that is without quotes; a false alarm costs time only."""
    from modos.reference.annotations.lines import _has_quoted_ends

    assert _has_quoted_ends(f'a "b"; level 1; exon_number 3; c "d";\n{attributes}\n'.encode()) == expected
