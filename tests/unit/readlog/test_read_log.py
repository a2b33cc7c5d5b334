"""Writing a log from many threads, and into places that fail."""

import errno
import json
import os
import resource
import subprocess
import sys
import threading
import time

import pytest

from modos.encryption.keys import SecretKey
from modos.errors import ModosError, StorageFullError
from modos.readlog import chain_writer, log_places, read_log
from modos.readlog.chain_writer import ChainWriter, Limits
from modos.readlog.log_verification import verify
from modos.readlog.read_log import ReadLog, UnloggedError
from modos.storage import open_storage
from tests.support.read_logs import entries, entry, problems
from tests.support.waiting import wait_until

SECRET = SecretKey.random()


@pytest.fixture
def log(tmp_path):
    log = ReadLog(open_storage(tmp_path), SECRET.public)
    yield log
    log.close()


def test_entries_of_many_threads_are_there_once_and_some_share_a_frame(tmp_path, log):
    def work(number):
        for part in range(50):
            log.write(entry(number * 100 + part))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = [int(one["id"]) for one in entries(tmp_path, SECRET)]
    assert sorted(found) == sorted(number * 100 + part for number in range(16) for part in range(50))
    assert verify(open_storage(tmp_path), SECRET).frames < 800 and problems(tmp_path, SECRET) == []


def test_an_entry_is_on_the_disk_when_write_returns(tmp_path, log):
    for number in range(5):
        log.write(entry(number))
        assert len(entries(tmp_path, SECRET)) == number + 1


def test_what_nobody_waits_for_comes_within_a_second_or_with_the_end(tmp_path, log):
    log.write_later(entry(1))
    assert len(wait_until(lambda: entries(tmp_path, SECRET))) == 1
    log.write_later(entry(2))
    log.close()
    assert [one["id"] for one in entries(tmp_path, SECRET)] == ["1", "2"]
    assert verify(open_storage(tmp_path), SECRET).chains[0].state == "closed"


def test_a_place_that_fails_refuses_and_is_used_again(tmp_path, log, monkeypatch):
    """A write that fails in its middle leaves nothing, the chain goes on, and the seals hold though a key was used again."""
    log.write(entry(1))
    real = os.pwrite

    def fail(file, data, at):
        real(file, bytes(data)[:10], at)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log_places.os, "pwrite", fail)
    for _ in range(3):
        with pytest.raises(UnloggedError, match="No space left"):
            log.write(entry(2))
    monkeypatch.setattr(log_places.os, "pwrite", real)
    log.write(entry(3))
    assert [one["id"] for one in entries(tmp_path, SECRET)] == ["1", "3"] and problems(tmp_path, SECRET) == []
    assert len(verify(open_storage(tmp_path)).chains) == 1


def test_all_who_wait_are_told_that_it_failed(tmp_path, log, monkeypatch):
    begun, go = threading.Event(), threading.Event()

    def fail(self, lines):
        begun.set()
        go.wait(60)
        raise StorageFullError("full")

    monkeypatch.setattr(ChainWriter, "append", fail)
    told = []

    def work():
        try:
            log.write(entry(1))
        except UnloggedError as error:
            told.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    go.set()
    for thread in threads:
        thread.join(60)
    assert len(told) == 5 and all("full" in text for text in told)


def test_a_place_that_hangs_lets_nobody_wait_for_ever(log, monkeypatch):
    monkeypatch.setattr(read_log, "PATIENCE", 0.2)
    go, begun = threading.Event(), threading.Event()
    monkeypatch.setattr(ChainWriter, "append", lambda *_: (begun.set(), go.wait(120)))
    leader = threading.Thread(target=log.write, args=(entry(1),))
    leader.start()
    assert begun.wait(60)
    begin = time.monotonic()
    with pytest.raises(UnloggedError, match="too long"):
        log.write(entry(2))
    assert time.monotonic() - begin < 60
    go.set()
    leader.join(60)
    log.write(entry(3))  # the next one has its turn


def test_a_segment_that_somebody_removes_is_seen_and_a_new_chain_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(log_places, "_LOOKED", 0.0)
    log = ReadLog(open_storage(tmp_path), SECRET.public)
    log.write(entry(1))
    for path in list(tmp_path.rglob("*.log")):
        path.unlink()
    log.write(entry(2))
    assert [one["id"] for one in entries(tmp_path, SECRET)] == ["2"]
    assert problems(tmp_path, SECRET), "the removed one is missed"


def test_a_disk_quota_is_a_full_disk(tmp_path):
    """A real limit of the system, on the size of a file: what does not fit is refused, and what was written stays whole."""
    (tmp_path / "dpo.pub").write_bytes(SECRET.public.to_pem())
    code = """
import resource, signal, sys
from modos.encryption.keys import load_public_key
from modos.readlog.read_log import ReadLog, UnloggedError
from modos.storage import open_storage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = ReadLog(open_storage(sys.argv[1]), load_public_key(sys.argv[2]))
log.begin()
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
done = 0
try:
    while True:
        log.write({"event": "sent", "id": str(done), "time": ""})
        done += 1
except UnloggedError as error:
    print(done, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log"), str(tmp_path / "dpo.pub")], capture_output=True, text=True
    )
    assert "File too large" in done.stdout, done.stderr
    assert len(entries(tmp_path / "log", SECRET)) == int(done.stdout.split()[0]) > 5
    assert problems(tmp_path / "log", SECRET) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)


def test_a_place_without_permission_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    log = ReadLog(open_storage(tmp_path / "file" / "log"), SECRET.public)
    with pytest.raises(UnloggedError):
        log.write(entry(1))


def test_segments_end_by_size_and_by_age(tmp_path, monkeypatch):
    chain = ChainWriter(open_storage(tmp_path), SECRET.public, Limits(size=1500, age=100.0))
    clock = [1000.0]
    monkeypatch.setattr(chain_writer.time, "monotonic", lambda: clock[0])
    for number in range(20):
        chain.append([json.dumps(entry(number)).encode()])
    by_size = len(list(tmp_path.rglob("*.log")))
    assert by_size > 2
    clock[0] += 99
    chain.rotate()
    assert len(list(tmp_path.rglob("*.log"))) == by_size
    clock[0] += 2
    chain.rotate()
    assert len(list(tmp_path.rglob("*.log"))) == by_size + 1
    clock[0] += 200
    chain.append([json.dumps(entry(20)).encode()])
    assert len(list(tmp_path.rglob("*.log"))) == by_size + 2
    assert problems(tmp_path, SECRET) == [] and len(entries(tmp_path, SECRET)) == 21


def test_a_rotation_that_fails_in_its_middle_goes_on_with_the_key_that_was_told(tmp_path, monkeypatch):
    chain = ChainWriter(open_storage(tmp_path), SECRET.public, Limits(size=1))
    chain.append([b'{"event": "a"}'])
    real, fails = log_places.FolderTail.begin, [True, True]

    def begin(self, *words):
        if fails and fails.pop():
            raise StorageFullError("full")
        real(self, *words)

    monkeypatch.setattr(log_places.FolderTail, "begin", begin)
    for _ in range(2):
        with pytest.raises(ModosError):
            chain.append([b'{"event": "b"}'])
    chain.append([b'{"event": "c"}'])
    chain.close()
    assert [one["event"] for one in entries(tmp_path, SECRET)] == ["a", "c"] and problems(tmp_path, SECRET) == []


def test_a_clock_that_goes_back_changes_nothing(tmp_path, monkeypatch):
    log = ReadLog(open_storage(tmp_path), SECRET.public)
    log.write({"event": "sent", "id": "1", "time": "2026-11-27T20:00:00.000000Z"})
    log.write({"event": "sent", "id": "2", "time": "2026-11-27T19:00:00.000000Z"})
    log.close()
    assert problems(tmp_path, SECRET) == [] and [one["id"] for one in entries(tmp_path, SECRET)] == ["1", "2"]


def test_files_are_for_their_owner_alone(tmp_path, log):
    log.write(entry(1))
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}
