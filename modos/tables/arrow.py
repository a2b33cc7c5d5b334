"""Make Arrow arrays and tables, by pyarrow (extra `tables`).

Arrays are made of buffers: `pyarrow.array` would import pandas, where that is
installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError, InvalidInputError
from modos.errors.missing import load_late
from modos.tables.ragged import Bytes, Ints, join_slices, to_offsets

if TYPE_CHECKING:
    import pandas
    import polars as pl
    import pyarrow

    DataFrame: TypeAlias = pl.DataFrame
    PandasFrame: TypeAlias = pandas.DataFrame
    RecordBatchReader: TypeAlias = pyarrow.RecordBatchReader
    Table: TypeAlias = pyarrow.Table
else:
    pl = load_late("polars")


def load_pyarrow() -> Any:
    """Import pyarrow; raise InvalidInputError where it is not installed."""
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise InvalidInputError(f"pyarrow is not installed here ({error})", "pip install 'modos-store[tables]'") from None


class ArrowTable(ABC):
    """A table that is yet to be read: as a whole, or by batches."""

    @abstractmethod
    def open(self) -> tuple[Any, Iterator[Any]]:
        """Return the pyarrow.Schema, and an iterator of batches (pyarrow.RecordBatch) of it.

        Raises
        ------
        IntegrityError, RemoteError
            The data are not complete, or damaged; also while iterating.
        """

    def read(self) -> Table:
        """Read all as a pyarrow.Table; the same errors, and no shorter table."""
        schema, batches = self.open()
        return load_pyarrow().Table.from_batches(list(batches), schema)


def make_reader(table: ArrowTable) -> RecordBatchReader:
    """Make a pyarrow.RecordBatchReader of a table; what fails while it is read is raised as it is."""
    schema, batches = table.open()
    return load_pyarrow().RecordBatchReader.from_batches(schema, batches)


def convert_to_polars(table: Table) -> DataFrame:
    """Convert a pyarrow.Table to a pl.DataFrame."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def convert_to_pandas(table: Table) -> PandasFrame:
    """Convert a pyarrow.Table to a pandas.DataFrame; raise InvalidInputError where pandas is not installed."""
    try:
        import_module("pandas")
    except ImportError as error:
        raise InvalidInputError(f"pandas is not installed here ({error})", "pip install pandas, or use to_polars()") from None
    return table.to_pandas()


def type_of(kind: str) -> Any:
    """Return the Arrow type of a kind of columns; see `modos.tables.column_kinds`."""
    pa = load_pyarrow()
    single = {
        "integer": pa.int64(),
        "real": pa.float32(),
        "double": pa.float64(),
        "text": pa.string(),
        "flag": pa.bool_(),
    }
    return single[kind] if kind in single else pa.list_(single[kind[:-1]])


def make_numbers(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None = None) -> Any:
    """Make an array of numbers or booleans, null where they are missing."""
    pa = load_pyarrow()
    stored = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    valid, nulls = _make_mask(missing)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [valid, pa.py_buffer(stored)], nulls)


def view_numbers(array: Any, dtype: str) -> npt.NDArray[Any]:
    """View the numbers of an array without nulls: shape (n,), of the dtype that it has."""
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * np.dtype(dtype).itemsize)


def make_strings(texts: Iterable[str | None]) -> Any:
    """Make an array of texts."""
    encoded = [None if text is None else text.encode() for text in texts]
    lengths = np.array([0 if text is None else len(text) for text in encoded], np.int64)
    missing = np.array([text is None for text in encoded], bool)
    return make_texts(np.frombuffer(b"".join(text or b"" for text in encoded), np.uint8), lengths, missing)


def _make_mask(missing: npt.NDArray[np.bool_] | None) -> tuple[Any, int]:
    """Make the bitmap of what is valid, where something is missing; returns how much is."""
    if missing is None or not missing.any():
        return None, 0
    return load_pyarrow().py_buffer(np.packbits(~missing, bitorder="little")), int(missing.sum())


def make_texts(values: Bytes, lengths: Ints, missing: npt.NDArray[np.bool_] | None = None, what: str = "a text") -> Any:
    """Make an array of texts that follow each other in some bytes, null where they are missing.

    Raises
    ------
    IntegrityError
        They are no UTF-8.
    """
    pa = load_pyarrow()
    offsets = pa.py_buffer(to_offsets(lengths))
    valid, nulls = _make_mask(missing)
    made = pa.StringArray.from_buffers(len(lengths), offsets, pa.py_buffer(values), valid, nulls)
    if len(values) and values.max() >= 0x80:
        try:
            made.validate(full=True)
        except pa.ArrowInvalid:
            raise IntegrityError(f"{what} is no UTF-8 text", "leave this column out, or get the file again") from None
    return made


def slice_texts(
    data: bytes, starts: Ints, lengths: Ints, missing: npt.NDArray[np.bool_] | None = None, what: str = "a text"
) -> Any:
    """Make an array of texts at some places of a buffer, null where they are missing."""
    if missing is not None:
        lengths = np.where(missing, 0, lengths)
    return make_texts(join_slices(data, starts, lengths), lengths, missing, what)


def make_lists(values: Any, counts: Ints, missing: npt.NDArray[np.bool_] | None = None) -> Any:
    """Make an array of lists of values that follow each other, null where they are missing."""
    pa = load_pyarrow()
    offsets = to_offsets(counts)
    valid, nulls = _make_mask(missing)
    kind = pa.list_(values.type)
    return pa.Array.from_buffers(kind, len(counts), [valid, pa.py_buffer(offsets)], nulls, children=[values])


def take_names(names: Any, numbers: npt.NDArray[Any], what: str) -> Any:
    """Look names up by their numbers; null for a negative number.

    Raises
    ------
    IntegrityError
        There is no such number.
    """
    pa = load_pyarrow()
    if len(numbers) and numbers.max() >= len(names):
        raise IntegrityError(f"{what} is damaged: it has the contig number {numbers.max()}, of {len(names)}")
    return pa.DictionaryArray.from_arrays(make_numbers(numbers.astype(np.int32), numbers < 0), names).dictionary_decode()


def fill_lists(lists: Any) -> Any:
    """Replace nulls among lists by empty ones."""
    pa = load_pyarrow()
    if not lists.null_count:
        return lists
    return pa.ListArray.from_arrays(lists.offsets, lists.values)


def make_nulls(count: int, kind: str) -> Any:
    """Make an array of nulls of a kind."""
    return load_pyarrow().nulls(count, type_of(kind))


def make_empty(count: int, kind: str) -> Any:
    """Make an array of empty texts or lists."""
    zeros = np.zeros(count, np.int64)
    return make_strings([""] * count) if kind == "text" else make_lists(make_nulls(0, kind[:-1]), zeros)


def spread(parts: list[tuple[Any, Ints]], count: int) -> Any:
    """Put values where their numbers say, among `count` that are null elsewhere.

    Parameters
    ----------
    parts
        Arrays of one type, each with the numbers of its values.
    """
    pa = load_pyarrow()
    values = parts[0][0] if len(parts) == 1 else pa.concat_arrays([part for part, _ in parts])
    rows = parts[0][1] if len(parts) == 1 else np.concatenate([rows for _, rows in parts])
    if len(rows) == count and (rows == np.arange(count)).all():
        return values
    order = np.full(count, -1)
    order[rows] = np.arange(len(rows))
    return values.take(make_numbers(order, order < 0))


def convert_from_polars(frame: DataFrame) -> Table:
    """Convert a pl.DataFrame to a pyarrow.Table, with texts of the plain kind."""
    pa = load_pyarrow()
    table = frame.to_arrow()
    plain = [
        field.with_type(pa.string()) if pa.types.is_string_view(field.type) or pa.types.is_large_string(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(plain))
