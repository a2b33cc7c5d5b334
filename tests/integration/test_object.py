"""Objects are made whole or not at all, with the index that belongs to each file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pysam
import pytest
import zarr

from modos.api import MODO
from modos.errors import (
    AlreadyExistsError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    SchemaError,
    TruncatedStream,
)
from modos.metadata import model

READS = {"id": "reads", "@type": "AlignmentSet"}


@pytest.fixture
def source(example) -> Path:
    return example / "source"


@pytest.fixture
def modo(tmp_path) -> MODO:
    return MODO(tmp_path / "ex")


def names(modo):
    return [path.relative_to(modo.path).as_posix() for path in modo.list_files()]


def unchanged(folder):
    return sorted((str(p.relative_to(folder)), p.read_bytes()) for p in folder.rglob("*") if p.is_file())


def test_a_new_path_becomes_an_object_and_an_old_one_opens(tmp_path):
    made = MODO(tmp_path / "ex", name="First", source_uri="https://example.org/ex")
    again = MODO(tmp_path / "ex", name="First")
    with pytest.raises(AlreadyExistsError, match="its name is 'First', and not 'Second'"):
        MODO(tmp_path / "ex", name="Second")
    assert again.metadata == made.metadata and again.metadata["ex"]["name"] == "First"


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for make in (MODO, MODO.create, MODO.open):
        with pytest.raises(ModosError):
            make(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_create_and_open_say_what_is_meant(tmp_path):
    with pytest.raises(NotFoundError):
        MODO.open(tmp_path / "ex")
    MODO.create(tmp_path / "ex")
    with pytest.raises(AlreadyExistsError):
        MODO.create(tmp_path / "ex")


def test_the_index_beside_a_file_comes_along(modo, source):
    modo.add_element(READS, source / "demo2.bam")
    assert names(modo) == ["demo2.bam", "demo2.bam.bai"]
    assert (modo.path / "demo2.bam.bai").read_bytes() == (source / "demo2.bam.bai").read_bytes()


def test_an_index_named_as_picard_does_gets_its_usual_name(modo, source, tmp_path):
    shutil.copy(source / "demo2.bam", tmp_path / "reads.bam")
    shutil.copy(source / "demo2.bam.bai", tmp_path / "reads.bai")
    modo.add_element(READS, tmp_path / "reads.bam")
    assert names(modo) == ["reads.bam", "reads.bam.bai"]


@pytest.mark.parametrize(
    ("file", "index", "class_name"),
    [
        ("demo1.cram", "crai", "AlignmentSet"),
        ("demo2.bam", "bai", "AlignmentSet"),
        ("calls.vcf.gz", "tbi", "VariantSet"),
        ("cohort.bcf", "csi", "VariantSet"),
        ("reference.fa", "fai", "ReferenceGenome"),
    ],
)
def test_a_missing_index_is_built(modo, source, tmp_path, file, index, class_name):
    shutil.copy(source / file, tmp_path)
    modo.add_element({"id": "x", "@type": class_name}, tmp_path / file)
    assert names(modo) == [file, f"{file}.{index}"]
    assert not (tmp_path / f"{file}.{index}").exists(), "the folder of the source stays as it was"


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "command",
    [
        [
            sys.executable,
            "-c",
            "import sys; from modos.api import MODO; MODO(sys.argv[1]).add_element("
            "{'id': 'x', '@type': sys.argv[2]}, sys.argv[3])",
        ],
        [sys.executable, "-c", "from modos.cli import main; main()", "add"],
    ],
    ids=["python", "command"],
)
@pytest.mark.parametrize(
    ("file", "type"),
    [
        ("demo1.cram", "AlignmentSet"),
        ("demo2.bam", "AlignmentSet"),
        ("calls.vcf.gz", "VariantSet"),
        ("cohort.bcf", "VariantSet"),
        ("reference.fa", "ReferenceGenome"),
    ],
)
def test_a_missing_index_is_built_in_a_process_that_did_nothing_else(modo, source, tmp_path, command, file, type):
    shutil.copy(source / file, tmp_path)
    words = [modo.path, type, tmp_path / file]
    if "add" in command:
        group = "reference" if file == "reference.fa" else "data"
        words = [modo.path, group, "-e", f'{{"id": "x", "@type": "{type}"}}', "-s", tmp_path / file]
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert len(names(MODO.open(modo.path))) == 2


def test_a_built_index_answers_regions(modo, source, tmp_path):
    shutil.copy(source / "demo2.bam", tmp_path)
    modo.add_element(READS, tmp_path / "demo2.bam")
    with pysam.AlignmentFile(str(source / "demo2.bam")) as file:
        expected = file.count("chr1", 20_000, 25_000)
    assert sum(1 for _ in modo.stream_genomics("demo2.bam", "chr1:20,001-25,000")) == expected > 0


def test_a_file_has_its_size_and_checksum(modo, source):
    import hashlib

    modo.add_element(READS, source / "demo2.bam")
    data = (source / "demo2.bam").read_bytes()
    attributes = modo.metadata["data/reads"]
    assert (attributes["data_size"], attributes["data_checksum"]) == (len(data), hashlib.blake2b(data).hexdigest())
    assert attributes["data_format"] == "BAM"


def test_files_are_found_by_either_name(modo, source):
    modo.add_element(READS | {"data_path": "deep/er/reads.bam"}, source / "demo2.bam")
    assert modo.find_file("deep/er/reads.bam") == modo.find_file(modo.path / "deep/er/reads.bam") == "deep/er/reads.bam"
    with pytest.raises(InvalidInputError, match="is an index"):
        modo.find_file("deep/er/reads.bam.bai")
    with pytest.raises(NotFoundError) as caught:
        modo.find_file("deep/er/read.bam")
    assert "did you mean deep/er/reads.bam" in caught.value.hint


def test_a_generated_class_can_be_added(modo):
    assert modo.add_element(model.Sample(id="s1", sex="Female")) == "sample/s1"
    modo.add_element({"id": "a", "@type": "Assay", "omics_type": "GENOMICS"})
    modo.add_element(model.Sample(id="s2"), part_of="a")
    assert MODO.open(modo.path).metadata["assay/a"]["has_sample"] == ["sample/s2"]
    assert modo.list_samples() == ["sample/s1", "sample/s2"]


def test_arrays_and_groups_show_as_a_tree(modo):
    modo.add_element({"id": "s1", "@type": "Sample"})
    tree = str(modo.list_arrays())
    assert "sample" in tree and "s1" in tree
    assert "s1" in zarr.open_group(str(modo.path / "data.zarr"), mode="r")["sample"]


def refusals(source, tmp_path):
    truncated = tmp_path / "cut.bam"
    truncated.write_bytes((source / "demo2.bam").read_bytes()[:-40])
    unsorted = tmp_path / "unsorted.bam"
    with (
        pysam.AlignmentFile(str(source / "demo2.bam")) as file,
        pysam.AlignmentFile(str(unsorted), "wb", header=file.header) as out,
    ):
        for read in reversed(list(file)[:50]):
            out.write(read)
    good = source / "demo2.bam"
    return {
        "missing source": (READS, tmp_path / "none.bam", None, NotFoundError),
        "truncated": (READS, truncated, None, TruncatedStream),
        "unsorted": (READS, unsorted, None, InvalidInputError),
        "outside": (READS | {"data_path": "../out.bam"}, good, None, InvalidInputError),
        "absolute": (READS | {"data_path": "/tmp/out.bam"}, good, None, InvalidInputError),
        "in the metadata": (READS | {"data_path": "data.zarr/x.bam"}, good, None, InvalidInputError),
        "unknown slot": (READS | {"colour": "red"}, good, None, SchemaError),
        "unknown class": ({"id": "x", "@type": "Reads"}, good, None, SchemaError),
        "no such parent": (READS, good, "assay/none", NotFoundError),
        "parent that cannot hold it": (READS, good, "sample/s", ModosError),
        "dangling link": (READS | {"has_sample": ["nobody"]}, good, None, NotFoundError),
        "id taken": ({"id": "s", "@type": "Sample"}, None, None, AlreadyExistsError),
        "file taken": (READS | {"data_path": "taken.bam"}, good, None, AlreadyExistsError),
        "id with a slash": (READS | {"id": "a/b"}, good, None, InvalidInputError),
        "no id": ({"@type": "Sample"}, None, None, InvalidInputError),
    }


@pytest.mark.parametrize(
    "case",
    [
        "missing source",
        "truncated",
        "unsorted",
        "outside",
        "absolute",
        "in the metadata",
        "unknown slot",
        "unknown class",
        "no such parent",
        "parent that cannot hold it",
        "dangling link",
        "id taken",
        "file taken",
        "id with a slash",
        "no id",
    ],
)
def test_what_is_refused_leaves_nothing_behind(modo, source, tmp_path, case):
    modo.add_element({"id": "s", "@type": "Sample"})
    modo.add_element({"id": "taken", "@type": "AlignmentSet", "data_path": "taken.bam"}, source / "demo2.bam")
    element, file, parent, error = refusals(source, tmp_path)[case]
    before = unchanged(modo.path)
    with pytest.raises(error):
        modo.add_element(element, file, part_of=parent)
    assert unchanged(modo.path) == before
    assert MODO.open(modo.path).metadata == modo.metadata


def test_a_description_becomes_an_object_or_nothing(source, tmp_path):
    entries = [
        {"element": {"id": "mine", "@type": "MODO", "creation_date": "2024-01-01", "last_update_date": "2024-01-02"}},
        {"element": {"id": "a", "@type": "Assay", "omics_type": "GENOMICS"}},
        {
            "element": {"id": "r", "@type": "AlignmentSet", "has_sample": "s"},
            "args": {"source_file": str(source / "demo2.bam"), "part_of": "a"},
        },
        {"element": {"id": "s", "@type": "Sample"}, "args": {"part_of": "assay/a"}},
    ]
    good, bad = tmp_path / "good.json", tmp_path / "bad.yaml"
    good.write_text(json.dumps(entries))
    modo = MODO.from_file(good, tmp_path / "ex")
    assert modo.metadata["assay/a"]["has_data"] == ["data/r"] and modo.metadata["mine"]["creation_date"] == "2024-01-01"
    entries[3]["element"]["id"] = "other"
    bad.write_text(json.dumps(entries))
    with pytest.raises(NotFoundError, match="sample/s"):
        MODO.from_file(bad, tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- element: {id: a\n  x: ]", "line 2"),
        ("just words", "not a list"),
        ("- {id: a}", "entry 1"),
        ("- element: {id: a, '@type': Sample}\n  args: {sourcefile: x}", "unknown argument sourcefile"),
        ("- element: {id: a, '@type': Sample}\n- element: {id: sample/a, '@type': Sample}", "twice"),
        ("- element: {id: a, '@type': Sample}\n  args: {source_file: nowhere.bam}", "nowhere.bam"),
    ],
)
def test_a_bad_description_says_where(tmp_path, text, words):
    (tmp_path / "modo.yaml").write_text(text)
    with pytest.raises(ModosError, match=words):
        MODO.from_file(tmp_path / "modo.yaml", tmp_path / "ex")
    assert not (tmp_path / "ex").exists()


def test_a_link_out_of_the_object_is_not_followed(modo, source, tmp_path):
    modo.add_element(READS, source / "demo2.bam")
    target = modo.path / "demo2.bam"
    target.unlink()
    target.symlink_to(source / "demo2.bam")
    with pytest.raises(InvalidInputError, match="symbolic link"):
        list(MODO.open(modo.path).stream_genomics("demo2.bam"))
