"""The first hour: an object of files, a template, a sheet with other headers, as a newcomer types it."""

from __future__ import annotations

import gzip
import json
import subprocess

import pytest

from tests.support import commands
from tests.support.terminal import on_a_terminal

pytestmark = pytest.mark.sweep(16)


def modos(*arguments, cwd=None):
    return commands.run(arguments, capture_output=True, cwd=cwd, stdin=subprocess.DEVNULL, timeout=180, text=True)


def good(*arguments, cwd=None):
    result = modos(*arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result


def fails(code, *arguments, words=(), cwd=None):
    result = modos(*arguments, cwd=cwd)
    assert result.returncode == code and "Traceback" not in result.stderr, result.stderr
    lines = result.stderr.splitlines()
    lines = lines[next(number for number, line in enumerate(lines) if line.startswith("error: ")) :]
    assert len(lines) <= 2 and result.stdout == "", result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.fixture
def source(example):
    return example / "source"


def shown(path):
    return json.loads(good("show", path, "--json").stdout)


def test_meta_has_slots_alone(source, tmp_path):
    """And no argument of the function that makes the object."""
    for files in ((), (source / "demo2.bam",)):
        for name in ("endpoint", "files", "colour"):
            fails(2, "create", tmp_path / "ex", *files, "-m", json.dumps({name: "http://127.0.0.1:9"}), words=(name, "slot"))
    assert not (tmp_path / "ex").exists()


def test_a_dry_run_of_files_says_what_would_come_and_makes_nothing(source, tmp_path):
    (tmp_path / "s.tsv").write_text("id\tsex\nSAMPLE1\tMale\n")
    line = (
        "create",
        tmp_path / "ex",
        source / "demo1.cram",
        "-r",
        source / "reference.fa",
        "-f",
        tmp_path / "s.tsv",
        "--type",
        "sample",
    )
    plan = good(*line, "--dry-run")
    changes = json.loads(good(*line, "--dry-run", "--json").stdout)
    assert not (tmp_path / "ex").exists() and "by MD5" in plan.stderr
    good(*line)
    made = shown(tmp_path / "ex")
    assert {change["element_id"] for change in changes if change["element_id"]} == {element for element in made if "/" in element}
    assert {change["kind"] for change in changes} == {"added"} and "+ data/demo1" in plan.stdout.splitlines()
    assert good("add", tmp_path / "ex", source / "demo2.bam", "--dry-run").stdout == "+ data/demo2\n"
    assert shown(tmp_path / "ex") == made and not (tmp_path / "ex/demo2.bam").exists()
    assert good("create", tmp_path / "of-sheets", "-f", tmp_path / "s.tsv", "--type", "sample", "--dry-run").stdout.endswith(
        "+ sample/SAMPLE1\n"
    )
    assert not (tmp_path / "of-sheets").exists()
    fails(2, "create", tmp_path / "new", "-m", "{}", "--dry-run", words=("FILEs",))
    fails(2, "create", tmp_path / "new", source / "demo2.bam", "--json", words=("--dry-run",))


def test_genes_are_of_the_reference_that_was_given(source, tmp_path):
    """By their contigs' names, or as was said; so that a gene's name is a region of the reads."""
    genes = "chr1\tT\tgene\t20001\t25000\t.\t+\t.\tID=G1;gene_name=ABC1\n"
    (tmp_path / "genes.gff3").write_text(f"##gff-version 3\n{genes}##FASTA\n>other\nACGT\n")
    with gzip.open(tmp_path / "others.gff3.gz", "wt") as file:
        file.write(genes.replace("chr1", "one"))
    (tmp_path / "cut.gff3.gz").write_bytes((tmp_path / "others.gff3.gz").read_bytes()[:40])
    (tmp_path / "endless.bed").write_bytes(b"x" * (2 << 20))
    result = good(
        "create",
        tmp_path / "ex",
        source / "demo1.cram",
        tmp_path / "genes.gff3",
        tmp_path / "others.gff3.gz",
        "-r",
        source / "reference.fa",
    )
    assert "data/genes, GFF3, reference/reference by name alone of 1 contig" in result.stderr
    assert (
        "others.gff3.gz: DataEntity data/others, GFF3, no reference (--map has_reference:others.gff3.gz=reference/reference)"
        in result.stderr
    )
    assert shown(tmp_path / "ex")["data/genes"]["has_reference"] == ["reference/reference"]
    assert "has_reference" not in shown(tmp_path / "ex")["data/others"]
    assert (
        good("stream", "-c", "-r", "ABC1", tmp_path / "ex/demo1.cram").stdout
        == good("stream", "-c", "-r", "chr1:20001-25000", tmp_path / "ex/demo1.cram").stdout
    )
    good("c4gh", "keygen", "--no-passphrase", tmp_path / "me.sec")
    good("c4gh", "encrypt", "-p", tmp_path / "me.pub", tmp_path / "ex")
    sealed = ["stream", "-c", "--secret-key", tmp_path / "me.sec", tmp_path / "ex/demo1.cram", "-r"]
    assert good(*sealed, "ABC1").stdout == good(*sealed, "chr1:20001-25000").stdout
    good("c4gh", "decrypt", "-s", tmp_path / "me.sec", tmp_path / "ex", "data/demo1", "reference/reference")
    fails(4, "stream", "-c", "-r", "ABC1", tmp_path / "ex/demo1.cram", words=("genes.gff3", "encrypted", "--secret-key"))
    good(
        "create",
        tmp_path / "said",
        tmp_path / "others.gff3.gz",
        "-r",
        source / "reference.fa",
        "--map",
        "has_reference:others.gff3.gz=reference",
    )
    assert shown(tmp_path / "said")["data/others"]["has_reference"] == ["reference/reference"]
    for bad in ("cut.gff3.gz", "endless.bed"):
        fails(2, "create", tmp_path / "bad", tmp_path / bad, "-r", source / "reference.fa", words=(bad,))


@pytest.mark.core
def test_files_become_an_object_and_what_was_found_is_said(source, tmp_path):
    result = good(
        "create",
        tmp_path / "ex",
        source / "demo1.cram",
        source / "calls.vcf.gz",
        "-r",
        source / "reference.fa",
        "-m",
        '{"name": "Mine"}',
    )
    assert result.stdout == ""
    for words in (
        "demo1.cram: AlignmentSet data/demo1, CRAM, sample sample/SAMPLE1, reference/reference by MD5 of 2 contigs, index demo1.cram.crai",
        "calls.vcf.gz: VariantSet data/calls, VCF, samples sample/SAMPLE1, sample/SAMPLE2",
        "created",
    ):
        assert words in result.stderr, result.stderr
    assert good("-q", "create", tmp_path / "quiet", source / "demo2.bam").stderr == ""
    assert (
        good("add", tmp_path / "ex", source / "demo2.bam", source / "cohort.bcf").stderr.count("reference/reference by MD5") == 2
    )
    metadata = shown(tmp_path / "ex")
    assert metadata["ex"]["name"] == "Mine" and {"data/demo1", "data/demo2", "data/calls", "data/cohort"} <= metadata.keys()
    assert good("check", tmp_path / "ex", "--thorough").stdout == ""
    assert good("enrich", tmp_path / "ex").stderr.strip() == "nothing new"
    assert good("stream", "-c", "-r", "chr1:1-2000", tmp_path / "ex/demo1.cram").stdout.strip().isdigit()


def test_to_s3(source, stack):
    good("--endpoint", stack.endpoint, "create", "s3://modos-demo/first", source / "demo1.cram", "-r", source / "reference.fa")
    good("--endpoint", stack.endpoint, "add", "s3://modos-demo/first", source / "calls.vcf.gz")
    assert good("--endpoint", stack.endpoint, "check", "s3://modos-demo/first").stdout == ""


def test_the_present_forms_are_as_they_were(source, tmp_path):
    good("create", "ex", cwd=tmp_path)
    (tmp_path / "sample").write_text("a file of the name of a type")
    fails(2, "add", "ex", "sample", words=("--element",), cwd=tmp_path)
    good("add", "ex", "sample", "-e", '{"id": "s1"}', cwd=tmp_path)
    fails(2, "add", "ex", "sampel", "-e", '{"id": "s1"}', words=("sampel is not a type",), cwd=tmp_path)
    fails(2, "add", "ex", "sampel", words=("sampel is not a type",), cwd=tmp_path)
    good("add", "ex", "data", "-e", '{"id": "d"}', "-s", source / "demo2.bam", cwd=tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "ex", "data", "demo1.cram"),
        ("add", "ex", "demo1.cram", "demo2.bam", "-e", "{}"),
        ("add", "ex", "sample", "-e", '{"id": "x"}', "-r", "reference.fa"),
        ("add", "ex", "sample", "-e", '{"id": "x"}', "--map", "a=b"),
        ("create", "new", "-r", "reference.fa"),
        ("create", "new", "--map", "a=b"),
        ("create", "demo1.cram", "demo2.bam"),
        ("create", "new", "demo1.cram", "--map", "nonsense"),
        ("create", "new", "demo1.cram", "--worksheet", "x"),
        ("update", "ex", "demo1", "-e", "{}", "--map", "a=b"),
    ],
)
def test_what_does_not_go_together_is_refused(example, tmp_path, arguments):
    import shutil

    shutil.copytree(example / "source", tmp_path, dirs_exist_ok=True)
    shutil.copytree(example / "ex", tmp_path / "ex")
    before = sorted(tmp_path.rglob("*"))
    fails(2, *arguments, cwd=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_object_that_exists_stays(source, tmp_path):
    good("create", tmp_path / "ex", source / "demo1.cram")
    fails(1, "create", tmp_path / "ex", source / "demo2.bam", words=("modos add",))
    assert "data/demo2" not in shown(tmp_path / "ex")


def test_a_template_is_written_once_and_read_back(tmp_path):
    good("template", "sample", "-o", "s.csv", cwd=tmp_path)
    assert (tmp_path / "s.csv").read_text().startswith("id,name,description,")
    fails(1, "template", "sample", "-o", "s.csv", cwd=tmp_path)
    fails(2, "template", "sample", "-o", "s.ods", cwd=tmp_path)
    fails(2, "template", "Sampel", words=("Sample",), cwd=tmp_path)
    assert good("template", "AlignmentSet").stdout.startswith("id\tsource_file\t")
    fails(2, "create", "ex", "-f", "s.csv", words=("s.csv describes no element",), cwd=tmp_path)
    good("create", "ex", "-m", "{}", cwd=tmp_path)
    with open(tmp_path / "s.csv", "a") as file:
        file.write("S1,First\n")
    assert "1 element changed" in good("update", "ex", "-c", "s.csv", cwd=tmp_path).stderr
    assert shown(tmp_path / "ex")["sample/S1"] == {"@type": "Sample", "name": "First"}


def test_a_sheet_with_other_headers_needs_a_word(source, tmp_path):
    import openpyxl

    workbook = openpyxl.Workbook()
    for row in (["Sample ID", "Gender", "Age"], ["SAMPLE1", "F", 31], ["SAMPLE2", "male", 40]):
        workbook.active.append(row)
    workbook.save(tmp_path / "s.xlsx")
    create = ("create", "ex", source / "demo1.cram", "-f", "s.xlsx", "--type", "sample")
    fails(
        2,
        *create,
        words=("4 bad cells", "did you mean id?", "did you mean sex?", "no slot Age", "--map 'Sample ID=id'"),
        cwd=tmp_path,
    )
    assert not (tmp_path / "ex").exists()
    result = good(*create, "--map", "Sample ID=id", "--map", "Gender=sex", "--map", "Age=", "--map", "sex:F=female", cwd=tmp_path)
    for words in (
        "column Sample ID is read as id",
        "column Age is left out",
        "sex F is read as Female (1 cell)",
        "sex male is read as Male (1 cell)",
    ):
        assert words in result.stderr, result.stderr
    metadata = shown(tmp_path / "ex")
    assert metadata["sample/SAMPLE1"] == {"@type": "Sample", "sex": "Female"} and metadata["data/demo1"]["has_sample"] == [
        "sample/SAMPLE1"
    ]
    dry = good(
        "update",
        "ex",
        "-c",
        "s.xlsx",
        "--type",
        "sample",
        "--map",
        "Sample ID=id",
        "--map",
        "Gender=sex",
        "--map",
        "Age=",
        "--map",
        "sex:F=Male",
        "--dry-run",
        cwd=tmp_path,
    )
    assert dry.stdout.splitlines() == ["~ sample/SAMPLE1", "    sex: Female -> Male"]


def test_a_terminal_is_asked(source, tmp_path):
    (tmp_path / "s.tsv").write_text("Sample ID\tSex\tAge\nsample-1\tF\t3\n")
    code, said, _ = on_a_terminal(
        "create",
        "ex",
        source / "demo1.cram",
        source / "reference.fa",
        "-f",
        "s.tsv",
        "--type",
        "sample",
        answers=["nonsense", "id", "-", "female", "ReferenceGenome", "sample/sample-1"],
        cwd=tmp_path,
    )
    assert code == 0, said
    for words in (
        "column Sample ID is no slot; which one is meant?",
        "nonsense is none of",
        "column Age is left out",
        "sex F is read as Female",
        "reference.fa: what is it?",
        "which sample is SAMPLE1?",
        "created ex",
    ):
        assert words in said, said
    assert shown(tmp_path / "ex")["sample/sample-1"]["sex"] == "Female" and shown(tmp_path / "ex")["data/demo1"][
        "has_reference"
    ] == ["reference/reference"]
    code, said, _ = on_a_terminal("create", "none", "-f", "s.tsv", "--type", "sample", answers=["", "", ""], cwd=tmp_path)
    assert code == 2 and "3 bad cells" in said and not (tmp_path / "none").exists()


def test_a_terminal_is_asked_which_sample_is_meant(source, tmp_path):
    good("create", "ex", cwd=tmp_path)
    good("add", "ex", "sample", "-e", '{"id": "sample_1"}', cwd=tmp_path)
    fails(
        2,
        "add",
        "ex",
        source / "demo2.bam",
        words=("the sample SAMPLE1 may be sample/sample_1", "--map 'has_sample:SAMPLE1=sample_1'"),
        cwd=tmp_path,
    )
    code, said, _ = on_a_terminal("add", "ex", source / "demo2.bam", answers=["sample/sample_1"], cwd=tmp_path)
    assert code == 0 and "which sample is SAMPLE1?" in said, said
    assert shown(tmp_path / "ex")["data/demo2"]["has_sample"] == ["sample/sample_1"]


def test_all_that_is_wrong_with_files_is_one_error(source, tmp_path):
    fails(
        2,
        "create",
        "ex",
        source / "demo1.cram",
        "none.bam",
        source / "modo.yaml",
        source / "reference.fa",
        words=("3 problems", "no source file none.bam", "-r"),
        cwd=tmp_path,
    )
    fails(3, "create", "ex", "none.bam", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_an_element_is_what_adding_it_does(source, tmp_path):
    good("create", tmp_path / "ex", "-m", "{}")
    element, reads = json.dumps({"id": "wgs", "omics_type": "GENOMICS"}), json.dumps({"id": "d", "@type": "AlignmentSet"})
    shown = good("add", tmp_path / "ex", "assay", "-e", element, "--dry-run", "--json")
    assert {(one["element_id"], one["kind"]) for one in json.loads(shown.stdout)} == {("", "changed"), ("assay/wgs", "added")}
    assert list(json.loads(good("show", tmp_path / "ex", "--json").stdout)) == ["ex"]
    good("add", tmp_path / "ex", "assay", "-e", element)
    shown = good("add", tmp_path / "ex", "data", "-e", reads, "-s", source / "demo2.bam", "-p", "assay/wgs", "--dry-run")
    assert shown.stdout.splitlines() == ["~ assay/wgs", "    has_data: (none) -> data/d", "+ data/d"]
    assert [path.name for path in (tmp_path / "ex").glob("*.bam*")] == []
    fails(
        3,
        "add",
        tmp_path / "ex",
        "data",
        "-e",
        json.dumps({"id": "d", "@type": "AlignmentSet", "has_sample": "x"}),
        "-s",
        source / "demo2.bam",
        "--dry-run",
        words=["has_sample links to sample/x"],
    )


def test_a_template_is_xlsx_too(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    good("template", "sample", "-o", tmp_path / "t.xlsx")
    fails(2, "create", tmp_path / "ex", "-f", tmp_path / "t.xlsx", words=["t.xlsx describes no element"])
    workbook = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert [[cell.value or "" for cell in row] for row in workbook.active.rows] == [
        line.split("\t") for line in good("template", "sample").stdout.splitlines()
    ]
    assert {workbook.active.column_dimensions[letter].number_format for letter in "ABCDEF"} == {"@"}
    workbook.active["A3"], workbook.active["F3"] = "007", "Female"
    workbook.save(tmp_path / "t.xlsx")
    good("create", tmp_path / "ex", "-f", tmp_path / "t.xlsx")
    assert json.loads(good("show", tmp_path / "ex", "sample/007", "--json").stdout) == {
        "sample/007": {"@type": "Sample", "sex": "Female"}
    }
    before = (tmp_path / "t.xlsx").read_bytes()
    fails(1, "template", "sample", "-o", tmp_path / "t.xlsx", words=["exists already"])
    assert (tmp_path / "t.xlsx").read_bytes() == before


def test_the_notes_of_a_template_say_where_codes_come_from():
    notes = dict(zip(*(line.split("\t") for line in good("template", "sample").stdout.splitlines())))
    for slot in ("cell_type", "source_material", "taxon_id"):
        assert f"`modos codes search {slot} WORDS`" in notes[slot]


def test_the_progress_of_files_knows_how_much_there_is(source, tmp_path):
    code, said, _ = on_a_terminal("create", "ex", source / "demo2.bam", "-r", source / "reference.fa", answers=[], cwd=tmp_path)
    total = (source / "demo2.bam").stat().st_size + (source / "demo2.bam.bai").stat().st_size
    total += (source / "reference.fa").stat().st_size + (source / "reference.fa.fai").stat().st_size
    assert code == 0 and f"/{total / 1000:,.1f} kB" in said and f"reading {source / 'reference.fa'}" in " ".join(said.split()), (
        said
    )
