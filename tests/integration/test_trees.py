"""Zarr trees as data of elements: what goes in comes out, in one commit, and nothing else does."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import threading
import zipfile

import numpy as np
import pytest
import zarr

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import (
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    TransportError,
)
from modos.formats import files_name, parts_name
from modos.trees import staging
from modos.trees.tree_sources import FolderTree
from tests.faults.conftest import Place, check_whole, fail, files, interrupted, killed_at, place  # noqa: F401 - fixtures

pytestmark = pytest.mark.sweep(40)

ELEMENT = {"id": "m", "@type": "DataEntity"}


def write_tree(path, zarr_format=3, *, shards=False, seed=1):
    """A group with an array of small chunks, some of which are left out, and one of more than a part."""
    rng = np.random.default_rng(seed)
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes={"made": "here", "seed": seed})
    small = root.create_array("a/small", shape=(40, 6), chunks=(10, 3), dtype="i4", **({"shards": (20, 6)} if shards else {}))
    small[:20] = rng.integers(0, 9, (20, 6))
    large = root.create_array("large", shape=(60_000,), chunks=(30_000,), dtype="f8", compressors=None)
    large[:] = rng.normal(size=60_000)
    return path


@pytest.fixture(params=["v3", "v2", "sharded"])
def tree(request, tmp_path):
    """A tree of each layout."""
    return write_tree(tmp_path / "counts.zarr", 2 if request.param == "v2" else 3, shards=request.param == "sharded")


@pytest.fixture
def plain(tmp_path):
    """A tree of Zarr v3."""
    return write_tree(tmp_path / "counts.zarr")


@pytest.fixture
def modo(place):  # noqa: F811
    """An empty object."""
    return MODO.create(place.new(), id="ex", **place.options)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(storage, key):
    return {info.key[len(key) + 1 :]: storage.read(info.key)[0] for info in storage.iter_files(key)}


def put(storage, key, data):
    storage.delete(key)
    storage.write_stream(key, [bytes(data)], size=len(data))


def flip(storage, key, at=0):
    data = bytearray(storage.read(key)[0])
    data[at] ^= 1
    put(storage, key, data)


def read_all(store):
    """Every file of a tree, as zarr-python gets it."""
    prototype = zarr.core.buffer.default_buffer_prototype()

    async def get():
        return {name: (await store.get(name, prototype)).to_bytes() async for name in store.list()}

    return asyncio.run(get())


def arrays(group):
    return {name: group[name][:].tolist() for name in ("a/small", "large")}


def test_a_tree_is_stored_untouched_and_opened_in_place(modo, tree):
    assert modo.add_element(ELEMENT, tree) == "data/m"
    element = modo["data/m"]
    assert (element["data_path"], element["data_format"]) == ("counts.zarr", "Zarr")
    assert stored(modo.storage, "counts.zarr") == contents(tree)
    assert element["data_size"] == sum(map(len, contents(tree).values()))
    group = element.to_zarr()
    assert arrays(group) == arrays(zarr.open_group(tree, mode="r")) and dict(group.attrs) == {"made": "here", "seed": 1}
    assert sorted(name for name, _ in group.members(max_depth=None)) == ["a", "a/small", "large"]
    assert modo.files_of("data/m") == [f"counts.zarr/{name}" for name in sorted(contents(tree), key=str.encode)]
    assert modo.find_problems() == []


def test_a_tree_is_one_file_in_lists_however_its_ending_is_written(modo, plain):
    modo.add_element(ELEMENT | {"data_path": "run/X.ZARR"}, plain)
    assert [path.name for path in modo.list_files()] == ["X.ZARR"]
    modo.encrypt([SecretKey.random().public])
    assert [path.name for path in modo.list_files()] == ["X.ZARR.c4gh"] and modo.find_problems() == []


def test_a_zipped_tree_is_unpacked(modo, plain, tmp_path):
    for name, inner, kind in (("one", "", zipfile.ZIP_STORED), ("two", "counts.zarr/", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(tmp_path / f"{name}.zarr.zip", "w", kind) as file:
            for path, data in contents(plain).items():
                file.writestr(inner + path, data)
        modo.add_element({"id": name, "@type": "DataEntity"}, tmp_path / f"{name}.zarr.zip")
        assert modo[f"data/{name}"]["data_path"] == f"{name}.zarr"
        assert stored(modo.storage, f"{name}.zarr") == contents(plain)
    assert modo.find_problems() == []


def test_a_tree_at_s3_is_taken_from_there(stack, plain, tmp_path):
    from modos.demo.stack import BUCKET, CREDENTIALS
    from modos.storage import open_storage

    url = f"s3://{BUCKET}/{tmp_path.name}/counts.zarr"
    storage = open_storage(url, s3_url=stack.s3, s3_kwargs=CREDENTIALS)
    for name, data in contents(plain).items():
        storage.write(name, data)
    modo = MODO(f"s3://{BUCKET}/{tmp_path.name}/ex", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    modo.add_element(ELEMENT, url)
    assert stored(modo.storage, "counts.zarr") == contents(plain)


def test_a_tree_replaces_a_tree_and_a_file(modo, plain, tmp_path):
    modo.add_element(ELEMENT, plain)
    first = modo["data/m"]["data_digest"]
    assert modo.update_element("data/m", {}, plain) and modo["data/m"]["data_path"] == "counts.zarr"  # the same one
    other = write_tree(tmp_path / "other.zarr", seed=2)
    modo.update_element("data/m", {"description": "new"}, other)
    assert modo["data/m"]["data_path"] == "counts~2.zarr" and modo["data/m"]["data_digest"] != first
    assert stored(modo.storage, "counts~2.zarr") == contents(other) and stored(modo.storage, "counts.zarr") == {}
    (tmp_path / "t.tsv").write_text("a\tb\n")
    modo.add_element({"id": "t", "@type": "DataEntity"}, tmp_path / "t.tsv")
    modo.update_element("data/t", {}, other)
    assert modo["data/t"]["data_path"] == "other.zarr" and not modo.storage.exists("t.tsv")
    assert modo.find_problems() == []


def test_a_tree_is_renamed_and_removed_with_all_its_files(modo, plain):
    modo.add_element(ELEMENT, plain)
    modo.update_element("data/m", {"data_path": "rna.zarr"})
    assert stored(modo.storage, "rna.zarr") == contents(plain) and stored(modo.storage, "counts.zarr") == {}
    assert arrays(modo["data/m"].to_zarr()) == arrays(zarr.open_group(plain, mode="r"))
    assert modo.find_problems() == []
    modo.remove_element("data/m")
    assert not [key for key in files(modo.storage) if "zarr/" in key and not key.startswith("data.zarr/")]
    assert not {files_name("rna.zarr"), parts_name("rna.zarr")} & files(modo.storage)
    assert modo.find_problems() == []


def test_an_object_with_a_tree_is_copied_and_removed(modo, plain, place, tmp_path):  # noqa: F811
    modo.add_element(ELEMENT, plain)
    copy = modo.download(tmp_path / "copy")
    assert stored(copy.storage, "counts.zarr") == contents(plain) and copy.find_problems() == []
    assert modo.remove_object() == []
    assert files(modo.storage) == set()


def test_only_what_differs_is_sent_again(stack, plain, tmp_path):
    from modos.demo.stack import BUCKET, CREDENTIALS

    modo = MODO(tmp_path / "ex")
    modo.add_element(ELEMENT, plain)
    url, options = f"s3://{BUCKET}/{tmp_path.name}/ex", {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    modo.upload(url, **options)
    with interrupted(10_000, fail) as begun:
        modo.update_element("data/m", {"description": "x"})
        begun.clear()
        modo.upload(url, **options)
    assert not [one for one in begun if "counts.zarr" in one]
    modo.update_element("data/m", {}, write_tree(tmp_path / "other.zarr", seed=2))
    modo.upload(url, **options)
    copy = MODO.open(url, **options)
    assert stored(copy.storage, "counts~2.zarr") == contents(tmp_path / "other.zarr")
    assert stored(copy.storage, "counts.zarr") == {} and copy.find_problems() == []
    assert MODO.open(url, **options).download(tmp_path / "back").find_problems() == []


def test_every_changed_file_is_told_and_none_of_it_is_read(modo, plain):
    modo.add_element(ELEMENT, plain)
    names = [name for name in contents(plain) if contents(plain)[name]]
    for name in names:
        key, before = f"counts.zarr/{name}", modo.storage.read(f"counts.zarr/{name}")[0]
        flip(modo.storage, key, len(before) // 2)
        with pytest.raises(IntegrityError, match="are not those that are recorded"):
            read_all(modo["data/m"].store)
        (finding,) = [f for f in modo.find_problems() if f.kind == "checksum"]
        assert name in finding.message and finding.where == "data/m"
        put(modo.storage, key, before)
    assert modo.find_problems() == []


def test_swapped_missing_cut_and_added_files_are_told(modo, plain):
    modo.add_element(ELEMENT, plain)
    one, other = "counts.zarr/large/c/0", "counts.zarr/large/c/1"
    data, more = modo.storage.read(one)[0], modo.storage.read(other)[0]
    put(modo.storage, one, more), put(modo.storage, other, data)
    with pytest.raises(IntegrityError):
        modo["data/m"].to_zarr()["large"][:]
    assert {f.kind for f in modo.find_problems()} == {"checksum"}
    put(modo.storage, one, data[:-1]), modo.storage.delete(other)
    assert {f.kind for f in modo.find_problems()} == {"missing", "size"}
    with pytest.raises(ModosError):
        modo["data/m"].to_zarr()["large"][:]  # a missing chunk is no fill value where the manifest has it
    put(modo.storage, one, data), put(modo.storage, other, more), put(modo.storage, "counts.zarr/large/c/7", b"x")
    (finding,) = modo.find_problems()
    assert finding.kind == "unknown" and "large/c/7" in finding.message
    assert arrays(modo["data/m"].to_zarr()) == arrays(zarr.open_group(plain, mode="r"))


@pytest.mark.parametrize("which", [files_name, parts_name])
@pytest.mark.parametrize("what", ["gone", "flipped", "older"])
def test_a_damaged_manifest_is_told_and_made_again(modo, plain, which, what, tmp_path):
    modo.add_element(ELEMENT, plain)
    name, good = which("counts.zarr"), modo.storage.read(which("counts.zarr"))[0]
    if what == "gone":
        modo.storage.delete(name)
    elif what == "flipped":
        flip(modo.storage, name, len(good) // 2)
    else:
        other = MODO(tmp_path / "o")
        other.add_element(ELEMENT, write_tree(tmp_path / "counts2.zarr", seed=3))
        put(modo.storage, name, other.storage.read(which("counts2.zarr"))[0])
        if modo.storage.read(name)[0] == good:
            pytest.skip("the names are alike")
    with pytest.raises(IntegrityError):
        modo["data/m"].to_zarr()
    findings = modo.find_problems()
    assert [f.kind for f in findings] == ["list"]
    modo.mend(findings)
    assert modo.storage.read(name)[0] == good and modo.find_problems() == []


def test_what_is_no_tree_is_refused(modo, plain, tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InvalidInputError, match="is no Zarr hierarchy"):
        modo.add_element(ELEMENT, tmp_path / "empty.zarr")
    for make, told in (
        (lambda folder: (folder / "out").symlink_to(tmp_path / "empty.zarr"), "leads out"),
        (lambda folder: (folder / "in").symlink_to(folder / "a"), "link to a folder"),
        (lambda folder: (folder / "broken").symlink_to(folder / "none"), "cannot be read"),
        (lambda folder: os.mkfifo(folder / "fifo"), "no regular file"),
        (lambda folder: (folder / "new\nline").write_bytes(b""), "control characters"),
    ):
        folder = tmp_path / "bad.zarr"
        shutil.copytree(plain, folder)
        make(folder)
        with pytest.raises(InvalidInputError, match=told):
            modo.add_element(ELEMENT, folder)
        shutil.rmtree(folder)
    with pytest.raises(InvalidInputError, match="does not end with .zarr"):
        modo.add_element(ELEMENT | {"data_path": "x.tsv"}, plain)
    assert modo.metadata.keys() == {"ex"} and not [key for key in files(modo.storage) if not key.startswith("data.zarr")]


@pytest.mark.parametrize("name", ["../out", "/abs", "a/../../b", "a//b", "a\\b"])
def test_names_of_zip_files_lead_nowhere_else(modo, plain, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "z.zarr.zip", "w") as file:
        file.write(plain / "zarr.json", "zarr.json")
        file.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(InvalidInputError):
        modo.add_element(ELEMENT, tmp_path / "z.zarr.zip")
    assert not (tmp_path / "out").exists() and modo.metadata.keys() == {"ex"}


def test_a_damaged_zip_file_leaves_nothing(modo, plain, tmp_path):
    path = tmp_path / "z.zarr.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in contents(plain).items():
            file.writestr(name, data)
    data = bytearray(path.read_bytes())
    at = data.find((plain / "large/c/0").read_bytes()[:100])
    data[at + 5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="is damaged"):
        modo.add_element(ELEMENT, path)
    assert modo.metadata.keys() == {"ex"} and stored(modo.storage, "z.zarr") == {} and modo.find_problems() == []


@pytest.mark.parametrize("how", ["grows", "goes", "changes"])
def test_a_tree_that_changes_while_it_is_added_is_not_added(modo, plain, monkeypatch, how):
    path, original = plain / "large/c/1", FolderTree.iter_bytes

    def read_and_change(source, file):
        yield from original(source, file)
        if file.name.endswith("a/small/zarr.json"):
            if how == "goes":
                path.unlink()
            else:
                data = path.read_bytes()
                path.write_bytes(data + b"x" if how == "grows" else data[::-1])

    monkeypatch.setattr(FolderTree, "iter_bytes", read_and_change)
    monkeypatch.setattr(staging, "count_cores", lambda: 1)
    monkeypatch.setattr(staging, "_REMOTE_WORKERS", 1)
    with pytest.raises(ConflictError, match="was changed or removed"):
        modo.add_element(ELEMENT, plain)
    assert modo.metadata.keys() == {"ex"} and stored(modo.storage, "counts.zarr") == {} and modo.find_problems() == []


def test_files_of_somebody_else_are_neither_taken_nor_removed(modo, plain):
    put(modo.storage, "counts.zarr/notes.txt", b"mine")
    with pytest.raises(AlreadyExistsError):
        modo.add_element(ELEMENT, plain)
    assert modo.storage.read("counts.zarr/notes.txt")[0] == b"mine"
    modo.add_element(ELEMENT | {"data_path": "rna.zarr"}, plain)
    put(modo.storage, "rna.zarr/notes.txt", b"mine")
    modo.remove_element("data/m")
    assert stored(modo.storage, "rna.zarr") == {"notes.txt": b"mine"}


@pytest.mark.sweep(6)
@pytest.mark.parametrize("at", range(14))
@pytest.mark.parametrize("what", ["add", "replace", "remove"])
def test_whatever_is_killed_leaves_the_old_or_the_new(place, plain, tmp_path, what, at):  # noqa: F811
    modo = MODO.create(place.new(), id="ex", **place.options)
    if what != "add":
        modo.add_element(ELEMENT, write_tree(tmp_path / "old.zarr", seed=5))
    before = modo.metadata.get("data/m")

    def change():
        own = place.open(modo.storage.url)
        if what == "add":
            own.add_element(ELEMENT, plain)
        elif what == "replace":
            own.update_element("data/m", {}, plain)
        else:
            own.remove_element("data/m")

    killed_at(at, change)
    after = place.open(modo.storage.url)
    check_whole(after.storage)
    found = after.metadata.get("data/m")
    expected = None if what == "remove" else contents(plain)
    if found and found != before:
        assert stored(after.storage, found["data_path"]) == expected
    elif found:
        assert arrays(after["data/m"].to_zarr()) == arrays(zarr.open_group(tmp_path / "old.zarr", mode="r"))
    after.add_element({"id": "s", "@type": "Sample"})


def test_an_interrupted_add_leaves_nothing(modo, plain):
    with interrupted(6, fail), pytest.raises(TransportError):
        modo.add_element(ELEMENT, plain)
    assert modo.metadata.keys() == {"ex"} and stored(modo.storage, "counts.zarr") == {} and modo.find_problems() == []


def test_two_writers_of_one_name_leave_one_whole_tree(modo, plain, place, tmp_path):  # noqa: F811
    other, outcomes = write_tree(tmp_path / "two" / "counts.zarr", seed=9), []

    def add(element_id, source):
        try:
            place.open(modo.storage.url).add_element({"id": element_id, "@type": "DataEntity"}, source)
            outcomes.append(source)
        except (ConflictError, AlreadyExistsError) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=add, args=pair) for pair in (("m", plain), ("n", other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = place.open(modo.storage.url)
    check_whole(now.storage)
    whole = [source for source in outcomes if not isinstance(source, Exception)]
    assert len(whole) <= 1 or len(now.metadata) == 3
    for element_id in [i for i in now.metadata if i.startswith("data/")]:
        assert stored(now.storage, now[element_id]["data_path"]) in (contents(plain), contents(other))


def test_a_store_is_pickled_and_cannot_be_written_to(modo, plain):
    modo.add_element(ELEMENT, plain)
    if modo.storage.is_remote:
        pytest.skip("credentials are not pickled")
    again = pickle.loads(pickle.dumps(modo["data/m"].store))
    assert again == modo["data/m"].store
    assert arrays(zarr.open_group(again, mode="r")) == arrays(zarr.open_group(plain, mode="r"))
    with pytest.raises((InvalidInputError, ValueError)):
        zarr.open_group(again, mode="r+").create_group("more")


OBJECTS = (
    '{"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<i4", "fill_value": 0, "order": "C", '
    '"filters": null, "compressor": {"id": "pickle", "protocol": 5}}'
)


class Runs:
    """Whose pickle tells that code was run."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def write_objects(folder, attributes="{}", encode=str.encode):
    """A tree with an array whose chunks are read by running what is in them."""
    (folder / "x").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(attributes)
    (folder / "x" / ".zarray").write_bytes(encode(OBJECTS))
    (folder / "x" / "0").write_bytes(pickle.dumps(Runs()))
    return folder


@pytest.mark.parametrize(
    "encode",
    [str.encode, lambda text: text.replace("pickle", "\\u0070ickl\\u0065").encode(), lambda text: text.encode("utf-16")],
    ids=["plain", "escaped", "utf-16"],
)
def test_codecs_that_run_code_are_refused_unless_asked(modo, tmp_path, encode, monkeypatch):
    """However their names are written; and where another package would read the folder by itself."""
    monkeypatch.chdir(tmp_path)
    modo.add_element(ELEMENT, write_objects(tmp_path / "objects.zarr", encode=encode))
    with pytest.raises(InvalidInputError, match="runs code"):
        modo["data/m"].to_zarr()["x"][:]
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InvalidInputError, match="runs code"):
        modo["data/m"].store.read_all()
    assert not (tmp_path / "ran").exists()
    assert "x/.zarray" in modo["data/m"].to_zarr(allow_pickle=True).store.files.names


def test_a_sample_of_a_tree_is_checked(modo, plain):
    from modos.object.sampling import Sampler

    modo.add_element(ELEMENT, plain)
    sampler = Sampler(parts=4)
    assert list(modo.find_problems(sampler=sampler)) == [] and sampler.trees == 1 and sampler.read <= 4
    for number in range(2):
        flip(modo.storage, f"counts.zarr/large/c/{number}", 9)
    found = [f for _ in range(40) for f in modo.find_problems(sampler=Sampler(parts=4))]
    assert found and {f.kind for f in found} == {"checksum"}
