"""Genomic regions: 0-based half-open in code, 1-based inclusive in text.

The text form is that of samtools (htslib, `hts_parse_region`): `chr1`,
`chr1:1,000-2,000`, `chr1:1000-`, `chr1:-2000`, `chr1:1000` (to the end), and
`{HLA-A*01:01}:1-10` where the name itself has colons. `*` stands for the
reads without a position.
"""

from __future__ import annotations

import io
import logging
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from modos.errors import InvalidInputError, NotFoundError, RegionError, TruncatedStream, did_you_mean, listing
from modos.storage.given import has_name, open_given, show_path

logger = logging.getLogger(__name__)

UNMAPPED = "*"
MAX_POSITION = 2**44  # htslib refuses more: CSI cannot express it
MAX_REGIONS = 1 << 22  # of one file of regions
_MAX_LINE = 8 << 20  # characters

_BRACED = re.compile(r"\{(?P<contig>[^{}]+)\}(?::(?P<span>.*))?")
_SPAN = re.compile(r"(?P<start>\d[\d,]*)?(?P<to>-)?(?P<end>\d[\d,]*)?", re.ASCII)


@dataclass(frozen=True, order=True, init=False)
class Region:
    """A stretch of one contig.

    Parameters
    ----------
    contig
        Name of the reference sequence, or `*` for reads without a position;
        also as `chrom`, as sdsc-ordes modos has it.
    start
        First base, 0-based.
    end
        The base after the last one, 0-based; None and infinity reach to the
        contig's end.
    """

    contig: str
    start: int
    end: int | None

    def __init__(self, contig: str = "", start: float = 0, end: float | None = None, *, chrom: str = ""):
        object.__setattr__(self, "contig", contig or chrom)
        object.__setattr__(self, "start", _to_whole(start))
        object.__setattr__(self, "end", None if end is None or end == math.inf else _to_whole(end))
        self._check()

    def _check(self) -> None:
        if not self.contig:
            raise RegionError("a region needs a contig", "write it like chr1:1,000-2,000")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise RegionError(
                f"region {self.contig}: start {self.start + 1:,} is after its end {self.end:,}"
                if self.start >= 0
                else f"region {self.contig}: negative start {self.start}"
            )
        if max(self.start, self.end or 0) > MAX_POSITION:
            raise RegionError(f"region {self.contig}: position beyond {MAX_POSITION:,}")

    @classmethod
    def parse(cls, text: str, contigs: Collection[str] | None = None) -> Region:
        """Read a region from text.

        Parameters
        ----------
        text
            The region, 1-based inclusive.
        contigs
            The contigs of the file's header. With them a name that has colons
            is recognised and an unknown name is an error; without them the
            last colon counts where a range follows it.

        Raises
        ------
        RegionError
            The text is malformed, or could mean two things.
        NotFoundError
            The contig is not among `contigs`.
        """
        if contigs is None:
            return _readings(text)[0]
        try:
            readings = _readings(text)
        except RegionError:
            if text not in contigs:
                raise
            readings = [Region(text)]
        known = [region for region in readings if region.contig in contigs or region.contig == UNMAPPED]
        if len(known) == 1:
            return known[0]
        if known:
            choices = " or ".join(f"{{{region.contig}}}{_format_span(region)}" for region in known)
            raise RegionError(f"region {text} could mean two things", f"write {choices}")
        raise unknown_contig_error(readings[0].contig, contigs)

    @property
    def chrom(self) -> str:
        """The contig."""
        return self.contig

    @property
    def limit(self) -> int:
        """The end as a number, also where the region is open."""
        return MAX_POSITION if self.end is None else self.end

    def overlaps(self, start: int | Region | None = None, end: int | None = None, *, other: Region | None = None) -> bool:
        """Return whether another region, or [start, end), 0-based on the same contig, shares a base with this one."""
        start = start if other is None else other
        if isinstance(start, Region):
            return start.contig == self.contig and self.overlaps(start.start, start.limit)
        if start is None or end is None:
            raise RegionError("overlaps takes a region, or a start and an end")
        return start < self.limit and end > self.start

    def contains(self, other: Region) -> bool:
        """Return whether all of another region lies in this one."""
        return other.contig == self.contig and self.start <= other.start and other.limit <= self.limit

    def to_tuple(self) -> tuple[str, int, int | None]:
        """Return contig, start and end."""
        return self.contig, self.start, self.end

    def to_htsget_query(self) -> str:
        """Return the parameters of an htsget request for the region (htsget.md 1.3, "Url parameters")."""
        return f"referenceName={quote(self.contig, safe='')}&start={self.start}" + (
            "" if self.end is None else f"&end={self.end}"
        )

    @classmethod
    def from_htsget_query(cls, url: str) -> Region:
        """Parse the region that the URL of an htsget request asks for."""
        query = parse_qs(urlsplit(url).query)
        if "referenceName" not in query:
            raise RegionError(f"{url} asks for no region", "it has a parameter referenceName")
        return cls(
            query["referenceName"][0],
            _read_number(query.get("start", ["0"])[0]),
            _read_number(end) if (end := query.get("end", ["inf"])[0]) != "inf" else None,
        )

    @classmethod
    def from_pysam(cls, record: Any) -> Region:
        """Return the region of a record of pysam, a read or a variant."""
        if hasattr(record, "alleles"):
            return cls(record.chrom, record.start, record.stop)
        if record.reference_name is None or record.reference_start < 0:
            raise RegionError(f"the read {record.query_name} has no position")
        return cls(record.reference_name, record.reference_start, record.reference_end or record.reference_start + 1)

    @classmethod
    def from_ucsc(cls, ucsc: str) -> Region:
        """Refuse text: it is 1-based here and everywhere, and sdsc-ordes modos took it as 0-based."""
        raise InvalidInputError(
            f"from_ucsc took the positions of {ucsc} as 0-based, and text is 1-based",
            "write Region.parse(text) for text that is 1-based, or Region(chrom, start, end)",
        )

    def __str__(self) -> str:
        span = _format_span(self)
        return f"{{{self.contig}}}{span}" if ":" in self.contig and span else f"{self.contig}{span}"


def _read_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RegionError(f"{text[:50]!r} is not a whole number") from None


def _to_whole(position: float) -> int:
    if position != int(position):
        raise RegionError(f"{position} is not a whole number")
    return int(position)


RegionLike = str | Region
Regions = tuple[Region, ...]


def as_regions(given: RegionLike | Iterable[RegionLike] | None) -> tuple[RegionLike, ...] | None:
    """Convert what a user gives as region, one, several, or None for all of a file.

    Raises
    ------
    RegionError
        There is not one among several.
    """
    if given is None:
        return None
    regions = (given,) if isinstance(given, (str, Region)) else tuple(given)
    if not regions:
        raise RegionError("no regions are given", "give one at least; None stands for all of a file")
    return regions


def settle(regions: Iterable[RegionLike], contigs: Sequence[str] | None = None) -> Regions:
    """Settle regions in the order of a file, and unite those that meet.

    Parameters
    ----------
    contigs
        The contigs of the file's header in their order, against which text is
        resolved; without them the order is that of the first mention.
    """
    known = None if contigs is None else dict.fromkeys(contigs)
    parsed = [Region.parse(region, known) if isinstance(region, str) else region for region in regions]
    order = {name: number for number, name in enumerate(dict.fromkeys([*(contigs or ()), *(r.contig for r in parsed)]))}
    order[UNMAPPED] = len(order)
    united: list[Region] = []
    for region in sorted(parsed, key=lambda r: (order[r.contig], r.start, r.limit)):
        last = united[-1] if united else None
        if last and last.contig == region.contig and region.start <= last.limit:
            end = None if last.end is None or region.end is None else max(last.end, region.end)
            united[-1] = Region(last.contig, last.start, end)
        else:
            united.append(region)
    return tuple(united)


def read_regions(path: str | os.PathLike[str]) -> Regions:
    """Read the regions of a file: `.bed` is 0-based half-open, other tables (contig, start, end) are 1-based inclusive.

    Parameters
    ----------
    path
        The file, which may be gzipped; `-` is stdin. A row without an end is
        one base; one without a start is all of its contig. `bed:` before it
        says that it is BED, for pipes, whose names do not.

    Raises
    ------
    NotFoundError
        No such file.
    RegionError
        A malformed row, or no row.
    TruncatedStream
        A compressed file that ends before its end.
    """
    path, is_bed = _split_prefix(str(path))
    regions: list[Region] = []
    for number, line in enumerate(_lines(path), 1):
        fields = line.split("\t" if "\t" in line else None)
        if not fields or line.startswith(("#", "track ", "browser ")):
            continue
        if len(regions) >= MAX_REGIONS:
            raise RegionError(f"{show_path(path)} has more than {MAX_REGIONS:,} regions")
        try:
            regions += _row_of_bed(fields) if is_bed else [_row(fields)]
        except (ValueError, IndexError) as error:
            raise RegionError(
                f"{show_path(path)}, line {number}: {error if isinstance(error, RegionError) else 'not a region'}",
                "a row has contig, start and end, with tabs between",
            ) from None
        if not is_bed and not has_name(path):
            _check_table(path, number, fields, is_first=len(regions) == 1)
    if not regions:
        raise RegionError(f"{show_path(path)} has no regions")
    return tuple(regions)


def _split_prefix(path: str) -> tuple[str, bool]:
    """Split a path from `bed:` before it; return the path, and whether it or its ending says BED."""
    if path.startswith("bed:"):
        return path.removeprefix("bed:"), True
    return path, path.lower().removesuffix(".gz").endswith(".bed")


def _check_table(path: str, number: int, fields: list[str], is_first: bool) -> None:
    """Refuse BED from a pipe, whose name does not tell what it has, and say once how positions are taken."""
    hint = "for BED, write bed: before it, as in bed:-"
    if (len(fields) > 1 and fields[1].strip() == "0") or (len(fields) > 5 and fields[5].strip() in ("+", "-")):
        raise RegionError(f"{show_path(path)} is a pipe, and its line {number} looks like BED", hint)
    if is_first and len(fields) > 2:
        logger.warning("positions from %s are taken as 1-based; %s", show_path(path), hint)


def _lines(path: str) -> Iterator[str]:
    from isal import igzip

    from modos.formats.deflate import DeflateError

    try:
        with open_given(path) as file:
            data = igzip.GzipFile(fileobj=file) if file.peek(2) == b"\x1f\x8b" else file
            text = io.TextIOWrapper(io.BufferedReader(data), encoding="utf-8-sig")
            while line := text.readline(_MAX_LINE + 1):
                if len(line) > _MAX_LINE:
                    raise RegionError(
                        f"{show_path(path)} is not a file of regions: it has a line of more than {_MAX_LINE >> 20} MiB"
                    )
                yield line.rstrip("\n")
    except EOFError:
        raise TruncatedStream(f"{show_path(path)} is truncated: its compressed data end too early", "copy it again") from None
    except (UnicodeDecodeError, OSError, OverflowError, DeflateError) as error:  # OverflowError: of a long comment in gzip
        raise RegionError(f"{show_path(path)} is not a file of regions: {error}") from None


def _row_of_bed(fields: list[str]) -> list[Region]:
    start, end = _number(fields[1]), _number(fields[2])
    return [Region(fields[0], start, end)] if start != end else []


def _row(fields: list[str]) -> Region:
    if len(fields) == 1:
        return Region(fields[0])
    start = max(_number(fields[1]) - 1, 0)
    end = _number(fields[2]) if len(fields) > 2 and re.fullmatch(r"\s*-?[\d,]+\s*", fields[2], re.ASCII) else start + 1
    return Region(fields[0], start, end)


def _number(text: str) -> int:
    text = text.strip().replace(",", "")
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise RegionError(f"{text[:50]!r} is not a whole number")
    return int(text)


def unknown_contig_error(name: str, contigs: Collection[str]) -> NotFoundError:
    """Make the error for a contig that a file does not have; it says which the file has."""
    near = did_you_mean(name, contigs)
    hint = f"did you mean {near}? " if near else ""
    return NotFoundError(f"no contig {name}", f"{hint}the file has {listing(contigs) or 'none'}")


def _readings(text: str) -> list[Region]:
    """Return every way to read `text`, likeliest first."""
    text = text.strip()
    if not text or any(ord(c) < 32 for c in text):
        raise RegionError(f"malformed region {text!r}", "write it like chr1:1,000-2,000")
    if braced := _BRACED.fullmatch(text):
        return [Region(braced["contig"], *_parse_span(braced["span"] or "", text))]
    contig, colon, span = text.rpartition(":")
    if not colon or not contig:
        return [Region(text)]
    whole = Region(text)
    match = _SPAN.fullmatch(span)
    if not match:
        if ":" in contig or not re.match(r"[\d,-]", span):
            return [whole]
        raise RegionError(f"malformed region {text}", "positions are whole numbers, 1-based: chr1:1,000-2,000")
    try:
        return [Region(contig, *_parse_span(span, text)), whole]
    except RegionError:
        if ":" in contig:
            return [whole]
        raise


def _parse_span(span: str, text: str) -> tuple[int, int | None]:
    """Parse `1,000-2,000` (1-based inclusive) as 0-based half-open numbers."""
    match = _SPAN.fullmatch(span)
    if not match:
        raise RegionError(f"malformed region {text}", "positions are whole numbers, 1-based: chr1:1,000-2,000")
    start = max(_number(match["start"] or "1") - 1, 0)
    end = _number(match["end"]) if match["end"] else None
    if end is not None and start >= end:
        raise RegionError(f"region {text}: its start is after its end", "positions are 1-based and inclusive: chr1:100-200")
    return start, end


def _format_span(region: Region) -> str:
    """Format the span as text, 1-based inclusive, empty for a whole contig."""
    if region.end is None:
        return f":{region.start + 1}-" if region.start else ""
    return f":{region.start + 1}-{region.end}"
