"""Panels: the bases of exons below a depth are those that samtools depth counts, sample by sample."""

import shutil
import subprocess

import pytest

from modos import Region
from modos.errors import InvalidInputError, NotFoundError, PartitionError
from modos.plans import panel_completeness
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_reference, open_store
from tests.support.cohort import CONTIGS, brute_depth

EXONS = {"ABC1": [(101, 300), (251, 400), (900, 950)], "XYZ2": [(5_001, 5_500)], "NONE": []}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with an annotation: a gene of two transcripts whose exons overlap, and one where there are no reads."""
    folder = tmp_path_factory.mktemp("refs")
    (folder / "g.fa").write_text("".join(f">{name}\n{'ACGTTGCAAT' * (length // 10)}\n" for name, length in CONTIGS.items()))
    rows = []
    for gene, exons in EXONS.items():
        span = (min([s for s, _ in exons] or [1]), max([e for _, e in exons] or [9]))
        rows.append(f"chr1\tT\tgene\t{span[0]}\t{span[1]}\t.\t+\t.\tID={gene}.1;gene_name={gene}")
        for number, (start, end) in enumerate(exons):
            transcript = f"{gene}.t{number % 2}"
            if number < 2:
                rows.append(f"chr1\tT\ttranscript\t{span[0]}\t{span[1]}\t.\t+\t.\tID={transcript};Parent={gene}.1")
            rows.append(f"chr1\tT\texon\t{start}\t{end}\t.\t+\t.\tParent={transcript}")
    (folder / "g.gff3").write_text("\n".join(rows) + "\n")
    store = open_store(folder / "refs")
    add_files(store, "g", [str(folder / "g.fa")])
    add_annotation(store, "g.v1", store.assembly("g"), str(folder / "g.gff3"))
    return folder / "refs"


@pytest.fixture(scope="module")
def annotation(store):
    return open_reference("g", store).annotation("g.v1")


@pytest.mark.skipif(not shutil.which("samtools"), reason="needs samtools")
@pytest.mark.parametrize("min_depth", [1, 8, 20])
def test_exons_of_genes(catalog, files, annotation, min_depth):
    found = panel_completeness(catalog, ["ABC1", "XYZ2"], annotation=annotation, min_depth=min_depth)
    assert found.height == 18 and found["sample"].unique().sort().to_list() == [f"S{n}" for n in range(6)]
    expected = {("ABC1", 1): "chr1:101-400", ("ABC1", 2): "chr1:900-950", ("XYZ2", 1): "chr1:5001-5500"}
    for row in found.iter_rows(named=True):
        region = expected[row["gene"], row["exon"]]
        text = subprocess.run(
            ["samtools", "depth", "-a", "-r", region, files / f"{row['sample']}.bam"], capture_output=True, text=True, check=True
        ).stdout
        depths = [int(line.split("\t")[2]) for line in text.splitlines()]
        assert str(Region(row["contig"], row["start"], row["end"])) == region
        assert (row["bases"], row["below"], row["least"]) == (len(depths), sum(d < min_depth for d in depths), min(depths))
        assert row["mean_depth"] == pytest.approx(sum(depths) / len(depths))


def test_regions_and_where(catalog, files):
    found = panel_completeness(catalog, regions=["chr2:11-60", "chr2"], where="sample.sex = 'Female'", min_depth=5)
    assert found["object"].to_list() == ["s000", "s000", "s002", "s002", "s004", "s004"] and found["gene"].null_count() == 6
    for row in found.iter_rows(named=True):
        depth = brute_depth(files / f"{row['sample']}.bam", "chr2", row["start"], row["end"])
        assert (row["bases"], row["below"]) == (len(depth), (depth < 5).sum())


def test_what_is_asked_wrongly(catalog, annotation):
    with pytest.raises(InvalidInputError, match="either genes or regions"):
        panel_completeness(catalog)
    with pytest.raises(InvalidInputError, match="take an annotation"):
        panel_completeness(catalog, ["ABC1"])
    with pytest.raises(NotFoundError, match="ABD1"):
        panel_completeness(catalog, ["ABD1"], annotation=annotation)
    with pytest.raises(NotFoundError, match="no exons"):
        panel_completeness(catalog, ["NONE"], annotation=annotation)
    with pytest.raises(InvalidInputError, match="no genes"):
        panel_completeness(catalog, [], annotation=annotation)


def test_regions_that_files_do_not_have(catalog):
    with pytest.raises(PartitionError, match="no contig chr7"):
        panel_completeness(catalog, regions=["chr2:1-10", "chr7:1-10"])
    with pytest.raises(PartitionError, match="goes past the 8,000 bases of chr2"):
        panel_completeness(catalog, regions=["chr2:7990-8010"])
    left = panel_completeness(catalog, regions=["chr7:1-10", "chr2:1-10"], missing="skip")
    assert left["contig"].to_list() == ["chr2"] * 6
