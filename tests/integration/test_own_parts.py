"""A file of somebody's own that has the name of a list of digests stays what it is, whatever is done with the file beside it."""

from __future__ import annotations

import shutil

import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import AlreadyExistsError
from tests.support import commands
from tests.support.older import forget_digests

ME = SecretKey.random()
OWN = {"demo2.bam.parts": b"the parts of a machine\n", "calls.vcf.gz.parts": b"of another\n"}  # the BAM is the one of many parts


@pytest.fixture
def older(example, tmp_path):
    """An object of a version without digests, with such files beside those of its elements."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    forget_digests(tmp_path / "ex")
    for name, data in OWN.items():
        (tmp_path / "ex" / name).write_bytes(data)
    return MODO.open(tmp_path / "ex")


@pytest.mark.parametrize(
    "change",
    [
        lambda modo: modo.remove_element("data/demo2"),
        lambda modo: modo.remove_element("data/calls"),
        lambda modo: modo.encrypt(ME.public),
        lambda modo: modo.update_element("data/demo2", {"data_path": "renamed.bam"}),
        lambda modo: modo.update_element("data/calls", {"data_path": "renamed.vcf.gz"}),
        lambda modo: modo.mend(modo.find_problems()),
        lambda modo: MODO.remove(modo.path),
    ],
)
def test_what_is_done_with_the_file_beside_it_leaves_it(older, change):
    change(older)
    assert {name: (older.path / name).read_bytes() for name in OWN} == OWN


def test_check_says_that_it_belongs_to_no_element(older):
    told = {(finding.kind, finding.where) for finding in older.find_problems()}
    assert told == {("unknown", name) for name in OWN}


def test_digests_are_not_written_over_it(older, tmp_path):
    before = older.metadata
    with pytest.raises(AlreadyExistsError, match="there is a file demo2.bam.parts in .* already"):
        older.record_digests()
    assert {name: (older.path / name).read_bytes() for name in OWN} == OWN
    assert older.metadata == before
    (older.path / "demo2.bam.parts").rename(tmp_path / "mine")
    older.record_digests()
    assert older.metadata["data/demo2"]["data_digest"] and (older.path / "demo2.bam.parts").exists()
    assert (older.path / "calls.vcf.gz.parts").read_bytes() == OWN["calls.vcf.gz.parts"]


def test_it_stays_beside_a_file_that_has_no_need_of_a_list(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    own = tmp_path / "ex" / "calls.vcf.gz.parts"
    own.write_bytes(b"mine")
    modo = MODO.open(tmp_path / "ex")
    assert [finding.where for finding in modo.find_problems()] == [own.name]
    modo.remove_element("data/calls")
    assert own.read_bytes() == b"mine"


def test_files_of_an_object_are_added_without_their_lists(example, tmp_path):
    files = sorted((example / "ex").glob("demo2.bam*"))
    assert [file.name for file in files] == ["demo2.bam", "demo2.bam.bai", "demo2.bam.parts"]
    modo = MODO.create(tmp_path / "ex")
    modo.add_files(files)
    assert [key.name for key in modo.list_files()] == ["demo2.bam", "demo2.bam.bai"]
    assert modo.find_problems() == []


def test_a_list_alone_is_refused(example, tmp_path):
    MODO.create(tmp_path / "ex")
    done = commands.run(["add", tmp_path / "ex", example / "ex" / "demo2.bam.parts"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "demo2.bam.parts is a list of digests, and its file is not given" in done.stderr
