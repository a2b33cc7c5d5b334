"""What is remembered of a file is what the file is, and is read with as few requests as it takes."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from modos.errors import ConflictError, NotFoundError
from modos.genomics import GenomicFile
from modos.genomics.planning import Planner, iter_plan
from modos.genomics.region import Region
from modos.genomics.sources import StorageSource
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from tests.support.hard_files import CASES

REGION = Region("chr1", 100_000, 101_000)


class Remote(LocalStorage):
    """A folder that counts reads as a remote storage would."""

    is_remote = True

    def __init__(self, path):
        super().__init__(path)
        self.reads, self._reading, self.at_once = [], 0, 0
        self.delay = 0.005  # seconds for the way there and back
        self._lock = threading.Lock()

    def read_part(self, key, start, end, *, if_match=None):
        with self._lock:
            self.reads.append((key, start, end))
            self._reading += 1
            self.at_once = max(self.at_once, self._reading)
        time.sleep(self.delay)
        try:
            return super().read_part(key, start, end, if_match=if_match)
        finally:
            with self._lock:
                self._reading -= 1

    def stat(self, key):
        self.reads.append((key, "stat"))
        return super().stat(key)

    def local_path(self, key):
        return None


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two files of one name, with other records."""
    folder = tmp_path_factory.mktemp("made")
    for case in ("bam", "bam-reblocked"):
        (folder / case).mkdir()
        CASES[case](folder / case)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return put(made / "bam", tmp_path)


def put(source, folder):
    for name in ("a.bam", "a.bam.bai"):
        part = folder / f"{name}.part"
        shutil.copyfile(source / name, part)
        os.replace(part, folder / name)
    return folder


def names(storage, planner, region=REGION):
    return [read.query_name for read in GenomicFile(StorageSource(storage, "a.bam", planner)).fetch(region)]


def test_a_region_takes_three_reads_and_then_one(folder):
    storage = Remote(folder)
    planner = Planner(storage)
    assert names(storage, planner)
    assert sorted(key for key, *_ in storage.reads) == ["a.bam", "a.bam", "a.bam.bai"]
    storage.reads.clear()
    assert names(storage, planner)
    assert [key for key, *_ in storage.reads] == ["a.bam"]


def test_a_header_takes_one_read(folder):
    storage = Remote(folder)
    assert GenomicFile(StorageSource(storage, "a.bam")).header.references[0] == "chr1"
    assert len(storage.reads) == 1


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_file_that_was_replaced_is_read_anew(folder, made, is_remote):
    storage = Remote(folder) if is_remote else open_storage(folder)
    planner = Planner(storage)
    before = names(storage, planner)
    put(made / "bam-reblocked", folder)
    after = names(storage, planner)
    assert after != before and after == names(storage, Planner(storage))


def test_a_file_that_is_replaced_while_it_is_read_is_an_error(folder, made):
    storage = open_storage(folder)
    planner = Planner(storage)
    pieces = iter_plan(storage, planner.plan("a.bam", None))
    plan = planner.plan("a.bam", ["chr1", "chr10"])
    put(made / "bam-reblocked", folder)
    with pytest.raises(ConflictError):
        list(pieces)
    with pytest.raises(ConflictError):
        b"".join(iter_plan(storage, plan))


def test_the_server_looks_each_time(folder, made):
    storage = Remote(folder)
    planner = Planner(storage, revalidate=True)
    before = planner.plan("a.bam", [REGION]).info
    storage.reads.clear()
    assert planner.plan("a.bam", [REGION]).info == before
    assert [read for read in storage.reads if read[1] != "stat"] == []
    put(made / "bam-reblocked", folder)
    assert planner.plan("a.bam", [REGION]).info != before


def test_without_an_index_it_says_what_to_do(folder):
    (folder / "a.bam.bai").unlink()
    with pytest.raises(NotFoundError) as caught:
        names(Remote(folder), Planner(open_storage(folder)))
    assert "a.bam.bai" in caught.value.hint


def test_large_stretches_are_fetched_in_parts_at_once(folder, monkeypatch):
    monkeypatch.setattr("modos.genomics.planning.PART", 1 << 14)
    monkeypatch.setattr("modos.genomics.sources._INLINE", 0)
    storage = Remote(folder)
    storage.delay = 0.1  # in which others begin
    whole = b"".join(GenomicFile(StorageSource(storage, "a.bam")).iter_bytes())
    assert whole == (folder / "a.bam").read_bytes() and 1 < storage.at_once <= 8
    assert max(read[2] - read[1] for read in storage.reads if len(read) == 3) == 1 << 14


def test_little_is_remembered(folder, monkeypatch):
    monkeypatch.setattr("modos.genomics.indexed_files._MAX_FILES", 1)
    for name in ("b.bam", "b.bam.bai"):
        shutil.copyfile(folder / name.replace("b.", "a.", 1), folder / name)
    storage = Remote(folder)
    planner = Planner(storage)
    for key in ("a.bam", "b.bam", "a.bam"):
        list(iter_plan(storage, planner.plan(key, [REGION])))
    assert sum(1 for read in storage.reads if read[0] == "a.bam.bai") == 2


def test_those_who_wait_for_a_file_to_be_read_share_one_look(folder):
    storage = Remote(folder)
    planner = Planner(storage, revalidate=True)
    ready = threading.Barrier(6)

    def ask(number):
        ready.wait()
        return planner.contigs("a.bam")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1
    reads = [read for read in storage.reads if read[1] != "stat"]
    assert sorted(key for key, *_ in reads) == ["a.bam", "a.bam.bai"]
    assert len(storage.reads) - len(reads) <= 2, "of the file and of its index"
    storage.reads.clear()
    assert planner.contigs("a.bam") and sorted(storage.reads) == [("a.bam", "stat"), ("a.bam.bai", "stat")]


def test_bytes_that_are_read_by_their_tag_are_not_looked_at_before(folder, made):
    storage = Remote(folder)
    planner = Planner(storage, revalidate=True)
    info, chunks = planner.find_chunks("a.bam", [REGION], 1 << 20)
    storage.reads.clear()
    plan, _ = planner.plan_chunks("a.bam", chunks, info.etag)
    assert list(iter_plan(storage, plan)) and "stat" not in {read[1] for read in storage.reads}
    put(made / "bam-reblocked", folder)
    with pytest.raises(ConflictError):
        list(iter_plan(storage, planner.plan_chunks("a.bam", chunks, info.etag)[0]))
    assert planner.identify("a.bam")[0] != info
    with pytest.raises(ConflictError):
        planner.plan_chunks("a.bam", chunks, info.etag)
