"""Read samples and undeclared contigs from the header of a VCF or BCF (VCFv4.3 sections 1.4 and 6.2)."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

from modos.formats import FileFormat
from modos.genomics.index.opening import Opening

_BCF_PREFIX = 9  # bytes before the text: magic and length


def header_text(opening: Opening, format: FileFormat) -> bytes:
    """Return the header as it is in the file."""
    data = gzip.decompress(opening.header_bytes)
    return data if format.name == "VCF" else data[_BCF_PREFIX:].rstrip(b"\0")


def sample_names(text: bytes) -> tuple[str, ...]:
    """Return the samples of a header, in their order."""
    columns = text[_column_line(text) :].rstrip(b"\r\n").decode("utf-8", "backslashreplace").split("\t")
    return tuple(columns[9:])


def with_contigs(text: bytes, known: Iterable[str], used: Iterable[str]) -> bytes:
    """Add a line to the header for each contig that is used but not declared."""
    missing = dict.fromkeys(used)
    for name in known:
        missing.pop(name, None)
    lines = "".join(f"##contig=<ID={name}>\n" for name in missing).encode("utf-8", "backslashreplace")
    at = _column_line(text)
    return text[:at] + lines + text[at:]


def _column_line(text: bytes) -> int:
    """Find where the line #CHROM starts."""
    return text.rstrip(b"\r\n").rfind(b"\n") + 1
