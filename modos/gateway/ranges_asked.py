"""Read the header Range (RFC 9110, section 14)."""

from __future__ import annotations

import re

from modos.gateway.read_ahead import Wanted

_RANGES = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE | re.DOTALL)
_ONE = re.compile(r"(\d{0,19})\s*-\s*(\d{0,19})")


class UnsatisfiableRangeError(Exception):
    """No byte of the file lies in what was asked for."""


def parse_range(header: str | None, size: int) -> Wanted | None:
    """Return the bytes that a request asks for; None for the whole file.

    What is no range of bytes is ignored, as is a request for several ranges.

    Raises
    ------
    UnsatisfiableRangeError
        A range that begins after the end of the file, or an empty suffix.
    """
    given = _RANGES.fullmatch(header) if header else None
    parts = [part.strip() for part in given[1].split(",") if part.strip()] if given else []
    match = _ONE.fullmatch(parts[0]) if len(parts) == 1 else None
    if match is None or match[1] == match[2] == "":
        return None
    first, last = match[1], match[2]
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= size or (not first and not int(last)):
        raise UnsatisfiableRangeError
    return Wanted(start, end, is_open=bool(first) and not last)
