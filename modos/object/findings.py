"""Findings of checks of objects, and ranges of bytes in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from modos.storage.base import ByteRange

_SHOWN = 3  # ranges that a message names


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Parameters
    ----------
    kind
        `missing`, `size`, `seal`, `checksum`, `index`, `path`, `schema`,
        `link`, `sequence`, `array`: the object is not what it says. `list`:
        a list of digests is not of its file or array, which is what it says, or
        cannot be told to be another; `fix` writes it anew. `leftover`, `mirror`:
        what an interrupted change left; `fix` mends these. `unknown`: a file
        that no element names, or a reference or an index that cannot be
        compared; it stays.
    where
        The element, or the file.
    message
        What is wrong.
    ranges
        Bytes of the file, or of the shard that the message names, that are not the recorded ones, where that is known.
    """

    kind: str
    where: str
    message: str
    ranges: tuple[ByteRange, ...] = ()

    @property
    def fixable(self) -> bool:
        """Return whether `fix` mends it."""
        return self.kind in ("leftover", "mirror", "list")

    @property
    def harmless(self) -> bool:
        """Return whether the object is whole all the same."""
        return self.kind in ("leftover", "mirror", "unknown")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told: dict[str, Any] = {"kind": self.kind, "where": self.where, "message": self.message}
        return told | {"ranges": [list(bounds) for bounds in self.ranges]} if self.ranges else told

    def __str__(self) -> str:
        return f"{self.kind:<9}{self.where}: {self.message}"


def join_ranges(ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """Join ranges that follow each other; they come in order."""
    joined: list[ByteRange] = []
    for bounds in ranges:
        if joined and joined[-1].end >= bounds.start:
            joined[-1] = ByteRange(joined[-1].start, max(joined[-1].end, bounds.end))
        else:
            joined.append(bounds)
    return joined


def describe_ranges(ranges: Sequence[ByteRange]) -> str:
    """Write ranges of bytes, the first few of them: `bytes 0-65,535, 131,072-196,607 and 12 more ranges`."""
    shown = ", ".join(f"{start:,}-{end - 1:,}" for start, end in ranges[:_SHOWN])
    more = len(ranges) - _SHOWN
    return f"bytes {shown}" + (f" and {more:,} more range{'' if more == 1 else 's'}" if more > 0 else "")
