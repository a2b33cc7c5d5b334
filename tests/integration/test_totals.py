"""What a bar is told of what is to come is what comes: a total that is known before, and the bytes that are counted."""

from __future__ import annotations

import shutil

import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.object import checking


class Told:
    """A progress that knows totals."""

    def __init__(self):
        self.total, self.done = None, 0

    def __call__(self, count):
        self.done += count

    def expect(self, total):
        assert self.done == 0, "a total comes first"
        self.total = total


@pytest.fixture
def ex(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    return MODO.open(tmp_path / "ex")


def test_a_file_that_is_added(ex, example):
    told = Told()
    ex.add_element({"id": "more", "@type": "AlignmentSet", "data_path": "more.bam"}, example / "ex/demo2.bam", progress=told)
    assert (
        told.total
        == told.done
        == sum(path.stat().st_size for path in (example / "ex").glob("demo2.bam*") if path.suffix != ".parts")
    )


def test_a_check(ex):
    told = Told()
    assert not list(checking.find_problems(ex.storage, progress=told))
    assert told.total == told.done > 0


def test_sealing_opening_and_verifying(ex):
    secret, told = SecretKey.random(), Told()
    ex.encrypt([secret.public], progress=told)
    assert told.total == told.done > 0
    told = Told()
    ex.verify_encryption(secret, progress=told)
    assert 0 < told.total <= told.done < 1.2 * told.total  # indexes are small
    told = Told()
    ex.decrypt(secret, progress=told)
    assert 0 < told.done <= told.total < 1.2 * told.done


@pytest.mark.parametrize("file", ["demo2.bam", "demo1.cram", "calls.vcf.gz"])
def test_a_whole_file_that_is_streamed(ex, file, tmp_path):
    genomic, told = ex.file(file), Told()
    with open(tmp_path / "out", "wb") as out:
        genomic.report_to(told).write(out.fileno())
    assert genomic.size == told.done == (tmp_path / "ex" / file).stat().st_size
