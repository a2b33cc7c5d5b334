"""Trees that the packages of each field have written go in, and open equal to the originals in these packages."""

from __future__ import annotations

import gc
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import zarr

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import InvalidInputError
from modos.trees.tree_files import StoredFiles
from tests.integration.test_trees import contents, stored

anndata = pytest.importorskip("anndata", reason="the packages of the extra `test` are not installed")
pd = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")
pytestmark = pytest.mark.filterwarnings("ignore")
CELLS, GENES = 200, 50


def make_cells(seed=1):
    """Sparse counts, dense measures and annotations of cells and genes."""
    rng = np.random.default_rng(seed)
    return anndata.AnnData(
        sparse.random(CELLS, GENES, 0.1, format="csr", random_state=seed, dtype="float32"),
        obs=pd.DataFrame(
            {"type": pd.Categorical(rng.choice(["B", "T"], CELLS)), "depth": rng.integers(0, 99, CELLS)},
            index=[f"cell{i}" for i in range(CELLS)],
        ),
        var=pd.DataFrame({"is_high": rng.random(GENES) < 0.5}, index=[f"gene{i}" for i in range(GENES)]),
        layers={"dense": rng.normal(size=(CELLS, GENES))},
        obsm={"pca": rng.normal(size=(CELLS, 3))},
        uns={"method": "none", "numbers": np.arange(3)},
    )


def write_anndata(path, zarr_format):
    with anndata.settings.override(zarr_write_format=zarr_format):
        make_cells().write_zarr(path)


def write_mudata(path):
    import mudata

    rna, protein = make_cells(2), make_cells(3)[:, :7].copy()
    protein.var_names = [f"protein{i}" for i in range(7)]
    mudata.MuData({"rna": rna, "protein": protein}).write_zarr(path)


def write_spatialdata(path):
    from spatialdata.datasets import blobs

    blobs(length=64, n_points=20, n_shapes=3, n_channels=2).write(path)


def write_xarray(path):
    import xarray

    times = np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "datetime64[ns]")
    methylation = np.random.default_rng(4).random((3, 40)).astype("f4")
    xarray.Dataset({"beta": (("time", "site"), methylation)}, {"time": times, "site": np.arange(40)}).to_zarr(path)


def write_ome_zarr(path):
    from ome_zarr.writer import write_image

    image = np.random.default_rng(5).integers(0, 255, (2, 64, 96), dtype="u1")
    write_image(image, zarr.open_group(path, mode="w"), axes="cyx", storage_options={"chunks": (1, 32, 32)})


def write_vcf_zarr(path, example):
    from bio2zarr import vcf

    vcf.convert([str(example / "source/calls.vcf.gz")], str(path))


@pytest.fixture(scope="module")
def trees(tmp_path_factory, example):
    """A folder with a tree of each kind."""
    folder = tmp_path_factory.mktemp("trees")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_anndata(folder / "cells2.zarr", 2)
        write_anndata(folder / "cells3.zarr", 3)
        write_mudata(folder / "multi.zarr")
        write_spatialdata(folder / "spatial.zarr")
        write_xarray(folder / "cube.zarr")
        write_ome_zarr(folder / "image.zarr")
        write_vcf_zarr(folder / "cohort.zarr", example)
    return folder


@pytest.fixture(scope="module", params=["local", pytest.param("s3", marks=pytest.mark.sweep(0))])
def where(request, trees, tmp_path_factory):
    """Where an object is that has them all, and how it is opened."""
    from modos.demo.stack import BUCKET, CREDENTIALS

    if request.param == "local":
        path, options = str(tmp_path_factory.mktemp("object") / "ex"), {}
    else:
        stack = request.getfixturevalue("stack")
        path, options = f"s3://{BUCKET}/libraries", {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    MODO.create_from_files(path, sorted(trees.iterdir()), **options)
    return path, options


@pytest.fixture
def modo(where):
    return MODO.open(where[0], **where[1])


def to_dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def assert_same_cells(found, expected):
    assert np.array_equal(to_dense(found.X), to_dense(expected.X))
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    pd.testing.assert_frame_equal(found.var, expected.var)
    for part in ("layers", "obsm"):
        assert set(getattr(found, part)) == set(getattr(expected, part))
        assert all(
            np.array_equal(to_dense(value), to_dense(getattr(found, part)[key])) for key, value in getattr(expected, part).items()
        )
    assert found.uns.keys() == expected.uns.keys()


def assert_same_arrays(found, expected):
    """By zarr-python: the same groups, arrays, values and attributes."""
    nodes, others = dict(found.members(max_depth=None)), dict(expected.members(max_depth=None))
    assert nodes.keys() == others.keys() and len(nodes) > 1
    for path, node in others.items():
        assert dict(nodes[path].attrs) == dict(node.attrs)
        if isinstance(node, zarr.Array):
            assert nodes[path].dtype == node.dtype and np.array_equal(
                nodes[path][...], node[...], equal_nan=node.dtype.kind == "f"
            ), path


NAMES = ["cells2", "cells3", "cohort", "cube", "image", "multi", "spatial"]


@pytest.mark.parametrize("name", NAMES)
def test_every_tree_is_stored_untouched_and_zarr_reads_it_as_it_was(modo, trees, name):
    assert stored(modo.storage, f"{name}.zarr") == contents(trees / f"{name}.zarr")
    assert_same_arrays(modo[f"data/{name}"].to_zarr(), zarr.open_group(trees / f"{name}.zarr", mode="r"))


def test_what_they_say_is_in_the_metadata(modo):
    found = {name: modo[f"data/{name}"] for name in NAMES}
    assert {name: one.get("zarr_kind") for name, one in found.items()} == {
        "cells2": "AnnData",
        "cells3": "AnnData",
        "cohort": "VCF-Zarr",
        "cube": "xarray",
        "image": "OME-Zarr",
        "multi": "MuData",
        "spatial": "SpatialData",
    }
    assert found["cohort"]["@type"] == "VariantSet" and found["cells3"]["@type"] == "DataEntity"
    axes = {name: dict(zip(one.get("axes", []), one.get("shape", []), strict=True)) for name, one in found.items()}
    assert axes["cells2"] == axes["cells3"] == {"obs": CELLS, "var": GENES}
    assert axes["multi"] == {"obs": CELLS, "var": GENES + 7} and found["multi"]["modalities"] == ["rna", "protein"]
    assert axes["cube"] == {"time": 3, "site": 40} and axes["image"] == {"c": 2, "y": 64, "x": 96}
    assert axes["cohort"]["samples"] == 2 and axes["cohort"]["variants"] > 50
    assert {"images/blobs_image", "points/blobs_points", "tables/table"} <= set(found["spatial"]["modalities"])


def test_the_cells_are_those_that_were_written(modo):
    for name in ("cells2", "cells3"):
        assert_same_cells(modo[f"data/{name}"].to_anndata(), make_cells())


def test_a_slice_of_lazy_cells_reads_few_bytes_of_the_matrix(modo, monkeypatch):
    """Nothing of the matrices is read before it is asked for, and nothing of those that are not."""
    expected, asked, read = make_cells(), [], StoredFiles.read

    def note(self, name, start, end):
        asked.append(name)
        return read(self, name, start, end)

    monkeypatch.setattr(StoredFiles, "read", note)
    lazy = modo["data/cells3"].to_anndata(lazy=True)
    assert not any(name.startswith("layers/dense/c") for name in asked) and not any(name.startswith("X/data/c") for name in asked)
    part = lazy[3:9, ["gene7", "gene1"]]
    assert np.array_equal(part.X.compute().toarray(), expected[3:9, ["gene7", "gene1"]].X.toarray())
    chunks = [name for name in asked if "/c/" in name]
    assert not any(name.startswith("layers/dense/c") for name in chunks) and any(name.startswith("X/data/c") for name in chunks)


def test_multi_modal_data_are_those_that_were_written(modo):
    pytest.importorskip("mudata")
    found = modo["data/multi"].to_mudata()
    assert list(found.mod) == ["rna", "protein"]
    assert_same_cells(found["rna"], make_cells(2))
    assert np.array_equal(found["protein"].X.toarray(), make_cells(3)[:, :7].X.toarray())


@pytest.mark.parametrize("how", ["plain", "sealed"])
def test_a_part_of_spatial_data_outlives_it_and_its_tree(tmp_path, trees, how):
    """An image that was taken out is read whole, also after the tree has been replaced: nothing is taken for empty chunks."""
    spatialdata = pytest.importorskip("spatialdata")
    secret = SecretKey.random() if how == "sealed" else None
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "s", "@type": "DataEntity"}, trees / "spatial.zarr")
    if secret:
        modo.encrypt([secret.public])
    image = modo["data/s"].to_spatialdata(secret_key=secret).images["blobs_image"]
    gc.collect()
    modo.remove_element("data/s")
    expected = spatialdata.read_zarr(trees / "spatial.zarr").images["blobs_image"]
    assert np.array_equal(image.data.compute(), expected.data.compute()) and expected.data.any()


def test_spatial_data_are_those_that_were_written(modo, trees):
    spatialdata = pytest.importorskip("spatialdata")
    found, expected = modo["data/spatial"].to_spatialdata(), spatialdata.read_zarr(trees / "spatial.zarr")
    assert [name for _, name, _ in found.gen_elements()] == [name for _, name, _ in expected.gen_elements()]
    assert np.array_equal(found.images["blobs_image"].compute(), expected.images["blobs_image"].compute())
    assert np.array_equal(found.labels["blobs_labels"].compute(), expected.labels["blobs_labels"].compute())
    pd.testing.assert_frame_equal(found.points["blobs_points"].compute(), expected.points["blobs_points"].compute())
    assert all(found.shapes[name].equals(shapes) for name, shapes in expected.shapes.items())
    assert np.array_equal(to_dense(found.tables["table"].X), to_dense(expected.tables["table"].X))


def test_labelled_arrays_are_those_that_were_written_and_computed_by_dask(modo, trees):
    xarray = pytest.importorskip("xarray")
    found, expected = modo["data/cube"].to_xarray(), xarray.open_zarr(trees / "cube.zarr")
    xarray.testing.assert_identical(found.load(), expected.load())
    lazy = modo["data/cube"].to_xarray().beta
    assert lazy.chunks and float(lazy.mean().compute(scheduler="threads")) == pytest.approx(float(expected.beta.mean()))


def test_genotypes_are_those_of_the_file_of_variants(modo, example):
    """As pysam reads them, another program than the one that wrote the tree."""
    import pysam

    with pysam.VariantFile(str(example / "source/calls.vcf.gz")) as file:
        records = [(record.pos, [call["GT"] for call in record.samples.values()]) for record in file]
    group = modo["data/cohort"].to_zarr()
    assert group["variant_position"][:].tolist() == [position for position, _ in records]
    assert group["call_genotype"][:].tolist() == [[list(genotype) for genotype in calls] for _, calls in records]
    xarray = pytest.importorskip("xarray")
    assert modo["data/cohort"].to_xarray().call_genotype.shape == (len(records), 2, 2)
    assert isinstance(modo["data/cohort"].to_xarray(), xarray.Dataset)


def test_a_tree_of_another_kind_is_refused(modo):
    for name, method, told in (
        ("multi", "to_anndata", "MuData"),
        ("cells3", "to_mudata", "AnnData"),
        ("cube", "to_spatialdata", "xarray"),
    ):
        with pytest.raises(InvalidInputError, match=f"is {told}, and no "):
            getattr(modo[f"data/{name}"], method)()


def sum_counts(element):
    """In another process."""
    return float(element.to_anndata().X.sum()), float(element.to_anndata(lazy=True)[:20].X.compute().sum())


def test_another_process_opens_what_it_is_given(where, monkeypatch):
    from modos.demo.stack import CREDENTIALS

    for variable, value in {"AWS_ACCESS_KEY_ID": CREDENTIALS["key"], "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"]}.items():
        monkeypatch.setenv(variable, value)
    place, options = where
    modo = MODO.open(place, **{key: value for key, value in options.items() if key != "s3_kwargs"})  # credentials are not pickled
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(sum_counts, modo["data/cells3"]).result(120)
        lazy = modo["data/cells3"].to_anndata(lazy=True).layers["dense"]
        assert np.array_equal(np.asarray(lazy.compute(scheduler="processes", pool=pool)), make_cells().layers["dense"])
    expected = make_cells().X
    assert found == pytest.approx((expected.sum(), expected[:20].sum()))


def test_what_is_copied_is_whole_and_enriched_with_samples(modo, trees, tmp_path):
    copy = modo.download(tmp_path / "copy")
    assert copy.find_problems() == []
    assert all(stored(copy.storage, f"{name}.zarr") == contents(trees / f"{name}.zarr") for name in NAMES)
    before = copy.metadata
    assert copy.enrich_metadata() == []
    assert copy["data/cohort"]["has_sample"] == ["sample/SAMPLE1", "sample/SAMPLE2"]
    assert all(copy[f"data/{name}"].get("shape") == before[f"data/{name}"].get("shape") for name in NAMES)
    assert_same_cells(copy["data/cells3"].to_anndata(), make_cells())
