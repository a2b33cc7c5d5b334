"""Regions by the names that sdsc-ordes modos has for them: `chrom`, `contains`, `to_tuple`."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from modos import region
from modos.errors import InvalidInputError, RegionError
from modos.renamed import also_called


class Region(region.Region):
    """A region, 0-based half-open; every call takes it that takes a `modos.region.Region`.

    Parameters
    ----------
    chrom
        The contig.
    start
        First base, 0-based.
    end
        The base after the last one; None and infinity reach to the contig's end.
    """

    def __init__(self, chrom: str, start: int = 0, end: float | None = None):
        super().__init__(chrom, _whole(start), None if end is None or end == math.inf else _whole(end))

    @property
    def chrom(self) -> str:
        """The contig."""
        return self.contig

    def to_tuple(self) -> tuple[str, int, int | None]:
        """Contig, start and end."""
        return self.contig, self.start, self.end

    @also_called(other="start")
    def overlaps(self, start: int | region.Region, end: int | None = None) -> bool:
        """Whether another region, or [start, end) of the same contig, shares a base with this one."""
        if isinstance(start, region.Region):
            return start.contig == self.contig and super().overlaps(start.start, start.limit)
        if end is None:
            raise RegionError("overlaps takes a region, or a start and an end")
        return super().overlaps(start, end)

    def contains(self, other: region.Region) -> bool:
        """Whether all of another region lies in this one."""
        return other.contig == self.contig and self.start <= other.start and other.limit <= self.limit

    def to_htsget_query(self) -> str:
        """The parameters of an htsget request for it."""
        return f"referenceName={quote(self.contig, safe='')}&start={self.start}" + ("" if self.end is None else f"&end={self.end}")

    @classmethod
    def from_htsget_query(cls, url: str) -> Region:
        """The region that the URL of an htsget request asks for."""
        query = parse_qs(urlsplit(url).query)
        if "referenceName" not in query:
            raise RegionError(f"{url} asks for no region", "it has a parameter referenceName")
        return cls(query["referenceName"][0], _number(query.get("start", ["0"])[0]),
                   _number(end) if (end := query.get("end", ["inf"])[0]) != "inf" else None)

    @classmethod
    def from_pysam(cls, record: Any) -> Region:
        """Where a record of pysam lies, a read or a variant."""
        if hasattr(record, "alleles"):
            return cls(record.chrom, record.start, record.stop)
        if record.reference_name is None or record.reference_start < 0:
            raise RegionError(f"the read {record.query_name} has no position")
        return cls(record.reference_name, record.reference_start, record.reference_end or record.reference_start + 1)

    @classmethod
    def from_ucsc(cls, ucsc: str) -> Region:
        """Refused: such text is 1-based here and everywhere, and was taken as 0-based there."""
        raise InvalidInputError(f"from_ucsc took the positions of {ucsc} as 0-based, and text is 1-based",
                                "write Region.parse(text) for text that is 1-based, or Region(chrom, start, end)")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RegionError(f"{text[:50]!r} is not a whole number") from None


def _whole(position: float) -> int:
    if position != int(position):
        raise RegionError(f"{position} is not a whole number")
    return int(position)
