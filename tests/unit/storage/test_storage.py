"""What every storage must do, on a folder and on S3 over HTTP."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from modos.errors import ConflictError, InvalidInputError, NotFoundError, RemoteError, TruncatedStream
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from modos.storage.s3 import S3Storage


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    if request.param == "local":
        return open_storage(tmp_path / "root")
    stack = request.getfixturevalue("stack")
    return open_storage(f"s3://modos-demo/{tmp_path.name}", s3_url=stack.s3)


def test_bytes_that_were_let_go_are_there(storage):
    """The system may forget them in memory, and nowhere else."""
    data = bytes(range(256)) * 1000
    storage.write_stream("a", [data], size=len(data))
    storage.let_go("a", 0, len(data))
    storage.let_go("a", 100, 50_000)
    storage.let_go("none", 0, 10)
    assert storage.read("a")[0] == data


def test_write_and_read(storage):
    tag = storage.write("a/b", b"hello")
    assert storage.read("a/b") == (b"hello", tag)
    assert storage.stat("a/b").size == 5
    assert storage.read_range("a/b", 1, 3) == b"el"
    assert storage.read_range("a/b", 3, 99) == b"lo"
    assert storage.read_range("a/b", 50, 99) == b""


def test_absent(storage):
    assert not storage.exists("no")
    for call in (storage.read, storage.stat, lambda key: storage.read_range(key, 0, 1)):
        with pytest.raises(NotFoundError):
            call("no")
    storage.delete("no")


def test_conditions_have_one_winner(storage):
    tag = storage.write("a", b"1", if_absent=True)
    with pytest.raises(ConflictError):
        storage.write("a", b"2", if_absent=True)
    newer = storage.write("a", b"3", if_match=tag)
    with pytest.raises(ConflictError):
        storage.write("a", b"4", if_match=tag)
    assert storage.read("a") == (b"3", newer)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("size", [0, 10, 40 << 20])
def test_streams_are_whole(storage, size):
    data = os.urandom(size)
    storage.write_stream("big", (data[at : at + 1_000_000] for at in range(0, size, 1_000_000)), size=size)
    assert b"".join(storage.iter_range("big", 0, size)) == data
    with pytest.raises(ConflictError):
        storage.write_stream("big", [b"x"], size=1)


@pytest.mark.sweep(4)
@pytest.mark.parametrize("size", [0, 10, 6 << 20, 11 << 20])
def test_copies_are_whole_and_replace_nothing(storage, size, monkeypatch):
    data = os.urandom(size)
    storage.write("one", data)
    with monkeypatch.context() as patched:
        if size and storage.is_remote:
            for name in ("read", "read_part", "iter_range"):
                patched.delattr(f"modos.storage.s3.S3Storage.{name}")
        storage.copy("two", "one")
    assert storage.read("two")[0] == data
    storage.write("one", b"other")
    with pytest.raises(ConflictError):
        storage.copy("two", "one")
    assert storage.read("two")[0] == data and storage.partial_writes() == []
    with pytest.raises(NotFoundError):
        storage.copy("three", "none")


@pytest.mark.sweep(1)
@pytest.mark.parametrize("size", [5, 40 << 20])
def test_a_stream_of_the_wrong_length_leaves_nothing(storage, size):
    with pytest.raises(TruncatedStream):
        storage.write_stream("big", [bytes(size - 1)], size=size)
    assert list(storage.iter_files()) == []


def test_a_stream_that_breaks_leaves_nothing(storage):
    def pieces():
        yield bytes(20 << 20)
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        storage.write_stream("big", pieces(), size=40 << 20)
    assert list(storage.iter_files()) == []


@pytest.mark.sweep(2)
@pytest.mark.parametrize("size", [0, 10, 40 << 20])
def test_placed_pieces_are_whole(storage, size):
    """Threads put pieces in any order, where the storage says that they can; else the pieces are written in order."""
    data, step = os.urandom(size), 1_000_003
    places = list(range(0, size, step))

    def make(place):
        if place:
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda at: place(at, data[at : at + step]), reversed(places)))
        yield from (data[at : at + step] for at in places)

    storage.write_placed("big", make, size=size)
    assert b"".join(storage.iter_range("big", 0, size)) == data
    with pytest.raises(ConflictError):
        storage.write_placed("big", make, size=size)


@pytest.mark.parametrize("wrong", ["short", "breaks"])
def test_placed_pieces_that_end_early_leave_nothing(storage, wrong):
    def make(place):
        if place:
            place(20 << 20, bytes(5))
            place(0, bytes(20 << 20))
        yield bytes(20 << 20)
        if wrong == "breaks":
            raise RuntimeError("cut")

    with pytest.raises((RuntimeError, TruncatedStream)):
        storage.write_placed("big", make, size=(20 << 20) + 5)
    assert list(storage.iter_files()) == []


def test_nothing_is_placed_any_more_once_the_file_is_given_up(tmp_path):
    """A thread that is late must not write to whatever file has got the number of the one that was closed."""
    storage, late = open_storage(tmp_path / "root"), []

    def make(place):
        late.append(place)
        yield b""
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        storage.write_placed("big", make, size=5)
    with open(tmp_path / "other", "wb") as other:
        with pytest.raises(ValueError, match="any more"):
            late[0](0, b"12345")
        assert os.fstat(other.fileno()).st_size == 0
    assert (tmp_path / "other").read_bytes() == b""


@pytest.mark.sweep(2)
@pytest.mark.parametrize("size", [10, 20 << 20, (32 << 20) + 1])
def test_another_file_does_not_match(storage, size):
    """No file is taken for the same by what a storage says of it, where it is another."""
    data = os.urandom(size)
    storage.write_stream("a", [data], size=size)
    changed = bytearray(data)
    changed[size // 2] ^= 1
    for other in (bytes(changed), data[:-1], data + b"x", b""):
        assert not storage.matches("a", [other])


def test_reading_beyond_the_end_is_an_error(storage):
    storage.write("a", b"12345")
    with pytest.raises(TruncatedStream):
        list(storage.iter_range("a", 0, 9))


def test_listing_keeps_to_its_root(storage):
    for key in ("ex/a", "ex/d/b", "ex2/c"):
        storage.write(key, b"x")
    assert [info.key for info in storage.iter_files()] == ["ex/a", "ex/d/b", "ex2/c"]
    assert [info.key for info in storage.iter_files("ex")] == ["ex/a", "ex/d/b"]
    assert [info.key for info in storage.child("ex").iter_files()] == ["a", "d/b"]
    assert storage.list_folders() == ["ex", "ex2"] and storage.list_folders("ex") == ["ex/d"]


@pytest.mark.parametrize("key", ["/etc/passwd", "../x", "a/../../x", "a//b", "", "a\\b", "a\0b", "."])
def test_keys_that_lead_out_are_refused(storage, key):
    for call in (storage.read, storage.delete, lambda k: storage.write(k, b"")):
        with pytest.raises(InvalidInputError):
            call(key)


def test_links_out_of_the_root_are_refused(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInputError, match="leads out"):
        open_storage(tmp_path / "root").read("link")


def test_two_processes_commit_without_loss(tmp_path):
    """40 elements each from two processes at the same time: 80 elements, 80 links."""
    import subprocess
    import sys

    from modos.api import MODO

    MODO.create(tmp_path / "ex").add_element({"id": "a", "@type": "Assay", "omics_type": "GENOMICS"})
    code = (
        "import sys; from modos.api import MODO; m = MODO.open(sys.argv[1]);"
        "[m.add_element({'id': f'{sys.argv[2]}{i}', '@type': 'Sample'}, part_of='a') for i in range(40)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "ex"), name]) for name in "xy"]
    assert [writer.wait() for writer in writers] == [0, 0]
    metadata = MODO.open(tmp_path / "ex").metadata
    assert len(metadata) == 82 and len(metadata["assay/a"]["has_sample"]) == 80


@pytest.mark.parametrize("put", ["write", "write_stream", "copy"])
def test_a_folder_that_others_empty_is_made_again(tmp_path, put):
    """Several put files into one folder and take them out again; who finds it gone in between makes it anew."""
    LocalStorage(tmp_path).write("source", b"x")
    puts = {
        "write": lambda storage, key: storage.write(key, b"x", durable=False),
        "write_stream": lambda storage, key: storage.write_stream(key, [b"x"], size=1),
        "copy": lambda storage, key: storage.copy(key, "source"),
    }

    def come_and_go(name):
        storage = LocalStorage(tmp_path)
        for _ in range(200):
            puts[put](storage, f"a/b/c/{name}")
            storage.delete(f"a/b/c/{name}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, "wxyz"))
    assert os.listdir(tmp_path) == ["source"]


NAMES = ["a/1", "a/2", "a/b/3", "c", "a/4"]  # not in the order of folders


def test_small_files_are_put_read_and_removed_together(storage):
    wrote = []
    storage.put_all(((name, name.encode() * 10) for name in NAMES), wrote.append)
    storage.flush()
    assert wrote == NAMES and sorted(info.key for info in storage.iter_files()) == sorted(NAMES)
    assert storage.read_small([(name, 15) for name in NAMES]) == [(name.encode() * 10)[:15] for name in NAMES]
    storage.delete_all(["a/2", "none", "no/folder/x", *(f"a/{n}" for n in range(20, 2000)), "a/b/3", "c"])
    assert sorted(info.key for info in storage.iter_files()) == ["a/1", "a/4"]
    with pytest.raises(NotFoundError):
        storage.read_small([("a/1", 5), ("a/2", 5)])
    with pytest.raises(NotFoundError):
        storage.read_small([("gone/1", 5)])


def test_small_files_that_cannot_be_written_leave_no_empty_folders(tmp_path):
    storage = LocalStorage(tmp_path)
    with pytest.raises(NotFoundError):
        storage.put_all([("tree/a/" + "x" * 300, b"1")], lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_among_files_that_are_removed_keeps_none_of_them(storage):
    storage.put_all(((name, b"x") for name in ("a/1", "a/2/x", "a/3", "a/4")), lambda _: None)
    storage.delete_all(["a/1", "a/2", "a/3", "a/4"])
    assert [info.key for info in storage.iter_files()] == ["a/2/x"]


def test_a_file_that_is_there_is_left_and_those_before_it_are_told(storage):
    storage.write("a/2", b"mine")
    wrote = []
    with pytest.raises(ConflictError, match="a/2 exists already"):
        storage.put_all(((f"a/{n}", b"new") for n in range(4)), wrote.append)
    assert wrote == ["a/0", "a/1"] and storage.read("a/2")[0] == b"mine" and not storage.exists("a/3")


@pytest.mark.parametrize("key", ["a/../../x", "/x", "a//b", "a\nb", "a\\b", ".", ""])
def test_no_key_of_several_leads_out(storage, key):
    for call in (
        lambda: storage.put_all([("a/1", b""), (key, b"")], lambda _: None),
        lambda: storage.read_small([("a/1", 1), (key, 1)]),
        lambda: storage.delete_all([*(f"a/{n}" for n in range(10)), key]),
    ):
        with pytest.raises(InvalidInputError):
            call()


def test_links_of_small_files_are_as_those_of_any(tmp_path):
    """A link within is followed, one that leads out is refused, and is removed as what it is; a pipe is not waited for."""
    storage = open_storage(tmp_path / "root")
    storage.put_all([("a/1", b"one"), ("b/2", b"two")], lambda _: None)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root/a/in").symlink_to("../b/2")
    (tmp_path / "root/a/out").symlink_to(tmp_path / "secret")
    (tmp_path / "root/away").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "root/a/pipe")
    assert storage.read_small([("a/1", 9), ("a/in", 9)]) == [b"one", b"two"]
    for name in ("a/out", "away/secret"):
        with pytest.raises(InvalidInputError, match="leads out"):
            storage.read_small([("a/1", 9), (name, 9)])
    for name in ("away/new", "away/folder/new"):
        with pytest.raises(InvalidInputError, match="leads out"):
            storage.put_all([(name, b"")], lambda _: None)
    with pytest.raises(InvalidInputError, match="leads out"):
        storage.delete_all(["away/secret"])
    assert storage.read_small([("a/pipe", 9)]) == [b""]  # nothing comes of it, and nobody waits
    storage.delete_all(["a/out"])
    assert (tmp_path / "secret").read_bytes() == b"secret" and not os.path.lexists(tmp_path / "root/a/out")


@pytest.mark.parametrize("folder_mode", [0o755, 0o700, 0o2775, 0o1777])
def test_small_files_have_the_mode_of_any(tmp_path, folder_mode):
    storage = open_storage(tmp_path / "root")
    (tmp_path / "root").mkdir()
    (tmp_path / "root").chmod(folder_mode)
    storage.put_all([("a/1", b""), ("2", b"")], lambda _: None)
    storage.write("a/3", b"")
    storage.write("4", b"")
    modes = {name: (tmp_path / "root" / name).stat().st_mode for name in ("a/1", "2", "a/3", "4")}
    assert modes["a/1"] == modes["a/3"] and modes["2"] == modes["4"]


def test_a_server_that_cannot_delete_many_files_deletes_each(stack, tmp_path, monkeypatch):
    storage = open_storage(f"s3://modos-demo/{tmp_path.name}", s3_url=stack.s3)
    storage.put_all(((f"a/{n}", b"") for n in range(12)), lambda _: None)
    call = S3Storage._call

    def refuse(self, method, *rest, **arguments):
        if method == "delete_objects":
            raise RemoteError("NotImplemented")
        return call(self, method, *rest, **arguments)

    monkeypatch.setattr(S3Storage, "_call", refuse)
    storage.delete_all(f"a/{n}" for n in range(12))
    assert list(storage.iter_files()) == []
