"""What GenomeKit gives for its own small data set, and what modos does: the same bases and features."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import InvalidInputError, NotFoundError
from modos.reference.annotation_store import add_annotation
from modos.reference.genomekit import import_from, read_layout
from modos.reference.locate import open_folder, open_reference, open_store
from modos.storage import open_storage

pytest.importorskip("genome_kit", reason="genomekit has no wheel for this platform")
HOW = {
    "overlapping": "overlap",
    "within": "within",
    "exact": "exact",
    "5p_aligned": "aligned_5p",
    "3p_aligned": "aligned_3p",
    "5p_within": "within_5p",
    "3p_within": "within_3p",
}
KINDS = {"genes": "genes", "transcripts": "transcripts", "exons": "exons", "introns": "introns", "cdss": "cds"}
CASES = {
    "hg38.p12.mini": ("gencode.v29.mini", "gencode.v29.annotation.gff3"),
    "hg19.mini": ("gencode.v29lift37.mini", "gencode.v29lift37.annotation.gff3"),
}


@pytest.fixture
def folder(shared_data) -> Path:
    return shared_data / "genomekit-mini"


@pytest.mark.sweep(1)
@pytest.mark.parametrize("assembly", CASES)
def test_the_same_bases_and_features(folder, tmp_path, assembly, record_property):
    name, gff3 = CASES[assembly]
    store = open_store(tmp_path / "refs")
    list(import_from(open_storage(folder), store, [assembly]))
    if name not in store.annotations():  # its .cfg names an assembly that is not there
        add_annotation(store, name, store.assembly(assembly), str(folder / gff3))
    reference = open_reference(assembly, tmp_path / "refs")
    found = reference.annotation(name)
    queries = _queries(reference, found)
    theirs = _ask_genomekit(folder, tmp_path / "genomekit", assembly, name, gff3, queries)
    record_property(
        "foreign", json.dumps({"files": 2, "regions": len(queries), "comparisons": len(queries) * (1 + len(KINDS) * len(HOW))})
    )

    assert sorted([g.id, g.name, g.type, *_key(g)] for g in found.genes) == sorted(theirs["genes"])
    assert sorted(map(_describe, found.transcripts), key=str) == sorted(theirs["transcripts"], key=str)
    for (contig, start, end, strand), answer in zip(queries, theirs["answers"]):
        assert reference.dna(contig, start, end, strand) == answer["dna"]
        for kind, mine in KINDS.items():
            for how, method in HOW.items():
                table = getattr(found, mine)
                got = sorted(_key(x) for x in getattr(table, method)(contig, start, end, strand))
                assert got == answer[f"{kind} {how}"], (kind, how, contig, start, end, strand)
    for method in HOW.values():
        for strand in "+-":
            _check_many(found.exons, method, [q for q in queries if q[3] == strand], strand)


def test_what_ncbi_says(folder, tmp_path):
    """The GeneID, by which GenomeKit calls a gene, the protein and the product."""
    text = "##gff-version 3\n" + "".join(
        "\t".join(("NC_000001.10", "BestRefSeq", kind, str(start), str(end), ".", strand, phase, more)) + "\n"
        for kind, start, end, strand, phase, more in (
            (
                "gene",
                101,
                900,
                "+",
                ".",
                "ID=gene-ABC1;Dbxref=GeneID:17,HGNC:HGNC:5;Name=ABC1;gbkey=Gene;gene=ABC1;gene_biotype=protein_coding",
            ),
            (
                "mRNA",
                101,
                900,
                "+",
                ".",
                "ID=rna-NM_1.1;Parent=gene-ABC1;Dbxref=GeneID:17,GenBank:NM_1.1;Name=NM_1.1;gbkey=mRNA;gene=ABC1;product=alpha;transcript_id=NM_1.1",
            ),
            ("exon", 101, 200, "+", ".", "ID=exon-NM_1.1-1;Parent=rna-NM_1.1;Dbxref=GeneID:17;gbkey=mRNA;transcript_id=NM_1.1"),
            ("exon", 801, 900, "+", ".", "ID=exon-NM_1.1-2;Parent=rna-NM_1.1;Dbxref=GeneID:17;gbkey=mRNA;transcript_id=NM_1.1"),
            (
                "CDS",
                151,
                200,
                "+",
                "0",
                "ID=cds-NP_1.1;Parent=rna-NM_1.1;Dbxref=GeneID:17,GenBank:NP_1.1;Name=NP_1.1;product=alpha;protein_id=NP_1.1",
            ),
            (
                "CDS",
                801,
                850,
                "+",
                "1",
                "ID=cds-NP_1.1;Parent=rna-NM_1.1;Dbxref=GeneID:17,GenBank:NP_1.1;Name=NP_1.1;product=alpha;protein_id=NP_1.1",
            ),
            ("gene", 2001, 2500, "-", ".", "ID=gene-NCR;Dbxref=GeneID:18;Name=NCR;gbkey=Gene;gene=NCR;gene_biotype=lncRNA"),
            (
                "lnc_RNA",
                2001,
                2500,
                "-",
                ".",
                "ID=rna-NR_2.1;Parent=gene-NCR;Dbxref=GeneID:18,GenBank:NR_2.1;Name=NR_2.1;gbkey=ncRNA;gene=NCR;product=beta;transcript_id=NR_2.1",
            ),
            (
                "exon",
                2001,
                2500,
                "-",
                ".",
                "ID=exon-NR_2.1-1;Parent=rna-NR_2.1;Dbxref=GeneID:18;gbkey=ncRNA;transcript_id=NR_2.1",
            ),
        )
    )
    shutil.copytree(folder, tmp_path / "files")
    (tmp_path / "files/ncbi.gff3").write_text(text)
    store = open_store(tmp_path / "refs")
    list(import_from(open_storage(folder), store, ["hg19.mini"]))
    add_annotation(store, "ncbi", store.assembly("hg19.mini"), str(tmp_path / "files/ncbi.gff3"))
    found = open_reference("ncbi", tmp_path / "refs").annotation()
    theirs = _ask_genomekit(tmp_path / "files", tmp_path / "genomekit", "hg19.mini", "ncbi", "ncbi.gff3", [], "build_ncbi_refseq")
    assert sorted((found.gene(f"GeneID:{id}").name, name) for id, name, *_ in theirs["genes"]) == [
        ("ABC1", "ABC1"),
        ("NCR", "NCR"),
    ]
    for transcript in theirs["transcripts"]:
        mine = found.transcripts[transcript["id"]]
        assert f"GeneID:{transcript.pop('gene')}" in mine.gene.xrefs.split(",")
        product = transcript.pop("product")
        assert (
            product in (mine.product, None)
            and {key: value for key, value in _describe(mine).items() if key in transcript} == transcript
        )


def _queries(reference, found):
    """Places of features with their ends moved a little, and any."""
    source, queries = random.Random(8), []
    for table in (found.genes, found.transcripts, found.exons, found.introns, found.cds):
        for feature in source.sample(list(table), min(len(table), 25)):
            low, high = feature.start + source.randint(-1, 1), feature.end + source.randint(-1, 1)
            if 0 <= low < high <= reference.contigs[feature.contig]:
                queries.append([feature.contig, low, high, source.choice("+-")])
            queries.append(_key(feature))
    for _ in range(60):
        contig = source.choice(list(reference.contigs))
        start = source.randrange(reference.contigs[contig] - 3000)
        queries.append([contig, start, start + source.randint(1, 3000), source.choice("+-")])
    return queries


def _ask_genomekit(folder, copy, assembly, name, gff3, queries, builder="build_gencode"):
    shutil.copytree(folder, copy)
    (copy / f"{name}.cfg").unlink(missing_ok=True)
    script = Path(__file__).with_name("genomekit_oracle.py")
    result = subprocess.run(
        [sys.executable, script, copy, assembly, name, copy / gff3, builder],
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def _key(feature):
    return [feature.contig, feature.start, feature.end, feature.strand]


def _describe(t):
    return {
        "id": t.id,
        "protein": t.protein,
        "product": t.product,
        "gene": t.gene.id,
        "place": _key(t),
        "exons": [_key(x) for x in t.exons],
        "introns": [_key(x) for x in t.introns],
        "cds": [[*_key(x), x.phase] for x in t.cds],
        "5'": [_key(x) for x in t.utrs if x.side == "5'"],
        "3'": [_key(x) for x in t.utrs if x.side == "3'"],
    }


def _check_many(table, method, queries, strand):
    contigs, starts, ends, _ = zip(*queries)
    pairs = getattr(table, f"{method}_many")(contigs, starts, ends, strand)
    one_by_one = [
        (number, row)
        for number, (contig, start, end, _) in enumerate(queries)
        for row in sorted(getattr(table, method)(contig, start, end, strand).rows.tolist())
    ]
    assert sorted(zip(pairs.query.tolist(), pairs.row.tolist())) == one_by_one


def test_a_bucket_is_a_source_too(folder, tmp_path, stack):
    """Flat, as GenomeKit keeps it on S3."""
    place = f"s3://{BUCKET}/genomekit-{tmp_path.name}"
    bucket = open_folder(place, stack.endpoint, CREDENTIALS)
    for file in folder.iterdir():
        bucket.write(file.name, file.read_bytes())
    store = open_store(tmp_path / "refs")
    made = list(import_from(bucket, store))
    assert [part if isinstance(part, str) else part.name for part in made] == [
        "hg19.mini",
        "hg38.p12.mini",
        "gencode.v29.mini",
        "gencode.v29lift37.mini: it is of hg19.p13.plusMT.mini, which is not there",
    ]
    assert (
        list(store.verify("hg19.mini")) == []
        and open_reference("hg38.p12.mini", tmp_path / "refs").dna("CM000664.2", 0, 6) == "CGCGAA"
    )


def test_pickles_and_what_does_not_fit(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "gk")
    (tmp_path / "gk/appris.gencode.v29.mini.v7.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    (tmp_path / "gk/hg38.p12.mini.chrom.sizes").write_text("chr2\t10501\n")
    assert not any(
        "pkl" in name for source in read_layout(open_storage(tmp_path / "gk")).sources.values() for name, _ in source.annotations
    )
    with pytest.raises(InvalidInputError, match="chr2 with 10501 bases"):
        list(import_from(open_storage(tmp_path / "gk"), open_store(tmp_path / "refs"), ["hg38.p12.mini"]))
    with pytest.raises(NotFoundError, match="no hg38.2bit"):
        list(import_from(open_storage(tmp_path / "gk"), open_store(tmp_path / "refs"), ["hg38"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="no .2bit"):
        read_layout(open_storage(tmp_path / "empty"))
