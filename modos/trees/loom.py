"""Read a Loom file as AnnData: cells x genes, each number as it is in the file."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from modos.errors import InvalidInputError

_CELL_NAMES = ("CellID", "obs_names", "cell_names")  # the first of them that a file has
_GENE_NAMES = ("Gene", "var_names", "gene_names")
_MOST_HELD = 64 << 20  # bytes of a matrix that is read as a whole, and of a block of a larger one


def read_loom(anndata: Any, file: Any) -> Any:
    """Read an open HDF5 file of the Loom specification; matrices are sparse, and large ones lazy.

    Attributes of cells and genes become columns of `obs` and `var`, those of
    several columns `obsm` and `varm`; layers and graphs keep their names; what
    is said of the whole file is in `uns["loom"]`.

    Raises
    ------
    InvalidInputError
        It has no matrix of genes and cells.
    """
    matrix = file.get("matrix")
    if matrix is None or getattr(matrix, "ndim", 0) != 2:
        raise InvalidInputError(f"{file.filename} is no Loom file: it has no matrix of genes and cells")
    genes, cells = matrix.shape
    obs, obsm = _read_attributes(file, "col_attrs", _CELL_NAMES, cells)
    var, varm = _read_attributes(file, "row_attrs", _GENE_NAMES, genes)
    made = anndata.AnnData(
        X=_transpose(matrix),
        obs=obs,
        var=var,
        obsm=obsm,
        varm=varm,
        layers={name: _transpose(layer) for name, layer in _members(file, "layers")},
        obsp={name: _read_graph(graph, cells) for name, graph in _members(file, "col_graphs")},
        varp={name: _read_graph(graph, genes) for name, graph in _members(file, "row_graphs")},
    )
    told = {name: _value(value) for name, value in file.attrs.items()}
    told |= {name: _value(value[()]) for name, value in _members(file, "attrs")}
    if told:
        made.uns["loom"] = told
    return made


def _members(file: Any, group: str) -> list[tuple[str, Any]]:
    """List what a group has, if it is there; the main matrix may also be there as a layer without a name."""
    return [(name, file[group][name]) for name in list(file.get(group) or ()) if name]


def _read_attributes(file: Any, group: str, names: tuple[str, ...], length: int) -> tuple[Any, dict[str, Any]]:
    """Read the attributes of cells or genes: those of one value as a table, the others as arrays."""
    pandas = import_module("pandas")
    columns, arrays = {}, {}
    for name, values in _members(file, group):
        if not values.shape or values.shape[0] != length:
            raise InvalidInputError(f"{file.filename} is damaged: {group}/{name} has another length than the matrix")
        if values.ndim == 1 or values.shape[1:] == (1,):
            columns[name] = _texts(values).reshape(length)
        else:
            arrays[name] = _texts(values)
    own = next((name for name in names if name in columns), None)
    index = [str(value) for value in columns.pop(own)] if own else [str(number) for number in range(length)]
    return pandas.DataFrame(columns, index=index), arrays


def _texts(values: Any) -> Any:
    return values.asstr("utf-8")[()] if values.dtype.kind in "OS" else values[()]


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.tolist() if hasattr(value, "tolist") else value


def _transpose(matrix: Any) -> Any:
    """Return a matrix of genes x cells as a sparse one of cells x genes, of the same type of numbers."""
    csr = import_module("scipy.sparse").csr_matrix
    if matrix.nbytes <= _MOST_HELD:
        return csr(matrix[()].T)
    block = max(_MOST_HELD // max(matrix.shape[0] * matrix.dtype.itemsize, 1), 1)
    lazy = import_module("dask.array").from_array(matrix, chunks=(matrix.shape[0], block)).T
    return lazy.map_blocks(csr, dtype=matrix.dtype, meta=csr((0, 0), dtype=matrix.dtype))


def _read_graph(graph: Any, size: int) -> Any:
    sparse = import_module("scipy.sparse")
    return sparse.coo_matrix((graph["w"][()], (graph["a"][()], graph["b"][()])), shape=(size, size)).tocsr()
