"""What others change, remove or damage is an error for programs that read by addresses, and no fill values or fewer bytes in silence."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import tracemalloc
from contextlib import suppress

import fsspec
import numpy as np
import pytest
import zarr

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import SecretKey
from modos.errors import ConflictError, IntegrityError
from modos.filesystem import ModosFileSystem
from modos.filesystem.object_folders import ObjectFolder
from modos.object import newest
from modos.storage.verified import VerifiedFiles

xarray = pytest.importorskip("xarray")

ME = SecretKey.random()


@pytest.fixture(autouse=True)
def registered():
    fsspec.register_implementation("modos", ModosFileSystem, clobber=True)
    ModosFileSystem.clear_instance_cache()


@pytest.fixture
def trees(tmp_path):
    for name, rows in (("long", 40), ("short", 20)):
        values = np.arange(rows * 100.0).reshape(rows, 100) + 1
        xarray.Dataset({"level": (("x", "y"), values)}).chunk({"x": 10}).to_zarr(tmp_path / f"{name}.zarr")
    return tmp_path


@pytest.fixture(params=["plain", "sealed"])
def modo(request, trees, tmp_path):
    """An object with a tree, a track and a file, plain or sealed."""
    made = MODO.create(tmp_path / "ex", id="ex")
    made.add_element({"id": "grid", "@type": "Array", "data_path": "grid.zarr"}, trees / "long.zarr")
    (tmp_path / "a.tsv").write_bytes(os.urandom(3 << 20))
    made.add_element({"id": "a", "@type": "DataEntity", "data_path": "a.tsv"}, tmp_path / "a.tsv")
    if request.param == "sealed":
        made.encrypt(ME.public)
    return made


def top(modo):
    return f"modos://{modo.path}"


@pytest.mark.parametrize("sealed", [False, True])
def test_what_others_have_just_committed_at_s3_is_no_mixture(stack, trees, tmp_path, sealed):
    """For a second the document of before is taken for the newest there, and what it names may be gone."""
    options = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    made = MODO.create(tmp_path / "ex", id="ex")
    made.add_element({"id": "grid", "@type": "Array", "data_path": "grid.zarr"}, trees / "long.zarr")
    (tmp_path / "a.tsv").write_bytes(b"before" * 100)
    made.add_element({"id": "a", "@type": "DataEntity", "data_path": "a.tsv"}, tmp_path / "a.tsv")
    if sealed:
        made.encrypt(ME.public)
    place = f"{BUCKET}/changed/{tmp_path.name}"
    made.upload(f"s3://{place}", **options)
    other = MODO.open(f"s3://{place}", **options)
    storage = {"secret_key": ME} | options
    opened = xarray.open_zarr(f"modos://{place}/grid.zarr", storage_options=storage)
    fs = fsspec.filesystem("modos", **storage)
    assert float(opened.level[0, 0]) == 1.0 and fs.cat_file(f"modos://{place}/a.tsv") == b"before" * 100
    file = fs.open(f"modos://{place}/a.tsv", block_size=100)
    (tmp_path / "b.tsv").write_bytes(b"afterwards" * 100)
    for change in (
        lambda: other.update_element("a", {}, tmp_path / "b.tsv"),
        lambda: other.update_element("grid", {}, trees / "short.zarr"),
    ):
        fs.ls(f"modos://{place}")  # just before
        change()
    try:
        rows = opened.level[10:].load()
    except ConflictError:
        pass
    else:
        assert (
            sealed
        )  # of an encrypted one what was decrypted is kept, which is all of it, and is taken for the newest for a second
        np.testing.assert_array_equal(rows, xarray.open_zarr(trees / "long.zarr").level[10:])
    assert fs.cat_file(f"modos://{place}/a.tsv") in (b"before" * 100, b"afterwards" * 100)
    fs.invalidate_cache()
    assert fs.cat_file(f"modos://{place}/a.tsv") == b"afterwards" * 100
    with suppress(ConflictError):
        assert file.read() == b"before" * 100  # of an encrypted one what was decrypted is kept
    other.remove_element("grid")
    with pytest.raises(ConflictError):
        opened.level[:10].load()


def test_what_another_thread_has_seen_first_is_a_change_as_well(stack, trees, tmp_path, monkeypatch):
    """Chunks are read by several threads, of which one is the first to see that others have committed."""
    options = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    made = MODO.create(tmp_path / "ex", id="ex")
    made.add_element({"id": "grid", "@type": "Array", "data_path": "grid.zarr"}, trees / "long.zarr")
    place = f"{BUCKET}/seen/{tmp_path.name}"
    made.upload(f"s3://{place}", **options)
    opened = xarray.open_zarr(f"modos://{place}/grid.zarr", storage_options=options)
    explain, seen = ObjectFolder._make_gone_error, []

    def see_first(folder, name):
        folder.refresh()
        seen.append(name)
        return explain(folder, name)

    monkeypatch.setattr(ObjectFolder, "_make_gone_error", see_first)
    monkeypatch.setattr(newest, "_FRESH", 60)
    fsspec.filesystem("modos", **options).ls(f"modos://{place}")  # just before
    MODO.open(f"s3://{place}", **options).update_element("grid", {}, trees / "short.zarr")
    with pytest.raises(ConflictError):
        opened.level[30:].load()
    assert seen


def remove_tree(modo, trees):
    modo.remove_element("grid")


def replace_tree(modo, trees):
    modo.update_element("grid", {}, trees / "short.zarr")


def remove_object(modo, trees):
    shutil.rmtree(modo.path)


@pytest.mark.parametrize("change", [remove_tree, replace_tree, remove_object])
def test_chunks_of_a_tree_that_others_change_are_no_fill_values(modo, trees, change):
    options = {"secret_key": ME}
    opened = xarray.open_zarr(f"{top(modo)}/grid.zarr", storage_options=options)
    group = zarr.open_group(f"{top(modo)}/grid.zarr", mode="r", storage_options=options)
    assert float(opened.level[0, 0]) == 1.0
    change(modo, trees)
    for read in (lambda: opened.level[20:].load(), lambda: opened.level[:10].load(), lambda: group["level"][:]):
        with pytest.raises(ConflictError) as caught:
            read()
        assert caught.value.errno == errno.ESTALE and not isinstance(caught.value, FileNotFoundError)
    if change is replace_tree:
        again = xarray.open_zarr(f"{top(modo)}/grid.zarr", storage_options=options)
        xarray.testing.assert_equal(again.load(), xarray.open_zarr(trees / "short.zarr").load())


def test_a_process_for_which_there_is_no_tree_reads_no_fill_values(modo, tmp_path):
    """As a worker on a machine where the object is not there under the same path."""
    array = zarr.open_array(f"{top(modo)}/grid.zarr/level", mode="r", storage_options={"secret_key": ME})
    fs, place = array.store.fs.sync_fs if hasattr(array.store.fs, "sync_fs") else array.store.fs, top(modo)
    assert fs.cat_file(f"{place}/grid.zarr/level/c/0/0")
    ModosFileSystem.clear_instance_cache()
    shutil.move(modo.path, tmp_path / "away")
    with pytest.raises(ConflictError, match="is not there"):
        fsspec.filesystem("modos", secret_key=ME).cat_file(f"{place}/grid.zarr/level/c/0/0")
    with pytest.raises(FileNotFoundError):
        fsspec.filesystem("modos", secret_key=ME).cat_file(f"{place}/grid.zarr/zarr.json")
    assert not fsspec.filesystem("modos", secret_key=ME).exists(f"{place}/grid.zarr/level/c/0/0")


def test_chunks_that_are_left_out_are_fill_values(tmp_path):
    array = zarr.open_group(tmp_path / "s.zarr", mode="w").create_array("a", shape=(40,), chunks=(10,), dtype="i4", fill_value=7)
    array[:10] = 1
    MODO.create(tmp_path / "ex", id="ex").add_element({"id": "s", "@type": "Array"}, tmp_path / "s.zarr")
    found = zarr.open_group(f"modos://{tmp_path}/ex/s.zarr", mode="r")["a"][:]
    assert found.tolist() == [1] * 10 + [7] * 30


def test_a_track_that_others_replace_is_stale_and_other_commits_are_not(tmp_path):
    for name, value in (("one", 1.5), ("two", 2.5)):
        (tmp_path / f"{name}.bedGraph").write_text(f"chr1\t0\t1000\t{value}\n")
    modo = MODO.create(tmp_path / "ex", id="ex")
    (tmp_path / "ref.fa").write_text(">chr1\n" + "ACGT" * 500 + "\n")
    modo.add_genome(tmp_path / "ref.fa")
    modo.add_track("signal", tmp_path / "one.bedGraph")
    own = zarr.open_group(f"modos://{tmp_path}/ex/data.zarr", mode="r")
    place = find_values(own)
    first = own[place][:]
    (tmp_path / "a.tsv").write_text("a\n")
    modo.add_element({"id": "a", "@type": "DataEntity"}, tmp_path / "a.tsv")
    assert np.array_equal(own[place][:], first, equal_nan=True)
    array = own[place]
    modo.remove_element("data/signal")
    with pytest.raises(ConflictError):
        array[:]
    modo.add_track("signal", tmp_path / "two.bedGraph")
    with pytest.raises(ConflictError):
        array[:]
    again = zarr.open_group(f"modos://{tmp_path}/ex/data.zarr", mode="r")
    assert np.nanmax(again[find_values(again)][:]) == 2.5 * np.nanmax(first) / 1.5


def find_values(group):
    arrays = (path for path, one in group.members(max_depth=None) if isinstance(one, zarr.Array) and one.dtype.kind == "f")
    return min(path for path in arrays if "statistics" not in path)


@pytest.mark.parametrize("size", [0, 1, 65536 + 28, 1 << 20, 2 << 20, (3 << 20) - 1, (3 << 20) + 1])
def test_a_file_of_another_size_than_recorded_is_damaged_at_every_range(modo, size):
    (path,) = [path for path in modo.path.iterdir() if path.name in ("a.tsv", "a.tsv.c4gh")]
    os.truncate(path, size)
    fs = fsspec.filesystem("modos", secret_key=ME)
    place = f"{top(modo)}/a.tsv"
    uses = [lambda: fs.cat_file(place), lambda: fs.cat_file(place, (3 << 20) - 9), lambda: fs.cat_file(place, 0, 0), lambda: fs.size(place),
            lambda: fs.open(place).read(), lambda: fs.cat_file(place, -5)]  # fmt: skip
    for use in uses:
        with pytest.raises(OSError) as caught:
            use()
        assert isinstance(caught.value, IntegrityError)
    listed = {one["name"].rpartition("/")[2]: one["size"] for one in fs.ls(top(modo))}
    assert listed["a.tsv"] is None and "grid.zarr" in listed  # the others are still told


def test_an_empty_index_is_damaged(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    os.truncate(tmp_path / "ex/demo2.bam.bai", 0)
    with pytest.raises(IntegrityError):
        fsspec.filesystem("modos").cat_file(f"modos://{tmp_path}/ex/demo2.bam.bai")


def test_a_file_that_was_only_touched_is_read_again(modo):
    fs = fsspec.filesystem("modos", secret_key=ME)
    place = f"{top(modo)}/a.tsv"
    expected = fs.cat_file(place)
    (path,) = [path for path in modo.path.iterdir() if path.name in ("a.tsv", "a.tsv.c4gh")]
    for seconds in (1, 2):
        os.utime(path, (seconds, seconds))
        assert fs.cat_file(place) == expected
    os.utime(path, (3, 3))
    for _ in range(2):  # an open file may be stale once, and not for ever
        try:
            with fs.open(place) as file:
                assert file.read() == expected
        except ConflictError:
            continue
    with fs.open(place) as file:
        assert file.read() == expected


def test_a_pickled_open_file_that_was_replaced_is_stale(modo, tmp_path):
    fs = fsspec.filesystem("modos", secret_key=ME)
    file = fs.open(f"{top(modo)}/a.tsv")
    first = file.read(10)
    make, told = file.__reduce__()  # what a pickle has, with a key that is none of it
    assert make(*told).read(5) == file.read(5) and len(first) == 10
    (tmp_path / "a.tsv").write_bytes(b"x" * (3 << 20))
    modo.update_element("a", {}, tmp_path / "a.tsv")
    with pytest.raises(ConflictError, match="was replaced"):
        make(*told)


def test_a_key_by_a_relative_path_is_pickled_by_where_it_was(tmp_path, monkeypatch):
    from modos.encryption.keys import generate

    generate(tmp_path / "me.sec", tmp_path / "me.pub", None)
    monkeypatch.chdir(tmp_path)
    fs = fsspec.filesystem("modos", secret_key="me.sec")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert pickle.loads(pickle.dumps(fs))._secret.public == fs._secret.public


def test_ranges_may_be_arrays(modo, tmp_path):
    fs, data = fsspec.filesystem("modos", secret_key=ME), (tmp_path / "a.tsv").read_bytes()
    starts, ends = np.array([0, 99_999, 7, 2_000_000]), np.array([5, 3_000_000, 7, 1_000_000])
    found = fs.cat_ranges([f"{top(modo)}/a.tsv"] * 4, starts, ends)
    assert found == [data[start:end] for start, end in zip(starts, ends)]


@pytest.mark.parametrize(
    "name", ["sp ace.tsv", "p%2fct.tsv", "é.tsv", "ha#sh.tsv", "que?.tsv", "st*r.tsv", "br[a].tsv", "a&b.tsv"]
)
def test_names_are_taken_as_they_are(tmp_path, name):
    (tmp_path / name).write_text(name)
    MODO.create(tmp_path / "ex", id="ex").add_element({"id": "n", "@type": "DataEntity", "data_path": name}, tmp_path / name)
    fs, place = fsspec.filesystem("modos"), f"modos://{tmp_path}/ex/{name}"
    assert fs.cat_file(place) == fs.open(place).read() == name.encode() and f"{tmp_path}/ex/{name}" in fs.find(f"{tmp_path}/ex")


@pytest.mark.parametrize("bad", ["../a.tsv", "/etc/passwd", "x/../../a.tsv"])
def test_a_root_document_that_names_files_elsewhere_opens_none_of_them(modo, tmp_path, bad):
    root = modo.path / "data.zarr/zarr.json"
    root.write_text(root.read_text().replace('"a.tsv', f'"{bad}'))
    fs = fsspec.filesystem("modos", secret_key=ME)
    for use in (fs.ls, fs.find, lambda place: fs.cat_file(f"{place}/{bad}")):
        with pytest.raises(OSError):
            use(top(modo))


def test_a_recorded_file_that_became_a_link_out_of_the_object_is_not_followed(modo, tmp_path):
    (path,) = [path for path in modo.path.iterdir() if path.name in ("a.tsv", "a.tsv.c4gh")]
    shutil.move(path, tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(OSError):
        fsspec.filesystem("modos", secret_key=ME).cat_file(f"{top(modo)}/a.tsv")


def measure(place, target, options, most):
    fsspec.register_implementation("modos", ModosFileSystem, clobber=True)
    fs = fsspec.filesystem("modos", **options)
    tracemalloc.start()
    with fs.open(place) as file:
        while file.read(1 << 20):
            pass
    fs.get_file(place, target)
    most.value = tracemalloc.get_traced_memory()[1]


@pytest.mark.parametrize("sealed", [False, True])
def test_memory_stays_far_below_the_size_of_a_file(tmp_path, sealed):
    """The file has three times the bytes that may be held."""
    piece = os.urandom(1 << 20)
    with open(tmp_path / "big.tsv", "wb") as file:
        for number in range(288):
            file.write(number.to_bytes(4) + piece[4:])
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity"}, tmp_path / "big.tsv")
    if sealed:
        modo.encrypt(ME.public)
    context = multiprocessing.get_context("fork")
    most = context.Value("q", 0)
    process = context.Process(target=measure, args=(f"{top(modo)}/big.tsv", tmp_path / "got", {"secret_key": ME}, most))
    process.start()
    process.join(120)
    assert process.exitcode == 0 and (tmp_path / "got").read_bytes() == (tmp_path / "big.tsv").read_bytes()
    assert 0 < most.value < 96 << 20


def test_the_size_of_a_file_is_compared_with_the_record(tmp_path):
    from modos.object.address import ObjectAddress
    from modos.object.open_object import OpenObject
    from modos.object.part_lists import verified_files

    (tmp_path / "a.tsv").write_bytes(b"abc")
    MODO.create(tmp_path / "ex", id="ex").add_element({"id": "a", "@type": "DataEntity"}, tmp_path / "a.tsv")
    opened = OpenObject(ObjectAddress(tmp_path / "ex"))
    files: VerifiedFiles = verified_files(opened.storage, opened.metadata)
    assert [size for size in range(6) if files.has_size("a.tsv", size)] == [3] and files.has_size("other", 0)


def test_no_filesystem_is_kept_for_another_key(modo, tmp_path, monkeypatch):
    """fsspec keeps a filesystem for each set of options, which it tells apart by how they are written."""
    place = f"{top(modo)}/a.tsv"
    expected = (tmp_path / "a.tsv").read_bytes()
    hers = {"secret_key": SecretKey.random()}
    assert fsspec.filesystem("modos", secret_key=ME) is fsspec.filesystem("modos", secret_key=SecretKey(ME.raw))
    assert fsspec.filesystem("modos", secret_key=ME) is not fsspec.filesystem("modos", **hers)
    with fsspec.open(
        f"simplecache::{place}", modos={"secret_key": ME}, simplecache={"cache_storage": str(tmp_path / "me")}
    ) as file:
        assert file.read() == expected
    if (modo.path / "a.tsv.c4gh").exists():
        for address, options in ((place, hers), (f"simplecache::{place}", {"modos": hers})):
            with pytest.raises(OSError), fsspec.open(address, **options) as file:
                file.read()
    assert ME.raw.hex() not in repr(ME) and repr(ME.raw) not in repr(ME)


def test_no_filesystem_is_kept_for_another_server_or_folder(monkeypatch, tmp_path):
    made = []
    for name, value in (
        ("MODOS_ENDPOINT", "http://a"),
        ("MODOS_ENDPOINT", "http://b"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "y"),
    ):
        monkeypatch.setenv(name, value)
        made.append(fsspec.filesystem("modos"))
        assert fsspec.filesystem("modos") is made[-1]
    monkeypatch.chdir(tmp_path)
    made.append(fsspec.filesystem("modos"))
    assert len({id(one) for one in made}) == 5


def test_an_object_is_found_within_a_folder_that_was_one(tmp_path):
    fs, inner = fsspec.filesystem("modos"), tmp_path / "outer" / "inner"
    MODO.create(tmp_path / "outer", id="outer")
    assert fs.exists(f"modos://{tmp_path}/outer") and not fs.exists(f"modos://{inner}")
    shutil.rmtree(tmp_path / "outer")
    assert not fs.exists(f"modos://{tmp_path}/outer")
    inner.parent.mkdir()
    MODO.create(inner, id="inner")
    assert fs.exists(f"modos://{inner}") and not fs.exists(f"modos://{tmp_path}/outer")


def test_recorded_files_that_are_gone_are_damage_and_not_left_out(modo, tmp_path):
    """A glob without them, or their chunks as fill values, would be a wrong answer."""
    options = {"secret_key": ME}
    sealed = (modo.path / "a.tsv.c4gh").exists()
    victim = modo.path / ("grid.zarr.c4gh/0000000" if sealed else "grid.zarr/level/c/2/0")
    victim.unlink()
    with pytest.raises(IntegrityError, match="is gone"):
        zarr.open_array(f"{top(modo)}/grid.zarr/level", mode="r", storage_options=options)[:]
    (modo.path / ("a.tsv.c4gh" if sealed else "a.tsv")).unlink()
    fs = fsspec.filesystem("modos", **options)
    assert f"{modo.path}/a.tsv" in fs.glob(f"{top(modo)}/*.tsv")
    assert {one["name"]: one["size"] for one in fs.ls(top(modo))}[f"{modo.path}/a.tsv"] is None
    for use in (fs.info, fs.exists, fs.cat_file, fs.open):
        with pytest.raises(IntegrityError, match="which is gone"):
            use(f"{top(modo)}/a.tsv")


def test_a_file_that_is_removed_while_it_is_open_is_stale(modo, tmp_path):
    fs = fsspec.filesystem("modos", secret_key=ME)
    with fs.open(f"{top(modo)}/a.tsv", block_size=1000) as file:
        file.read(1)
        modo.remove_element("a")
        file.seek(2_500_000)
        with pytest.raises(ConflictError, match="replaced or removed"):
            file.read(100)
    assert not fs.exists(f"{top(modo)}/a.tsv")
