"""Find the place of a gene on the contigs of a file, by the annotations of its assembly.

Only annotations of this assembly are used: their contigs are compared with
the lengths and digests of the file's contigs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from modos.errors import (
    AccessError,
    InvalidInputError,
    NotFoundError,
    RegionError,
    RemoteError,
    did_you_mean,
    listing,
)
from modos.errors.missing import load_late
from modos.formats import plain_name
from modos.genomics.region import MAX_POSITION, Region
from modos.reference.assembly import Assembly
from modos.reference.cached_store import CachedStore
from modos.reference.locate import has_store, open_store
from modos.reference.sequences import Files
from modos.reference.whole_files import open_here
from modos.storage.processes.forking import cached_property

if TYPE_CHECKING:
    import polars as pl

    from modos.reference.annotations.annotation import Annotation

    Tables = Mapping[str, pl.DataFrame]  # by kind
else:
    pl = load_late("polars")

Contigs = Mapping[str, tuple["int | None", "str | None"]]  # of a file: length and MD5, where they are known
Names = Callable[[], Mapping[str, Sequence[str]]]

logger = logging.getLogger(__name__)

_MOST_KEPT = 2
_KEPT: dict[tuple[str, str, str, int], Tables] = {}  # tables of files, the latest last
_READING = threading.Lock()


class _Genes(NamedTuple):
    """The genes of an annotation, and all names of their contigs by each of these."""

    label: str
    table: pl.DataFrame
    names: Mapping[str, Sequence[str]]


class _Hit(NamedTuple):
    """A gene that was found, and in which annotation."""

    region: Region
    id: str
    label: str


class GeneFinder:
    """Finds where genes are on the contigs of a file.

    Parameters
    ----------
    endpoint
        Of a modos server, whose store may have annotations.
    seqcols
        Gives the digests of the assemblies that the file is said to be of;
        none where nothing is said of it, and its contigs have to tell.
    files
        GFF3 or GTF files of its reference: their storage and keys.
    find_aliases
        Gives all names of the reference's contigs, by each of them.
    sealed
        Names of files of genes that are encrypted, and not opened, as there is no key.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        seqcols: Callable[[], set[str]] = set,
        files: Sequence[tuple[Files, str]] = (),
        find_aliases: Names | None = None,
        sealed: Sequence[str] = (),
    ):
        self._endpoint = endpoint
        self._sealed = sealed
        self._seqcols = seqcols
        self._files = files
        self._find_aliases = find_aliases

    def find(self, text: str, contigs: Contigs) -> Region | None:
        """Find the region of a gene by name or id, on a contig as the file names it; return None if there are no annotations.

        Raises
        ------
        NotFoundError
            There is no such gene, or none on these contigs; the annotations
            are of other assemblies than the file, or cannot be asked.
        RegionError
            There are several; or it lies over the origin of a circular contig.
        AccessError
            It is in no annotation that can be read, some are encrypted, and there is no key.
        """
        wrong: list[str] = []
        try:
            known = list(self._annotations(contigs, wrong))
        except (RemoteError, AccessError) as error:
            raise NotFoundError(
                f"no contig {text}, and whether it is a gene cannot be asked: {error.message}", error.hint
            ) from None
        if not known and self._sealed:
            raise self._sealed_error(text, contigs)
        if not known and wrong:
            raise NotFoundError(
                f"no contig {text}, and no annotation is of the assembly of the file: {listing(wrong, 3)}",
                f"the file has {listing(contigs)}",
            )
        if not known:
            return None
        from modos.reference.annotations.gene_names import find_genes, suggest_gene

        rows = [(genes, row) for genes in known for row in find_genes(genes.table, text).iter_rows(named=True)]
        hits = [
            _Hit(Region(name, row["start"], row["end"]), row["id"], genes.label)
            for genes, row in rows
            for name in dict.fromkeys((row["contig"], *genes.names.get(row["contig"], ())))
            if name in contigs
        ]
        if hits:
            return _check_origin(text, _choose_region(text, hits), contigs)
        if self._sealed:
            raise self._sealed_error(text, contigs)
        if rows:
            raise NotFoundError(
                f"the gene {text} is on {listing(sorted({row['contig'] for _, row in rows}))}, and the file has no such contig",
                f"it has {listing(contigs)}",
            )
        near = did_you_mean(text, contigs) or next(filter(None, (suggest_gene(genes.table, text) for genes in known)), None)
        raise NotFoundError(
            f"there is neither a contig nor a gene {text}",
            f"did you mean {near}?"
            if near
            else f"the contigs are {listing(contigs)}; the genes are those of {listing(genes.label for genes in known)}",
        )

    def find_annotation(self, contigs: Contigs, name: str | None = None) -> Annotation | tuple[str, Tables] | None:
        """Find an annotation that fits a file: that of a name, or the only one; None if there is none, or several.

        Parameters
        ----------
        contigs
            Of the file: length and MD5, where they are known.
        name
            In the reference store, or of a GFF3 file of the object.

        Returns
        -------
        Annotation or (str, tables)
            That of the store; or the key of a GFF3 or GTF file and its
            tables by kind, with the contigs as the file names them.

        Raises
        ------
        NotFoundError
            There is none of that name, or it is of another assembly.
        InvalidInputError
            Several files have that name.
        AccessError
            It is encrypted, and there is no key.
        """
        own = [(storage, key) for storage, key in self._files if name is None or key_matches(key, name)]
        if len(own) == 1:
            (storage, key), aliases = own[0], self._find_aliases() if self._find_aliases else {}
            return key, _read_kept(storage, key, contigs, aliases)
        if any(name is not None and key_matches(key, name) for key in self._sealed):
            raise AccessError(f"the annotation {name} is encrypted", "give the secret key it is encrypted for (secret_key)")
        if own and name is not None:
            raise InvalidInputError(f"{name} could be {listing(key for _, key in own)}", "write the whole key")
        if own or self._cached is None:
            if name is not None:
                raise NotFoundError(f"there is no annotation {name}", "add one to the reference store (modos reference add)")
            return None
        return self._find_stored(self._cached, contigs, name)

    def _find_stored(self, cached: CachedStore, contigs: Contigs, name: str | None) -> Annotation | None:
        from modos.reference.annotation_store import find_manifest, open_annotation

        known = _known_annotations(cached) if name is None else {name: find_manifest(cached, name).seqcol}
        stated = self._seqcols() if known else set()
        fitting: list[Annotation] = []
        for one, seqcol in known.items():
            assembly = cached.assembly(find_manifest(cached, one).assembly) if not stated or seqcol in stated else None
            misfit = "it is of another assembly" if assembly is None else explain_misfit(contigs, assembly, bool(stated))
            if assembly is not None and not misfit:
                fitting.append(open_annotation(cached, one, assembly))
            elif name is not None:
                raise NotFoundError(f"the annotation {name} is not of the assembly of the file: {misfit}", "name another one")
        return fitting[0] if len(fitting) == 1 else None

    def _sealed_error(self, text: str, contigs: Contigs) -> AccessError:
        return AccessError(
            f"no contig {text}, and whether it is a gene is in what is encrypted: {listing(self._sealed)}",
            "give the secret key it is encrypted for (--secret-key, secret_key), or the region itself "
            f"(the file has {listing(contigs)})",
        )

    def _annotations(self, contigs: Contigs, wrong: list[str]) -> Iterator[_Genes]:
        """Yield the annotations of the file's assembly; why others are not is added to `wrong`."""
        for storage, key in self._files:
            yield _genes_of_file(storage, key, contigs, self._find_aliases() if self._find_aliases else {})
        if self._cached is None:
            return
        known = _known_annotations(self._cached)
        stated = self._seqcols() if known else set()
        for name, seqcol in known.items():
            if stated and seqcol not in stated:
                continue
            genes, misfit = self._open(name, contigs, bool(stated))
            if genes is None:
                wrong.append(f"{name} ({misfit})")
            else:
                yield genes

    @cached_property
    def _cached(self) -> CachedStore | None:
        return CachedStore(open_store(endpoint=self._endpoint)) if has_store(self._endpoint) else None

    def _open(self, name: str, contigs: Contigs, is_stated: bool) -> tuple[_Genes | None, str]:
        """Open the genes of an annotation of the store, or say why it is not of the file's assembly."""
        from modos.reference.annotation_store import find_manifest, open_annotation
        from modos.reference.annotations.gene_names import COLUMNS

        assert self._cached is not None
        assembly = self._cached.assembly(find_manifest(self._cached, name).assembly)
        misfit = explain_misfit(contigs, assembly, is_stated)
        if misfit:
            return None, misfit
        table = open_annotation(self._cached, name, assembly).genes
        names = {contig.name: (contig.name, *contig.aliases) for contig in assembly.contigs}
        return _Genes(name, table.to_polars().select(COLUMNS), names), ""


def explain_misfit(contigs: Contigs, assembly: Assembly, is_stated: bool) -> str:
    """Explain how a file's contigs differ from an assembly's; empty if those that both have are the same, and there are some.

    Where it is stated that the file is of the assembly, names may do without lengths.
    """
    shared = 0
    for name, (length, md5) in contigs.items():
        other = assembly.by_name.get(name)
        if other is None:
            continue
        if length is not None and length != other.length:
            return f"{name} has {length:,} bases in the file and {other.length:,} in {assembly.name}"
        if md5 is not None and md5 != other.md5:
            return f"{name} has the MD5 {md5} in the file and {other.md5} in {assembly.name}"
        shared += is_stated or length is not None
    return "" if shared else f"{assembly.name} has no contig of the file" + ("" if is_stated else " with its length")


def _check_origin(text: str, region: Region, contigs: Contigs) -> Region:
    """Return the region; raise RegionError for a gene over the origin of a circular contig, which is two regions."""
    length = contigs[region.contig][0]
    if length is None or region.limit <= length:
        return region
    parts = [Region(region.contig, region.start, length), Region(region.contig, 0, region.limit - length)]
    raise RegionError(
        f"the gene {text} lies over the origin of {region.contig}", f"give its two parts: {parts[0]} and {parts[1]}"
    )


def _choose_region(text: str, hits: Sequence[_Hit]) -> Region:
    """Return the region, if all have the same."""
    regions = {hit.region for hit in hits}
    if len(regions) > 1:
        raise RegionError(
            f"{text} is at {len(regions)} places: {listing(f'{hit.id} at {hit.region} ({hit.label})' for hit in hits)}",
            "give the id of one of the genes, or a region",
        )
    logger.info("%s is %s at %s (%s)", text, hits[0].id, hits[0].region, hits[0].label)
    return hits[0].region


def key_matches(key: str, name: str) -> bool:
    """Return whether a file is called so: by its key, its last part, or that without endings."""
    from modos.reference.annotation_store import name_of

    last = plain_name(key).rpartition("/")[2]
    return name in (key, last, name_of(last))


def _known_annotations(cached: CachedStore) -> dict[str, str]:
    """List the annotations of a store and the digests of their assemblies; those already fetched, if it cannot be asked."""
    from modos.reference.annotations.parquet_files import Manifest

    try:
        return {name: str(facts["seqcol"]) for name, facts in cached.store.annotations().items()}
    except (RemoteError, AccessError):
        kept = [Manifest.from_bytes(path.read_bytes(), str(path)) for path in sorted(cached.names.glob("*.annotation.json"))]
        if not kept:
            raise
        return {manifest.name: manifest.seqcol for manifest in kept}


def _genes_of_file(storage: Files, key: str, contigs: Contigs, aliases: Mapping[str, Sequence[str]]) -> _Genes:
    """Read the genes of a GFF3 or GTF file, on the contigs of another file."""
    from modos.reference.annotations.gene_names import COLUMNS

    return _Genes(key, read_loose_tables(storage, key, contigs, aliases)["gene"].select(COLUMNS), {})


def _read_kept(storage: Files, key: str, contigs: Contigs, aliases: Mapping[str, Sequence[str]]) -> Tables:
    """Read the tables of a file, or take those that were read of it before: of the latest two files."""
    named = tuple((name, tuple(others)) for name, others in aliases.items())
    known = storage.url, key, storage.stat(key).etag, hash((tuple(contigs.items()), named))
    with _READING:
        tables = _KEPT.pop(known, None) or read_loose_tables(storage, key, contigs, aliases)
        _KEPT[known] = tables
        while len(_KEPT) > _MOST_KEPT:
            del _KEPT[next(iter(_KEPT))]
    return tables


def read_loose_tables(
    storage: Files, key: str, contigs: Contigs, aliases: Mapping[str, Sequence[str]]
) -> dict[str, pl.DataFrame]:
    """Read the tables of a GFF3 or GTF file by kind, with the contigs as another file names them.

    Parameters
    ----------
    aliases
        All names of each contig, by each of them.

    Raises
    ------
    InvalidInputError
        A line cannot be read, or is beyond the end of its contig.
    """
    from modos.reference.annotation_store import read_parts
    from modos.reference.annotations.gene_names import collect_tables

    lengths = {name: MAX_POSITION if length is None else length for name, (length, _) in contigs.items()}
    names = {alias: name for name in lengths for alias in (*aliases.get(name, ()), name)} | {name: name for name in lengths}
    with open_here(storage, key) as path:
        return collect_tables(list(read_parts(str(path))), names, lengths, f"{storage.url}/{key}")
