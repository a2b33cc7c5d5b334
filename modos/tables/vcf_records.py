"""Decode records of a VCF into Arrow arrays (VCFv4.5 section 1.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.storage.processes.forking import cached_property
from modos.tables import arrow
from modos.tables.cells import Cells, decode_cells
from modos.tables.column_kinds import is_list
from modos.tables.ragged import PADDING, Block, Ints, find_byte, view_at

FIELDS = ("chrom", "pos", "id", "ref", "alt", "qual", "filter")

_INFO, _FORMAT = 7, 8  # columns
_FIXED = 8  # columns of a file without samples
_LONG = 2000  # bytes of a line from which on its first tabs are looked for one by one


class VcfRecords:
    """Some lines of a VCF.

    Parameters
    ----------
    block
        They, each with its end.
    samples
        How many the header has.

    Raises
    ------
    IntegrityError
        A line is malformed; also as columns are made.
    """

    def __init__(self, block: Block, samples: int):
        self.data, self._begins = block.data, block.bounds[:-1]
        self._samples = samples
        newlines = block.bounds[1:] - 1
        self._ends: Ints = newlines - (view_at(self.data, "u1", np.maximum(newlines - 1, 0)) == ord("\r"))
        self._columns = _FIXED + (1 + samples if samples else 0)
        self._tabs = self._find_tabs()

    def __len__(self) -> int:
        return len(self._begins)

    def _find_tabs(self) -> npt.NDArray[np.int64]:
        """Find the tabs that end the fixed columns: shape (lines, tabs)."""
        wanted = min(self._columns - 1, _FORMAT + 1)
        if len(self.data) > PADDING + _LONG * len(self):
            found = [_first_tabs(self.data, at, end, wanted) for at, end in zip(self._begins.tolist(), self._ends.tolist())]
            return np.array(found, np.int64).reshape(-1, wanted)
        tabs = find_byte(self.data, ord("\t"))
        counts = np.searchsorted(tabs, self._ends) - np.searchsorted(tabs, self._begins)
        wrong = np.flatnonzero((counts != self._columns - 1) if self._samples else (counts < wanted))
        if len(wrong):
            raise self._refuse(int(wrong[0]))
        at = np.searchsorted(tabs, self._begins)[:, None] + np.arange(wanted)
        places: npt.NDArray[np.int64] = tabs[at]
        return places

    def _column(self, number: int) -> Cells:
        starts = self._tabs[:, number - 1] + 1 if number else self._begins
        ends = self._tabs[:, number] if number < self._tabs.shape[1] else self._find_end(starts)
        return Cells(self.data, starts, ends - starts)

    def _find_end(self, starts: Ints) -> Ints:
        """Find where INFO ends, of lines without samples: some have a column FORMAT all the same."""
        tabs = np.append(find_byte(self.data, ord("\t")), len(self.data))
        ends: Ints = np.minimum(tabs[np.searchsorted(tabs, starts)], self._ends)
        return ends

    def decode(self, name: str) -> Any:
        """Decode one of the fixed fields into an array of shape (records,)."""
        cells = self._column(("chrom", "pos", "id", "ref", "alt", "qual", "filter").index(name))
        if name in ("chrom", "ref"):
            return arrow.slice_texts(self.data, cells.starts, cells.lengths, what=f"{name.upper()} of a record")
        if name == "alt":
            listed = decode_cells(cells, "texts", "ALT")
            return arrow.fill_lists(listed)
        if name == "filter":
            parts, counts = cells.compact().split(";")
            missing = cells.is_missing
            parts = parts.select(np.repeat(~missing, counts))
            names = arrow.slice_texts(parts.data, parts.starts, parts.lengths, what="FILTER of a record")
            return arrow.make_lists(names, np.where(missing, 0, counts), missing)
        return decode_cells(cells, {"pos": "integer", "id": "text", "qual": "real"}[name], name.upper())

    @cached_property
    def info(self) -> dict[str, tuple[Ints, Cells]]:
        """The keys of INFO, each with the numbers of the records that have it, and its values; a flag has none."""
        column = self._column(_INFO)
        rows = np.flatnonzero(~column.is_missing & (column.lengths > 0))
        items, counts = column.select(rows).compact().split(";")
        of = np.repeat(rows, counts)
        kept = items.lengths > 0
        items, of = items.select(kept), of[kept]
        equals = np.append(find_byte(items.data, ord("=")), len(items.data))
        at = equals[np.searchsorted(equals, items.starts)]
        has_value = at < items.ends
        key_ends = np.where(has_value, at, items.ends)
        keys = arrow.slice_texts(items.data, items.starts, key_ends - items.starts, what="a key of INFO").dictionary_encode()
        values = Cells(items.data, key_ends + 1, np.where(has_value, items.ends - key_ends - 1, -1))
        return {key: (of[which], values.select(which)) for key, which in _group(keys)}

    def info_keys(self) -> Iterable[str]:
        """Return the keys of INFO that records have."""
        return self.info

    def info_cells(self, key: str) -> Cells:
        """Return the values of a key of INFO; a negative length where a record has none.

        Raises
        ------
        IntegrityError
            A record has it twice.
        """
        rows, cells = self.info.get(key) or (np.empty(0, np.int64), Cells(self.data, *(np.empty(0, np.int64),) * 2))
        if (np.diff(rows) == 0).any():
            raise IntegrityError(f"a record has INFO/{key} twice", "leave this column out, or mend the file")
        starts, lengths = np.zeros(len(self), np.int64), np.full(len(self), -1)
        starts[rows], lengths[rows] = cells.starts, cells.lengths
        return Cells(cells.data, starts, lengths)

    def decode_info(self, key: str, kind: str) -> Any:
        """Decode a key of INFO into an array of a kind, shape (records,)."""
        if kind == "flag":
            has_key = np.zeros(len(self), bool)
            if key in self.info:
                has_key[self.info[key][0]] = True
            return arrow.make_numbers(has_key)
        cells = self.info_cells(key)
        if key in self.info and (kind == "text" or is_list(kind)):
            rows, values = self.info[key]
            cells.lengths[rows] = np.maximum(values.lengths, 0)  # a key without a value is there all the same
        return decode_cells(cells, kind, f"INFO/{key}")

    @cached_property
    def formats(self) -> list[tuple[list[str], npt.NDArray[np.intp]]]:
        """The lists of keys that FORMAT has, each with the numbers of its records: shape (n,), int64."""
        if not self._samples:
            return []
        cells = self._column(_FORMAT)
        texts = arrow.slice_texts(self.data, cells.starts, cells.lengths, what="FORMAT of a record").dictionary_encode()
        return [(key.split(":") if key not in ("", ".") else [], which) for key, which in _group(texts)]

    def format_keys(self) -> list[str]:
        """Return all keys of FORMAT."""
        return list(dict.fromkeys(key for keys, _ in self.formats for key in keys))

    def decode_format(self, key: str, kind: str, samples: Ints, *, by_record: bool) -> Any:
        """Decode a key of FORMAT into an array of a kind, shape (samples x records,), or (records x samples,) if `by_record`.

        Parameters
        ----------
        samples
            The numbers of those that are wanted.

        Raises
        ------
        IntegrityError
            A record has the key twice.
        """
        if any(keys.count(key) > 1 for keys, _ in self.formats):
            raise IntegrityError(f"a record has FORMAT/{key} twice", "leave this column out, or mend the file")
        cells = self._regular_cells(key, samples, by_record) or self._sample_cells(key, samples, by_record)
        return decode_cells(cells, kind, f"FORMAT/{key}")

    def _regular_cells(self, key: str, samples: Ints, by_record: bool) -> Cells | None:
        """Return the values of records that have one key alone, with as many bytes in each sample."""
        if [keys for keys, _ in self.formats] != [[key]]:
            return None
        first = self._tabs[:, _FORMAT] + 1
        lengths = np.unique(self._ends - first)
        width, rest = divmod(int(lengths[0]) + 1, self._samples)
        if len(lengths) > 1 or rest or width < 2:
            return None
        table = view_at(self.data, f"V{width * self._samples}", first).view(np.uint8).reshape(-1, self._samples, width)
        if (table[:, :-1, -1] != ord("\t")).any() or (table[:, :, :-1] == ord("\t")).any():
            return None
        values = table[:, samples, :-1]
        count = len(self) * len(samples)
        data = (values if by_record else values.transpose(1, 0, 2)).tobytes() + bytes(PADDING)
        if ord(":") in values:
            return None
        return Cells(data, np.arange(count) * (width - 1), np.full(count, width - 1))

    def _sample_cells(self, key: str, samples: Ints, by_record: bool) -> Cells:
        starts, ends = (column[:, samples] for column in self._sample_bounds)
        lengths = np.full(starts.shape, -1)
        starts = starts.copy()
        for keys, rows in self.formats:
            if key not in keys:
                continue
            number = keys.index(key)
            marks, first = self._colons
            at = first[np.ix_(rows, samples)] + number
            begin, end = starts[rows], ends[rows]
            if number:
                begin = marks[np.minimum(at - 1, len(marks) - 1)] + 1
            is_there = begin <= end
            end = np.minimum(marks[np.minimum(at, len(marks) - 1)], end)
            starts[rows] = begin
            lengths[rows] = np.where(is_there, end - begin, -1)
        starts[lengths < 0] = 0
        if not by_record:
            starts, lengths = starts.T, lengths.T
        return Cells(self.data, starts.ravel(), lengths.ravel())

    @cached_property
    def _colons(self) -> tuple[Ints, npt.NDArray[np.intp]]:
        """All colons, and the number of the first one in or behind each sample: shape (records, samples)."""
        marks = np.append(find_byte(self.data, ord(":")), len(self.data))
        return marks, np.searchsorted(marks, self._sample_bounds[0])

    @cached_property
    def _sample_bounds(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the samples start and end: shape (records, samples)."""
        tabs = find_byte(self.data, ord("\t"))
        low, high = np.searchsorted(tabs, self._tabs[:, _FORMAT]), np.searchsorted(tabs, self._ends)
        wrong = np.flatnonzero(high - low != self._samples)
        if len(wrong):
            raise self._refuse(int(wrong[0]))
        marks = tabs[low[:, None] + np.arange(self._samples)]
        return marks + 1, np.concatenate((marks[:, 1:], self._ends[:, None]), axis=1)

    def _refuse(self, number: int) -> IntegrityError:
        line = bytes(self.data[self._begins[number] : self._begins[number] + 60]).split(b"\n")[0].decode("utf-8", "replace")
        return IntegrityError(f"a line does not have the {self._columns} columns of the header: {line!r}", "mend the file")


def _first_tabs(data: bytes, at: int, end: int, count: int) -> list[int]:
    tabs: list[int] = []
    begin, at = at, at - 1
    for _ in range(count):
        at = data.find(b"\t", at + 1, end)
        if at < 0:
            line = data[begin : begin + 60].decode("utf-8", "replace")
            raise IntegrityError(f"a line has fewer columns than the header: {line!r}", "mend the file")
        tabs.append(at)
    return tabs


def _group(texts: Any) -> list[tuple[str, npt.NDArray[np.intp]]]:
    """Return each text of an encoded array with the numbers of those that have it, in the order of the first ones."""
    codes = arrow.view_numbers(texts.indices, "i4")
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(texts.dictionary) + 1))
    return [(key, order[low:high]) for key, low, high in zip(texts.dictionary.to_pylist(), bounds, bounds[1:])]
