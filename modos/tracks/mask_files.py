"""Read masks from BED, or from wiggle and bigWig by their scores."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from modos.errors import InvalidInputError, RegionError, listing
from modos.formats.text import read_pieces, whole_number
from modos.storage.given import Name, as_file, open_given, show_path
from modos.tracks.bigwig import is_bigwig, read_bigwig
from modos.tracks.conditions import Condition
from modos.tracks.contigs import Contigs, past_end_error
from modos.tracks.data import Block, Places, Runs, Where
from modos.tracks.runs import Spans, union
from modos.tracks.wiggle import is_noise, parse_pieces

NOTHING = np.empty((2, 0), np.int64)
_WIGGLE = re.compile(rb"\s*(fixed|variable)Step\b")
_AT_ONCE = 1 << 16  # rows of BED
_SCORE = 4  # the column of BED


class MaskFile:
    """The places that a file names, read once.

    Parameters
    ----------
    path
        BED, wiggle (plain or compressed; `-` is stdin) or bigWig.
    scores
        Take only places whose score in the file is so: column 5 of BED, the
        value of wiggle and bigWig.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        A row that is none, or has no score where scores count; or no row.
    """

    def __init__(self, path: Name, scores: Condition | None = None):
        self.path = show_path(path)
        self._scores = scores
        parts: dict[str, list[Spans]] = {}
        self._last: dict[str, tuple[int, str]] = {}  # by contig the furthest end, and where it stands in the file
        for contig, spans, where in self._rows(path):
            parts.setdefault(contig, []).append(spans)
            if spans.size and spans[1].max() > self._last.get(contig, (0, ""))[0]:
                self._last[contig] = int(spans[1].max()), where(int(spans[1].argmax()))
        if not parts:
            raise InvalidInputError(
                f"{self.path} has no rows", "where nothing is meant, leave it out; a pipe is empty where its program failed"
            )
        self._spans = {contig: union(NOTHING, np.concatenate(found, axis=1)) for contig, found in parts.items()}

    def place_on(self, contigs: Contigs) -> dict[str, Spans]:
        """Place the mask on a genome, by contig: shape (2, n), int64, those that meet united; contigs that it lacks are left out.

        Raises
        ------
        InvalidInputError
            None of the contigs is the genome's.
        """
        found: dict[str, Spans] = {}
        for name, spans in self._spans.items():
            known = contigs.resolve(name)
            if known is not None:
                found[known] = union(found.get(known, NOTHING), spans)
        if self._spans and not found:
            raise InvalidInputError(
                f"{self.path} has none of the genome's contigs: it has {listing(self._spans)}", "is it of another genome?"
            )
        return found

    def check_ends(self, contigs: Contigs) -> None:
        """Raise RegionError where a place is past the end of its contig."""
        for name, (end, where) in self._last.items():
            known = contigs.resolve(name)
            if known is not None and end > contigs[known].length:
                error = past_end_error(contigs[known], end)
                raise RegionError(f"{where}: {error.message}", "is it of another genome?")

    def find_unknown(self, contigs: Contigs) -> list[str]:
        """Find the contigs that it has and a genome lacks."""
        return [name for name in self._spans if name not in contigs]

    def _rows(self, path: Name) -> Iterator[tuple[str, Spans, Where]]:
        with open_given(path) as file, tempfile.TemporaryDirectory(prefix="modos-") as folder:
            if is_bigwig(file):
                yield from self._choose(read_bigwig(as_file(file, folder, ".bw")))
                return
            pieces = read_pieces(file)
            first = next(pieces, b"")
            begin = next((line for line in first.split(b"\n") if not is_noise(line)), b"")
            whole = chain([first], pieces)
            yield from self._choose(parse_pieces(self.path, whole, "Float64")) if _WIGGLE.match(begin) else self._bed(whole)

    def _choose(self, blocks: Iterable[Block]) -> Iterator[tuple[str, Spans, Where]]:
        for block in blocks:
            data = block.data
            chosen = self._scores.test(data.values) if self._scores else ~np.isnan(data.values)
            if isinstance(data, Runs):
                rows = np.flatnonzero(chosen)
                yield data.contig, np.stack([data.starts[rows], data.ends[rows]]), _places(block, rows)
            else:
                borders = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8))).reshape(-1, 2).T
                yield data.contig, borders + data.start, _places(block, borders[1] - 1)

    def _bed(self, pieces: Iterable[bytes]) -> Iterator[tuple[str, Spans, Where]]:
        number, contig = 0, ""
        waiting: list[tuple[int, int, int]] = []

        def gather() -> tuple[str, Spans, Where]:
            *spans, lines = np.array(waiting, np.int64).reshape(-1, 3).T
            return contig, np.stack(spans), lambda row: f"{self.path}, line {lines[row]:,}"

        for piece in pieces:
            for line in piece.split(b"\n")[:-1]:
                number += 1
                if is_noise(line):
                    continue
                name, start, end, chosen = self._row(line, number)
                if (name != contig or len(waiting) >= _AT_ONCE) and contig:
                    yield gather()
                    waiting = []
                contig = name
                if chosen and start < end:
                    waiting.append((start, end, number))
        if contig:
            yield gather()

    def _row(self, line: bytes, number: int) -> tuple[str, int, int, bool]:
        text = line.decode(errors="replace").rstrip("\r")
        fields = text.split("\t" if "\t" in text else None)
        reason = "not a row of BED"
        try:
            start, end = whole_number(fields[1]), whole_number(fields[2])
            if not 0 <= start <= end:
                raise ValueError
            if self._scores is None:
                return fields[0], start, end, True
            reason = "no score in column 5"
            score = float(fields[_SCORE])
            if "_" in fields[_SCORE] or not math.isfinite(score):  # Python takes 1_0 as 10
                raise ValueError
            return fields[0], start, end, bool(self._scores.test(np.array([score]))[0])
        except (IndexError, ValueError):
            raise InvalidInputError(f"{self.path}, line {number:,}: {reason}: {text[:80]!r}") from None


def _places(block: Block, rows: Places) -> Where:
    return lambda number: block.where(int(rows[number]))
