"""Bounds of the rules of an access file: regions, panels of genes, samples, fields and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError, ModosError
from modos.genomics.bounding import Bounds
from modos.genomics.htsget.query import Query
from modos.genomics.region import UNMAPPED, Region, Regions, read_regions, settle
from modos.server.toml_tables import check_keys, read_flag, read_text, read_texts

FindGenes = Callable[[str, Sequence[str]], Regions]  # the name of an annotation, and those of genes in it
_LISTS = ("fields", "tags", "notags")
_SETS = ("samples", "info", "formats")
PANEL_KEYS = ("regions", "panels", *_SETS, *_LISTS, "mask")
_MAX_FLANK = 1 << 24  # bases


def no_genes(annotation: str, genes: Sequence[str]) -> Regions:
    """Find no genes, where no references are served: InvalidInputError."""
    raise InvalidInputError(f"the annotation {annotation} is not at hand", "serve the store that has it: --references")


def any_place(annotation: str, genes: Sequence[str]) -> Regions:
    """Return a place in the stead of those of genes, for services that refuse whoever has bounds."""
    return (Region(UNMAPPED),)


class Panels:
    """The panels of an access file, by their names.

    Parameters
    ----------
    path
        The access file, beside which the files of regions lie.
    tables
        Its tables `[panel.NAME]`.
    find_genes
        Finds the places of genes.

    Attributes
    ----------
    files
        The files of regions that were read.

    Raises
    ------
    NotFoundError
        There is no such file of regions, annotation or gene.
    InvalidInputError
        A panel is not what one has to be; the message names it.
    """

    def __init__(self, path: Path, tables: Any, find_genes: FindGenes):
        self._path = path
        self._find_genes = find_genes
        self.files: tuple[Path, ...] = ()
        check_keys(tables, tables if isinstance(tables, Mapping) else (), f"{path}: panel")
        self._regions = {name: self._read(table, f"{path}: panel.{name}") for name, table in tables.items()}

    def find(self, name: str, where: str) -> Regions:
        """Return the regions of a panel; InvalidInputError if there is none."""
        if name not in self._regions:
            raise InvalidInputError(
                f"{where}: there is no panel {name!r}",
                f"there are {', '.join(sorted(self._regions)) or 'none'}: write [panel.NAME]",
            )
        return self._regions[name]

    def _read(self, table: Any, where: str) -> Regions:
        check_keys(table, {"regions", "bed", "genes", "annotation", "flank"}, where)
        flank = table.get("flank", 0)
        if not isinstance(flank, int) or isinstance(flank, bool) or not 0 <= flank <= _MAX_FLANK:
            raise InvalidInputError(f"{where}: flank is not a number of bases", "it is 0, 20, ...")
        found = [*parse_regions(table.get("regions", []), f"{where}: regions"), *self._read_bed(table, where)]
        if "genes" in table:
            genes = read_texts(table["genes"], f"{where}: genes")
            annotation = read_text(table.get("annotation"), f"{where}: annotation")
            try:
                found += self._find_genes(annotation, genes)
            except ModosError as error:
                raise InvalidInputError(f"{where}: {error.message}", error.hint) from None
        if not found:
            raise InvalidInputError(f"{where} has no regions", "give regions, bed, or genes and their annotation")
        return settle(_widen(region, flank) for region in found)

    def _read_bed(self, table: Mapping[str, Any], where: str) -> Regions:
        if "bed" not in table:
            return ()
        path = self._path.parent / read_text(table["bed"], f"{where}: bed")
        self.files += (path,)
        regions = read_regions(path)
        if whole := [region.contig for region in regions if region.end is None]:
            raise InvalidInputError(
                f"{where}: a row of {path} has no start and end, only {whole[0]!r}",
                f'is the file complete? All of a contig is regions = ["{whole[0]}"]',
            )
        return regions


def _widen(region: Region, flank: int) -> Region:
    if not flank or region.contig == UNMAPPED:
        return region
    return Region(region.contig, max(region.start - flank, 0), None if region.end is None else region.end + flank)


def parse_regions(value: Any, where: str) -> Regions:
    """Read a list of regions as texts, 1-based inclusive; InvalidInputError for anything else."""
    texts = read_texts(value, where)
    try:
        return tuple(map(Region.parse, texts))
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error.message}", error.hint) from None


def read_bounds(table: Mapping[str, Any], where: str, panels: Panels) -> Bounds | None:
    """Read the bounds of a rule; None if it has none.

    Raises
    ------
    InvalidInputError
        Something is not what it has to be, or bounds nothing.
    """
    given = [name for name in PANEL_KEYS if name in table]
    if not given:
        return None
    if given == ["mask"]:
        raise InvalidInputError(f"{where}: mask alone bounds nothing", "it is for rules with regions or panels")
    if empty := [name for name in given if name != "mask" and name != "tags" and not read_texts(table[name], f"{where}: {name}")]:
        raise InvalidInputError(f"{where}: {empty[0]} is empty", "leave it out, or the rule, where there is nothing to read")
    regions = [
        *parse_regions(table.get("regions", []), f"{where}: regions"),
        *(region for name in table.get("panels", ()) for region in panels.find(name, where)),
    ]
    lists = {name: tuple(read_texts(table[name], f"{where}: {name}")) for name in _LISTS if name in table}
    try:
        query = Query(**lists)  # type: ignore[arg-type]
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error.message}", error.hint) from None
    sets = {name: frozenset(table[name]) if name in table else None for name in _SETS}
    return Bounds(
        settle(regions) if regions else None,
        fields=query.fields,
        tags=query.tags,
        notags=query.notags,
        is_masking=read_flag(table.get("mask", True), f"{where}: mask"),
        **sets,
    )
