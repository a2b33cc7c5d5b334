"""On a disk without one free block: what brings no files is done, in the space of the mirrors; all else changes nothing."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from modos.api import MODO
from modos.errors import StorageFullError
from modos.object import checking, journal

from .conftest import check_whole, expected_files, files, interrupted, killed_at

pytestmark = pytest.mark.sweep(10)


def mounted(folder: Path, tmp_path: Path, kind: str) -> bool:
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    else:
        image = tmp_path / "image"
        image.write_bytes(b"")
        os.truncate(image, 8 << 20)
        if subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], capture_output=True).returncode:
            return False
        command = ["mount", "-o", "loop", str(image), str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path):
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        permitted = mounted(folder, tmp_path, request.param)
    except OSError:
        permitted = False
    if not permitted:
        pytest.skip(f"a {request.param} cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def make(disk, bams, name="ex") -> MODO:
    modo = MODO.create(disk / name)
    with modo.transaction() as tx:
        tx.add_element({"id": "old", "@type": "AlignmentSet"}, bams / "a.bam")
        for number in range(20):
            tx.add_element({"id": f"s{number}", "@type": "Sample", "description": "x" * 300})
    return modo


def fill(disk: Path) -> None:
    """Leave no block, and no rest of one."""
    with open(disk / "filler", "ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(b"f" * size)
            except OSError:
                pass
    probe = disk / "probe"
    with pytest.raises(OSError), open(probe, "wb", buffering=0) as file:
        file.write(b"x")
    probe.unlink()


CHANGES = {
    "remove with a file": lambda modo: modo.remove_element("data/old"),
    "remove": lambda modo: modo.remove_element("sample/s3"),
    "update": lambda modo: modo.update_element("sample/s3", {"description": "y"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_brings_no_files_is_done(disk, bams, change):
    modo = make(disk, bams)
    fill(disk)
    change(modo)
    again = MODO.open(modo.path)
    assert again.metadata == modo.metadata
    checking.fix(again.storage, check_whole(again.storage))
    assert check_whole(again.storage) == [] and files(again.storage) == expected_files(again)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_may_be_killed_at_any_point(disk, bams, change):
    at, killed = 0, True
    while killed:
        modo = make(disk, bams, f"ex{at}")
        before = modo.metadata
        fill(disk)
        killed = killed_at(at, lambda: change(MODO.open(modo.path)))
        again = MODO.open(modo.path)
        now = again.metadata
        dates = {again._document.object_id}
        assert {k for k in now if k not in dates and now[k] != before.get(k)} | (before.keys() - now.keys()) <= {
            "data/old",
            "sample/s3",
        }
        check_whole(again.storage)
        if {k: v for k, v in now.items() if k not in dates} == {k: v for k, v in before.items() if k not in dates}:
            change(again)
        (disk / "filler").unlink()
        checking.fix(again.storage, check_whole(again.storage))
        assert check_whole(again.storage) == [] and files(again.storage) == expected_files(again)
        MODO.remove(again.path)
        at += 1 if at < 6 else 5
    assert at > 6


def test_an_object_is_removed(disk, bams):
    modo = make(disk, bams)
    fill(disk)
    MODO.remove(modo.path)
    assert not Path(modo.path).exists()


def test_what_brings_files_fails_and_changes_nothing(disk, bams):
    modo = make(disk, bams)
    fill(disk)
    before, there = MODO.open(modo.path).metadata, files(modo.storage)
    for change in (
        lambda: modo.add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam"),
        lambda: modo.update_element("data/old", {"description": "again"}, bams / "b.bam"),
    ):
        with pytest.raises(StorageFullError, match="No space left on device") as caught:
            change()
        assert "\n" not in caught.value.message and "free some space" in caught.value.hint
        assert MODO.open(modo.path).metadata == before and files(modo.storage) == there


def test_without_mirrors_nothing_can_be_done_nor_is(disk, bams):
    """Nothing at all is superfluous: one clear line."""
    modo = make(disk, bams)
    for info in list(modo.storage.iter_files("data.zarr")):
        if info.key != "data.zarr/zarr.json":
            modo.storage.delete(info.key)
    fill(disk)
    before, there = MODO.open(modo.path).metadata, files(modo.storage)
    with pytest.raises(StorageFullError):
        modo.remove_element("data/old")
    assert MODO.open(modo.path).metadata == before and files(modo.storage) == there


def test_what_was_left_on_a_full_disk_is_cleaned_up_there(disk, bams):
    modo = make(disk, bams)
    with interrupted(10**9, lambda: None) as begun:
        modo.add_element({"id": "probe", "@type": "AlignmentSet", "data_path": "probe.bam"}, bams / "b.bam")
    before_commit = begun.index("write data.zarr/zarr.json")
    killed_at(before_commit, lambda: MODO.open(modo.path).add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam"))
    fill(disk)
    assert set(journal.recover(modo.storage)) == {"b.bam", "b.bam.bai"}
    assert check_whole(modo.storage) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_used_up_quota_is_a_full_disk(tmp_path, monkeypatch, code):
    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    storage = MODO.create(tmp_path / "ex").storage
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFullError, match=os.strerror(code)):
        storage.write("a", b"a")
    assert not storage.exists("a") and not storage.partial_writes()
