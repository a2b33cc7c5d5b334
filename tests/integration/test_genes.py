"""A gene's name in the place of a region gives what samtools and bcftools give for the gene's coordinates."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import requests

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import InvalidInputError, NotFoundError, RegionError
from modos.object.finding import open_served_file
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_reference, open_store
from modos.server.app import create_app
from modos.server.run import BackgroundServer, Settings
from modos.storage import open_storage
from tests.support import commands
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(16)

if not shutil.which("samtools") or not shutil.which("bcftools"):
    pytest.skip("samtools and bcftools are not installed", allow_module_level=True)

GENES = [  # contig, start (1-based), end, id, name
    ("1", 20_001, 25_000, "ENSG01.7", "BRCA1"),
    ("1", 30_001, 31_000, "ENSG02.1", "TWIN"),
    ("2", 101, 3_000, "ENSG03.1", "TWIN"),
    ("2", 5_001, 6_000, "ENSG04.2", "SAME"),
    ("2", 5_001, 6_000, "ENSG05.2", "SAME"),
    ("2", 1, 500, "ENSG06.3_PAR_Y", "PARY"),
    ("1", 1, 900, "ENSG06.3", "PARX"),
    ("2", 7_001, 8_000, "ENSG07.1", "chr1"),
    ("3", 11, 400, "ENSG08.1", "AWAY"),
]


def gff3(path, genes=GENES):
    rows = [
        f"{contig}\tT\tgene\t{start}\t{end}\t.\t+\t.\tID={id};gene_id={id};gene_name={name};gene_type=x\n"
        f"{contig}\tT\ttranscript\t{start}\t{end}\t.\t+\t.\tID=T{id};Parent={id}\n{contig}\tT\texon\t{start}\t{end}\t.\t+\t.\tParent=T{id}\n"
        for contig, start, end, id, name in genes
    ]
    path.write_text("".join(rows))
    return str(path)


@pytest.fixture(scope="module")
def refs(example, tmp_path_factory):
    """A store with the demo's assembly under other names, with an annotation, and one of other lengths."""
    folder = tmp_path_factory.mktemp("genes")
    text = (example / "source/reference.fa").read_text()
    (folder / "demo.fa").write_text(text.replace(">chr", ">") + ">3\n" + "ACGT" * 200 + "\n")
    names = [line[1:].split()[0] for line in text.splitlines() if line.startswith(">")]
    (folder / "names.txt").write_text("".join(f"{name.removeprefix('chr')}\t{name}\n" for name in names))
    store = open_store(folder / "refs")
    add_files(store, "demo", [str(folder / "demo.fa")], str(folder / "names.txt"))
    add_annotation(store, "genes.v1", store.assembly("demo"), gff3(folder / "genes.gff3"))
    (folder / "other.fa").write_text(">chr1\n" + "ACGT" * 10_000 + "\n>chr2\n" + "ACGT" * 5_000 + "\n")
    other = open_store(folder / "other")
    add_files(other, "other", [str(folder / "other.fa")])
    add_annotation(
        other, "genes.other", other.assembly("other"), gff3(folder / "other.gff3", [("chr1", 5, 100, "ENSG01.7", "BRCA1")])
    )
    return folder


@pytest.fixture
def modo(example, refs, tmp_path, monkeypatch):
    """The demo's files with a reference that names the assembly."""
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "refs"))
    modo = MODO.create(tmp_path / "own")
    modo.add_element(
        {
            "id": "demo",
            "@type": "ReferenceGenome",
            "assembly": "demo",
            "seqcol_digest": open_store(refs / "refs").assembly("demo").seqcol,
        }
    )
    for name, kind in (
        ("demo2.bam", "AlignmentSet"),
        ("demo1.cram", "AlignmentSet"),
        ("calls.vcf.gz", "VariantSet"),
        ("cohort.bcf", "VariantSet"),
    ):
        modo.add_element(
            {"id": name.partition(".")[0], "@type": kind, "data_path": name, "has_reference": ["reference/demo"]},
            example / "ex" / name,
        )
    return modo


def counted(path, region):
    command = (
        ["samtools", "view", "-c", path, region] if path.suffix == ".bam" else ["bcftools", "view", "-H", "-r", region, path]
    )
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(text) if path.suffix == ".bam" else len(text.splitlines())


def run(*arguments, code=0, **options):
    result = commands.run(arguments, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, **options)
    assert result.returncode == code, result.stderr
    return result


@pytest.mark.parametrize("name", ["BRCA1", "ENSG01.7", "ENSG01", " BRCA1 "])
def test_a_gene_is_its_region(modo, example, name):
    """By name, by id, by id without its version; on contigs of other names than the annotation has."""
    assert modo.count("demo2.bam", name) == counted(example / "ex/demo2.bam", "chr1:20001-25000") == 969
    assert sum(1 for _ in modo.stream_genomics("demo2.bam", name)) == 969
    assert sum(1 for _ in modo.stream_genomics("demo1.cram", name)) == modo.count("demo1.cram", "chr1:20,001-25,000") == 969
    for file in ("calls.vcf.gz", "cohort.bcf"):
        assert modo.count(file, name) == counted(example / "ex" / file, "chr1:20001-25000") > 0
    assert (modo.coverage("demo2.bam", name) == modo.coverage("demo2.bam", "chr1:20,001-25,000")).all()


def test_the_ends_of_a_gene_count_and_what_is_beside_them_does_not(modo, refs, tmp_path, example):
    """A base off would be another answer: each base of a start and an end alone."""
    from modos.genomics.region import Region
    from modos.reference.genes import GeneFinder

    contigs = {"chr1": (None, None), "chr2": (None, None)}
    finder = GeneFinder(seqcols=lambda: {open_store(refs / "refs").assembly("demo").seqcol})
    assert finder.find("BRCA1", contigs) == Region("chr1", 20_000, 25_000)
    with pytest.raises(NotFoundError, match="with its length"):
        GeneFinder().find("BRCA1", contigs)  # nothing says that these contigs are of the assembly


def test_genes_and_regions_together(modo, example):
    both = ["BRCA1", "chr2:101-3,000"]
    assert modo.count("demo2.bam", both) == modo.count("demo2.bam", ["chr1:20,001-25,000", "chr2:101-3,000"])
    assert modo.count("demo2.bam", ["BRCA1", "BRCA1"]) == 969


def test_a_contig_wins(modo, example):
    assert modo.count("demo2.bam", "chr1") == counted(example / "ex/demo2.bam", "chr1") != modo.count("demo2.bam", "ENSG07")


def test_several_genes_of_a_name_are_listed(modo, example):
    with pytest.raises(RegionError) as caught:
        modo.count("demo2.bam", "TWIN")
    for part in ("ENSG02.1 at chr1:30001-31000", "ENSG03.1 at chr2:101-3000", "genes.v1"):
        assert part in caught.value.message
    assert modo.count("demo2.bam", "ENSG03") == counted(example / "ex/demo2.bam", "chr2:101-3000")
    assert modo.count("demo2.bam", "SAME") == counted(example / "ex/demo2.bam", "chr2:5001-6000")  # two at one place
    assert modo.count("demo2.bam", "ENSG06") == counted(example / "ex/demo2.bam", "chr1:1-900")
    assert modo.count("demo2.bam", "ENSG06_PAR_Y") == counted(example / "ex/demo2.bam", "chr2:1-500")


def test_what_there_is_not_is_said_with_what_is_near(modo):
    with pytest.raises(NotFoundError, match="neither a contig nor a gene BRCA2") as caught:
        modo.count("demo2.bam", "BRCA2")
    assert "BRCA1" in caught.value.hint
    with pytest.raises(NotFoundError, match="AWAY is on 3, and the file has no such contig"):
        modo.count("demo2.bam", "AWAY")
    with pytest.raises(NotFoundError, match="neither a contig nor a gene brca1"):
        next(modo.stream_genomics("demo1.cram", "brca1"))
    with pytest.raises(NotFoundError):
        modo.count("demo2.bam", "BRCA1:1-100")


def test_two_annotations_that_differ_are_told(modo, refs, tmp_path, monkeypatch):
    shutil.copytree(refs / "refs", tmp_path / "two")
    store = open_store(tmp_path / "two")
    add_annotation(
        store,
        "genes.v2",
        store.assembly("demo"),
        gff3(tmp_path / "v2.gff3", [("1", 20_001, 26_000, "ENSG01.8", "BRCA1"), *GENES[1:2]]),
    )
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(tmp_path / "two"))
    with pytest.raises(
        RegionError, match=r"ENSG01.7 at chr1:20001-25000 \(genes.v1\), ENSG01.8 at chr1:20001-26000 \(genes.v2\)"
    ):
        modo.count("demo2.bam", "BRCA1")
    assert modo.count("demo2.bam", "ENSG01.7") == 969 and modo.count("demo2.bam", "ENSG02") > 0


# --- never an annotation of another assembly ---


@pytest.fixture
def plain(example, tmp_path):
    """An object that does not say what its file was made with."""
    modo = MODO.create(tmp_path / "plain")
    modo.add_element({"id": "a", "@type": "AlignmentSet", "data_path": "demo2.bam"}, example / "ex/demo2.bam")
    return modo


def test_contigs_have_to_fit_where_nothing_is_stated(plain, refs, monkeypatch):
    with pytest.raises(NotFoundError, match="no contig BRCA1") as caught:
        plain.count("demo2.bam", "BRCA1")
    assert "gene" not in caught.value.message  # there are no annotations
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "other"))
    with pytest.raises(NotFoundError, match="genes.other .chr1 has .* bases in the file and 40,000 in other"):
        plain.count("demo2.bam", "BRCA1")
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "refs"))
    assert plain.count("demo2.bam", "BRCA1") == 969


def test_a_stated_assembly_has_to_fit_too(modo, refs, monkeypatch):
    """The metadata say one thing and the header another: no answer."""
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "other"))
    modo.update_element(
        "reference/demo", {"assembly": "other", "seqcol_digest": open_store(refs / "other").assembly("other").seqcol}
    )
    with pytest.raises(NotFoundError, match="no annotation is of the assembly of the file"):
        modo.count("demo2.bam", "BRCA1")


def test_digests_of_contigs_count(plain, refs, tmp_path, example, monkeypatch):
    """The same lengths and other bases are another assembly."""
    lines = subprocess.run(
        ["samtools", "view", "-H", example / "ex/demo2.bam"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    header = (
        "\n".join(
            "\t".join([*(f for f in line.split("\t") if not f.startswith("M5:")), "M5:" + "0" * 32])
            if line.startswith("@SQ")
            else line
            for line in lines
        )
        + "\n"
    )
    (tmp_path / "header.sam").write_text(header)
    with open(tmp_path / "others.bam", "wb") as out:
        subprocess.run(["samtools", "reheader", tmp_path / "header.sam", example / "ex/demo2.bam"], stdout=out, check=True)
    plain.add_element({"id": "b", "@type": "AlignmentSet", "data_path": "others.bam"}, tmp_path / "others.bam")
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "refs"))
    with pytest.raises(NotFoundError, match="has the MD5 0000"):
        plain.count("others.bam", "BRCA1")


# --- GFF3 of the object ---


@pytest.mark.sweep(1)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_gff3_of_the_object(example, tmp_path, stack, compressed):
    modo = MODO.create(tmp_path / "ex")
    path = tmp_path / "genes.gff3"
    gff3(path, [(f"chr{contig}", *rest) for contig, *rest in GENES])
    if compressed:
        subprocess.run(["bgzip", path], check=True)
        path = tmp_path / "genes.gff3.gz"
    modo.add_element({"id": "r", "@type": "ReferenceGenome", "data_path": "reference.fa"}, example / "ex/reference.fa")
    modo.add_element(
        {"id": "genes", "@type": "DataEntity", "data_format": "GFF3", "data_path": path.name, "has_reference": ["reference/r"]},
        path,
    )
    for name, links in (("a.bam", ["reference/r"]), ("b.bam", [])):
        modo.add_element(
            {"id": name[0], "@type": "AlignmentSet", "data_path": name, "has_reference": links}, example / "ex/demo2.bam"
        )
    assert modo.count("a.bam", "BRCA1") == modo.count("a.bam", "ENSG01") == 969
    with pytest.raises(RegionError, match="ENSG02.1"):
        modo.count("a.bam", "TWIN")
    with pytest.raises(NotFoundError, match="no contig BRCA1"):
        modo.count("b.bam", "BRCA1")  # of which nothing says that it has this reference
    if compressed:
        far = f"s3://{BUCKET}/genes-{tmp_path.name}"
        modo.upload(far, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
        assert MODO.open(far, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS).count("a.bam", "BRCA1") == 969


def test_a_gff3_that_goes_beyond_the_contigs_is_of_another_assembly(example, tmp_path):
    modo = MODO.create(tmp_path / "ex")
    gff3(tmp_path / "genes.gff3", [("chr1", 1, 900, "G1", "A"), ("chr1", 1, 900_000_000, "G2", "B")])
    modo.add_element({"id": "r", "@type": "ReferenceGenome", "data_path": "reference.fa"}, example / "ex/reference.fa")
    modo.add_element(
        {
            "id": "genes",
            "@type": "DataEntity",
            "data_format": "GFF3",
            "data_path": "genes.gff3",
            "has_reference": ["reference/r"],
        },
        tmp_path / "genes.gff3",
    )
    modo.add_element(
        {"id": "a", "@type": "AlignmentSet", "data_path": "a.bam", "has_reference": ["reference/r"]}, example / "ex/demo2.bam"
    )
    with pytest.raises(InvalidInputError, match="900,000,000, and chr1 of the assembly has"):
        modo.count("a.bam", "A")


@pytest.mark.parametrize("name", ["INO80B", "INO80B-WBP1", "WBP1", "MOGS", "ENSG00000274049", "ENSG00000115275.12"])
def test_genes_of_gencode(shared_data, tmp_path, monkeypatch, name):
    """What the file itself says of a gene, found by reading its lines."""
    source = shared_data / "genomekit-mini/gencode.v29.annotation.gff3"
    (tmp_path / "a.fa").write_text(">chr2\n" + "ACGTA" * 2_100 + "\n")
    reads = [f"r{at}\t0\tchr2\t{at}\t60\t20M\t*\t0\t0\t{'ACGTA' * 4}\t*" for at in range(1, 10_480, 3)]
    subprocess.run(
        ["samtools", "view", "-b", "--write-index", "-o", f"{tmp_path}/a.bam##idx##{tmp_path}/a.bam.bai", "-"],
        text=True,
        check=True,
        input="@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr2\tLN:10500\n" + "\n".join(reads) + "\n",
    )
    store = open_store(tmp_path / "refs")
    add_files(store, "a", [str(tmp_path / "a.fa")])
    add_annotation(store, "v29", store.assembly("a"), str(source))
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(tmp_path / "refs"))
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet", "data_path": "a.bam"}, tmp_path / "a.bam")
    (place,) = [
        line.split("\t")[3:5]
        for line in source.read_text().splitlines()
        if "\tgene\t" in line and any(f"{key}={name}{end}" in line for key in ("gene_name", "ID") for end in (";", "."))
    ]
    assert modo.count("a.bam", name) == counted(tmp_path / "a.bam", "chr2:{}-{}".format(*place)) > 0


# --- endpoints and commands ---


@pytest.fixture
def endpoint(example, refs):
    """A server over the demo's object that gives out the store."""
    with BackgroundServer(create_app(open_storage(example), references=open_store(refs / "refs"))) as server:
        yield server.url


def test_an_address_on_a_server_with_annotations(endpoint, refs, example):
    assert open_served_file(f"{endpoint}/htsget/reads/ex/demo2", endpoint).count("BRCA1") == 969
    assert open_served_file(f"{endpoint}/htsget/variants/ex/calls", endpoint).count("ENSG01") == counted(
        example / "ex/calls.vcf.gz", "chr1:20001-25000"
    )
    with pytest.raises(NotFoundError, match="neither a contig nor a gene BRCA9"):
        open_served_file(f"{endpoint}/htsget/reads/ex/demo2", endpoint).count("BRCA9")


def test_an_address_on_a_server_with_annotations_of_another_assembly(example, refs):
    with BackgroundServer(create_app(open_storage(example), references=open_store(refs / "other"))) as server:
        with pytest.raises(NotFoundError, match="no annotation is of the assembly"):
            open_served_file(f"{server.url}/htsget/reads/ex/demo2", server.url).count("BRCA1")


def test_a_region_asks_for_nothing_more(endpoint):
    """No request is added where no gene is meant; and an endpoint that is away does not hide what was wrong."""

    def requests_of(region, find_gene):
        with Proxy(endpoint) as proxy:
            file = open_served_file(f"{proxy.url}/htsget/reads/ex/demo2", proxy.url)
            if not find_gene:
                file._find_gene = None
            file.count(region)
            return len(proxy.requests)

    for region in (None, "chr1", "chr1:20,001-25,000", ["chr1:1-5", "chr2"]):
        assert requests_of(region, True) == requests_of(region, False)


def test_a_store_that_is_away_is_said(plain, monkeypatch):
    monkeypatch.setenv("MODOS_REFERENCE_STORE", "http://127.0.0.1:9/references")
    with pytest.raises(NotFoundError, match="no contig BRCA1, and whether it is a gene cannot be asked"):
        plain.count("demo2.bam", "BRCA1")
    assert plain.count("demo2.bam", "chr1:20,001-25,000") == 969


def test_the_commands(modo, refs, endpoint, plain, tmp_path, monkeypatch):
    own = modo.path
    assert run("stream", "-c", "-r", "BRCA1", f"{own}/demo2.bam").stdout == "969\n"
    run("stream", "-r", "BRCA1", "-r", "ENSG03", "-o", tmp_path / "out.bam", f"{own}/demo2.bam")
    assert counted_all(tmp_path / "out.bam") == modo.count("demo2.bam", ["chr1:20,001-25,000", "chr2:101-3,000"])
    assert run("coverage", "-r", "BRCA1", f"{own}/demo1.cram").stdout.splitlines()[1].split("\t")[:4] == [
        "chr1",
        "20001",
        "25000",
        "956",
    ]
    assert "TWIN is at 2 places" in run("stream", "-r", "TWIN", f"{own}/demo2.bam", code=2).stderr
    assert "did you mean BRCA1?" in run("stream", "-r", "BRCA2", f"{own}/demo2.bam", code=3).stderr
    monkeypatch.delenv("MODOS_REFERENCE_STORE")
    assert run("--endpoint", endpoint, "stream", "-c", "-r", "BRCA1", f"{plain.path}/demo2.bam").stdout == "969\n"


def counted_all(path):
    return int(subprocess.run(["samtools", "view", "-c", path], capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("way", ["folder", "server"])
def test_a_contig_that_only_the_index_has_wins_too(example, refs, tmp_path, monkeypatch, way):
    """Also beside a region that is a gene, in either order."""
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "refs"))
    text = subprocess.run(["bcftools", "view", example / "ex/calls.vcf.gz"], capture_output=True, text=True, check=True).stdout
    body = [line for line in text.splitlines() if not line.startswith("##")]
    head = [line for line in text.splitlines() if line.startswith("##")]
    own = "\t".join(["PARX", "7", "own", *body[1].split("\t")[3:]])
    plain, path = tmp_path / "a.vcf", tmp_path / "a.vcf.gz"
    plain.write_text("\n".join([*head, *body, own]) + "\n")
    path.write_bytes(subprocess.run(["bgzip", "-c", plain], capture_output=True, check=True).stdout)
    modo = MODO(tmp_path / "objects/ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, path)
    server = BackgroundServer(create_app(open_storage(tmp_path / "objects")))
    try:
        file = modo.file("a.vcf.gz") if way == "folder" else open_served_file(f"{server.url}/htsget/variants/ex/a", None)
        gene = counted(example / "ex/calls.vcf.gz", "chr1:20001-25000")
        for regions in (["PARX", "BRCA1"], ["BRCA1", "PARX:1-10"]):
            found = list(file.fetch(regions))
            assert len(found) == gene + 1 and [record.id for record in found if record.contig == "PARX"] == ["own"], regions
    finally:
        server.stop()


def test_a_gene_over_the_origin_is_two_regions(example, tmp_path):
    length = MODO.open(example / "ex").file("demo2.bam").header.get_reference_length("chr2")
    (tmp_path / "genes.gff3").write_text(
        f"chr2\tT\tregion\t1\t{length}\t.\t+\t.\tID=chr2;Is_circular=true\n"
        + "".join(
            f"chr2\tT\t{kind}\t{length - 99}\t{length + 50}\t.\t+\t.\t{more}\n"
            for kind, more in (("gene", "ID=g;gene_name=AROUND"), ("mRNA", "ID=t;Parent=g"), ("exon", "ID=e;Parent=t"))
        )
    )
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "genome", "@type": "ReferenceGenome"}, example / "source/reference.fa")
    modo.add_element(
        {"id": "reads", "@type": "AlignmentSet", "has_reference": ["reference/genome"]}, example / "source/demo2.bam"
    )
    modo.add_element({"id": "genes", "@type": "DataEntity", "has_reference": ["reference/genome"]}, tmp_path / "genes.gff3")
    with pytest.raises(RegionError, match="origin of chr2") as caught:
        list(modo.stream_genomics("demo2.bam", "AROUND"))
    assert f"chr2:{length - 99}-{length} and chr2:1-50" in caught.value.hint


# --- panels of a server ---


def test_a_panel_has_genes_by_whatever_names_contigs_have(refs, example, tmp_path):
    """The annotation says 1 where the files say chr1."""
    shutil.copytree(example / "ex", tmp_path / "served/ex")
    (tmp_path / "access.toml").write_text(
        '[panel.heart]\ngenes = ["BRCA1", "ENSG03"]\nannotation = "genes.v1"\nflank = 10\n'
        '[[rule]]\nwho = ["anyone"]\npanels = ["heart"]\nread = ["ex"]\n'
    )
    settings = Settings(str(tmp_path / "served"), access_file=str(tmp_path / "access.toml"), references=str(refs / "refs"))
    with BackgroundServer(settings.app()) as server:
        file = open_served_file(f"{server.url}/htsget/reads/ex/demo2", None)
        words = ["samtools", "view", "-c", "-M", example / "ex/demo2.bam", "chr1:19991-25010", "chr2:91-3010"]
        assert file.count() == int(subprocess.run(words, capture_output=True, check=True).stdout) > 0
        told = requests.get(f"{server.url}/htsget/reads/ex/demo2", timeout=20).json()["htsget"]["allowed"]
        assert [(one["name"], one["start"], one["end"]) for one in told] == [("chr1", 19_990, 25_010), ("chr2", 90, 3_010)]


@pytest.mark.parametrize(
    ("panel", "says"),
    [
        ('genes = ["NOWHERE"]\nannotation = "genes.v1"', "NOWHERE"),
        ('genes = ["TWIN"]\nannotation = "genes.v1"', "TWIN"),
        ('genes = ["BRCA1"]\nannotation = "genes.v7"', "genes.v7"),
        ('genes = ["BRCA1"]', "annotation"),
    ],
)
def test_a_panel_of_genes_that_are_not_found_stops_the_server(refs, tmp_path, panel, says):
    (tmp_path / "access.toml").write_text(
        f'[panel.heart]\n{panel}\n[[rule]]\nwho = ["anyone"]\npanels = ["heart"]\nread = ["ex"]\n'
    )
    settings = Settings(str(tmp_path), access_file=str(tmp_path / "access.toml"), references=str(refs / "refs"))
    with pytest.raises(InvalidInputError, match=says):
        settings.app()


def models_of(figure):
    return [(model.name, model.start + 1, model.end) for model in figure.panels[-1].models]


@pytest.mark.parametrize("name", ["demo2", "demo1", "calls"])
def test_genes_of_the_store_are_drawn_below_by_any_name_of_the_contig(modo, refs, name):
    """The store calls it 1, the files chr1; each region, and a gene in its place, finds both."""
    pytest.importorskip("matplotlib", reason="figures are drawn with matplotlib, which the extra `plot` installs")
    expected = [("PARX", 1, 900), ("BRCA1", 20_001, 25_000), ("TWIN", 30_001, 31_000)]
    for region in ("chr1", "1", "chr1:1-60,000"):
        figure = modo[f"data/{name}"].plot(region)
        assert models_of(figure) == expected and figure.notes == []
    figure = modo[f"data/{name}"].plot("BRCA1", annotation="genes.v1", genes=["BRCA1"])
    assert str(figure.region) in ("chr1:20001-25000", "1:20001-25000") and models_of(figure) == expected[1:2]
    opened = modo.reference("demo").annotation("genes.v1")
    assert models_of(modo[f"data/{name}"].plot("chr1", annotation=opened)) == expected
    assert models_of(modo[f"data/{name}"].plot("chr1", with_=opened, genes=["BRCA1"])) == expected[1:2]


def test_genes_of_another_assembly_are_not_drawn(example, refs, tmp_path, monkeypatch):
    """Nothing is said of what the reads are of: their contigs have to tell."""
    pytest.importorskip("matplotlib", reason="figures are drawn with matplotlib, which the extra `plot` installs")
    modo = MODO.create(tmp_path / "bare")
    modo.add_element({"id": "demo2", "@type": "AlignmentSet", "data_path": "demo2.bam"}, example / "ex" / "demo2.bam")
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "refs"))
    assert models_of(modo["data/demo2"].plot("chr1:1-1,000")) == [("PARX", 1, 900)]
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(refs / "other"))
    assert len(modo["data/demo2"].plot("chr1:1-1,000").panels) == 1
    with pytest.raises(NotFoundError, match=r"genes.other is not of the assembly of the file: chr1 has 60,000 bases"):
        modo["data/demo2"].plot("chr1:1-1,000", annotation="genes.other")
    opened = open_reference("other").annotation("genes.other")
    with pytest.raises(InvalidInputError, match="chr1 has 60,000 bases in demo2 and 40,000 bases in genes.other"):
        modo["data/demo2"].plot("chr1:1-1,000", annotation=opened)
