"""An index that is not of its file does not get into an object, is named by `modos check`, and gives no empty stream."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import generate
from modos.errors import IntegrityError, RemoteError
from tests.support import commands
from tests.support.hard_files import File
from tests.support.older import forget_digests
from tests.unit.genomics.index.test_fit import KINDS, without


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")

    def make(kind: str, count: int) -> File:
        place = folder / f"{kind}-{count}"
        if not place.exists():
            place.mkdir()
            return KINDS[kind](place, count)
        path = next(p for p in place.iterdir() if p.name in ("a.bam", "a.cram", "a.vcf.gz", "a.bcf"))
        return File(path, next(p for p in place.iterdir() if p.name.startswith(path.name + ".")))

    return make


@pytest.fixture
def modo(tmp_path) -> MODO:
    return MODO(tmp_path / "ex")


def element(file: File) -> dict:
    return {"id": "a", "@type": "AlignmentSet" if file.format.kind == "reads" else "VariantSet"}


def beside(file: File, folder, index: bytes, suffix: str | None = None):
    """A copy of a file, with an index beside it."""
    shutil.copy(file.path, folder)
    name = folder / (file.path.name + (suffix or file.index_path.name.removeprefix(file.path.name)))
    name.write_bytes(index)
    return folder / file.path.name


def lacking(file: File, contig: str) -> bytes:
    """The index of a file without what it has of a contig."""
    names = list(getattr(file.index, "names", ()))
    return without(file.index_path.read_bytes(), names.index(contig) if names else file.header.target_ids[contig], True)


@pytest.mark.parametrize("kind", KINDS)
def test_no_foreign_index_is_added(modo, made, kind, tmp_path):
    file = made(kind, 3000)
    for index in (made(kind, 2900).index_path.read_bytes(), lacking(file, "chr10"), lacking(file, "chr1"), b"", b"nonsense"):
        source = beside(file, tmp_path, index)
        with pytest.raises(IntegrityError) as caught:
            modo.add_element(element(file), source)
        assert f"does not fit {file.path.name}" in caught.value.message and "tools index" in caught.value.hint
        assert modo.list_files() == [] and len(MODO.open(modo.path).metadata) == 1
    modo.add_element(element(file), file.path)
    assert modo.find_problems(thorough=True) == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_foreign_index_comes_with_a_file_that_replaces_another(modo, made, kind, tmp_path):
    file = made(kind, 3000)
    modo.add_element(element(file), file.path)
    newer = made(kind, 2900)
    with pytest.raises(IntegrityError, match="does not fit"):
        modo.update_element("a", {}, beside(newer, tmp_path, file.index_path.read_bytes()))
    assert modo.find_problems() == [] and len(modo.list_files()) == 2


@pytest.mark.sweep(1)
@pytest.mark.parametrize("where", ["folder", "S3"])
@pytest.mark.parametrize("kind", KINDS)
def test_check_names_an_index_that_is_not_of_its_file(modo, made, kind, where, request):
    file, index_name = made(kind, 3000), made(kind, 3000).index_path.name
    modo.add_element(element(file), file.path)
    if where == "S3":
        stack = request.getfixturevalue("stack")
        modo = modo.upload(f"s3://{BUCKET}/check-{kind}", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert modo.find_problems(thorough=True) == []
    for index in (made(kind, 2900).index_path.read_bytes(), lacking(file, "HLA-A*01:01"), lacking(file, "chr10")):
        modo.storage.write(index_name, index)
        for options in ({"checksums": False}, {}, {"thorough": True}):
            (problem,) = modo.find_problems(**options)
            assert (problem.kind, problem.where) == ("index", "data/a") and not problem.harmless
            assert problem.message.startswith(f"{index_name} does not fit {file.path.name}: ")


@pytest.mark.sweep(1)
@pytest.mark.parametrize("where", ["folder", "S3"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_not_empty_where_it_is_the_index_that_has_nothing(modo, made, kind, where, request):
    file, index_name = made(kind, 3000), made(kind, 3000).index_path.name
    modo.add_element(element(file), file.path)
    forget_digests(modo.path)
    modo = MODO.open(modo.path)
    if where == "S3":
        stack = request.getfixturevalue("stack")
        modo = modo.upload(f"s3://{BUCKET}/stream-{kind}", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert list(modo.stream_genomics(file.path.name, "empty")) == []
    for contig in ("chr1", "HLA-A*01:01", "chr10"):
        modo.storage.write(index_name, lacking(file, contig))
        again = (
            MODO.open(modo.path)
            if where == "folder"
            else MODO.open(modo.storage.url, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
        )
        with pytest.raises(IntegrityError, match="the index does not fit the file"):
            list(again.stream_genomics(file.path.name, contig))
        with pytest.raises(IntegrityError if where == "folder" else (IntegrityError, RemoteError)):  # an htsget server says 500
            list(again.stream_genomics(file.path.name, ["chr2:1-1,000", contig]))


def test_an_empty_answer_costs_one_look_for_all(modo, made, monkeypatch):
    file = made("bam", 3000)
    modo.add_element(element(file), file.path)
    genomic, seen = modo.file("a.bam"), []
    original = type(modo.storage).read_part
    monkeypatch.setattr(
        type(modo.storage),
        "read_part",
        lambda self, key, start, end, **given: seen.append((key, start)) or original(self, key, start, end, **given),
    )
    list(genomic.fetch("chr1:1-1,000"))
    usual = len(seen)
    list(genomic.fetch("empty"))
    once = len(seen) - usual
    list(genomic.fetch("empty"))
    again = len(seen) - usual - once
    assert once == again + 1, "one read of the file, the first time"


def test_of_several_indexes_the_one_of_the_file_is_taken(modo, made, tmp_path, caplog):
    file, other = made("bam", 3000), made("bam", 2900)
    source = beside(file, tmp_path, other.index_path.read_bytes())
    beside(file, tmp_path, made("bam-csi", 3000).index_path.read_bytes(), ".csi")
    with caplog.at_level(logging.WARNING, "modos"):
        modo.add_element(element(file), source)
    assert [path.name for path in modo.list_files()] == ["a.bam", "a.bam.csi"] and modo.find_problems(thorough=True) == []
    assert "a.bam.bai does not fit a.bam" in caplog.text and "a.bam.csi is taken" in caplog.text
    modo.remove_element("a")
    (tmp_path / "a.bam.csi").unlink()
    shutil.copy(file.index_path, tmp_path / "a.bai")
    modo.add_element(element(file), source)
    assert (modo.path / "a.bam.bai").read_bytes() == file.index_path.read_bytes()


def test_where_no_index_is_of_the_file_all_are_named(modo, made, tmp_path):
    file, other = made("bam", 3000), made("bam", 2900)
    source = beside(file, tmp_path, other.index_path.read_bytes())
    beside(file, tmp_path, made("vcf-csi", 3000).index_path.read_bytes(), ".csi")
    shutil.copy(made("cram", 3000).index_path, tmp_path / "a.bai")
    with pytest.raises(IntegrityError) as caught:
        modo.add_element(element(file), source)
    assert [
        name in caught.value.message for name in ("a.bam.bai does not fit", "a.bam.csi does not fit", "a.bai does not fit")
    ] == [True] * 3
    assert modo.list_files() == []


def test_an_index_that_is_older_than_its_file_is_taken_with_a_warning(modo, made, tmp_path, caplog):
    file = made("bam", 3000)
    source = beside(file, tmp_path, file.index_path.read_bytes())
    os.utime(tmp_path / "a.bam.bai", (1, 1))
    with caplog.at_level(logging.WARNING, "modos"):
        modo.add_element(element(file), source)
    assert "a.bam.bai is older than" in caplog.text and len(modo.list_files()) == 2


@pytest.mark.parametrize("kind", ["bam", "cram", "vcf-tbi", "bcf"])
def test_the_index_of_a_sealed_file_is_looked_at_with_a_key(modo, made, kind, tmp_path):
    file = made(kind, 3000)
    modo.add_element(element(file), file.path)
    modo.storage.write(file.index_path.name, made(kind, 2900).index_path.read_bytes())
    forget_digests(modo.path)
    secret, public = tmp_path / "me.sec", tmp_path / "me.pub"
    generate(secret, public, None)
    modo.encrypt(public)
    assert modo.find_problems() == []
    (problem,) = modo.find_problems(secret_key=secret)
    assert problem.kind == "index" and "does not fit" in problem.message
    other = tmp_path / "other.sec"
    generate(other, tmp_path / "other.pub", None)
    (unknown,) = modo.find_problems(secret_key=other)
    assert unknown.kind == "unknown" and unknown.harmless
    modo.decrypt(secret)
    modo.storage.write(modo.list_files()[1].name, file.index_path.read_bytes())
    forget_digests(modo.path)
    modo.encrypt(public)
    assert modo.find_problems(secret_key=secret, thorough=True) == []


def test_the_command_line_names_it(modo, made, tmp_path):
    file = made("bam", 3000)
    source = beside(file, tmp_path, lacking(file, "chr10"))
    added = commands.run(
        ["add", modo.path, "data", "-e", '{"id": "a", "@type": "AlignmentSet"}', "-s", source],
        capture_output=True,
        text=True,
    )
    assert added.returncode == 6 and added.stderr.startswith("error: a.bam.bai does not fit a.bam: it ends before chr10:")
    assert "hint: make the index again (`samtools index" in added.stderr and added.stderr.count("\n") == 2
    modo.add_element(element(file), file.path)
    whole = commands.run(["check", modo.path, "--thorough"], capture_output=True, text=True)
    assert whole.returncode == 0 and "is whole" in whole.stderr
    counts = file.index.counts(0)
    data = file.index_path.read_bytes()
    modo.storage.write(
        "a.bam.bai",
        data.replace(
            counts[0].to_bytes(8, "little") + counts[1].to_bytes(8, "little"),
            (counts[0] - 1).to_bytes(8, "little") + counts[1].to_bytes(8, "little"),
            1,
        ),
    )
    changed = commands.run(["check", modo.path], capture_output=True, text=True)
    assert changed.returncode == 6 and "a.bam.bai is not an index of a.bam that is recorded" in changed.stdout
    forget_digests(modo.path)
    assert commands.run(["check", modo.path], capture_output=True).returncode == 0
    found = commands.run(["check", modo.path, "--thorough"], capture_output=True, text=True)
    assert found.returncode == 6 and "index    data/a: a.bam.bai does not fit a.bam: it counts" in found.stdout


def test_what_came_with_the_demo_is_whole(example):
    assert MODO.open(example / "ex").find_problems(thorough=True) == []


def test_an_object_of_sdsc_ordes_is_whole_by_its_indexes(shared_data):
    assert [p for p in MODO.open(shared_data / "modos-ex/ex").find_problems(thorough=True) if p.kind == "index"] == []


def fasta(path, contigs: dict[str, int], width: int, end: str = "\n"):
    """A FASTA in lines of some bases."""
    with open(path, "w", newline="") as out:
        for name, length in contigs.items():
            bases = ("ACGTTGCA" * (length // 8 + 1))[:length]
            out.write(f">{name} of a test{end}" + "".join(bases[at : at + width] + end for at in range(0, length, width)))
    subprocess.run(["samtools", "faidx", path], check=True)
    return path


GENOME = {"REFERENCE": {"id": "g", "@type": "ReferenceGenome"}, "contigs": {f"c{n}": 100 + 37 * n for n in range(40)}}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("width", [1, 7, 60, 137, 10_000])
def test_the_index_of_a_fasta_fits(modo, tmp_path, width, end):
    modo.add_element(GENOME["REFERENCE"], fasta(tmp_path / "g.fa", GENOME["contigs"] | {"last": 60, "one": 1}, width, end))
    assert modo.find_problems(thorough=True) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda contigs: dict(reversed(contigs.items())),
        lambda contigs: {"new": 50} | contigs,
        lambda contigs: contigs | {"c0": 99},
        lambda contigs: contigs | {"c39": 5000},
        lambda contigs: contigs | {"c39": 20},
    ],
    ids=["other order", "one more", "first shorter", "last longer", "last shorter"],
)
@pytest.mark.parametrize("width", [50, 60])
def test_the_index_of_another_fasta_is_refused_and_named(modo, tmp_path, change, width):
    """Wrong offsets would give wrong bases, in silence."""
    source = fasta(tmp_path / "g.fa", GENOME["contigs"], 60)
    other = (fasta(tmp_path / "other.fa", change(GENOME["contigs"]), width)).with_name("other.fa.fai").read_bytes()
    own = (tmp_path / "g.fa.fai").read_bytes()
    (tmp_path / "g.fa.fai").write_bytes(other)
    with pytest.raises(IntegrityError, match="g.fa.fai does not fit g.fa: "):
        modo.add_element(GENOME["REFERENCE"], source)
    assert modo.list_files() == []
    (tmp_path / "g.fa.fai").write_bytes(own)
    modo.add_element(GENOME["REFERENCE"], source)
    modo.storage.write("g.fa.fai", other)
    assert [(p.kind, p.where) for p in modo.find_problems()] == [("index", "reference/g")]
