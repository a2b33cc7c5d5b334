"""The contigs of a genome, placed on the one axis that its arrays have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from modos.errors import IntegrityError, InvalidInputError, RegionError
from modos.errors.escaping import escape_line
from modos.formats.html_tables import MOST_ROWS, always, shorten, write_table
from modos.genomics.region import Region, unknown_contig_error
from modos.storage.processes.forking import cached_property
from modos.tracks.data import Places

CHUNK = 1 << 15  # bases
SHARD = CHUNK << 8
GRAIN = 1 << 10  # smallest distance of two contigs, and the smallest bin of a zoom level
MAX_LENGTH = (1 << 32) - 1
MAX_CONTIGS = 1 << 20

Span = tuple[int, int]


class Contig(NamedTuple):
    """A contig: its name, length in bases, place on the axis, and the stretches that can have data (0-based, half-open)."""

    name: str
    length: int
    offset: int
    supercontigs: tuple[Span, ...]

    def __repr__(self) -> str:
        parts = f", data in {len(self.supercontigs):,} stretches" if len(self.supercontigs) > 1 else ""
        return escape_line(f"<contig {self.name}: {self.length:,} bases{parts}>")


class Contigs(Mapping[str, Contig]):
    """The contigs of a genome in their order, by name or alias.

    Parameters
    ----------
    lengths
        In bases, by name.
    supercontigs
        By name, the stretches that can have data (0-based, half-open), where
        that is not all of a contig.
    aliases
        Other names: name by alias.
    offsets
        Of each contig on the axis; laid out anew where they are None: long
        contigs start at a shard's start, others at a chunk's, and those that
        are shorter than a chunk at multiples of 1,024.

    Raises
    ------
    InvalidInputError
        There is none, one has a length that cannot be, or a stretch lies
        outside its contig.
    """

    def __init__(
        self,
        lengths: Mapping[str, int],
        supercontigs: Mapping[str, Sequence[Span]] | None = None,
        aliases: Mapping[str, str] | None = None,
        offsets: Sequence[int] | None = None,
    ):
        if not lengths:
            raise InvalidInputError("a genome needs at least one contig")
        if len(lengths) > MAX_CONTIGS:
            raise InvalidInputError(f"a genome of {len(lengths):,} contigs: more than {MAX_CONTIGS:,} are not supported")
        self.lengths = dict(lengths)
        self.aliases = {alias: name for alias, name in (aliases or {}).items() if alias not in self.lengths}
        self._supercontigs = {name: tuple((int(s), int(e)) for s, e in spans) for name, spans in (supercontigs or {}).items()}
        self._check()
        self.offsets = list(offsets) if offsets is not None else self._lay_out()
        self._numbers = {name: number for number, name in enumerate(self.lengths)}

    def _check(self) -> None:
        for name, length in self.lengths.items():
            if not name or any(ord(c) <= 32 for c in name):
                raise InvalidInputError(f"{name!r} cannot be the name of a contig")
            if not 0 < length <= MAX_LENGTH:
                raise InvalidInputError(f"contig {name} has {length:,} bases", f"1 to {MAX_LENGTH:,} are possible")
        for name, spans in self._supercontigs.items():
            ends = [0, *(end for _, end in spans)]
            if (
                name not in self.lengths
                or ends[-1] > self.lengths[name]
                or any(not last <= start < end for last, (start, end) in zip(ends, spans))
            ):
                raise InvalidInputError(f"the stretches of contig {name} are not in order or not within it")
        for alias, name in self.aliases.items():
            if name not in self.lengths:
                raise InvalidInputError(f"{alias} is to be another name of {name}, and there is no such contig")

    def _lay_out(self) -> list[int]:
        offsets, at = [], 0
        for length in self.lengths.values():
            unit = SHARD if length >= SHARD else CHUNK if length >= CHUNK else GRAIN
            at = -(-at // unit) * unit
            offsets.append(at)
            at += length
        return offsets

    def __repr__(self) -> str:
        return f"<{len(self):,} contigs, {sum(self.lengths.values()):,} bases: {shorten(self.lengths, len(self))}>"

    @always
    def _repr_html_(self) -> str:
        rows = ((name, f"{length:,}") for name, length in islice(self.lengths.items(), MOST_ROWS))
        return write_table(f"{len(self):,} contigs", rows, ("contig", "bases"), total=len(self))

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Contigs:
        """Read what `to_attributes` gives; raise IntegrityError if it is something else."""
        try:
            names, lengths, offsets = attributes["contigs"], attributes["lengths"], attributes["offsets"]
            if not len(names) == len(lengths) == len(offsets) == len(set(names)):
                raise ValueError
            contigs = cls(dict(zip(names, lengths)), attributes.get("supercontigs"), attributes.get("aliases"), offsets)
            if any(type(number) is not int for number in (*lengths, *offsets)):
                raise ValueError
            ends = [0, *(offset + length for offset, length in zip(offsets, lengths))]
            if any(not end <= start < end + SHARD for end, start in zip(ends, offsets)):
                raise ValueError
            return contigs
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise IntegrityError("the contigs of the genome are damaged", "restore the object from a copy") from None

    def to_attributes(self) -> dict[str, Any]:
        """Return a form that can be written as JSON."""
        parts = {
            "supercontigs": {name: [list(span) for span in spans] for name, spans in self._supercontigs.items()},
            "aliases": self.aliases,
        }
        return {"contigs": list(self.lengths), "lengths": list(self.lengths.values()), "offsets": self.offsets} | {
            key: value for key, value in parts.items() if value
        }

    @property
    def size(self) -> int:
        """Length of the axis."""
        return self.offsets[-1] + next(reversed(self.lengths.values()))

    @cached_property
    def starts(self) -> Places:
        """Start of each contig on the axis: shape (contigs,), int64."""
        return np.array(self.offsets, np.int64)

    @cached_property
    def ends(self) -> Places:
        """End of each contig on the axis: shape (contigs,), int64."""
        return self.starts + np.fromiter(self.lengths.values(), np.int64, len(self.lengths))

    def resolve(self, name: str) -> str | None:
        """Resolve the name of a contig, given that or an alias; return None if there is none."""
        return name if name in self.lengths else self.aliases.get(name)

    def extent(self, contig: Contig) -> Span:
        """Return start and end of a contig: 0 and its length, unless its data alone say how long it is."""
        return 0, contig.length

    @cached_property
    def names(self) -> Mapping[str, None]:
        """All names and aliases."""
        return dict.fromkeys([*self.lengths, *self.aliases])

    def number(self, name: str) -> int:
        """Return a contig's place in the order, from 0."""
        return self._numbers[self[name].name]

    def __getitem__(self, name: str) -> Contig:
        known = self.resolve(name)
        if known is None:
            raise unknown_contig_error(name, self.lengths)
        length = self.lengths[known]
        return Contig(known, length, self.offsets[self._numbers[known]], self._supercontigs.get(known, ((0, length),)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.resolve(name) is not None

    def place(self, region: Region | str) -> tuple[Contig, int, int]:
        """Return a region's contig, start and end (0-based, half-open).

        Raises
        ------
        NotFoundError
            No such contig.
        RegionError
            It goes past the contig's end.
        """
        if isinstance(region, str):
            region = Region.parse(region, self.names)
        contig = self[region.contig]
        end = contig.length if region.end is None else region.end
        if end > contig.length or region.start >= contig.length:
            raise past_end_error(contig, max(end, region.start + 1))
        return contig, region.start, end

    def with_names(self, names: Mapping[str, str]) -> Contigs:
        """Return the same with other names; the old ones become aliases. Names that the mapping lacks stay."""
        new = [names.get(name, name) for name in self.lengths]
        if len(set(new)) < len(new):
            twice = next(name for name in new if new.count(name) > 1)
            raise InvalidInputError(f"two contigs would be named {twice}", "look at the names they are mapped to")
        to_new = dict(zip(self.lengths, new))
        aliases = {alias: to_new[name] for alias, name in self.aliases.items()}
        aliases |= {old: name for old, name in to_new.items() if old != name}
        return Contigs(
            dict(zip(new, self.lengths.values())), {to_new[name]: spans for name, spans in self._supercontigs.items()}, aliases
        )

    def with_aliases(self, aliases: Mapping[str, str]) -> Contigs:
        """Return the same with more names, of those contigs that are there."""
        known = {alias: name for alias, name in aliases.items() if name in self.lengths}
        return Contigs(self.lengths, self._supercontigs, self.aliases | known, self.offsets)


def past_end_error(contig: Contig, end: int) -> RegionError:
    """Make the error for a position that a contig does not have."""
    return RegionError(
        f"position {end:,} is past the end of {contig.name}, which has {contig.length:,} bases",
        "positions are 1-based and inclusive in text, 0-based and half-open in Python",
    )


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Merge stretches in order; those that meet or overlap are united."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
