"""Tables of reads and variants of a plan are the records of samtools and bcftools, each once, also where a plan is split."""

import random
import shutil
import subprocess

import pytest

from modos import Region, open_catalog
from modos.api import MODO
from modos.errors import InvalidInputError
from modos.plans import track_matrix
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_reference, open_store
from tests.support.cohort import CONTIGS

pytestmark = pytest.mark.skipif(
    not shutil.which("samtools") or not shutil.which("bcftools"), reason="needs samtools and bcftools"
)


@pytest.fixture(scope="module")
def catalog_of_one(example):
    """A catalogue whose place is the object itself."""
    return open_catalog(example / "ex")


def lines(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.splitlines()


def draw_regions(seed):
    rng = random.Random(seed)
    for _ in range(rng.randrange(1, 5)):
        contig, length = rng.choice([("chr1", 60_000), ("chr2", 40_000)])
        start = rng.randrange(length - 10)
        yield Region(contig, start, min(length, start + rng.choice([20, 800, 30_000])))


@pytest.mark.parametrize("split", [None, 2_000])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["demo1", "demo2"])
def test_reads(catalog_of_one, example, name, seed, split):
    regions = list(draw_regions(seed))
    plan = catalog_of_one.scan(
        "reads", regions, where=f"element = 'data/{name}'", columns=["qname", "flag", "pos", "cigar"], split=split
    )
    rows = plan.to_polars().select("qname", "flag", "pos", "cigar").rows()
    found = [tuple("*" if value is None else str(value) for value in row) for row in rows]
    path = example / "ex" / ("demo1.cram" if name == "demo1" else "demo2.bam")
    text = lines("samtools", "view", "-M", "-T", example / "source/reference.fa", path, *regions)
    expected = [(f[0], f[1], f[3], f[5]) for f in (line.split("\t") for line in text)]
    assert found == expected and (split is None or len(plan) >= 1)


@pytest.mark.parametrize("split", [None, 300])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["calls", "cohort"])
def test_variants_have_a_row_for_each_sample(catalog_of_one, example, name, seed, split):
    regions = list(draw_regions(seed))
    plan = catalog_of_one.scan("variants", regions, where=f"element = 'data/{name}'", split=split)
    found = plan.to_polars().select("chrom", "pos", "ref", "sample", "FORMAT/GT").rows() if len(plan) else []
    path = example / "ex" / ("calls.vcf.gz" if name == "calls" else "cohort.bcf")
    asked = ",".join(map(str, regions))
    text = lines("bcftools", "query", "-r", asked, "-f", "[%CHROM\t%POS\t%REF\t%SAMPLE\t%GT\n]", path)
    expected = [(c, int(p), r, s, g) for c, p, r, s, g in (line.split("\t") for line in text)]
    assert sorted(found) == sorted(set(expected)) and len(found) == len(set(found))


def test_whole_files_with_unplaced_reads(catalog_of_one, example):
    for name, path in (("demo1", "demo1.cram"), ("demo2", "demo2.bam")):
        plan = catalog_of_one.scan("reads", where=f"element = 'data/{name}'", columns=["qname"], split=5_000)
        count = lines("samtools", "view", "-c", "-T", example / "source/reference.fa", example / "ex" / path)[0]
        assert len(plan) > 3 and plan.to_arrow().num_rows == int(count)


def test_a_place_that_is_the_object(catalog_of_one, example):
    (partition,) = catalog_of_one.scan("reads", "chr1:1-10", where="element = 'data/demo2'")
    assert partition.file.object == "" and partition.name == f"{example / 'ex'} data/demo2 chr1:1-10"


def test_columns_are_chosen(catalog_of_one):
    plan = catalog_of_one.scan("reads", columns=["pos"], where="element = 'data/demo2'", split=50_000)
    assert len(plan) > 1 and plan.to_arrow().column_names == ["object", "element", "sample", "pos"]


def test_a_vcf_zarr_is_scanned_too(example, tmp_path):
    pytest.importorskip("bio2zarr", reason="a VCF Zarr is made with bio2zarr, which the extra `vcf-zarr` installs")
    modo = MODO.open(shutil.copytree(example / "ex", tmp_path / "c" / "ex"))
    modo.convert("calls.vcf.gz", "vcf-zarr")
    catalog = open_catalog(tmp_path / "c")
    tables = {
        element: catalog.scan("variants", "chr1:1-9,000", where=f"element = 'data/{element}'").to_polars().drop("element")
        for element in ("calls", "calls_zarr")
    }
    columns = ["chrom", "pos", "ref", "sample", "FORMAT/GT"]
    assert tables["calls"].select(columns).equals(tables["calls_zarr"].select(columns)) and tables["calls"].height == 36


@pytest.fixture
def genes(tmp_path, monkeypatch):
    """A store with a gene on the contigs of the cohort, which the environment names."""
    (tmp_path / "g.fa").write_text("".join(f">{name}\n{'ACGTTGCAAT' * (length // 10)}\n" for name, length in CONTIGS.items()))
    rows = [
        "gene 1001 3000 . + . ID=G1;gene_name=ABC1",
        "transcript 1001 3000 . + . ID=T1;Parent=G1",
        "exon 1001 3000 . + . Parent=T1",
    ]
    (tmp_path / "g.gff3").write_text("".join(f"chr1 T {row}\n".replace(" ", "\t") for row in rows))
    store = open_store(tmp_path / "refs")
    add_files(store, "g", [str(tmp_path / "g.fa")])
    add_annotation(store, "g.v1", store.assembly("g"), str(tmp_path / "g.gff3"))
    return tmp_path / "refs"


@pytest.mark.parametrize("kind", ["reads", "variants", "coverage", "tracks"])
def test_genes_are_asked_of_each_object_or_of_an_annotation(catalog, genes, kind, monkeypatch):
    expected = catalog.scan(kind, "chr1:1001-3000").to_polars()
    annotation = open_reference("g", genes).annotation("g.v1")
    plan = catalog.scan(kind, ["ABC1"], annotation=annotation)
    assert plan[0].regions == (Region("chr1", 1000, 3000),) and plan.to_polars().equals(expected)
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(genes))
    assert catalog.scan(kind, ["ABC1"]).to_polars().equals(expected)
    missing = catalog.scan(kind, ["ABC1", "NONE"], missing="skip")
    assert missing.to_polars().equals(expected) and len(missing.skipped) == 6


def test_a_matrix_of_genes(catalog, genes, monkeypatch):
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(genes))
    matrix = track_matrix(catalog, "signal", ["ABC1"])
    assert matrix["region"].to_list() == ["ABC1"]
    assert matrix.drop("region").equals(track_matrix(catalog, "signal", ["chr1:1001-3000"]).drop("region"))


def tagged(place, name, tag):
    """An object with one read that has a tag."""
    import pysam

    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 1000}]}
    path = place.parent / f"{name}.bam"
    place.mkdir(exist_ok=True)
    with pysam.AlignmentFile(path, "wb", header=header) as out:
        read = pysam.AlignedSegment.fromstring(f"r\t0\tchr1\t11\t60\t4M\t*\t0\t0\tACGT\t!!!!\t{tag}", out.header)
        out.write(read)
    pysam.index(str(path))
    MODO.create(place / name).add_element({"id": "data/reads", "@type": "AlignmentSet"}, path)


def test_columns_that_some_files_have_and_columns_of_different_types(tmp_path):
    place = tmp_path / "c"
    for name, tag in (("a", "XA:i:5"), ("b", "XB:Z:t")):
        tagged(place, name, tag)
    table = open_catalog(place).scan("reads", "chr1").to_polars()
    assert table.select("object", "XA", "XB").rows() == [("a", 5, None), ("b", None, "t")]
    tagged(place, "d", "XA:Z:text")
    with pytest.raises(InvalidInputError, match="different types"):
        open_catalog(place).scan("reads", "chr1").to_arrow()
    assert open_catalog(place).scan("reads", "chr1", columns=["pos"]).to_arrow().num_rows == 3
