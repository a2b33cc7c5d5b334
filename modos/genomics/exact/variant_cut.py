"""Prepare to cut a VCF or BCF: its header, and the editor of its records."""

from __future__ import annotations

from modos.formats import FileFormat
from modos.genomics.bounding import Bounds
from modos.genomics.exact.bcf_editor import BcfEditor
from modos.genomics.exact.permitted import Places
from modos.genomics.exact.variant_header import cut_text, number_keys
from modos.genomics.exact.variant_info import Rules
from modos.genomics.exact.vcf_editor import VcfEditor
from modos.genomics.exact.weaving import Edit
from modos.genomics.index import Opening
from modos.genomics.index.bgzf import compress
from modos.genomics.index.layout import layout_of
from modos.genomics.index.vcf_header import header_text, sample_names
from modos.genomics.region import Regions


def find_samples(format: FileFormat, opening: Opening, bounds: Bounds) -> frozenset[str] | None:
    """Find the samples of a file that may be given; None where all may be."""
    return None if bounds.samples is None else bounds.samples & {*sample_names(header_text(opening, format))}


def prepare_variants(format: FileFormat, opening: Opening, bounds: Bounds, regions: Regions | None) -> tuple[bytes, Edit]:
    """Return the header to give out, compressed, and what edits the records."""
    text, header = header_text(opening, format), opening.header_bytes
    names = sample_names(text)
    rules = Rules.from_bounds(bounds, names)
    if rules.samples is not None:
        text = cut_text(text, names, rules.samples)
        header = compress(text if format.name == "VCF" else b"BCF\2\2" + (len(text) + 1).to_bytes(4, "little") + text + b"\0")
    numbers = dict(opening.header.target_ids)
    if format.name == "VCF":
        for region in (*(regions or ()), *(bounds.regions or ())):
            numbers.setdefault(region.contig, len(numbers))
    meant = None if regions is None else Places(regions, numbers)
    allowed = Places(bounds.regions, numbers) if bounds.is_masking and bounds.regions is not None else None
    if format.name == "VCF":
        return header, VcfEditor(layout_of(format, opening), meant, allowed, rules).edit
    contigs = {number: name for name, number in numbers.items()}
    return header, BcfEditor(contigs, number_keys(text), len(names), meant, allowed, rules).edit
