"""AnnData and MuData of HDF5 files are added as Zarr trees that are equal to them."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import InvalidInputError, NotFoundError
from modos.trees import hdf5_to_zarr

anndata = pytest.importorskip("anndata")
mudata = pytest.importorskip("mudata")
pd = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")

ELEMENT = {"id": "rna", "@type": "DataEntity"}


def make(cells=60, genes=25, kind="csr"):
    obs = {
        "type": pd.Categorical(["b", "t", "nk"] * (cells // 3), ordered=True),
        "text": [f"é{n}" for n in range(cells)],
        "count": pd.array([1, None] * (cells // 2), dtype="Int64"),
    }
    names = [f"cell{n}" for n in range(cells)]
    matrix = sparse.random(cells, genes, density=0.2, format=kind, dtype="f4", random_state=1)
    data = anndata.AnnData(matrix, obs=pd.DataFrame(obs, index=names))
    data.layers["dense"] = np.arange(cells * genes, dtype="f4").reshape(cells, genes)
    data.obsm["pca"] = np.random.default_rng(1).random((cells, 4))
    data.obsm["table"] = pd.DataFrame({"q": np.arange(cells)}, index=names)
    data.obsp["near"] = sparse.random(cells, cells, format="csr", random_state=2)
    data.uns = {
        "inner": {"number": 1, "array": np.arange(5), "text": "x"},
        "table": pd.DataFrame({"u": [1, 2]}, index=["a", "b"]),
    }
    return data


def assert_same(one, other):
    """Compare two values that a package has read, with what is in them."""
    if isinstance(one, anndata.AnnData):
        parts = ("X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns")
        for part in parts:
            assert_same(getattr(one, part), getattr(other, part))
    elif hasattr(one, "keys") and not isinstance(one, pd.DataFrame):
        assert set(one.keys()) == set(other.keys())
        for name in one.keys():  # noqa: SIM118 - it is no mapping
            assert_same(one[name], other[name])
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif sparse.issparse(one):
        assert one.format == other.format and one.dtype == other.dtype and (one != other).nnz == 0
    else:
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.fixture
def modo(tmp_path):
    return MODO.create(tmp_path / "ex", id="ex")


@pytest.mark.parametrize("most", [0, 64 << 20])
@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_anndata_is_added_as_a_tree_that_is_equal(modo, tmp_path, monkeypatch, most, kind):
    monkeypatch.setattr(hdf5_to_zarr, "_MOST_HELD", most)
    data = make(kind=kind)
    data.raw = data.copy()
    data.write_h5ad(tmp_path / "rna.h5ad")
    modo.add_element(ELEMENT, tmp_path / "rna.h5ad", as_zarr=True)
    read, wanted = modo["data/rna"].to_anndata(), anndata.io.read_h5ad(tmp_path / "rna.h5ad")
    assert_same(read, wanted)
    assert_same(read.raw.to_adata(), wanted.raw.to_adata())
    assert (modo["data/rna"]["data_path"], modo["data/rna"]["data_format"]) == ("rna.zarr", "Zarr")
    assert modo.find_problems() == []


def test_mudata_is_added_as_a_tree_that_is_equal(modo, tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_to_zarr, "_MOST_HELD", 0)
    other = make(genes=7)
    other.var_names = [f"protein{n}" for n in range(7)]
    mudata.MuData({"rna": make(), "prot": other}).write(tmp_path / "both.h5mu")
    modo.add_element(ELEMENT, tmp_path / "both.h5mu", as_zarr=True)
    read, wanted = modo["data/rna"].to_mudata(), mudata.read_h5mu(tmp_path / "both.h5mu")
    assert list(read.mod) == list(wanted.mod) == ["rna", "prot"]
    for name in wanted.mod:
        assert_same(read.mod[name], wanted.mod[name])
    assert read.obs.equals(wanted.obs)


def test_the_command_writes_it_as_a_tree_and_keeps_the_file_without_the_option(modo, tmp_path):
    make().write_h5ad(tmp_path / "rna.h5ad")
    for name, more in (("tree", ["--as-zarr"]), ("file", [])):
        command = [sys.executable, "-m", "modos", "add", modo.storage.url, "data", "-e", f'{{"id": "{name}"}}']
        subprocess.run([*command, "-s", tmp_path / "rna.h5ad", *more], check=True, capture_output=True, timeout=120)
    assert modo["data/tree"]["data_path"] == "rna.zarr" and modo["data/file"]["data_path"] == "rna.h5ad"
    assert modo["data/file"]["data_format"] == "HDF5"
    assert_same(modo["data/tree"].to_anndata(), make())


def test_what_cannot_be_written_is_one_clear_error_and_leaves_nothing(modo, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    make().write_h5ad(tmp_path / "rna.h5ad")
    whole = (tmp_path / "rna.h5ad").read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.h5mu").write_bytes(b"no HDF5")
    (tmp_path / "t.tsv").write_text("a\n")
    for name, told in (("cut.h5ad", "cannot be written as Zarr"), ("none.h5mu", "cannot be written"), ("t.tsv", "these can")):
        with pytest.raises(InvalidInputError) as error:
            modo.add_element(ELEMENT, tmp_path / name, as_zarr=True)
        assert told in f"{error.value.message} {error.value.hint}"
    with pytest.raises(NotFoundError):
        modo.add_element(ELEMENT, tmp_path / "gone.h5ad", as_zarr=True)
    with pytest.raises(InvalidInputError, match="no file to be written"):
        modo.add_element(ELEMENT, as_zarr=True)
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(InvalidInputError, match="anndata is not installed") as error:
        modo.add_element(ELEMENT, tmp_path / "rna.h5ad", as_zarr=True)
    assert error.value.hint == "pip install 'modos-store[singlecell]'"
    assert list(folder.iterdir()) == [] and list(modo.metadata) == ["ex"]


@pytest.mark.parametrize("most", [1, 64 << 20])
def test_a_loom_file_is_added_as_a_tree_with_each_number_as_it_is(modo, tmp_path, monkeypatch, most):
    """Read by h5py on the one side and by anndata on the other; no number is rounded, and the package loompy is not needed."""
    from modos.trees import loom

    h5py = pytest.importorskip("h5py")
    monkeypatch.setattr(loom, "_MOST_HELD", most)
    counts = np.random.default_rng(3).poisson(0.4, (30, 70)).astype("i8")
    counts[4, 5] = 2**53 + 1  # no float has it
    with h5py.File(tmp_path / "cells.loom", "w") as file:
        file["matrix"], file["layers/spliced"] = counts, counts.astype("f8") / 3
        file["row_attrs/Gene"], file["row_attrs/length"] = [f"gene{n}".encode() for n in range(30)], np.arange(30)
        file["col_attrs/CellID"], file["col_attrs/umap"] = [f"é{n}".encode() for n in range(70)], np.arange(140.0).reshape(70, 2)
        file["col_attrs/type"] = ["b", "t"] * 35
        for name, values in {"a": [0, 2], "b": [1, 3], "w": [0.5, 2.0]}.items():
            file[f"col_graphs/near/{name}"] = values
        file["attrs/title"], file.attrs["LOOM_SPEC_VERSION"] = "of cells", "3.0.0"
    modo.add_element(ELEMENT, tmp_path / "cells.loom", as_zarr=True)
    data = modo["data/rna"].to_anndata()
    assert data.X.dtype == counts.dtype and (data.X.toarray() == counts.T).all()
    assert (data.layers["spliced"].toarray() == counts.T / 3).all()
    assert list(data.obs_names) == [f"é{n}" for n in range(70)] and list(data.var_names) == [f"gene{n}" for n in range(30)]
    assert list(data.obs["type"]) == ["b", "t"] * 35 and list(data.var["length"]) == list(range(30))
    assert data.obsm["umap"].tolist() == np.arange(140.0).reshape(70, 2).tolist()
    near = data.obsp["near"].toarray()
    assert near[0, 1] == 0.5 and near[2, 3] == 2 and near.sum() == 2.5
    assert data.uns["loom"] == {"LOOM_SPEC_VERSION": "3.0.0", "title": "of cells"}
    assert modo.find_problems() == []


@pytest.mark.parametrize("wrong", ["no matrix", "other length"])
def test_a_damaged_loom_file_is_one_clear_error(modo, tmp_path, wrong):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "cells.loom", "w") as file:
        if wrong == "other length":
            file["matrix"], file["row_attrs/Gene"] = np.zeros((3, 4)), ["a", "b"]
    with pytest.raises(InvalidInputError, match=r"cells\.loom .*(no matrix|another length)"):
        modo.add_element(ELEMENT, tmp_path / "cells.loom", as_zarr=True)
    assert "data/rna" not in modo.metadata
