"""`modos://` addresses of fsspec give what the plain files have, from a folder and from S3, sealed or not; or an OSError that says why."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import threading
import tomllib
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import SecretKey, generate
from modos.errors import AccessError, DecryptError, IntegrityError, ModosError, NotFoundError
from modos.filesystem import ModosFileSystem
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(46)

anndata = pytest.importorskip("anndata")
pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")
xarray = pytest.importorskip("xarray")

ROOT = Path(__file__).resolve().parents[2]
FILES = ("demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf", "scores.parquet", "big.json", "scores.tsv")
PLACES = ["plain", "sealed", "s3 plain", "s3 sealed"]


@pytest.fixture(autouse=True)
def registered():
    fsspec.register_implementation("modos", ModosFileSystem, clobber=True)
    ModosFileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("me", "her"):
        generate(folder / f"{name}.sec", folder / f"{name}.pub", None)
    generate(folder / "locked.sec", folder / "locked.pub", "open sesame")
    return folder


@pytest.fixture(scope="module")
def files(example, tmp_path_factory):
    """Plain files and trees, as programs write them."""
    folder = tmp_path_factory.mktemp("files")
    for path in (example / "source").iterdir():
        shutil.copy(path, folder)
    rng = np.random.default_rng(1)
    table = pandas.DataFrame({"gene": [f"g{n}" for n in range(5000)], "score": rng.normal(size=5000)})
    table.to_parquet(folder / "scores.parquet", row_group_size=500)
    table.to_csv(folder / "scores.tsv", sep="\t", index=False)
    (folder / "big.json").write_bytes(json.dumps(rng.integers(0, 1 << 60, 250_000).tolist()).encode())
    cells = anndata.AnnData(rng.integers(0, 9, (60, 20)).astype("f4"))
    cells.obs["kind"] = pandas.Categorical(rng.choice(["T", "B"], 60))
    cells.write_zarr(folder / "cells.zarr")
    values = rng.normal(size=(40, 30))
    values[:10] = np.nan
    xarray.Dataset({"level": (("x", "y"), values)}, {"x": np.arange(40)}).chunk({"x": 10}).to_zarr(folder / "grid.zarr")
    return folder


@pytest.fixture(scope="module")
def objects(example, files, keys, tmp_path_factory):
    """The demo's object with more in it, twice: plain and sealed."""
    folder = tmp_path_factory.mktemp("objects")
    shutil.copytree(example / "ex", folder / "plain")
    modo = MODO.open(folder / "plain")
    modo.add_genome(files / "reference.fa")
    (folder / "signal.bedGraph").write_text("chr1\t0\t1000\t1.5\nchr2\t10\t20\t-3\n")
    modo.add_track("signal", folder / "signal.bedGraph")
    for name in ("scores.parquet", "scores.tsv", "big.json", "cells.zarr", "grid.zarr"):
        element = {"id": name.replace(".", "_"), "@type": "DataEntity", "data_path": name}
        modo.add_element(element, files / name)
    shutil.copytree(folder / "plain", folder / "sealed")
    MODO.open(folder / "sealed").encrypt(keys / "me.pub")
    return folder


@pytest.fixture(scope="module")
def planted(objects, tmp_path_factory):
    """An object with files and links in its folder that it does not record."""
    folder = shutil.copytree(objects / "plain", tmp_path_factory.mktemp("planted") / "ex")
    for path in ("secret.txt", "data.zarr/secret", "cells.zarr/secret"):
        (folder / path).write_text("planted")
    (folder / "out").symlink_to("/etc")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


@pytest.fixture(scope="module", params=PLACES)
def where(request, objects, keys):
    """An object's address, and the options to read it with."""
    *far, name = request.param.split()
    key = {"secret_key": str(keys / "me.sec")}
    if not far:
        return f"modos://{objects / name}", key
    stack = request.getfixturevalue("stack")
    options = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    MODO.open(objects / name).upload(f"s3://{BUCKET}/fsspec/{name}", **options)
    return f"modos://{BUCKET}/fsspec/{name}", key | options


def test_the_entry_point_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["fsspec.specs"]
    module, _, name = declared["modos"].partition(":")
    assert getattr(__import__(module, fromlist=[name]), name) is ModosFileSystem


def test_files_have_their_plain_names_sizes_and_bytes(where, files):
    top, options = where
    fs = fsspec.filesystem("modos", **options)
    listed = {one["name"].rpartition("/")[2]: one for one in fs.ls(top)}
    assert {"demo1.cram", "demo1.cram.crai", "cells.zarr", "grid.zarr", "data.zarr", *FILES} <= set(listed)
    assert not [name for name in listed if name.endswith((".c4gh", ".parts", ".files"))]
    for name in FILES:
        expected = (files / name).read_bytes()
        assert fs.cat_file(f"{top}/{name}") == expected
        assert listed[name]["type"] == "file" and listed[name]["size"] == len(expected) == fs.size(f"{top}/{name}")
        with fsspec.open(f"{top}/{name}", **options) as file:
            assert file.read() == expected
    assert {name for name, one in listed.items() if one["type"] == "directory"} == {"cells.zarr", "grid.zarr", "data.zarr"}


@given(data=st.data())
def test_ranges_are_slices_of_the_plain_bytes(where, files, data):
    top, options = where
    name = data.draw(st.sampled_from(FILES))
    expected = (files / name).read_bytes()
    bound = st.none() | st.integers(-len(expected) - 9, len(expected) + 9)
    start, end = data.draw(bound), data.draw(bound)
    fs = fsspec.filesystem("modos", **options)
    assert fs.cat_file(f"{top}/{name}", start, end) == expected[start:end]


@given(data=st.data())
def test_an_open_file_reads_what_the_plain_file_has_at_each_position(where, files, data):
    top, options = where
    with (
        fsspec.open(f"{top}/big.json", block_size=data.draw(st.sampled_from([1000, 70_000])), **options) as file,
        open(files / "big.json", "rb") as plain,
    ):
        for _ in range(4):
            at, count = data.draw(st.integers(0, 5_500_000)), data.draw(st.integers(0, 200_000))
            assert file.seek(at) == plain.seek(at) and file.read(count) == plain.read(count)


def test_ranges_of_several_files_at_once(where, files):
    top, options = where
    fs = fsspec.filesystem("modos", **options)
    names = [name for name in FILES for _ in range(5)]
    starts = [100 * n for n in range(5)] * len(FILES)
    ends = [start + 64 for start in starts]
    found = fs.cat_ranges([f"{top}/{name}" for name in names], starts, ends)
    assert found == [(files / name).read_bytes()[start:end] for name, start, end in zip(names, starts, ends)]
    found = fs.cat_ranges([f"{top}/demo1.cram", f"{top}/no"], 0, 9)
    assert found[0] == (files / "demo1.cram").read_bytes()[:9] and isinstance(found[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([f"{top}/no"], 0, 9, on_error="raise")


def test_libraries_read_what_they_read_from_the_plain_files(where, files):
    top, options = where
    for read, name, further in ((pandas.read_parquet, "scores.parquet", {}), (pandas.read_csv, "scores.tsv", {"sep": "\t"})):
        pandas.testing.assert_frame_equal(
            read(f"{top}/{name}", storage_options=options, **further), read(files / name, **further)
        )
    fs = fsspec.filesystem("modos", **options)
    with fs.open(f"{top}/scores.parquet") as file:
        assert polars.read_parquet(file).equals(polars.read_parquet(files / "scores.parquet"))
    with fs.open(f"{top}/scores.tsv") as file:
        assert polars.read_csv(file, separator="\t").equals(polars.read_csv(files / "scores.tsv", separator="\t"))
    from pyarrow import dataset, parquet

    place = top.removeprefix("modos://")
    assert parquet.read_table(f"{place}/scores.parquet", filesystem=fs).equals(parquet.read_table(files / "scores.parquet"))
    assert dataset.dataset(f"{place}/scores.parquet", filesystem=fs).count_rows() == 5000


def test_trees_open_with_xarray_zarr_and_anndata(where, files):
    top, options = where
    expected = xarray.open_zarr(files / "grid.zarr")
    xarray.testing.assert_identical(xarray.open_zarr(f"{top}/grid.zarr", storage_options=options).load(), expected.load())
    group = zarr.open_group(f"{top}/grid.zarr", mode="r", storage_options=options)
    assert np.array_equal(
        group["level"][5:25, 3], zarr.open_group(files / "grid.zarr", mode="r")["level"][5:25, 3], equal_nan=True
    )
    fs = fsspec.filesystem("modos", **options)
    cells = anndata.read_zarr(zarr.storage.FsspecStore.from_url(f"{top}/cells.zarr", storage_options=options, read_only=True))
    plain = anndata.read_zarr(files / "cells.zarr")
    assert np.array_equal(cells.X, plain.X) and cells.obs.equals(plain.obs)
    walked = {path.removeprefix(f"{top.removeprefix('modos://')}/cells.zarr/") for path in fs.find(f"{top}/cells.zarr")}
    assert walked == {str(path.relative_to(files / "cells.zarr")) for path in (files / "cells.zarr").rglob("*") if path.is_file()}
    found = fs.glob(f"{top}/cells.zarr/obs/*/zarr.json") + fs.glob(f"{top}/cells.zarr/obs/*/.zarray")
    assert found and all(fs.isfile(path) for path in found)


def test_the_arrays_of_an_object_open_with_zarr(where, objects):
    top, options = where
    own = zarr.open_group(f"{top}/data.zarr", mode="r", storage_options=options)
    expected = MODO.open(objects / "plain").zarr
    arrays = {path for path, one in own.members(max_depth=None) if isinstance(one, zarr.Array)}
    assert arrays == {path for path, one in expected.members(max_depth=None) if isinstance(one, zarr.Array)} != set()
    for path in arrays:
        assert np.array_equal(own[path][:], expected[path][:], equal_nan=own[path].dtype.kind == "f"), path
    one = sorted(path for path in arrays if path.startswith("data/signal/"))[0]
    alone = zarr.open_array(f"{top}/data.zarr/{one}", mode="r", storage_options=options)
    assert np.array_equal(alone[:], expected[one][:], equal_nan=True)
    assert own.attrs["@type"] == "MODO" and "_modos" not in own.attrs


def test_dask_reads_in_other_processes_with_the_key_by_its_file(where, files):
    dask = pytest.importorskip("dask")
    dataframe = pytest.importorskip("dask.dataframe")
    top, options = where
    if "s3_kwargs" in options:
        with pytest.raises(AccessError, match="keys of S3 is not pickled"):
            pickle.dumps(fsspec.filesystem("modos", **options))
        return
    frame = dataframe.read_csv(f"{top}/scores.tsv", sep="\t", blocksize=20_000, storage_options=options)
    with dask.config.set(scheduler="threads"):
        assert frame.score.sum().compute() == pytest.approx(pandas.read_csv(files / "scores.tsv", sep="\t").score.sum())
    file = fsspec.open(f"{top}/demo2.bam", **options)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(length_and_first, (pickle.dumps(file),)) == ((files / "demo2.bam").stat().st_size, b"\x1f\x8b\x08\x04")


def length_and_first(pickled):
    with pickle.loads(pickled) as file:
        return len(file.read()), file.seek(0) or file.read(4)


def test_a_forked_process_reads_while_threads_of_its_parent_do(where, files):
    top, options = where
    fs = fsspec.filesystem("modos", **options)
    expected = (files / "big.json").read_bytes()[1000:90_000]
    stop = threading.Event()

    def read():
        while not stop.is_set():
            assert fs.cat_file(f"{top}/big.json", 1000, 90_000) == expected

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            process = multiprocessing.get_context("fork").Process(target=check_read, args=(fs, f"{top}/big.json", expected))
            process.start()
            process.join(60)
            assert process.exitcode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def check_read(fs, path, expected):
    assert fs.cat_file(path, 1000, 90_000) == expected


def test_no_secret_is_pickled_written_down_or_in_the_token_of_dask(objects, keys):
    by_file = fsspec.filesystem("modos", secret_key=str(keys / "me.sec"))
    raw = SecretKey.random()
    for text in (pickle.dumps(by_file), by_file.to_json().encode(), repr(by_file).encode()):
        assert b"PRIVATE" not in text and raw.raw not in text
    again = pickle.loads(pickle.dumps(by_file))
    assert again.cat_file(f"modos://{objects}/sealed/scores.tsv", 0, 4) == b"gene"
    with_key = fsspec.filesystem("modos", secret_key=raw)
    with_passphrase = fsspec.filesystem("modos", secret_key=str(keys / "locked.sec"), passphrase="open sesame")
    for one, why in ((with_key, "not pickled"), (with_passphrase, "C4GH_PASSPHRASE")):
        for write in (pickle.dumps, lambda fs: fs.to_json()):
            with pytest.raises(PermissionError, match=why):
                write(one)
    dask = pytest.importorskip("dask")
    without = fsspec.filesystem("modos", secret_key=str(keys / "locked.sec"), passphrase="open sesame", use_listings_cache=True)
    assert dask.base.tokenize(with_key) != dask.base.tokenize(by_file)
    assert with_passphrase.__dask_tokenize__() != with_passphrase._fs_token != without._fs_token


@pytest.mark.parametrize(
    "rest",
    [
        "../plain/demo1.cram",
        "x/../demo1.cram",
        "./demo1.cram",
        "/demo1.cram",
        "demo1.cram/..",
        "a\\b",
        "a\nb",
        "data.zarr/../demo1.cram",
    ],
)
def test_addresses_that_could_lead_elsewhere_are_refused(where, rest):
    top, options = where
    fs = fsspec.filesystem("modos", **options)
    for use in (fs.info, fs.ls, fs.cat_file, fs.open):
        with pytest.raises(OSError, match="not the address") as caught:
            use(f"{top}/{rest}")
        assert caught.value.errno == errno.EINVAL and isinstance(caught.value, ModosError)


@pytest.mark.parametrize(
    "rest",
    ["demo1%2ecram", "..%2fplain%2fdemo1.cram", "%2e%2e/demo1.cram", "secret.txt", "data.zarr/secret", "cells.zarr/secret", "cells.zarr.files",
     "demo1.cram.parts", "out/passwd", "link", "demo1.cram/x", "data.zarr/zarr.json/x"],
)  # fmt: skip
def test_what_is_not_recorded_is_not_there(planted, rest):
    fs = fsspec.filesystem("modos")
    for use in (fs.info, fs.ls, fs.cat_file, fs.open):
        with pytest.raises(FileNotFoundError) as caught:
            use(f"modos://{planted}/{rest}")
        assert caught.value.errno == errno.ENOENT and isinstance(caught.value, NotFoundError)
    assert not fs.exists(f"modos://{planted}/{rest}")
    assert not [path for path in fs.find(f"modos://{planted}") if rest in path or "secret" in path]


def test_other_objects_and_no_objects(objects, tmp_path):
    fs = fsspec.filesystem("modos")
    for place in (objects, tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(FileNotFoundError, match="lies in no MODO"):
            fs.ls(f"modos://{place}")
    with pytest.raises(OSError, match="names no object"):
        fs.ls("modos://")
    inner = tmp_path / "outer"
    MODO.create(inner, id="outer")
    shutil.copytree(objects / "plain", inner / "inner")
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="records no inner"):
            fs.cat_file(f"modos://{inner}/inner/demo1.cram")
        with pytest.raises(FileNotFoundError):
            fs.ls(f"modos://{objects}/plai")


def test_a_zarr_of_others_above_an_object_is_not_taken_for_one(example, tmp_path):
    zarr.open_group(tmp_path / "data.zarr", mode="w")
    shutil.copytree(example / "ex", tmp_path / "ex")
    fs = fsspec.filesystem("modos")
    assert fs.cat_file(f"modos://{tmp_path}/ex/demo1.cram") == (example / "ex/demo1.cram").read_bytes()
    (tmp_path / "ex/data.zarr/zarr.json").write_text("{")
    with pytest.raises(OSError) as caught:
        fsspec.filesystem("modos", skip_instance_cache=True).ls(f"modos://{tmp_path}/ex")
    assert isinstance(caught.value, IntegrityError)


def test_a_wrong_key_and_none_are_errors_with_the_reason(objects, keys):
    top = f"modos://{objects / 'sealed'}"
    without, hers = fsspec.filesystem("modos"), fsspec.filesystem("modos", secret_key=keys / "her.sec")
    listed = {one["name"].rpartition("/")[2]: one for one in without.ls(top)}
    assert listed["demo1.cram"]["size"] is None and listed["demo1.cram"]["type"] == "file"
    for path in ("demo1.cram", "cells.zarr/zarr.json", "cells.zarr"):
        with pytest.raises(PermissionError, match="is encrypted"):
            without.info(f"{top}/{path}")
        with pytest.raises(OSError, match="not sealed for this key") as caught:
            hers.info(f"{top}/{path}")
        assert isinstance(caught.value.__cause__, DecryptError) and caught.value.errno == errno.EIO
    for fs in (without, hers):
        with pytest.raises(OSError):
            fs.exists(f"{top}/demo1.cram")  # which is not known to be absent
        with pytest.raises(OSError):
            xarray.open_zarr(f"{top}/grid.zarr", storage_options=fs.storage_options)
    assert without.glob(f"{top}/none/*") == [] and without.isfile(f"{top}/demo1.crai") is False
    for use in (without.find, lambda path: without.glob(f"{path}/**"), lambda path: without.isdir(f"{path}/cells.zarr")):
        with pytest.raises(PermissionError, match="is encrypted"):  # and not a listing without it
            use(top)
    with pytest.raises(PermissionError, match="passphrase"):
        fsspec.filesystem("modos", secret_key=str(keys / "locked.sec"))
    with pytest.raises(FileNotFoundError, match="no.sec"):
        fsspec.filesystem("modos", secret_key=str(keys / "no.sec"))
    with pytest.raises(OSError, match="did you mean secret_key"):
        fsspec.filesystem("modos", secretkey="me.sec")


@pytest.mark.parametrize("name", ["plain", "sealed"])
def test_changed_bytes_are_an_error_and_never_given(objects, keys, files, tmp_path, name):
    shutil.copytree(objects / name, tmp_path / "ex")
    fs = fsspec.filesystem("modos", secret_key=str(keys / "me.sec"))
    shards = [
        path for path in (tmp_path / "ex").rglob("*") if path.is_file() and path.stat().st_size > 300 and "/c/" in str(path)
    ]
    stored = [
        path
        for path in (tmp_path / "ex").iterdir()
        if path.name.startswith(("big.json", "scores.tsv", "demo2.bam")) and path.suffix != ".parts"
    ]
    bodies = [path for path in (tmp_path / "ex").rglob("*") if path.is_file() and ".zarr.c4gh/" in str(path)]
    assert stored and (shards or bodies)
    for path in (*stored, *shards, *bodies):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    top = f"modos://{tmp_path}/ex"
    for file in ("big.json", "scores.tsv", "demo2.bam"):
        size = (files / file).stat().st_size
        with pytest.raises(OSError) as caught:
            fs.cat_file(f"{top}/{file}", size // 2 - 100, size // 2 + 100)
        assert isinstance(caught.value, IntegrityError) and caught.value.errno == errno.EIO
        with pytest.raises(OSError), fs.open(f"{top}/{file}") as opened:
            opened.read()
        target = tmp_path / "fetched"
        with pytest.raises(OSError):
            fs.get_file(f"{top}/{file}", target)
        assert [path.name for path in tmp_path.iterdir()] == ["ex"]
    with pytest.raises(OSError):
        xarray.open_zarr(f"{top}/grid.zarr", storage_options={"secret_key": str(keys / "me.sec")}).load()


def test_a_file_that_is_replaced_while_it_is_read_is_stale(objects, files, tmp_path):
    shutil.copytree(objects / "plain", tmp_path / "ex")
    fs = fsspec.filesystem("modos")
    top = f"modos://{tmp_path}/ex"
    before = fs.ukey(f"{top}/scores.tsv")
    with fs.open(f"{top}/scores.tsv", block_size=1000) as file:
        assert file.read(4) == b"gene"
        other = tmp_path / "scores.tsv"
        other.write_text("gene\tscore\n" + "x\t1\n" * 60_000)
        MODO.open(tmp_path / "ex").update_element("scores_tsv", {}, source_file=other)
        with pytest.raises(OSError) as caught:
            file.seek(100_000)
            file.read(100)
        assert caught.value.errno in (errno.ESTALE, errno.ENOENT)
    assert fs.cat_file(f"{top}/scores.tsv") == other.read_bytes()
    assert fs.ukey(f"{top}/scores.tsv") != before


def hang_up(*_):
    raise ConnectionResetError


def test_a_server_that_is_gone_is_an_error_that_says_so(stack, objects):
    options = {"s3_kwargs": CREDENTIALS}
    MODO.open(objects / "plain").upload(f"s3://{BUCKET}/fsspec/gone", services={"s3": stack.s3}, **options)
    with Proxy(stack.s3) as proxy:
        fs = fsspec.filesystem("modos", services={"s3": proxy.url}, skip_instance_cache=True, **options)
        file = fs.open(f"modos://{BUCKET}/fsspec/gone/big.json", block_size=1000)
        assert file.read(1) == b"["
        proxy.fault = hang_up  # on connections that stay open
    file.seek(4_000_000)
    for use in (lambda: file.read(5000), lambda: fs.exists(f"modos://{BUCKET}/fsspec/gone/demo1.cram")):
        with pytest.raises(OSError) as caught:
            use()
        assert not isinstance(caught.value, FileNotFoundError)


def test_what_writes_is_refused_with_how_to_add(objects):
    fs = fsspec.filesystem("modos")
    top = f"modos://{objects / 'plain'}"
    writes = [
        lambda: fs.open(f"{top}/new", "wb"), lambda: fs.open(f"{top}/demo1.cram", "ab"), lambda: fs.pipe(f"{top}/new", b"x"),
        lambda: fs.mkdir(f"{top}/new"), lambda: fs.makedirs(f"{top}/new"), lambda: fs.rm(f"{top}/demo1.cram"),
        lambda: fs.touch(f"{top}/new"), lambda: fs.mv(f"{top}/demo1.cram", f"{top}/new"), lambda: fs.put_file(__file__, f"{top}/new"),
        lambda: fs.cp_file(f"{top}/demo1.cram", f"{top}/new"), lambda: fs.rmdir(top),
        lambda: pandas.DataFrame({"a": [1]}).to_csv(f"{top}/new.csv"),
    ]  # fmt: skip
    before = sorted(path.name for path in (objects / "plain").iterdir())
    for write in writes:
        with pytest.raises(PermissionError, match="modos add") as caught:
            write()
        assert caught.value.errno == errno.EROFS
    assert sorted(path.name for path in (objects / "plain").iterdir()) == before


def test_reading_by_blocks_keeps_memory_bounded(tmp_path):
    import tracemalloc

    (tmp_path / "big.tsv").write_bytes(os.urandom(64 << 20))
    MODO.create(tmp_path / "ex", id="ex").add_element(
        {"id": "big", "@type": "DataEntity", "data_path": "big.tsv"}, tmp_path / "big.tsv"
    )
    with fsspec.open(f"modos://{tmp_path}/ex/big.tsv") as file, open(tmp_path / "big.tsv", "rb") as plain:
        tracemalloc.start()
        while data := file.read(1 << 20):
            assert data == plain.read(1 << 20)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 80 << 20 and file.closed  # parts that are kept count


def test_codecs_that_run_code_are_refused_unless_allowed(tmp_path):
    root = zarr.open_group(tmp_path / "t.zarr", mode="w", zarr_format=2)
    array = root.create_array("a", shape=(2,), dtype="i4")
    array[:] = 1
    meta = json.loads((tmp_path / "t.zarr/a/.zarray").read_text())
    (tmp_path / "t.zarr/a/.zarray").write_text(json.dumps(meta | {"filters": [{"id": "pickle"}]}))
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "t", "@type": "DataEntity"}, tmp_path / "t.zarr")
    with pytest.raises(OSError, match="runs code"):
        fsspec.filesystem("modos").cat_file(f"modos://{tmp_path}/ex/t.zarr/a/.zarray")
    allowed = fsspec.filesystem("modos", allow_pickle=True)
    assert b"pickle" in allowed.cat_file(f"modos://{tmp_path}/ex/t.zarr/a/.zarray")
