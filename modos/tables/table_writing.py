r"""Write tables as Arrow, Parquet or text, batch by batch.

Text has a line with the names of the columns, then one for each row, with
tabs between the cells. A null is `.`, and so is an empty list; lists have commas
between their values. A struct has a column for each of its fields,
`NAME/FIELD`. Tabs, line ends and backslashes in a text are written as `\t`,
`\n`, `\r` and `\\`.

Where anything fails, what is written as Arrow or Parquet cannot be read as a
shorter table.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

from modos.errors import InvalidInputError, ModosError, listing
from modos.tables import arrow

_CUT = b"\xff\xff\xff\xff\x10\x00\x00\x00"  # the begin of a message without the message: Arrow, "Encapsulated message format"
_ROW_GROUP = 1 << 17  # rows
_ROW_GROUP_BYTES = 64 << 20
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def write_table(table: arrow.ArrowTable, format: str, file: BinaryIO, *, is_stream: bool = True) -> None:
    """Write a table.

    Parameters
    ----------
    format
        arrow, parquet or tsv.
    file
        It stays open.
    is_stream
        Whether Arrow is written as a stream, or as a file (Feather).

    Raises
    ------
    InvalidInputError
        The format has no place for such columns.
    ModosError
        What reading the table raises.
    """
    schema, batches = table.open()
    if format == "tsv":
        _write_text(schema, batches, file)
    elif format == "parquet":
        _write_parquet(schema, batches, file)
    else:
        _write_arrow(schema, batches, file, is_stream)


def _write_arrow(schema: Any, batches: Iterator[Any], file: BinaryIO, is_stream: bool) -> None:
    pa = arrow.load_pyarrow()
    sink = _Sink(file)
    make = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    writer = make(pa.PythonFile(sink, "w"), schema)
    try:
        for batch in batches:
            writer.write_batch(batch)
        writer.close()
        file.flush()
    except BaseException:
        sink.cut()
        raise


class _Sink:
    """A file that takes nothing any more once it is cut, and cannot be read as whole then."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._is_cut = False
        self.closed = False

    def write(self, data: Any) -> int:
        return len(data) if self._is_cut else self._file.write(data)

    def flush(self) -> None:
        if not self._is_cut:
            self._file.flush()

    def close(self) -> None:
        self.closed = True

    def cut(self) -> None:
        self._is_cut = True
        try:
            self._file.write(_CUT)
            self._file.flush()
        except OSError:
            pass  # nobody reads it


def _write_parquet(schema: Any, batches: Iterator[Any], file: BinaryIO) -> None:
    pa = arrow.load_pyarrow()
    if not len(schema):
        raise InvalidInputError("a Parquet file has at least one column", "name one")
    if empty := [field.name for field in schema if pa.types.is_null(field.type)]:
        schema = pa.schema([field.with_type(pa.string()) if field.name in empty else field for field in schema])
    sink = _Sink(file)
    writer = import_module("pyarrow.parquet").ParquetWriter(pa.PythonFile(sink, "w"), schema)
    try:
        for part in _group(batches):
            writer.write_table(pa.Table.from_batches(part).cast(schema), row_group_size=_ROW_GROUP)
        writer.close()
        file.flush()
    except BaseException as error:
        sink.cut()
        if isinstance(error, pa.ArrowException) and not isinstance(error, (ModosError, OSError)):
            raise InvalidInputError(
                f"Parquet does not take the columns {listing(schema.names)}: {error}", "write Arrow"
            ) from error
        raise


def _group(batches: Iterator[Any]) -> Iterator[list[Any]]:
    """Put batches together to groups of rows that are worth one."""
    held: list[Any] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _ROW_GROUP or size >= _ROW_GROUP_BYTES:
            yield held
            held, rows, size = [], 0, 0
    if held:
        yield held


def _write_text(schema: Any, batches: Iterator[Any], file: BinaryIO) -> None:
    file.write(("\t".join(_escape(name) for name, _ in _flatten(schema, [None] * len(schema))) + "\n").encode())
    for batch in batches:
        file.write(_to_lines([column for _, column in _flatten(schema, batch.columns)], batch.num_rows))
    file.flush()


def _flatten(schema: Any, columns: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and columns, those of a struct one by one."""
    pa = arrow.load_pyarrow()
    for field, column in zip(schema, columns):
        if not pa.types.is_struct(field.type):
            yield field.name, column
            continue
        for number, part in enumerate(field.type):
            yield f"{field.name}/{part.name}", None if column is None else column.field(number)


def _escape(text: str) -> str:
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _to_lines(columns: list[Any], rows: int) -> memoryview | bytes:
    pc = import_module("pyarrow.compute")
    if not columns or not rows:
        return b""
    missing, nothing, tab, end = arrow.make_strings((".", "", "\t", "\n"))
    texts = [_to_texts(column).fill_null(missing) for column in columns]
    lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*texts, tab) if len(texts) > 1 else texts[0], nothing, end)
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("i")
    return memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]


def _to_texts(column: Any) -> Any:
    """Write the values of a column as text."""
    pa = arrow.load_pyarrow()
    pc = import_module("pyarrow.compute")
    if pa.types.is_list(column.type):
        missing, comma, null = arrow.make_strings((".", ",", None))
        (zero,) = arrow.make_numbers(np.zeros(1, np.int32))
        counts = pc.list_value_length(column).fill_null(zero)
        values = _to_texts(column.flatten()).fill_null(missing)
        joined = pc.binary_join(arrow.make_lists(values, arrow.view_numbers(counts, "i4").astype(np.int64)), comma)
        return pc.if_else(pc.equal(counts, zero), null, joined)
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    for plain, escaped in _ESCAPES:
        if pc.any(pc.match_substring(column, plain)).as_py():
            column = pc.replace_substring(column, plain, escaped)
    return column
