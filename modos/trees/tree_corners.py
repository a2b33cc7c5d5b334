"""Read the corner of a matrix of a tree, dense or sparse, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, ModosError
from modos.trees.decoded_sizes import check_chunks
from modos.trees.kinds import Node
from modos.trees.tree_opening import open_group

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from modos.trees.tree_store import TreeStore

    Values = npt.NDArray[np.float64]

_MOST_BYTES = 64 << 20  # of decoded chunks
_MOST_CHUNKS = 32
_MOST_ENTRIES = 1 << 20  # of a sparse matrix
_NUMBERS = "biuf"  # kinds of numpy that are shown
_SPARSE = {"csr_matrix": 0, "csc_matrix": 1}  # encodings of AnnData, and the axis that is compressed


@dataclass(frozen=True)
class Corner:
    """First rows and columns of a matrix.

    Parameters
    ----------
    values
        Shape (rows, columns), float64.
    shape
        Of the whole array; of more than two axes the last two are shown, at the first place of the others.
    is_sparse
        Whether it is kept as a sparse matrix.
    """

    values: Values
    shape: Sequence[int]
    is_sparse: bool = False


def is_sparse(node: Node | None) -> bool:
    """Return whether a group is a sparse matrix of AnnData."""
    return node is not None and node.shape is None and node.attributes.get("encoding-type") in _SPARSE


def read_corner(store: TreeStore, path: str, rows: int, columns: int) -> Corner:
    """Read at most so many first rows and columns of an array or a sparse matrix at a path of a tree.

    Raises
    ------
    InvalidInputError
        It is no matrix of numbers, cannot be read, or its chunks are too large to be looked at.
    IntegrityError
        It is damaged.
    """
    try:
        node = store.metadata.node(path)
        if is_sparse(node):
            assert node is not None
            return _read_sparse(store, open_group(store)[path], node, rows, columns)
        if node is None or node.shape is None:
            raise InvalidInputError(f"{path or 'the root'} is no matrix")
        group = open_group(store)
        return _read_dense(store, group[path] if path else group, rows, columns)
    except ModosError:
        raise
    except Exception as error:  # zarr and its codecs have many of their own
        if isinstance(error.__cause__, ModosError):
            raise error.__cause__ from None
        raise InvalidInputError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def _read_dense(store: TreeStore, array: Any, rows: int, columns: int) -> Corner:
    import numpy as np

    shape = tuple(array.shape)
    wanted = tuple(slice(0, 1) for _ in shape[:-2]) + tuple(
        slice(0, most) for most in ((rows, columns) if len(shape) > 1 else (columns,) * len(shape))
    )
    values = np.asarray(_take(store, array, wanted), np.float64)
    return Corner(values.reshape(values.shape[-2:] if values.ndim > 1 else (1, values.size)), shape)


def _take(store: TreeStore, array: Any, wanted: Sequence[slice]) -> Any:
    """Read a part of an array of numbers; InvalidInputError if too much would have to be decoded for it."""
    if array.dtype.kind not in _NUMBERS:
        raise InvalidInputError(f"its values are no numbers but {array.dtype}")
    chunks = array.chunks
    places = [
        range(part.start // size, ceil(min(part.stop, length) / size)) if length and size else range(0)
        for part, length, size in zip(wanted, array.shape, chunks, strict=True)
    ]
    size = prod(chunks) * array.dtype.itemsize
    touched = prod(map(len, places))
    if touched > _MOST_CHUNKS or touched * size > _MOST_BYTES:
        raise InvalidInputError(f"its chunks are too large to be looked at here: {touched * size:,} bytes would be decoded")
    keys = (array.metadata.encode_chunk_key(at) for at in product(*places))
    check_chunks(store.files, array, (f"{array.path}/{key}".lstrip("/") for key in keys), size)
    return array[tuple(wanted)] if wanted else array[()]


def _read_sparse(store: TreeStore, group: Any, node: Node, rows: int, columns: int) -> Corner:
    import numpy as np

    shape = [int(length) for length in node.attributes.get("shape", ())]
    if len(shape) != 2 or min(shape) < 0:
        raise InvalidInputError("a sparse matrix without a shape")
    axis = _SPARSE[str(node.attributes["encoding-type"])]
    corner = min(rows, shape[0]), min(columns, shape[1])
    starts = np.asarray(_take(store, group["indptr"], [slice(0, corner[axis] + 1)]), np.int64)
    if len(starts) != corner[axis] + 1 or (np.diff(starts) < 0).any() or starts.min(initial=0) < 0:
        raise InvalidInputError("a sparse matrix whose places do not rise")
    entries = slice(int(starts[0]), int(starts[-1]))
    if entries.stop - entries.start > _MOST_ENTRIES:
        raise InvalidInputError("its first rows have too many entries to be looked at here")
    data, places = (np.asarray(_take(store, group[name], [entries])) for name in ("data", "indices"))
    lines = np.repeat(np.arange(corner[axis]), np.diff(starts))
    is_near = (places >= 0) & (places < corner[1 - axis])
    values = np.zeros(corner, np.float64)
    at = (lines[is_near], places[is_near]) if axis == 0 else (places[is_near], lines[is_near])
    np.add.at(values, at, data[is_near].astype(np.float64))
    return Corner(values, shape, True)
