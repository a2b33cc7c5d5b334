"""Write the AnnData or MuData in an HDF5 file, or a Loom file, as a Zarr tree."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.formats import TREE_SUFFIX
from modos.trees.loom import read_loom
from modos.trees.tree_opening import require

ENDINGS = (".h5ad", ".h5mu", ".loom")
_GROUPS = ("anndata", "MuData", "raw", "dict", "")  # encodings of groups whose members are written one by one
_MATRICES = ("array", "csr_matrix", "csc_matrix")
_MOST_HELD = 64 << 20  # bytes of a matrix that is read as a whole


def write_as_zarr(source: Path, folder: Path) -> Path:
    """Write a `.h5ad`, `.h5mu` or `.loom` file as a Zarr tree into a folder; returns the tree.

    A matrix of more than 64 MB is copied chunk by chunk, so that the memory
    it takes is that of some chunks. What is smaller, and a table, is held as a
    whole; so is all of an AnnData of before version 0.8.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It has another ending, or is damaged; or a package is not installed.
    """
    ending = source.suffix.lower()
    if ending not in ENDINGS:
        raise InvalidInputError(f"{source} cannot be written as Zarr", f"these can: {', '.join(ENDINGS)}")
    if not source.is_file():
        raise NotFoundError(f"no file {source}", "check the path")
    anndata, tree = require("anndata", "singlecell"), folder / f"{source.stem}{TREE_SUFFIX}"
    with _translate_errors(source), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if ending == ".loom":
            with import_module("h5py").File(source, "r") as file, import_module("dask").config.set(scheduler="synchronous"):
                read_loom(anndata, file).write_zarr(tree)
        elif not _copy_file(anndata, source, tree):
            anndata.io.read_h5ad(source).write_zarr(tree)
    return tree


def _copy_file(anndata: Any, source: Path, tree: Path) -> bool:
    """Copy a file that says what each of its parts is; returns whether it does."""
    import zarr

    with import_module("h5py").File(source, "r") as file:
        if _encoding_of(file) not in ("anndata", "MuData"):
            return False
        target = zarr.open_group(tree, mode="w", zarr_format=getattr(anndata.settings, "zarr_write_format", 2))
        with import_module("dask").config.set(scheduler="synchronous"):
            _copy_group(anndata, file, target)
        zarr.consolidate_metadata(target.store)
    return True


def _copy_group(anndata: Any, source: Any, target: Any) -> None:
    target.attrs.update({name: value.tolist() if hasattr(value, "tolist") else value for name, value in source.attrs.items()})
    for name in list(source):  # h5py holds its lock while it iterates, and other threads read
        part = source[name]
        encoding = _encoding_of(part)
        if encoding in _GROUPS and hasattr(part, "items"):
            _copy_group(anndata, part, target.create_group(name))
        elif encoding in _MATRICES and _measure(part) > _MOST_HELD:
            anndata.io.write_elem(target, name, anndata.experimental.read_elem_lazy(part))
        else:
            anndata.io.write_elem(target, name, anndata.io.read_elem(part))


def _encoding_of(part: Any) -> str:
    return str(part.attrs.get("encoding-type", ""))


def _measure(part: Any) -> int:
    return sum(part[name].nbytes for name in list(part)) if hasattr(part, "keys") else int(part.nbytes)


@contextmanager
def _translate_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except ModosError:
        raise
    except Exception as error:  # of the packages, for what they do not take
        raise InvalidInputError(
            f"{source} cannot be written as Zarr: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            "it is damaged, or not what its ending says; without --as-zarr (as_zarr) it is kept as it is",
        ) from error
