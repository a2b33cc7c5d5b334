"""What only some systems have is used in one module, and each use has a way without."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from pathlib import Path

import pytest

from modos.storage import system
from modos.storage.memory_files import MemoryFiles, open_memory
from modos.storage.processes import ownership

PACKAGE = Path(system.__file__).parents[1]
ELSEWHERE = {  # which say themselves what happens without
    "gateway/peer_sockets.py": {"AF_NETLINK"},
    "storage/given.py": {"/proc/"},  # a pattern of paths
    "storage/processes/memory.py": {"ctypes"},
}
NOT_EVERYWHERE = re.compile(
    r"memfd_create|sched_[gs]etaffinity|posix_fadvise|posix_fallocate|copy_file_range|F_[GS]ETPIPE_SZ|F_FULLFSYNC|/proc/|preadv"
    r"|os\.fsync|[gs]etxattr|removexattr|AF_NETLINK|SO_PEERCRED|inotify|prctl|\bctypes\b|os\.splice|eventfd|pidfd|select\.epoll"
    r"|kqueue|O_TMPFILE|O_PATH|O_DIRECT\b|O_NOATIME|winreg|msvcrt|ru_maxrss|/sys/|/dev/shm"
)


def test_nothing_else_uses_what_only_some_systems_have():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        used = set(NOT_EVERYWHERE.findall(path.read_text()))
        if used and name != "storage/system.py":
            found[name] = used
    assert found == ELSEWHERE


def test_cores_are_counted_without_affinity(monkeypatch):
    if hasattr(os, "sched_getaffinity"):
        assert system.count_cores() == len(os.sched_getaffinity(0))
        monkeypatch.delattr(os, "sched_getaffinity")
    assert system.count_cores() == os.cpu_count()


def test_files_in_memory_are_private_files_elsewhere(monkeypatch, tmp_path):
    """Their folder and they are this user's alone, and gone afterwards."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert system.open_in_memory("x") is None
    with MemoryFiles() as files:
        path = files.put("a", [b"one", b"two"])
        assert path.read_bytes() == b"onetwo" and not path.is_symlink()
        assert path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()
    with open_memory() as descriptor:
        os.write(descriptor, b"x")
        assert os.pread(descriptor, 9, 0) == b"x" and os.fstat(descriptor).st_nlink == 0


def test_bytes_are_read_into_a_buffer_without_preadv(monkeypatch, tmp_path):
    """The same bytes, fewer at the end, none beyond it."""
    path = tmp_path / "f"
    path.write_bytes(bytes(range(100)))

    def read_all():
        with open(path, "rb") as file:
            for start, size in ((0, 10), (90, 20), (100, 5), (37, 0)):
                buffer = bytearray(b"\xff" * size)
                count = system.read_into(file.fileno(), memoryview(buffer), start)
                yield count, bytes(buffer)

    expected = list(read_all())
    assert [count for count, _ in expected] == [10, 10, 0, 0] and expected[1][1] == bytes(range(90, 100)) + b"\xff" * 10
    monkeypatch.delattr(os, "preadv", raising=False)
    assert list(read_all()) == expected


def test_what_is_to_be_on_the_disk_takes_the_call_that_the_system_has(monkeypatch, tmp_path):
    """F_FULLFSYNC where there is one, fsync where that fails or is missing; an error of fsync is one."""
    asked = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: asked.append("fsync"))
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    system.sync_file(0)
    assert asked == ["fsync"]
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, what: asked.append(what))
    system.sync_file(0)
    assert asked == ["fsync", 51]

    def refuse(*_):
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    system.sync_file(0)
    assert asked == ["fsync", 51, "fsync"]
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError):
        system.sync_file(0)


def test_attributes_that_the_system_lacks_are_not_there(monkeypatch, tmp_path):
    for name in ("getxattr", "setxattr", "removexattr"):
        monkeypatch.delattr(os, name, raising=False)
    with open(tmp_path / "f", "wb") as file:
        assert system.read_attribute(file.fileno(), "user.x") is None
        assert not system.write_attribute(file.fileno(), "user.x", b"1")
        assert not system.write_attribute(file.fileno(), "user.x", None)


def test_marks_of_processes_without_proc(monkeypatch, tmp_path):
    """A process that is gone is gone; of one that is there nobody knows whether it is the same."""
    monkeypatch.setattr(system, "_PROCESSES", tmp_path / "none")
    ownership._place.cache_clear()
    ownership._own_start.cache_clear()
    try:
        assert system.boot_id() is None and system.describe_process("self") is None and system.taken_pages() is None
        assert system.process_namespace() == "" and not system.sees_own_processes()
        system.end_before_others()
        mark = ownership.new_mark()
        assert ownership.is_at_work(mark)
        ownership.release(mark)
        assert ownership.is_at_work(mark) is False
        place, pid, rest = mark.split("-")
        assert ownership.is_at_work(f"{place}-{os.getppid()}-{rest}") is None
        done = subprocess.Popen(["true"])
        done.wait()
        assert ownership.is_at_work(f"{place}-{done.pid}-{rest}") is False
    finally:
        ownership._place.cache_clear()
        ownership._own_start.cache_clear()


def test_advice_and_wide_pipes_are_only_that(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    monkeypatch.delattr(fcntl, "F_SETPIPE_SZ", raising=False)
    with open(tmp_path / "f", "wb") as file:
        system.forget_pages(file.fileno(), 0, 10)
        system.widen_pipe(file.fileno(), 1 << 20)
