"""Open trees in the libraries of their fields, which are imported when they are asked for."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.errors.escaping import escape_line, is_plain
from modos.trees.kinds import find_kind

if TYPE_CHECKING:
    from anndata import AnnData as AnnData
    from mudata import MuData as MuData
    from spatialdata import SpatialData as SpatialData
    from xarray import Dataset as Dataset

    from modos.trees.kinds import Kind
    from modos.trees.tree_store import TreeStore


Opened = TypeVar("Opened")
_MOST_TEXTS = 1 << 20
_copies: dict[tuple[str, str, int], Path] = {}  # of trees, by their place, their root and the process


def open_group(store: TreeStore) -> Any:
    """Open a tree with zarr-python, read-only: a zarr.Group or a zarr.Array."""
    import zarr

    return _open(store, lambda: zarr.open(store, mode="r"), "Zarr")


def read_texts(store: TreeStore, name: str) -> list[str]:
    """Read an array of texts, of one dimension; empty if there is none.

    Raises
    ------
    IntegrityError
        It has more than 2^20 texts, or control characters in one.
    """
    group = open_group(store)
    if name not in group:
        return []
    array = group[name]
    if array.ndim != 1 or array.shape[0] > _MOST_TEXTS:
        raise IntegrityError(f"{store}/{name} is no list of at most {_MOST_TEXTS:,} texts", "write the tree again")
    texts = [str(text) for text in _open(store, lambda: array[:], "Zarr")]
    if wrong := next((text for text in texts if not is_plain(text)), None):
        raise IntegrityError(f"{store}/{name} has the text {escape_line(wrong)}, with control characters", "write it again")
    return texts


def open_anndata(store: TreeStore, *, lazy: bool = False) -> AnnData:
    """Open a tree as AnnData.

    Parameters
    ----------
    lazy
        Read nothing but the metadata now; what is asked for is read then, through Dask.
    """
    _check_kind(store, "AnnData")
    anndata = require("anndata", "singlecell")
    if lazy:
        require("dask.array", "singlecell")
        experimental = import_module("anndata.experimental")
        return _open(store, lambda: experimental.read_lazy(open_group(store)), "AnnData")
    return _open(store, lambda: anndata.io.read_zarr(open_group(store)), "AnnData")


def open_mudata(store: TreeStore) -> MuData:
    """Open a tree as MuData."""
    _check_kind(store, "MuData")
    mudata = require("mudata", "singlecell")
    return _open(store, lambda: mudata.read_zarr(store), "MuData")


def open_spatialdata(store: TreeStore) -> SpatialData:
    """Open a tree as SpatialData.

    The package reads the files by itself, now and later. So all of them are
    compared first, and copied to a temporary folder (or get one more name
    there, where that can be), which is removed as the process ends: what was
    taken out of the SpatialData reads it for as long as that, and would take
    chunks that are gone for empty ones.
    """
    _check_kind(store, "SpatialData")
    spatialdata = require("spatialdata", "spatial")
    folder = _keep_copy(store)
    return _open(store, lambda: spatialdata.read_zarr(folder), "SpatialData")


def _keep_copy(store: TreeStore) -> Path:
    """Copy a tree to a temporary folder that is removed as the process ends; once, however often it is asked for."""
    place = store.files.url, store.files.root, os.getpid()
    if place not in _copies:
        folder = tempfile.mkdtemp(prefix="modos-")
        atexit.register(_remove_copy, folder, os.getpid())
        copy = Path(folder, "tree.zarr")
        try:
            _copy(store, copy)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _copies[place] = copy
    return _copies[place]


def _remove_copy(folder: str, process: int) -> None:
    if os.getpid() == process:  # and not one that was forked off
        shutil.rmtree(folder, ignore_errors=True)


def _copy(store: TreeStore, folder: Path) -> None:
    def keep(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _link(store.files.local_folder, name, path):
            with open(path, "ab") as file:
                file.write(data)

    store.read_all(keep)


def _link(source: Path | None, name: str, path: Path) -> bool:
    """Give a file of a tree on this machine one more name; whether it has that now."""
    if source is None:
        return False
    with suppress(OSError):
        if not path.exists():
            os.link(source / name, path)
        return os.path.samefile(source / name, path)
    return False


def open_xarray(store: TreeStore, group: str | None = None) -> Dataset:
    """Open a tree, or a group of it, as an xarray.Dataset, lazily.

    Parameters
    ----------
    group
        Path of a group in the tree.
    """
    xarray = require("xarray", "xarray")
    consolidated = None if group is None else False
    dataset: Dataset = _open(store, lambda: xarray.open_zarr(store, group=group, consolidated=consolidated, chunks={}), "xarray")
    return dataset


def _check_kind(store: TreeStore, wanted: Kind) -> None:
    found = find_kind(store.metadata)
    if found != wanted:
        raise InvalidInputError(
            f"{store} is {found or 'a Zarr hierarchy of no kind that is known'}, and no {wanted}",
            "open it as what it is, or with to_zarr()",
        )


def require(module: str, extra: str) -> Any:
    """Import a module of an extra; raise InvalidInputError where it is not installed."""
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
