"""Tables of features have those that overlap, as the annotation itself finds them."""

from __future__ import annotations

import pytest

from modos.api import MODO
from modos.errors import InvalidInputError, NotFoundError
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_store

GENES = [("chr1", 101, 900, "G1", "ABC1"), ("chr1", 851, 1_000, "G2", "ABC2"), ("chr2", 11, 400, "G3", "ABC3")]


def gff3(path):
    rows = [
        f"{contig}\tT\tgene\t{start}\t{end}\t.\t+\t.\tID={id};gene_id={id};gene_name={name};gene_type=x\n"
        f"{contig}\tT\ttranscript\t{start}\t{end}\t.\t+\t.\tID=T{id};Parent={id}\n"
        f"{contig}\tT\texon\t{start}\t{end}\t.\t+\t.\tParent=T{id}\n"
        for contig, start, end, id, name in GENES
    ]
    path.write_text("".join(rows))
    return str(path)


@pytest.fixture
def modo(tmp_path, monkeypatch):
    (tmp_path / "a.fa").write_text(f">chr1\n{'ACGT' * 250}\n>chr2\n{'ACGT' * 250}\n")
    store = open_store(tmp_path / "refs")
    add_files(store, "mini", [str(tmp_path / "a.fa")])
    add_annotation(store, "genes.v1", store.assembly("mini"), gff3(tmp_path / "genes.gff3"))
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(tmp_path / "refs"))
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "mini", "@type": "ReferenceGenome", "assembly": "mini"})
    return modo


def test_features_of_a_region_come_once_by_their_place(modo):
    genes = modo.reference("mini").annotation("genes.v1")
    view = modo["reference/mini"]
    assert view.to_polars("chr1:860-870", section="gene").equals(genes.genes.overlap("chr1:860-870").to_polars(ids=True))
    assert view.to_arrow(section="genes.v1/transcript")["gene"].to_pylist() == ["G1", "G2", "G3"]
    both = view.to_arrow(["chr2", "chr1:1-200", "chr1:150-250"], "id,start,end", section="gene")
    assert both.to_pylist() == [{"id": "G1", "start": 100, "end": 900}, {"id": "G3", "start": 10, "end": 400}]
    empty = view.to_arrow("chr2:500-600", section="gene")
    assert empty.num_rows == 0 and empty.schema == view.to_arrow(section="gene").schema


def test_what_there_is_not(modo):
    view = modo["reference/mini"]
    with pytest.raises(InvalidInputError, match="no column nam of a gene"):
        view.to_arrow(columns=["nam"], section="gene")
    with pytest.raises(NotFoundError, match="no contig chr9"):
        view.to_arrow("chr9", section="gene")
    with pytest.raises(NotFoundError):
        view.to_arrow(section="genes.v2/gene")
    with pytest.raises((NotFoundError, InvalidInputError)):
        view.to_arrow(section="genee")
    with pytest.raises((NotFoundError, InvalidInputError), match="contigs|tracks"):
        view.to_arrow()
