"""Take from a variant what locates outside of some regions (VCFv4.5 sections 3 to 5).

A breakend whose mate is outside becomes a single one: `N[chr2:123[` becomes `N.`.
`END` of the record stays; where CHR2 names another contig, callers write the
place on that one in it, and it goes with CHR2; a record that would overlap the
regions by that alone is not given. Names of partners (MATEID) stay
only where all breakends of the record have their mates inside. The IDs of
records and of events stay: what a caller hides in a name cannot be known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from modos.genomics.exact.permitted import Places

CONTIGS = (b"CHR2", b"CHROM2", b"CHRB", b"MATE_CHROM", b"MATECHROM")
POSITIONS = (b"POS2", b"END2", b"POSB", b"MATE_POS", b"MATEPOS")
PARTNERS = (
    b"MATEID",
    b"PARID",
    b"BKPTID",
    b"MATE_BND_DEPTH",
    b"MATE_REF_COUNT",
    b"REMOTE_LINKED_BY",
    b"LOCAL_LINKED_BY",
    b"SVMATE",
    b"MATEDIST",
)
FORMER = (b"OLD_VARIANT", b"OLD_MULTIALLELIC", b"OLD_CLUMPED")  # places as contig:position:...
# Alignments of inserted bases, and where GATK-SV and TIDDIT say of what a complex variant is made.
UNKNOWN = (b"BEALN", b"METRANS", b"CPX_INTERVALS", b"SOURCE", b"REGIONA", b"REGIONB")
LOCATING = frozenset((*CONTIGS, *POSITIONS, *PARTNERS, *FORMER, *UNKNOWN))
PHASE_SETS = frozenset((b"PS", b"PID", b"HP", b"PSL"))  # keys of FORMAT

_BREAKEND = re.compile(rb"(?P<before>[^\[\]]*)(?P<bracket>[\[\]])(?P<place>[^\[\]]+)(?P=bracket)(?P<behind>[^\[\]]*)")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_FORMER = re.compile(rb"([^,|]+?):([0-9]{1,18})[:_]")


class Site(NamedTuple):
    """A variant; its position is 0-based, `alleles` are those beside the reference, `read` gives the text of an INFO key."""

    contig: str
    position: int
    reference: bytes
    alleles: Sequence[bytes]
    read: Callable[[bytes], bytes | None]


def is_breakend(allele: bytes) -> bool:
    """Return whether an allele names a mate."""
    return b"[" in allele or b"]" in allele


def mask_site(site: Site, keys: Collection[bytes], places: Places) -> tuple[list[bytes], set[bytes]]:
    """Return the alleles without mates outside of some places, and which of some INFO keys go."""
    alleles = [_mask_allele(allele, site.reference, places) if is_breakend(allele) else allele for allele in site.alleles]
    dropped = {key for key in UNKNOWN if key in keys}
    if alleles != list(site.alleles) or not any(map(is_breakend, alleles)):
        dropped |= {key for key in PARTNERS if key in keys}
    dropped |= {key for key in FORMER if key in keys and not _is_former_within(site.read(key), places)}
    second = {key for key in (*CONTIGS, *POSITIONS) if key in keys}
    if second and not _is_second_within(site, keys, places):
        dropped |= second
        if any(_contig(site.read(key)) != site.contig for key in CONTIGS if key in keys):
            dropped |= {key for key in (b"END",) if key in keys}
    return alleles, dropped


def _mask_allele(allele: bytes, reference: bytes, places: Places) -> bytes:
    match = _BREAKEND.fullmatch(allele)
    if not match:
        return reference[:1] + b"."
    contig, _, position = match["place"].rpartition(b":")
    if _NUMBER.fullmatch(position) and places.has(_contig(contig), int(position) - 1):
        return allele
    if match["behind"]:
        return b"." + match["behind"]
    return (match["before"] or reference[:1]) + b"."


def _is_second_within(site: Site, keys: Collection[bytes], places: Places) -> bool:
    """Return whether the other end of a rearrangement lies in the places."""
    contigs = {_contig(site.read(key)) for key in CONTIGS if key in keys} or {site.contig}
    positions = [site.read(key) for key in POSITIONS if key in keys]
    if not positions and contigs != {site.contig}:
        positions = [site.read(b"END")]
    return all(
        position is not None and _NUMBER.fullmatch(position) is not None and places.has(contig, int(position) - 1)
        for contig in contigs
        for position in positions
    )


def _is_former_within(text: bytes | None, places: Places) -> bool:
    found = _FORMER.findall((text or b"") + b":")
    return bool(found) and all(places.has(_contig(contig), int(position) - 1) for contig, position in found)


def _contig(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "backslashreplace")


def is_phase_within(key: bytes, value: bytes, contig: str, places: Places) -> bool:
    """Return whether a value of FORMAT names a phase set by a position, 1-based, in the places; missing values do."""
    if value in (b"", b"."):
        return True
    if key == b"PSL":
        return False
    texts = value.split(b",") if key == b"HP" else [value]
    numbers = [re.split(rb"[-_]", text, maxsplit=1)[0] for text in texts]
    return all(_NUMBER.fullmatch(number) and places.has(contig, int(number) - 1) for number in numbers)
