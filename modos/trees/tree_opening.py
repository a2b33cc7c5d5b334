"""Open trees in the libraries of their fields, which are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from modos.errors import InvalidInputError, ModosError

if TYPE_CHECKING:
    from anndata import AnnData as AnnData
    from mudata import MuData as MuData
    from spatialdata import SpatialData as SpatialData
    from xarray import Dataset as Dataset

    from modos.trees.tree_store import TreeStore


Opened = TypeVar("Opened")


def open_group(store: TreeStore) -> Any:
    """Open a tree with zarr-python, read-only: a zarr.Group or a zarr.Array."""
    import zarr

    return _open(store, lambda: zarr.open(store, mode="r"), "Zarr")


def open_anndata(store: TreeStore, *, lazy: bool = False) -> AnnData:
    """Open a tree as AnnData.

    Parameters
    ----------
    lazy
        Read nothing but the metadata now; what is asked for is read then, through Dask.
    """
    anndata = _require("anndata", "singlecell")
    if lazy:
        _require("dask.array", "singlecell")
        experimental = import_module("anndata.experimental")
        return _open(store, lambda: experimental.read_lazy(open_group(store)), "AnnData")
    return _open(store, lambda: anndata.io.read_zarr(open_group(store)), "AnnData")


def open_mudata(store: TreeStore) -> MuData:
    """Open a tree as MuData."""
    mudata = _require("mudata", "singlecell")
    return _open(store, lambda: mudata.read_zarr(store), "MuData")


def open_spatialdata(store: TreeStore) -> SpatialData:
    """Open a tree as SpatialData."""
    spatialdata = _require("spatialdata", "spatial")
    return _open(store, lambda: spatialdata.read_zarr(open_group(store)), "SpatialData")


def open_xarray(store: TreeStore, group: str | None = None) -> Dataset:
    """Open a tree, or a group of it, as an xarray.Dataset, lazily.

    Parameters
    ----------
    group
        Path of a group in the tree.
    """
    xarray = _require("xarray", "xarray")
    consolidated = None if group is None else False
    dataset: Dataset = _open(store, lambda: xarray.open_zarr(store, group=group, consolidated=consolidated, chunks={}), "xarray")
    return dataset


def _require(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise InvalidInputError(f"{name} is not installed here ({error})", f"pip install 'modos-store[{extra}]'") from None


def _open(store: TreeStore, call: Callable[[], Opened], kind: str) -> Opened:
    try:
        return call()
    except ModosError:
        raise
    except Exception as error:  # each library has its own ones for what it does not take
        if isinstance(error.__cause__, ModosError):
            raise error.__cause__ from None
        raise InvalidInputError(
            f"{store} cannot be opened as {kind}: {type(error).__name__}: {error}", "open it with to_zarr(), and look what it has"
        ) from error
