"""Genomic regions: 0-based half-open in code, 1-based inclusive in text.

The text form is that of samtools (htslib, `hts_parse_region`): `chr1`,
`chr1:1,000-2,000`, `chr1:1000-`, `chr1:-2000`, `chr1:1000` (to the end), and
`{HLA-A*01:01}:1-10` where the name itself has colons. `*` stands for the
reads without a position.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from modos.errors import NotFoundError, RegionError, did_you_mean, listing

UNMAPPED = "*"
MAX_POSITION = 2**44  # htslib refuses more: CSI cannot express it

_BRACED = re.compile(r"\{(?P<contig>[^{}]+)\}(?::(?P<span>.*))?")
_SPAN = re.compile(r"(?P<start>\d[\d,]*)?(?P<to>-)?(?P<end>\d[\d,]*)?", re.ASCII)


@dataclass(frozen=True, order=True)
class Region:
    """A stretch of one contig.

    Parameters
    ----------
    contig
        Name of the reference sequence, or `*` for reads without a position.
    start
        First base, 0-based.
    end
        The base after the last one, 0-based; None reaches to the contig's end.
    """

    contig: str
    start: int = 0
    end: int | None = None

    def __post_init__(self):
        if not self.contig:
            raise RegionError("a region needs a contig", "write it like chr1:1,000-2,000")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise RegionError(f"region {self.contig}: start {self.start + 1:,} is after its end {self.end:,}"
                              if self.start >= 0 else f"region {self.contig}: negative start {self.start}")
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
        raise unknown_contig(readings[0].contig, contigs)

    @property
    def limit(self) -> int:
        """The end as a number, also where the region is open."""
        return MAX_POSITION if self.end is None else self.end

    def overlaps(self, start: int, end: int) -> bool:
        """Whether [start, end), 0-based on the same contig, shares a base with the region."""
        return start < self.limit and end > self.start

    def __str__(self) -> str:
        span = _format_span(self)
        return f"{{{self.contig}}}{span}" if ":" in self.contig and span else f"{self.contig}{span}"


def unknown_contig(name: str, contigs: Collection[str]) -> NotFoundError:
    """The error for a contig that a file does not have: says which it has."""
    near = did_you_mean(name, contigs)
    hint = f"did you mean {near}? " if near else ""
    return NotFoundError(f"no contig {name}", f"{hint}the file has {listing(contigs) or 'none'}")


def _readings(text: str) -> list[Region]:
    """Every way to read `text`, likeliest first."""
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
    """`1,000-2,000` (1-based inclusive) as 0-based half-open numbers."""
    match = _SPAN.fullmatch(span)
    if not match:
        raise RegionError(f"malformed region {text}", "positions are whole numbers, 1-based: chr1:1,000-2,000")
    start = max(int((match["start"] or "1").replace(",", "")) - 1, 0)
    end = int(match["end"].replace(",", "")) if match["end"] else None
    if end is not None and start >= end:
        raise RegionError(f"region {text}: its start is after its end", "positions are 1-based and inclusive: chr1:100-200")
    return start, end


def _format_span(region: Region) -> str:
    """The span as text, 1-based inclusive, empty for a whole contig."""
    if region.end is None:
        return f":{region.start + 1}-" if region.start else ""
    return f":{region.start + 1}-{region.end}"
