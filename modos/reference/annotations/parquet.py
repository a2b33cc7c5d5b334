"""Check the sizes that a Parquet file declares before a library allocates memory for them.

Formats: Apache Parquet, "File format" 2.11 (parquet.thrift); Apache Thrift, "Compact protocol".
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, InvalidInputError
from modos.errors.missing import load_late
from modos.storage.processes.panics import translate_panics

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

MAX_ROWS = 1 << 26
MAX_COLUMN = 4 << 30  # bytes, decompressed
_MAX_RATIO, _ANY_RATIO = 1000, 64 << 20  # how many bytes come out of one, in a column that has more than so many
_MAGIC = b"PAR1"
_VERIFY = "see `modos reference verify`"
_DEEPEST = 16
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_NUMBERS = range(4, 7)
_ROWS, _GROUPS = 3, 4  # fields of the footer
_COLUMNS, _GROUP_ROWS = 1, 3  # of a group of rows
_PATH, _VALUES, _UNPACKED, _PACKED, _DATA_AT, _NAMES_AT = 3, 5, 6, 7, 9, 11  # of a column
_HEADS = {0: 5, 2: 7, 3: 8}  # kinds of pages and the field of their own header: data, dictionary, data of version 2


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read columns of a file, or all.

    Raises
    ------
    IntegrityError, InvalidInputError
        The file is damaged; it is larger than tables may be.
    """
    try:
        check_parquet(path, columns)
        with translate_panics(path, _VERIFY):
            return pl.read_parquet(path, columns=list(columns) if columns else None)
    except pl.exceptions.ColumnNotFoundError:
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damage_error(path, error) from None


def _damage_error(path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(f"{path} is damaged: {next(iter(str(error).splitlines()), 'it cannot be read')}", _VERIFY)


def try_table(path: str) -> None:
    """Read all columns, one after the other, and look at what they hold; it may abort.

    Raises
    ------
    IntegrityError, InvalidInputError
        The file is damaged; it is larger than tables may be.
    """
    check_parquet(Path(path))
    for name in _names(Path(path)):
        column = read_parquet(Path(path), [name]).to_series()
        if column.dtype == pl.String and (size := column.str.len_bytes().cast(pl.UInt64).sum()) > MAX_COLUMN:
            raise InvalidInputError(
                f"{path} has a column with {size:,} bytes of text, more than the {MAX_COLUMN:,} that a table may have"
            )


def _names(path: Path) -> list[str]:
    try:
        with translate_panics(path, _VERIFY):
            return pl.scan_parquet(path).collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damage_error(path, error) from None


def check_parquet(path: Path, columns: Sequence[str] | None = None) -> None:
    """Check that the sizes of a file, and of all pages of some columns, are possible.

    Raises
    ------
    IntegrityError, InvalidInputError
        They are not; the file is larger than tables may be.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check(data, columns, path)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise IntegrityError(f"{path} is damaged: what it says of its sizes cannot be", _VERIFY) from None


def _check(data: mmap.mmap, columns: Sequence[str] | None, path: Path) -> None:
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    if data[:4] != _MAGIC or data[-4:] != _MAGIC or end < 4:
        raise ValueError
    footer, at = _struct(data[end:-8], 0)
    groups = footer[_GROUPS]
    if at != len(data) - 8 - end or footer[_ROWS] != sum(_size(group[_GROUP_ROWS]) for group in groups):
        raise ValueError
    if footer[_ROWS] > MAX_ROWS:
        raise InvalidInputError(f"{path} has {footer[_ROWS]:,} rows, more than the {MAX_ROWS:,} that a table may have")
    sizes: dict[bytes, list[int]] = {}
    for group in groups:
        for column in (chunk[3] for chunk in group[_COLUMNS]):
            size = sizes.setdefault(b".".join(column[_PATH]), [0, 0])
            size[:] = size[0] + _size(column[_UNPACKED]), size[1] + _size(column[_PACKED])
            if columns is None or column[_PATH][0].decode() in columns:
                _check_pages(data, column, end, group[_GROUP_ROWS])
    if any(size > MAX_COLUMN or (size > _ANY_RATIO and size > _MAX_RATIO * packed) for size, packed in sizes.values()):
        raise InvalidInputError(
            f"{path} has a column of {max(sizes.values())[0]:,} bytes, more than a table of its size may have"
        )


def _check_pages(data: mmap.mmap, column: dict[int, Any], end: int, rows: int) -> None:
    """Check that the pages of a column fill its place, and are together what it says."""
    at = min(column[_DATA_AT], column.get(_NAMES_AT, column[_DATA_AT]))
    stop, values, unpacked = at + _size(column[_PACKED]), 0, 0
    if at < 4 or stop > end or column[_VALUES] != rows:
        raise ValueError
    while at < stop:
        page, begin = _struct(data, at)
        head, size = page[_HEADS[page[1]]], _size(page[2])
        values += _size(head[1]) if page[1] != 2 else 0
        unpacked += begin - at + size
        levels = _size(head.get(5, 0)) + _size(head.get(6, 0)) if page[1] == 3 else 0
        if head[1] > MAX_ROWS or (page[1] == 2 and head[1] > size) or levels > size:
            raise ValueError
        at = begin + _size(page[3])
    if at != stop or values != rows or unpacked != column[_UNPACKED]:
        raise ValueError


def _size(number: int) -> int:
    if number < 0:
        raise ValueError
    return number


def _struct(data: Any, at: int, depth: int = _DEEPEST) -> tuple[dict[int, Any], int]:
    """Read a struct of Thrift by the numbers of its fields, and return where it ends."""
    found: dict[int, Any] = {}
    field = 0
    while (head := data[at]) != 0:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _number(data, at)
        if head & 15 in (_TRUE, _FALSE):
            found[field] = head & 15 == _TRUE
        else:
            found[field], at = _value(data, at, head & 15, depth)
    return found, at + 1


def _value(data: Any, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if not depth:
        raise ValueError
    if kind in _NUMBERS:
        return _number(data, at)
    if kind == _STRUCT:
        return _struct(data, at, depth - 1)
    if kind in (_LIST, _SET):
        return _list(data, at, depth)
    size, at = (8, at) if kind == _DOUBLE else (1, at) if kind in (_TRUE, _FALSE, _BYTE) else _unsigned(data, at)
    if kind > _BINARY or at + size > len(data):
        raise ValueError
    return data[at : at + size], at + size


def _list(data: Any, at: int, depth: int) -> tuple[list[Any], int]:
    head, at = data[at], at + 1
    count, at = (head >> 4, at) if head >> 4 < 15 else _unsigned(data, at)
    if count > len(data) - at:
        raise ValueError
    found = []
    for _ in range(count):
        value, at = _value(data, at, head & 15, depth - 1)
        found.append(value)
    return found, at


def _unsigned(data: Any, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte, at = data[at], at + 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError


def _number(data: Any, at: int) -> tuple[int, int]:
    number, at = _unsigned(data, at)
    return number >> 1 ^ -(number & 1), at
