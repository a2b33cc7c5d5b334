"""The features of one kind, which can be queried by place, id and number."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np

from modos.errors import InvalidInputError, NotFoundError, did_you_mean, listing
from modos.errors.escaping import escape_line
from modos.errors.missing import load_late
from modos.genomics.region import Region
from modos.reference.annotations.around import Find, find_around, iter_turns
from modos.reference.annotations.columns import COLUMNS, check_column, missing_column_error
from modos.reference.annotations.features import Feature, Features
from modos.reference.annotations.intervals import IntervalIndex, Numbers, Pairs, Segments, ragged
from modos.reference.annotations.lookup import (
    find_aligned,
    find_ends,
    find_exact,
    find_within,
    rows_by_id,
)
from modos.reference.annotations.parquet import read_parquet
from modos.reference.annotations.parquet_files import Manifest
from modos.storage.processes.forking import cached_property

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_Side = Literal["left", "right"]
_STRANDS = (None, "+", "-")
_END = 1 << 44  # beyond every contig
_SHIFT = 45  # of a contig's number above a place
_new = object.__new__
_Pair: TypeAlias = "tuple[array[int], array[int]]"


class FeatureTable:
    """All genes, or all transcripts, exons, introns, coding stretches or UTRs of an annotation, by contig and start.

    Positions are 0-based half-open in numbers, 1-based inclusive in text
    (`chr1:1,000-2,000`). Contigs are known by all of their names.

    Queries take a region as text, or a contig, a start and an end; `strand`
    is `+`, `-`, or None for both. Their answers are `Features`. The forms
    that end with `_many` take contigs, starts and ends of one length and give
    pairs of numbers: of the query, and of the row.

    ``overlap``: shares a base with the query. ``within``: has none outside of
    it. ``exact``: is the same. ``aligned_5p``, ``aligned_3p``: has its 5' (3')
    end where the query has it; a feature on the strand `-` has its 5' end at
    `end`. ``within_5p``, ``within_3p``: has its 5'-most (3'-most) base in the
    query.

    On a circular contig, what crosses the origin ends beyond the last base;
    it is found on both sides, and a region may be given in the same way.

    Parameters
    ----------
    kind
        gene, transcript, exon, intron, cds or utr.
    manifest
        Of the annotation.
    codes
        The number of each contig, by each of its names.
    siblings
        The tables of the annotation by kind, this one among them.
    file
        Gives the Parquet file, fetched when it is first needed.
    """

    def __init__(
        self,
        kind: str,
        manifest: Manifest,
        codes: Mapping[str, int],
        siblings: Mapping[str, FeatureTable],
        file: Callable[[], Path],
    ):
        self.kind, self.manifest, self.siblings = kind, manifest, siblings
        self._table, self._file = manifest.tables[kind], file
        self._codes = codes
        self._lengths = np.array(
            [manifest.circular.get(contig, 0) for contig in manifest.contigs], np.int64
        )  # 0 where it is not circular
        self._circular = {code: length for code, length in enumerate(self._lengths.tolist()) if length}
        self._segments: dict[str | None, dict[str, Segments]] = {strand: {} for strand in _STRANDS}  # by strand and name
        self._segments_of: dict[str | None, dict[int, Segments | None]] = {strand: {} for strand in _STRANDS}
        self._indexes: dict[str | None, IntervalIndex] = {}
        self._columns: dict[str, pl.Series] = {}
        self._by_ends: dict[tuple[str, bool], _Pair] = {}
        self._children: dict[str, _Pair] = {}
        self.loaded: dict[str, Any] = {}  # columns as `values` gives them

    def __getstate__(self) -> dict[str, Any]:
        """Pickle where the features are, and none of what was read."""
        given = {"manifest": self.manifest, "codes": self._codes, "siblings": self.siblings, "file": self._file}
        return {"kind": self.kind, **given}

    def __setstate__(self, state: dict[str, Any]) -> None:
        FeatureTable.__init__(self, **state)

    def __len__(self) -> int:
        return self._table.offsets[-1]

    def __repr__(self) -> str:
        return escape_line(f"<{len(self):,} x {self.kind} of {self.manifest.name}>")

    def __iter__(self) -> Iterator[Feature]:
        return (Feature(self, row) for row in range(len(self)))

    @overload
    def __getitem__(self, which: int | str) -> Feature: ...
    @overload
    def __getitem__(self, which: slice) -> Features: ...

    def __getitem__(self, which: int | str | slice) -> Feature | Features:
        """Return a feature by number, or by id with or without its version; raise NotFoundError if there is none, or several."""
        if isinstance(which, slice):
            return Features(self, list(range(*which.indices(len(self)))))
        if isinstance(which, str):
            return Feature(self, self._row_of(which))
        row = which + len(self) if which < 0 else which
        if not 0 <= row < len(self):
            raise IndexError(f"there are {len(self):,} rows")
        return Feature(self, row)

    def named(self, name: str) -> Features:
        """Find the features of a name (`BRCA1`); none if no feature has it."""
        return Features(self, np.flatnonzero((self.column("name") == name).to_numpy()).tolist())

    def where(self, condition: pl.Expr) -> Features:
        """Find the features for which an expression of polars over the columns is true."""
        columns = pl.DataFrame({name: self.column(name) for name in condition.meta.root_names()})
        return Features(self, np.flatnonzero(columns.select(condition).to_series().fill_null(False).to_numpy()).tolist())

    def with_xref(self, xref: str) -> Features:
        """Find the features with a cross-reference, such as `GeneID:672`; none if no feature has it.

        Raises
        ------
        InvalidInputError
            Such features have none, or an older modos has added the annotation.
        """
        try:
            column = self.column("xrefs")
        except pl.exceptions.ColumnNotFoundError:
            raise InvalidInputError(
                f"a {self.kind} of {self.manifest.name} has no cross-references",
                "genes and transcripts have them, where the annotation was added by a modos that keeps them: add it again",
            ) from None
        return Features(self, np.flatnonzero(column.str.split(",").list.contains(xref).fill_null(False).to_numpy()).tolist())

    def _row_of(self, id: str) -> int:
        rows = self._rows_by_id
        if id in self._repeated:
            raise NotFoundError(
                f"{self.manifest.name} has several {self.kind}s {id}", "ask by place, or from their genes by name"
            )
        if id in rows:
            return rows[id]
        several = sorted(known for known in rows if known.rpartition(".")[0] == id)
        near = did_you_mean(id, rows)
        raise NotFoundError(
            f"{self.manifest.name} has {f'several {self.kind}s' if several else f'no {self.kind}'} {id}",
            f"there are {listing(several)}"
            if several
            else f"did you mean {near}?"
            if near
            else "give an id as the annotation has it; names are asked for with `named`",
        )

    @cached_property
    def _rows_by_id(self) -> dict[str, int]:
        if self.kind not in ("gene", "transcript", "exon"):
            raise InvalidInputError(f"a {self.kind} has no id", "ask by place, or from its transcript")
        return rows_by_id(self.column("id").to_list())

    @cached_property
    def _repeated(self) -> frozenset[str]:
        """The ids of several genes, or transcripts; transcripts may well share an exon."""
        ids = self.column("id")
        return frozenset() if self.kind == "exon" else frozenset(ids.filter(ids.is_duplicated()).drop_nulls().to_list())

    def column(self, name: str) -> pl.Series:
        """Return a column of the table."""
        if name not in self._columns:
            try:
                column = read_parquet(self._file(), [name]).to_series()
            except pl.exceptions.ColumnNotFoundError:
                if name in COLUMNS[self.kind]:
                    raise missing_column_error(self.manifest, self.kind, name) from None
                raise
            check_column(self.manifest, self.kind, column)
            self._columns[name] = column
        return self._columns[name]

    def numbers(self, name: str) -> Numbers:
        """Return a column of numbers: shape (rows,), int64."""
        return np.frombuffer(self.values(name), np.int64)

    def values(self, name: str) -> Any:
        """Return a column in Python's fastest form: an array of numbers, or a list in which equal texts may be one."""
        if name not in self.loaded:
            series = self.column(name)
            if series.dtype.is_integer() and not series.null_count():
                self.loaded[name] = array("q", series.cast(pl.Int64).to_numpy().tobytes())
            else:
                once: dict[Any, Any] = {}
                self.loaded[name] = [once.setdefault(value, value) for value in series.to_list()]
        return self.loaded[name]

    @cached_property
    def starts(self) -> array[int]:
        """Start of each feature, in order on each contig."""
        starts: array[int] = self.values("start")
        return starts

    @cached_property
    def ends(self) -> array[int]:
        """End of each feature."""
        ends: array[int] = self.values("end")
        return ends

    @cached_property
    def _frame(self) -> pl.DataFrame:
        frame = read_parquet(self._file())
        for name in COLUMNS[self.kind]:
            if name not in frame.columns:
                raise missing_column_error(self.manifest, self.kind, name)
        for column in frame:
            check_column(self.manifest, self.kind, column)
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return all rows."""
        return self._frame

    def all(self, strand: str | None = None) -> Features:
        """Return all features, or those of a strand."""
        return Features(self, None if _check_strand(strand) is None else self._rows(strand)[1])

    def overlap(self, contig: str, start: int = 0, end: int | None = None, strand: str | None = None) -> Features:
        """Return the features that share a base with a region."""
        try:  # what Segments.find does, without the calls
            cuts, first, shift, started, bounds, covering, rows, last = self._segments[strand][contig]
        except (KeyError, TypeError):
            return self._overlap(contig, start, end, strand)
        if end is None or not 0 <= start < end <= last:
            return self._overlap(contig, start, end, strand)
        stretch = start >> shift
        at = bisect_right(cuts, start, first[stretch], first[stretch + 1])
        found = _new(Features)
        found.table = self
        found._rows = covering[bounds[at] : bounds[at + 1]]
        if end > cuts[at]:
            new, stop = started[at], started[bisect_left(cuts, end, at, first[(end >> shift) + 1])]
            if new < stop:
                found._rows += rows[new:stop]
        return found

    def _overlap(self, contig: str, start: int, end: int | None, strand: str | None) -> Features:
        name, (code, start, end) = contig, self._place(contig, start, end)
        known = self._segments_of[_check_strand(strand)]
        if code not in known:
            known[code] = self._index(strand).segments(code)
        segments = known[code]
        if segments is None:
            return Features(
                self,
                self._find_many(self._index(strand).find_many, np.array([code]), np.array([start]), np.array([end])).row.tolist(),
            )
        if code in self._circular:
            return Features(self, self._find_around(segments.find, code, start, end))
        if name in self._codes:
            self._segments[strand][name] = segments
        return Features(self, segments.find(start, end))

    def within(self, contig: str, start: int = 0, end: int | None = None, strand: str | None = None) -> Features:
        """Return the features that have no base outside of a region."""
        code, start, end = self._place(contig, start, end)
        if code in self._circular and start <= 0 and end >= self._circular[code]:
            end = _END  # nothing is outside of all
        return self._ask(find_within, code, start, end, strand)

    def exact(self, contig: str, start: int = 0, end: int | None = None, strand: str | None = None) -> Features:
        """Return the features that begin and end where a region does."""
        return self._ask(find_exact, *self._place(contig, start, end), strand)

    def aligned_5p(self, contig: str, start: int = 0, end: int | None = None, strand: str | None = None) -> Features:
        """Return the features whose 5' end is that of a region."""
        return self._ask_ends(True, True, contig, start, end, strand)

    def aligned_3p(self, contig: str, start: int = 0, end: int | None = None, strand: str | None = None) -> Features:
        """Return the features whose 3' end is that of a region."""
        return self._ask_ends(False, True, contig, start, end, strand)

    def within_5p(self, contig: str, start: int = 0, end: int | None = None, strand: str | None = None) -> Features:
        """Return the features whose 5'-most base is in a region."""
        return self._ask_ends(True, False, contig, start, end, strand)

    def within_3p(self, contig: str, start: int = 0, end: int | None = None, strand: str | None = None) -> Features:
        """Return the features whose 3'-most base is in a region."""
        return self._ask_ends(False, False, contig, start, end, strand)

    def overlap_many(self, contigs: Iterable[str], starts: Any, ends: Any, strand: str | None = None) -> Pairs:
        """Find the features of many regions as `overlap` does: pairs of shape (n,), int64."""
        return self._find_many(self._index(strand).find_many, *self._places(contigs, starts, ends))

    def within_many(self, contigs: Iterable[str], starts: Any, ends: Any, strand: str | None = None) -> Pairs:
        """Find the features of many regions as `within` does: pairs of shape (n,), int64."""
        codes, starts, ends = self._places(contigs, starts, ends)
        is_whole = (starts <= 0) & (ends >= self._lengths[codes]) & (self._lengths[codes] > 0)
        return self._find_many(self._index(strand).find_within, codes, starts, np.where(is_whole, _END, ends))

    def exact_many(self, contigs: Iterable[str], starts: Any, ends: Any, strand: str | None = None) -> Pairs:
        """Find the features of many regions as `exact` does: pairs of shape (n,), int64."""
        return self._find_many(self._index(strand).find_exact, *self._places(contigs, starts, ends))

    def aligned_5p_many(self, contigs: Iterable[str], starts: Any, ends: Any, strand: str | None = None) -> Pairs:
        """Find the features of many regions as `aligned_5p` does: pairs of shape (n,), int64."""
        return self._find_many(partial(self._find_by_end, strand, True, True), *self._places(contigs, starts, ends))

    def aligned_3p_many(self, contigs: Iterable[str], starts: Any, ends: Any, strand: str | None = None) -> Pairs:
        """Find the features of many regions as `aligned_3p` does: pairs of shape (n,), int64."""
        return self._find_many(partial(self._find_by_end, strand, False, True), *self._places(contigs, starts, ends))

    def within_5p_many(self, contigs: Iterable[str], starts: Any, ends: Any, strand: str | None = None) -> Pairs:
        """Find the features of many regions as `within_5p` does: pairs of shape (n,), int64."""
        return self._find_many(partial(self._find_by_end, strand, True, False), *self._places(contigs, starts, ends))

    def within_3p_many(self, contigs: Iterable[str], starts: Any, ends: Any, strand: str | None = None) -> Pairs:
        """Find the features of many regions as `within_3p` does: pairs of shape (n,), int64."""
        return self._find_many(partial(self._find_by_end, strand, False, False), *self._places(contigs, starts, ends))

    def take(self, rows: Numbers | Sequence[int]) -> Features:
        """Take the features of row numbers, such as those of `Pairs`."""
        return Features(self, rows)

    def _ask(self, find: Callable[..., list[int]], code: int, start: int, end: int, strand: str | None) -> Features:
        """Search among the rows of a contig."""
        low, high = self._table.offsets[code], self._table.offsets[code + 1]
        if code in self._circular:
            found = self._find_around(partial(find, self.starts, self.ends, low, high), code, start, end)
        else:
            found = find(self.starts, self.ends, low, high, start, end)
        if _check_strand(strand) is not None:
            strands = self.values("strand")
            found = [row for row in found if strands[row] == strand]
        return Features(self, found)

    def _ask_ends(self, first: bool, aligned: bool, contig: str, start: int, end: int | None, strand: str | None) -> Features:
        """Find the features with their first (5') or last (3') end at that of a region, or in it."""
        code, start, end = self._place(contig, start, end)
        find = find_aligned if aligned else find_ends
        found: list[int] = []
        for sign in _signs(strand):
            at_start = first == (sign == "+")
            given = (*self._ends(sign, at_start), code << _SHIFT, at_start)
            found += (
                self._find_around(partial(find, *given), code, start, end) if code in self._circular else find(*given, start, end)
            )
        return Features(self, sorted(found))

    def _find_around(self, find: Callable[[int, int], Iterable[int]], code: int, start: int, end: int) -> list[int]:
        return list(dict.fromkeys(row for turn in iter_turns(start, end, self._circular[code]) for row in find(*turn)))

    def _place(self, contig: str, start: int, end: int | None) -> tuple[int, int, int]:
        if not start and end is None and contig not in self._codes:
            region = Region.parse(contig, self._codes)
            contig, start, end = region.contig, region.start, region.end
        if contig not in self._codes:
            near = did_you_mean(contig, self._codes)
            raise NotFoundError(f"{self.manifest.assembly} has no contig {contig}", f"did you mean {near}?" if near else None)
        end = _END if end is None else end
        if start > end:
            raise InvalidInputError(f"{contig}, {start:,} to {end:,}, is no region", "positions are 0-based, the end excluded")
        return self._codes[contig], start, end

    def _places(self, contigs: Any, starts: Any, ends: Any) -> tuple[Numbers, Numbers, Numbers]:
        starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
        codes = contigs if isinstance(contigs, np.ndarray) and contigs.dtype.kind == "i" else self._numbers_of(contigs)
        if not len(codes) == len(starts) == len(ends):
            raise InvalidInputError(
                f"there are {len(codes):,} contigs, {len(starts):,} starts and {len(ends):,} ends", "give as many of each"
            )
        if (starts > ends).any():
            raise InvalidInputError(f"region {int(np.argmax(starts > ends)):,} (from 0) ends before it starts")
        return codes, starts, ends

    def _numbers_of(self, contigs: Iterable[str]) -> Numbers:
        codes = self._codes
        try:
            return np.array([codes[name] for name in contigs], np.int64)
        except KeyError as error:
            raise NotFoundError(
                f"{self.manifest.assembly} has no contig {error.args[0]}",
                "see `modos reference show` for its contigs and their other names",
            ) from None

    def _index(self, strand: str | None) -> IntervalIndex:
        if _check_strand(strand) not in self._indexes:
            offsets, rows = self._rows(strand)
            self._indexes[strand] = IntervalIndex(offsets, self.numbers("start")[rows], self.numbers("end")[rows], rows)
        return self._indexes[strand]

    def _rows(self, strand: str | None) -> tuple[Numbers, Numbers]:
        offsets = np.array(self._table.offsets, np.int64)
        if strand is None:
            return offsets, np.arange(len(self))
        rows = np.flatnonzero((self.column("strand") == strand).to_numpy())
        return np.searchsorted(rows, offsets), rows

    def _find_many(self, find: Find, codes: Numbers, starts: Numbers, ends: Numbers) -> Pairs:
        return find_around(find, self._lengths, codes, starts, ends) if self.manifest.circular else find(codes, starts, ends)

    def _find_by_end(
        self, strand: str | None, first: bool, aligned: bool, codes: Numbers, starts: Numbers, ends: Numbers
    ) -> Pairs:
        """Find the features with their first (5') or last (3') end at that of a query, or in it."""
        found = []
        for sign in _signs(strand):
            at_start = first == (sign == "+")
            low, high = (starts, starts) if aligned and at_start else (ends, ends) if aligned else (starts, ends)
            keys, rows = (np.frombuffer(numbers, np.int64) for numbers in self._ends(sign, at_start))
            shift = codes << _SHIFT
            sides: tuple[_Side, _Side] = (
                ("left", "right") if aligned else ("left", "left") if at_start else ("right", "right")
            )  # the last base counts
            begin, stop = (
                np.searchsorted(keys, shift + np.clip(place, -aligned, _END), side) for place, side in zip((low, high), sides)
            )
            counts = np.maximum(stop - begin, 0)
            found.append((np.repeat(np.arange(len(codes)), counts), rows[ragged(begin, counts)]))
        query, row = (np.concatenate(parts) for parts in zip(*found))
        order = np.lexsort((row, query))
        return Pairs(query[order], row[order])

    def _ends(self, strand: str, at_start: bool) -> _Pair:
        """Return the starts, or ends, of a strand's features in order, above them the contigs' numbers; and their rows."""
        key = strand, at_start
        if key not in self._by_ends:
            offsets, rows = self._rows(strand)
            codes = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            keys = (codes << _SHIFT) + self.numbers("start" if at_start else "end")[rows]
            order = np.argsort(keys, kind="stable")
            self._by_ends[key] = _pack(keys[order]), _pack(rows[order])
        return self._by_ends[key]

    def _order_along(self, transcripts: Numbers) -> Numbers:
        """Return a number for each part of a transcript that grows from its 5' to its 3' end."""
        starts, table = self.numbers("start"), self.siblings["transcript"]
        if self.manifest.circular:
            lengths = np.repeat(self._lengths, np.diff(self._table.offsets))
            starts = starts + lengths * (starts < table.numbers("start")[transcripts])  # those after the origin
        return np.where((self.column("strand") == "-").to_numpy(), -starts, starts)

    def children(self, parent: str, row: int) -> array[int]:
        """Find the rows whose parent (`gene`, `transcript`) is a row, by their numbers from the 5' end."""
        if parent not in self._children:
            parents = self.numbers(parent)
            along = (self._order_along(parents), self.numbers("number")) if parent == "transcript" else ()
            order = np.lexsort((*along, parents))
            count = len(self.siblings[parent])
            self._children[parent] = _pack(order), _pack(np.searchsorted(parents[order], np.arange(count + 1)))
        children, bounds = self._children[parent]
        return children[bounds[row] : bounds[row + 1]]


def _pack(numbers: Numbers) -> array[int]:
    return array("q", numbers.astype(np.int64, copy=False).tobytes())


def _signs(strand: str | None) -> tuple[str, ...]:
    chosen = _check_strand(strand)
    return ("+", "-") if chosen is None else (chosen,)


def _check_strand(strand: str | None) -> str | None:
    if strand not in _STRANDS:
        raise InvalidInputError(f"strand {strand!r} is neither + nor -", "leave it out for both")
    return strand
