"""Reference stores and the cache, when anything is interrupted, full, damaged or not allowed: what is there is whole, or it is not there."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from modos.errors import AccessError, ChecksumMismatch, ModosError, TransportError, TruncatedStream
from modos.reference.adding import add_files, push
from modos.reference.annotation_store import (
    add_annotation,
    open_annotation,
    push_annotation,
    read_manifest,
    remove_annotation,
    verify_annotation,
)
from modos.reference.cache import Wanted, bring, cached_files, clear, sequence_path
from modos.reference.cached_store import CachedStore
from modos.reference.locate import open_store
from modos.reference.store import ReferenceStore
from modos.storage import open_storage
from tests.support.sampling import most

from .conftest import fail, interrupted

pytestmark = pytest.mark.sweep(10)

DATA = bytes(range(65, 91)) * 40_000
WANTED = hashlib.md5(DATA).hexdigest()
PIECE = 1 << 16
GFF3 = "".join(
    f"chr1\tT\tgene\t{n}\t{n + 90}\t.\t+\t.\tID=g{n}\nchr1\tT\tmRNA\t{n}\t{n + 90}\t.\t+\t.\tID=t{n};Parent=g{n}\n"
    f"chr1\tT\texon\t{n}\t{n + 90}\t.\t+\t.\tID=e{n};Parent=t{n}\nchr1\tT\tCDS\t{n + 30}\t{n + 60}\t.\t+\t0\tParent=t{n}\n"
    for n in range(1, 500, 50)
)


def wanted():
    return Wanted(sequence_path(WANTED), len(DATA), "md5", WANTED, "the sequence")


def reader(data=DATA, stop=None, asked=None):
    """Gives data from a byte on; the line breaks before the byte `stop`."""

    def read(start):
        if asked is not None:
            asked.append(start)
        for at in range(start, len(data), PIECE):
            if stop is not None and at >= stop:
                raise TransportError("the line broke")
            yield data[at : at + PIECE]

    return read


def left():
    return [path for path in sequence_path(WANTED).parent.iterdir() if not path.name.endswith(".lock")]


def test_a_download_goes_on_where_it_stopped():
    asked = []
    for stop in (3 * PIECE, 7 * PIECE):
        with pytest.raises(TransportError):
            bring(wanted(), reader(stop=stop, asked=asked))
        assert not wanted().path.exists() and list(cached_files()) == []
    assert bring(wanted(), reader(asked=asked)).read_bytes() == DATA and asked == [0, 3 * PIECE, 7 * PIECE]
    assert left() == [wanted().path] and wanted().path.stat().st_mode & 0o777 == 0o644


def test_what_was_left_is_not_trusted():
    """The half that is there is of something else: it is fetched from the start, once."""
    asked = []
    with pytest.raises(TransportError):
        bring(wanted(), reader(data=b"x" * len(DATA), stop=3 * PIECE))
    assert bring(wanted(), reader(asked=asked)).read_bytes() == DATA and asked == [3 * PIECE, 0]


@pytest.mark.parametrize(
    ("data", "error"),
    [(DATA[:-1], TruncatedStream), (DATA[:-1] + b"x", ChecksumMismatch), (DATA + b"x", TruncatedStream), (b"", TruncatedStream)],
)
def test_what_is_not_what_was_wanted_is_not_kept(data, error):
    with pytest.raises(error):
        bring(wanted(), reader(data))
    assert left() == []


def test_a_process_that_is_killed_leaves_nothing_that_counts(tmp_path):
    """Killed while it holds the lock: the next one goes on at once."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\nfrom faults.test_references import *\n"
        "def slow(start):\n    yield DATA[:PIECE * 2]\n    open(sys.argv[2], 'w').close()\n    time.sleep(600)\nbring(wanted(), slow)"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path / "begun")], cwd=Path(__file__).parents[2]
    )
    while not (tmp_path / "begun").exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert list(cached_files()) == []
    began = time.monotonic()
    assert bring(wanted(), reader()).read_bytes() == DATA and time.monotonic() - began < 60


def test_a_disk_that_is_full():
    """Files of this process may have 100 kB: a clear error, and the room is free again."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\nimport resource, signal\nfrom faults.test_references import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    bring(wanted(), reader())\nexcept AccessError as error:\n    print(error.message, left())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert (
        "cannot write to the cache" in result.stdout and "File too large" in result.stdout and result.stdout.endswith(" []\n")
    ), result.stderr


@pytest.fixture
def somebody():
    """Run as a user without rights, where this user has all of them."""

    @contextlib.contextmanager
    def other():
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            if os.getuid() == 0:
                os.seteuid(0)

    return other


@pytest.fixture
def shared(monkeypatch):
    """A folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="modos-cache-"))
    folder.chmod(0o755)
    monkeypatch.setenv("MODOS_CACHE_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_a_cache_that_may_only_be_read_gives_what_it_has(shared, somebody):
    bring(wanted(), reader())
    if os.getuid():
        for folder in (shared, *shared.rglob("*")):
            folder.chmod(folder.stat().st_mode & ~0o222)
    with somebody():
        assert bring(wanted(), reader()).read_bytes() == DATA
        other = hashlib.md5(b"other").hexdigest()
        with pytest.raises(AccessError, match="cannot write to the cache") as raised:
            bring(Wanted(sequence_path(other), 5, "md5", other, "the other"), reader(b"other"))
        assert "MODOS_CACHE_DIR" in raised.value.hint
    if os.getuid():
        for folder in (shared, *shared.rglob("*")):
            folder.chmod(folder.stat().st_mode | 0o222)


def test_a_cache_can_be_shared(shared, somebody):
    """A folder that all may write: what one has fetched the other uses, and each can add to it."""
    shared.chmod(0o777)
    bring(wanted(), reader())
    with somebody():
        assert bring(wanted(), reader()).read_bytes() == DATA
        near = "0000" + WANTED[4:]  # the same lock, a folder of its own
        with pytest.raises(ChecksumMismatch):  # it is not of that name, and nobody is in the way
            bring(Wanted(sequence_path(near), 4, "md5", near, "a neighbour"), reader(b"near"))
        other = hashlib.md5(b"other").hexdigest()
        assert bring(Wanted(sequence_path(other), 5, "md5", other, "the other"), reader(b"other")).read_bytes() == b"other"


def test_what_another_user_has_left_is_in_nobodys_way(shared, somebody):
    shared.chmod(0o777)
    with pytest.raises(TransportError):
        bring(wanted(), reader(stop=3 * PIECE))
    with somebody():
        assert bring(wanted(), reader()).read_bytes() == DATA


def test_a_file_that_another_user_has_begun_is_kept(monkeypatch):
    """Its permissions cannot be changed then; its bytes are right."""

    def refuse(self, mode):
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    assert bring(wanted(), reader()).read_bytes() == DATA


def test_a_cache_that_is_cleared_meanwhile(tmp_path):
    """Once: it is fetched again. All the time: an error that says so."""

    def clearing(times):
        def read(start):
            yield from reader()(start)
            if times:
                times.pop()
                clear()

        return read

    assert bring(wanted(), clearing([1])).read_bytes() == DATA
    clear()
    with pytest.raises(AccessError, match="cannot write to the cache"):
        bring(wanted(), clearing([1, 2, 3]))


def test_what_a_process_has_asked_for_is_not_removed_for_the_next(monkeypatch):
    """A CRAM may need more than the limit allows; what others have left goes."""
    old = hashlib.md5(b"old").hexdigest()
    sequence_path(old).parent.mkdir(parents=True)
    sequence_path(old).write_bytes(b"old")
    monkeypatch.setenv("MODOS_CACHE_LIMIT", "1K")
    bring(wanted(), reader())
    other = hashlib.md5(b"other").hexdigest()
    bring(Wanted(sequence_path(other), 5, "md5", other, "the other"), reader(b"other"))
    assert set(cached_files()) == {wanted().path, sequence_path(other)}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "x.fa").write_text(">chr1\n" + "ACGTacgtTTGCA" * 60 + "\n>chr2\n" + "TTGCA" * 90 + "\n")
    (tmp_path / "x.gff3").write_text(GFF3)
    return tmp_path


@pytest.fixture(params=["folder", "S3"])
def store(request, tmp_path) -> ReferenceStore:
    if request.param == "folder":
        return ReferenceStore(open_storage(tmp_path / "refs"))
    from modos.demo.stack import BUCKET, CREDENTIALS

    stack = request.getfixturevalue("stack")
    return open_store(f"s3://{BUCKET}/refs/{tmp_path.name}", stack.endpoint, CREDENTIALS)


def whole(store):
    """All that the store names is there as it should be."""
    for name in store.index():
        assert list(store.verify(name)) == []
    for name in store.annotations():
        assert list(verify_annotation(store, read_manifest(store, name))) == []
    return set(store.index()) | set(store.annotations())


def each_interruption(operation, check, repeat):
    at = 0
    while True:
        with interrupted(at, fail, for_good=True) as begun:
            with contextlib.suppress(ModosError):
                operation()
        if len(begun) <= at:
            return len(begun)
        check()
        repeat()
        at += most(1, 5)


@pytest.mark.sweep(1)
def test_adding_is_interrupted_anywhere(store, files):
    def reset():
        for info in list(store.storage.iter_files()):
            store.storage.delete(info.key)

    def add():
        add_files(store, "mini", [str(files / "x.fa")])
        add_annotation(store, "genes", store.assembly("mini"), str(files / "x.gff3"))

    def again():
        add()
        assert whole(store) == {"mini", "genes"}
        reset()

    assert each_interruption(add, lambda: whole(store), again) >= 12


@pytest.mark.sweep(1)
def test_removing_is_interrupted_anywhere(store, files):
    def add():
        add_files(store, "mini", [str(files / "x.fa")])
        add_annotation(store, "genes", store.assembly("mini"), str(files / "x.gff3"))

    def remove():
        if "genes" in store.annotations():
            remove_annotation(store, "genes")
        if "mini" in store.index():
            store.remove("mini")

    add()
    assert each_interruption(remove, lambda: whole(store), add) >= 10
    assert whole(store) == set()


def test_pushing_is_interrupted_anywhere(tmp_path, files):
    source = ReferenceStore(open_storage(tmp_path / "source"))
    add_files(source, "mini", [str(files / "x.fa")])
    add_annotation(source, "genes", source.assembly("mini"), str(files / "x.gff3"))
    number = iter(range(100))
    target = ReferenceStore(open_storage(tmp_path / f"target{next(number)}"))

    def send():
        push(source, target, "mini")
        push_annotation(source, target, "genes")

    def again():
        nonlocal target
        send()
        assert whole(target) == {"mini", "genes"}
        target = ReferenceStore(open_storage(tmp_path / f"target{next(number)}"))

    assert each_interruption(send, lambda: whole(target), again) >= 12


def test_two_who_add_the_same_annotation(tmp_path, files):
    add_files(open_store(tmp_path / "refs"), "mini", [str(files / "x.fa")])
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=_annotate, args=(str(tmp_path / "refs"), str(files / "x.gff3"))) for _ in range(3)]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    assert [process.exitcode for process in running] == [0, 0, 0]
    assert whole(open_store(tmp_path / "refs")) == {"mini", "genes"}


def _annotate(place, path):
    store = open_store(place)
    add_annotation(store, "genes", store.assembly("mini"), path)


@pytest.mark.parametrize("store", ["S3"], indirect=True)
def test_a_server_that_goes_away_is_not_missed(store, files, monkeypatch):
    """What is cached is used; what is not is an error that says so."""
    add_files(store, "mini", [str(files / "x.fa")])
    add_annotation(store, "genes", store.assembly("mini"), str(files / "x.gff3"))
    cached = CachedStore(store)
    assembly = cached.assembly("mini")
    cached.locate(assembly.contig("chr1"))
    assert len(open_annotation(cached, "genes", assembly).genes.to_polars()) == 10

    def gone(*args, **kwargs):
        raise TransportError("nobody answers")

    for method in ("read", "read_part", "stat", "iter_range"):
        monkeypatch.setattr(type(store.storage), method, gone)
    again = CachedStore(store).assembly("mini")
    assert again == assembly and CachedStore(store).locate(again.contig("chr1")).stat().st_size == 780
    assert len(open_annotation(CachedStore(store), "genes", again).genes.overlap("chr1", 0, 90)) == 2
    with pytest.raises(TransportError):
        CachedStore(store).locate(again.contig("chr2"))
    with pytest.raises(TransportError):
        open_annotation(CachedStore(store), "genes", again).exons.overlap("chr1", 0, 90)
