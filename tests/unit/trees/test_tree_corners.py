"""The corner of a matrix of a tree is what numpy, scipy and zarr say, and too much is not decoded for it."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest
import zarr

from modos.api import MODO
from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.trees.tree_corners import is_sparse, read_corner

sparse = pytest.importorskip("scipy.sparse")


@pytest.fixture
def stored(tmp_path):
    """Make a tree, and open it as that of an element."""

    def store(write, zarr_format=3):
        group = zarr.open_group(tmp_path / "tree.zarr", mode="w", zarr_format=zarr_format)
        write(group)
        modo = MODO.create(tmp_path / "ex", id="ex")
        modo.add_element({"@type": "DataEntity", "id": "tree"}, tmp_path / "tree.zarr")
        return modo["data/tree"].store

    return store


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["i4", "u1", "f4", "f8", "bool"])
@pytest.mark.parametrize("shape, chunks", [((100, 90), (30, 20)), ((3, 2), (3, 2)), ((1000, 4), (7, 4)), ((5, 0), (5, 1))])
def test_dense(stored, zarr_format, dtype, shape, chunks):
    values = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)

    def write(group):
        group.create_array("X", shape=shape, chunks=chunks, dtype=dtype)[:] = values

    corner = read_corner(stored(write, zarr_format), "X", 32, 48)
    assert np.array_equal(corner.values, values[:32, :48].astype(float)) and tuple(corner.shape) == shape and not corner.is_sparse


def test_axes_before_the_last_two_and_a_single_one(stored):
    values = np.arange(2 * 3 * 40 * 60.0).reshape(2, 3, 40, 60)

    def write(group):
        group.create_array("image", data=values, chunks=(1, 1, 20, 20))
        group.create_array("line", data=np.arange(100))
        group.create_array("value", data=np.array(7.5))

    store = stored(write)
    assert np.array_equal(read_corner(store, "image", 10, 50).values, values[0, 0, :10, :50])
    assert np.array_equal(read_corner(store, "line", 10, 50).values, np.arange(50.0)[None])
    assert read_corner(store, "value", 10, 50).values.tolist() == [[7.5]]


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("shape", [(200, 150), (10, 5), (3, 500)])
def test_sparse_as_anndata_writes_it(stored, make, shape):
    anndata = pytest.importorskip("anndata")
    matrix = make(sparse.random(*shape, 0.2, random_state=1, dtype="f4"))
    store = stored(lambda group: anndata.io.write_elem(group, "X", matrix))
    assert is_sparse(store.metadata.node("X")) and not is_sparse(store.metadata.node("X/data")) and not is_sparse(None)
    corner = read_corner(store, "X", 32, 48)
    assert (
        np.array_equal(corner.values, matrix.toarray()[:32, :48].astype(float))
        and tuple(corner.shape) == shape
        and corner.is_sparse
    )


def test_more_than_is_looked_at_is_refused_and_not_read(stored):
    def write(group):
        group.create_array("large", shape=(100_000, 100_000), chunks=(100_000, 100_000), dtype="f8")
        group.create_array("small", shape=(1000, 1000), chunks=(1, 1), dtype="f8")
        group.create_array("text", data=np.array(["a", "b"]))

    store = stored(write)
    for name, reason in (
        ("large", "too large"),
        ("small", "too large"),
        ("text", "no numbers"),
        ("nothing", "no matrix"),
        ("", "no matrix"),
    ):
        with pytest.raises(InvalidInputError, match=reason):
            read_corner(store, name, 32, 48)


def test_a_sparse_matrix_that_lies_is_an_error(stored):
    def write(group):
        for name, shape, starts in (
            ("falls", [3, 3], [0, 2, 1, 3]),
            ("short", [9, 3], [0, 1]),
            ("negative", [1, 3], [-5, 1]),
            ("flat", [3], [0, 1]),
            ("odd", "x", [0]),
        ):
            made = group.create_group(name, attributes={"encoding-type": "csr_matrix", "shape": shape})
            for part, values in (("indptr", starts), ("indices", [0, 1, 2]), ("data", [1.0, 2.0, 3.0])):
                made.create_array(part, data=np.array(values))
        made = group.create_group("far", attributes={"encoding-type": "csr_matrix", "shape": [1, 3]})
        for part, values in (("indptr", [0, 3]), ("indices", [0, -1, 1 << 40]), ("data", [1.0, 2.0, 3.0])):
            made.create_array(part, data=np.array(values))

    store = stored(write)
    for name in ("falls", "short", "negative", "flat", "odd"):
        with pytest.raises(ModosError):
            read_corner(store, name, 5, 5)
    assert read_corner(store, "far", 5, 5).values.tolist() == [[1.0, 0.0, 0.0]], "what lies outside is not in the corner"


PACKED = {  # what packs chunks, of either format; a few bytes of each may stand for gigabytes
    2: [
        numcodecs.GZip(9),
        numcodecs.Zlib(9),
        numcodecs.BZ2(9),
        numcodecs.Zstd(3),
        numcodecs.LZ4(),
        numcodecs.Blosc("zstd"),
        numcodecs.Blosc("lz4"),
    ],
    3: [zarr.codecs.GzipCodec(level=9), zarr.codecs.ZstdCodec(level=3), zarr.codecs.BloscCodec(cname="zstd")],
}


@pytest.mark.parametrize(
    "zarr_format, packer",
    [(version, packer) for version, packers in PACKED.items() for packer in packers],
    ids=lambda given: type(given).__name__,
)
def test_a_chunk_that_unpacks_to_more_than_it_has_is_not_unpacked(tmp_path, stored, zarr_format, packer):
    """As good ones of the same codec are read, a chunk of another length is refused by what it says, or once it is too long."""
    values = np.arange(64 * 64, dtype="f8").reshape(64, 64)

    def write(group):
        for name, data in (("good", values), ("bomb", np.zeros((64, 64)))):
            group.create_array(name, data=data, chunks=(64, 64), compressors=packer, fill_value=1)
        group.create_array("large", data=np.zeros((1024, 1024)), chunks=(1024, 1024), compressors=packer, fill_value=1)
        chunks = [
            next(path for path in (tmp_path / "tree.zarr" / name).rglob("*") if path.is_file() and path.name[0] not in ".z")
            for name in ("large", "bomb")
        ]
        chunks[1].write_bytes(chunks[0].read_bytes())

    store = stored(write, zarr_format)
    assert np.array_equal(read_corner(store, "good", 32, 48).values, values[:32, :48])
    with pytest.raises(IntegrityError, match="does not unpack to a chunk of 32,768 bytes"):
        read_corner(store, "bomb", 32, 48)


def test_chunks_that_do_not_tell_their_size_are_not_unpacked(stored):
    def write(group):
        group.create_array("X", data=np.zeros((64, 64)), chunks=(32, 32), shards=(64, 64))
        group.create_array("Y", data=np.zeros((64, 64)), compressors=[zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec()])

    store = stored(write)
    for name in "XY":
        with pytest.raises(InvalidInputError, match="does not tell how large"):
            read_corner(store, name, 32, 48)
