"""Files are found by the names that users call them by, one at a time, and an index is of no other file than it says."""

from __future__ import annotations

import shutil

import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import AccessError, DecryptError, NotFoundError
from modos.object.address import ObjectAddress
from modos.object.open_object import OpenObject
from modos.object.plain_files import PlainFiles
from tests.faults.conftest import bams  # noqa: F401 - a fixture

ME, HER = SecretKey.random(), SecretKey.random()
READS = {"@type": "AlignmentSet", "data_format": "BAM"}


def open_files(path, secret=None):
    return PlainFiles(OpenObject(ObjectAddress(path)), secret)


@pytest.fixture
def two_of_one_name(bams, tmp_path):  # noqa: F811
    """An object with two files of one name, which modos makes none of, and others may."""
    modo = MODO.create(tmp_path / "ex", id="ex")
    for name, source in (("x", "a"), ("y", "b")):
        shutil.copy(bams / f"{source}.bam", tmp_path / f"{name}.bam")
        modo.add_element({"id": name, **READS}, tmp_path / f"{name}.bam")
    root = tmp_path / "ex/data.zarr/zarr.json"
    root.write_text(root.read_text().replace("y.bam", "x~2.bam"))
    for path in (tmp_path / "ex").glob("y.bam*"):
        path.rename(path.with_name(path.name.replace("y.bam", "x~2.bam")))
    return modo


def test_indexes_of_files_of_one_name_are_told_apart(two_of_one_name):
    files = open_files(two_of_one_name.path)
    for file in files.list_files():
        key = file.data_name + (".bai" if file.is_index else "")
        assert file.read(0, file.open().size) == (two_of_one_name.path / key).read_bytes()
    names = {file.name: file.data_name for file in files.list_files()}
    assert {name for name, of in names.items() if of == "x.bam"} >= {"x.bam", "x.bam.bai"}
    assert {name for name, of in names.items() if of == "x~2.bam"} >= {"x~2.bam", "x~2.bam.bai"}


def test_one_file_is_found_without_a_look_at_the_others(example, monkeypatch):
    opened = OpenObject(ObjectAddress(example / "ex"))
    looked, stat = [], type(opened.storage).stat
    monkeypatch.setattr(type(opened.storage), "stat", lambda self, key: looked.append(key) or stat(self, key))
    files = PlainFiles(opened)
    assert files.find("demo1.cram").name == "demo1.cram" and files.find("demo2.bam.bai").data_name == "demo2.bam"
    assert {key.partition(".")[0] for key in looked if not key.startswith("data.zarr")} == {"demo1", "demo2"}
    assert [one.name for one in files.last_seen()] == ["demo1.cram", "demo2.bam.bai"]
    with pytest.raises(NotFoundError):
        files.find("demo1.cram.bai")


def test_what_is_locked_says_why(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    MODO.open(tmp_path / "ex").encrypt(ME.public)
    for secret, error in ((None, AccessError), (HER, DecryptError)):
        files = open_files(tmp_path / "ex", secret)
        for name in ("demo1.cram", "demo1.cram.crai"):
            with pytest.raises(NotFoundError):
                files.find(name)
        assert isinstance(files.explain_locked("demo1.cram"), error)
        assert files.explain_locked("none") is None
        files.list_files()
        assert {"demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf"} <= set(files.locked)
    opened = open_files(tmp_path / "ex", ME)
    assert opened.find("demo1.cram.crai").data_name == "demo1.cram" and opened.locked == []
