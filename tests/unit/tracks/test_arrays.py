"""Packing, shards and chunks: nothing is lost, plain zarr reads what is written, damage is found."""

import ctypes
import warnings
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modos.errors import ChecksumMismatch, InvalidInputError, ModosError
from modos.storage import open_storage
from modos.storage.recent import Cache
from modos.storage.write_log import WriteLog
from modos.tracks import zarr_layout
from modos.tracks.arrays import ArrayWriter, Names, choose_codec, shard_checksum, write_small
from modos.tracks.packing import Packing, are_same_values, find_packing
from modos.tracks.sharded import Reader, ShardedArray
from modos.tracks.zarr_layout import ArraySpec
from tests.support.sampling import most

strtof = ctypes.CDLL(None).strtof
strtof.restype, strtof.argtypes = ctypes.c_float, [ctypes.c_char_p, ctypes.c_void_p]


@pytest.mark.parametrize("decimals", range(5))
def test_every_integer_is_the_float_of_its_text(decimals):
    """Division in single precision rounds as strtof does."""
    packing = Packing("int16", decimals)
    numbers = np.arange(-32766, 32767, dtype=np.int16)
    texts = (f"{number / 10**decimals:.{decimals}f}" for number in numbers.tolist())
    wanted = np.array([strtof(text.encode(), None) for text in texts], np.float32)
    got = packing.unpack(numbers)
    wanted[(numbers == 0)] = 0.0
    assert are_same_values(got, wanted)


@settings(max_examples=most(200, 40), deadline=None)
@given(
    arrays(
        np.float32,
        st.integers(1, 40),
        elements=st.floats(width=32, allow_infinity=False)
        | st.integers(-99999, 99999).map(lambda k: float(np.float32(k / 1000)))
        | st.just(float("nan")),
    )
)
def test_packing_loses_nothing(values):
    for widths in (("int8", "int16"), ("int32",)):
        packing = find_packing(values, widths=widths)
        assert are_same_values(packing.unpack(packing.pack(values)), values)
        assert Packing.from_attributes(packing.dtype, packing.to_attributes()) == packing


@pytest.mark.parametrize(
    ("values", "dtype", "decimals"),
    [
        ([1, 2, -3], "int8", 0),
        ([0.5, -0.0], "int8", 1),
        ([126, -126], "int8", 0),
        ([127], "int16", 0),
        ([0.001, 9], "int16", 3),
        ([32766], "int16", 0),
        ([32767], "float32", 0),
        ([1 / 3], "float32", 0),
        ([np.nan], "int8", 0),
        ([1e-30], "float32", 0),
    ],
)
def test_the_smallest_packing_is_found(values, dtype, decimals):
    packing = find_packing(np.array(values, np.float32))
    assert packing.dtype == dtype and (dtype == "float32" or packing.decimals == decimals)


def test_a_packing_only_widens():
    first = find_packing(np.array([0.25], np.float32))
    second = find_packing(np.array([300], np.float32), first)
    assert (first, second) == (Packing("int8", 2), Packing("int16", 2))
    assert find_packing(np.array([1], np.float32), Packing("float32")) == Packing("float32")


@pytest.fixture
def storage(tmp_path):
    return open_storage(tmp_path)


def written(storage, data, chunk=64, fill=0, path="a/b"):
    spec = ArraySpec(path, data.shape, chunk, data.dtype.name, fill, choose_codec([data[..., :chunk]]))
    writer = ArrayWriter(WriteLog(storage), spec)
    for number in range(-(-data.shape[-1] // chunk)):
        piece = data[..., number * chunk : (number + 1) * chunk]
        pad = [(0, 0)] * (data.ndim - 1) + [(0, chunk - piece.shape[-1])]
        writer.put(number, np.pad(piece, pad, constant_values=fill))
    return writer.finish()


def opened(storage, spec, cache=1 << 20):
    return ShardedArray(Reader(storage, cache), spec)


def with_zarr(tmp_path, spec):
    import json

    folder = tmp_path / "data.zarr" / spec.path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zarr.json").write_text(json.dumps(spec.to_node()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return zarr.open_array(folder, mode="r")[...]


@pytest.mark.parametrize(
    "data",
    [
        np.arange(40_000, dtype=np.int16),
        np.random.default_rng(0).normal(size=20_000).astype(np.float32),
        np.random.default_rng(0).normal(size=(4, 700)),
        np.arange(3 * 333, dtype=np.uint32).reshape(3, 333),
        np.frombuffer(b"ACGTN" * 4000, np.uint8),
        np.zeros(500, np.int8),
    ],
    ids=lambda data: f"{data.dtype}-{data.shape}",
)
def test_plain_zarr_reads_it(storage, tmp_path, data):
    spec = written(storage, data)
    assert (with_zarr(tmp_path, spec) == data).all()
    assert (opened(storage, spec).read() == data).all()
    assert ArraySpec.from_node(spec.path, spec.to_node()) == spec


def test_chunks_of_fill_values_cost_nothing(storage, tmp_path):
    data = np.full(64 * 600, np.nan, np.float32)
    data[64 * 300 + 5] = 1
    spec = written(storage, data, fill=np.nan)
    assert [bool(size) for size in spec.sizes] == [False, True, False]
    assert len(list(storage.iter_files("data.zarr"))) == 1
    assert are_same_values(with_zarr(tmp_path, spec), data) and are_same_values(opened(storage, spec).read().copy(), data)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_chunks_in_any_order_written_twice_and_taken_back(tmp_path_factory, data):
    storage = open_storage(tmp_path_factory.mktemp("w"))
    writer = ArrayWriter(WriteLog(storage), ArraySpec("x", (8 * 700,), 8, "int16", -1, choose_codec([])))
    wanted = np.full(8 * 700, -1, np.int16)
    for number in data.draw(st.lists(st.integers(0, 699), max_size=40)):
        chunk = np.full(8, data.draw(st.integers(-1, 3)), np.int16)
        known = writer.get(number)
        assert known is None or (known == wanted[number * 8 : number * 8 + 8]).all()
        writer.put(number, chunk)
        wanted[number * 8 : number * 8 + 8] = chunk
        if data.draw(st.booleans()):
            writer.flush(keep=(number // 256,))
    spec = writer.finish()
    assert (opened(storage, spec).read() == wanted).all()
    assert shard_checksum(storage, spec) == spec.attributes["shard_checksum"]


def test_a_writer_that_is_stopped_leaves_nothing(storage):
    writer = ArrayWriter(WriteLog(storage), ArraySpec("x", (64 * 600,), 64, "int16", 0, choose_codec([])))
    for number in range(600):
        writer.put(number, np.full(64, number + 1, np.int16))
        writer.flush(keep=(number // 256,))
    writer.drop()
    assert list(storage.iter_files()) == []


def test_every_damaged_byte_is_found_without_digests_of_parts(storage, tmp_path):
    data = np.random.default_rng(1).integers(0, 9, 3000).astype(np.int16)
    spec = written(storage, data)
    spec = replace(spec, attributes={"shard_checksum": spec.attributes["shard_checksum"]})
    file = tmp_path / "data.zarr/a/b/c/0"
    whole = file.read_bytes()
    index = len(whole) - 256 * 16 - 4
    places = [*range(0, index, 37), index, index + 3, index + 16 * 46 + 9, len(whole) - 1]
    for at in places:
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        file.write_bytes(damaged)
        with pytest.raises(ChecksumMismatch, match="c/0 is damaged"):
            opened(storage, spec).read()
        assert shard_checksum(storage, spec) != spec.attributes["shard_checksum"]
    for cut in (1, len(whole) // 2, len(whole)):
        file.write_bytes(whole[:-cut])
        with pytest.raises(ModosError):
            opened(storage, spec).read()
    file.unlink()
    with pytest.raises(ModosError):
        opened(storage, spec).read()


def test_an_index_that_lies_is_no_way_out(storage, tmp_path):
    """Its checksum is right, its places are not."""
    data = np.arange(3000, dtype=np.int16)
    spec = written(storage, data)
    file = tmp_path / "data.zarr/a/b/c/0"
    whole = bytearray(file.read_bytes())
    for start, size in ((0, 2), (len(whole), 100), (2**63, 2**63), (10, len(whole))):
        index = np.frombuffer(whole[-4100:-4], "<u8").reshape(-1, 2).copy()
        index[3] = start, size
        table = index.tobytes()
        file.write_bytes(bytes(whole[:-4100]) + table + zarr_layout.crc32c(table).to_bytes(4, "little"))
        with pytest.raises(ChecksumMismatch):
            opened(storage, spec).read()


def test_an_array_of_another_layout_is_refused():
    node = ArraySpec("x", (10,), 8, "int16", 0, choose_codec([]), (0,)).to_node()
    for change in ({"codecs": [{"name": "bytes"}]}, {"attributes": {}}, {"codecs": []}, {"chunk_grid": {}}, {"shape": "x"}):
        with pytest.raises(InvalidInputError, match="layout"):
            ArraySpec.from_node("x", node | change)


def test_the_cache_keeps_what_was_used_last():
    cache = Cache(100)
    for name in "abc":
        cache.put((name,), name, 40)
    assert cache.get(("a",)) is None and cache.get(("b",)) == "b"
    cache.put(("d",), "d", 40)
    assert cache.get(("c",)) is None and cache.get(("b",)) == "b"


def test_small_arrays_and_names(storage):
    names = Names("data/t")
    spec = write_small(WriteLog(storage), names.path("zoom"), np.arange(12.0).reshape(3, 4), 8)
    assert (opened(storage, spec).read() == np.arange(12.0).reshape(3, 4)).all()
    assert any(spec.path in folder for folder in names.folders()) and Names("data/t").path("zoom") != spec.path
