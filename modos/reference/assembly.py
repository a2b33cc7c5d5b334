"""Assemblies in reference stores: contigs with lengths, digests and other names."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modos.errors import (
    IntegrityError,
    InvalidInputError,
    NewerFormatError,
    NotFoundError,
    check_format,
    did_you_mean,
    listing,
)
from modos.errors.escaping import escape_line
from modos.formats.html_tables import MOST_ROWS, always, write_table
from modos.reference.digests import seqcol_digest
from modos.storage.http.asking import read_json

logger = logging.getLogger(__name__)

FORMAT = 1
MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)  # what reading untrusted JSON may raise
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True)
class StoredContig:
    """A contig of an assembly: its name, length in bases, digests (MD5, `SQ.` of GA4GH) and other names."""

    name: str
    length: int
    md5: str
    ga4gh: str
    aliases: tuple[str, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """Known digests, by kind: that of a header has no `SQ.`."""
        return {"md5": self.md5} | ({"ga4gh": self.ga4gh} if self.ga4gh else {})


@dataclass(frozen=True, repr=False)
class Assembly:
    """A reference assembly as a store has it.

    Parameters
    ----------
    name
        In the store.
    seqcol
        Digest of its names, lengths and sequences (refget sequence collections).
    source
        Where it came from, in words.
    masked
        The table of what is in lower case (soft masked) in the files that it
        was made of: its file, size and SHA-256.
    """

    name: str
    contigs: tuple[StoredContig, ...]
    seqcol: str
    source: str = ""
    masked: tuple[str, int, str] | None = None
    by_name: dict[str, StoredContig] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {alias: contig for contig in self.contigs for alias in contig.aliases}
        object.__setattr__(self, "by_name", names | {contig.name: contig for contig in self.contigs})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the contigs by name, which follow from the contigs."""
        return Assembly, (self.name, self.contigs, self.seqcol, self.source, self.masked)

    def __repr__(self) -> str:
        return escape_line(f"<assembly {self.name}: {len(self.contigs):,} contigs, {self.bases:,} bases>")

    @always
    def _repr_html_(self) -> str:
        rows = ((one.name, f"{one.length:,}", ", ".join(one.aliases), one.md5) for one in self.contigs[:MOST_ROWS])
        title = f"assembly {self.name}: {len(self.contigs):,} contigs, {self.bases:,} bases"
        return write_table(title, rows, ("contig", "bases", "other names", "MD5"), total=len(self.contigs))

    @property
    def bases(self) -> int:
        """Length of all contigs."""
        return sum(contig.length for contig in self.contigs)

    def contig(self, name: str) -> StoredContig:
        """Find a contig by any of its names; raise NotFoundError if there is none."""
        if name not in self.by_name:
            near = did_you_mean(name, self.by_name)
            raise NotFoundError(
                f"{self.name} has no contig {name}",
                f"did you mean {near}?" if near else f"it has {listing(contig.name for contig in self.contigs)}",
            )
        return self.by_name[name]

    def to_bytes(self) -> bytes:
        """Serialise as JSON."""
        contigs = [
            {"name": c.name, "length": c.length, "md5": c.md5, "ga4gh": c.ga4gh, "aliases": list(c.aliases)} for c in self.contigs
        ]
        return json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "seqcol": self.seqcol,
                "source": self.source,
                "masked": self.masked,
                "contigs": contigs,
            },
            ensure_ascii=False,
            indent=1,
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Assembly:
        """Read it; raise IntegrityError if it is none, or not what its digest says, NewerFormatError if its format is newer."""
        try:
            given = read_json(data)
            check_format(where, given.get("format", FORMAT), FORMAT)
            contigs = tuple(
                StoredContig(str(c["name"]), int(c["length"]), str(c["md5"]), str(c["ga4gh"]), tuple(map(str, c["aliases"])))
                for c in given["contigs"]
            )
            file, size, sha256 = given.get("masked") or ("", 0, "")
            masked = (check_name(file), int(size), check_sha256(sha256)) if file else None
            assembly = cls(str(given["name"]), contigs, str(given["seqcol"]), str(given.get("source", "")), masked)
            valid = seqcol_digest([vars(c) for c in contigs]) == assembly.seqcol
            valid = valid and all(
                re.fullmatch("[0-9a-f]{32}", c.md5) and re.fullmatch("SQ[.][A-Za-z0-9_-]{32}", c.ga4gh) and c.length > 0
                for c in contigs
            )
        except MALFORMED as error:
            if isinstance(error, NewerFormatError):
                raise
            valid = False
        if not valid:
            raise IntegrityError(f"{where} is damaged", "restore it from its source, or pull it again")
        return assembly


def settle_aliases(contigs: Sequence[StoredContig]) -> tuple[StoredContig, ...]:
    """Drop other names that several contigs share, with a warning that lists them."""
    names = {contig.name for contig in contigs}
    count = Counter(alias for contig in contigs for alias in set(contig.aliases))
    lost = sorted(alias for alias, number in count.items() if number > 1 or alias in names)
    if lost:
        logger.warning("left out, as they are names of several contigs: %s", listing(lost))
    gone = set(lost)
    return tuple(replace(contig, aliases=tuple(alias for alias in contig.aliases if alias not in gone)) for contig in contigs)


def unite(present: Assembly, added: Assembly) -> Assembly:
    """Return an assembly with the names of its contigs that were added, and those of before that are no others' now.

    It has a mask if one of them has.
    """
    new = {alias for contig in added.contigs for alias in contig.aliases}
    contigs = tuple(
        replace(one, aliases=tuple(dict.fromkeys((*(alias for alias in one.aliases if alias not in new), *other.aliases))))
        for one, other in zip(present.contigs, added.contigs)
    )
    return replace(present, contigs=contigs, masked=added.masked or present.masked)


def sequence_key(md5: str) -> str:
    """Return the key of a sequence in a store."""
    return f"sequences/{md5[:2]}/{md5[2:4]}/{md5[4:]}"


def assembly_key(name: str, file: str = "assembly.json") -> str:
    """Return the key of a file of an assembly in a store."""
    return f"assemblies/{name}/{file}"


def is_name(name: str) -> bool:
    """Return whether a text can be the name of an assembly or annotation."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Refuse what cannot be the name of an assembly or annotation."""
    if not is_name(name):
        raise InvalidInputError(
            f"{name[:100]!r} cannot be the name of an assembly or annotation", "letters, digits and . _ + - are possible"
        )
    return name


def check_sha256(text: Any) -> str:
    """Refuse (ValueError) what is no SHA-256 in hexadecimal digits: paths are made of it."""
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("no SHA-256")
    return text
