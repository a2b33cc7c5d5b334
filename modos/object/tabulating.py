"""Open elements of an object as tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, InvalidInputError, NotFoundError, listing
from modos.formats import format_of, is_array_path, name_of, plain_name
from modos.object import tracks
from modos.object.document import Document
from modos.object.sealed_files import open_files_of
from modos.storage import Storage

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.genomics import GenomicFile, RegionsLike
    from modos.reference.annotations.annotation import Annotation
    from modos.reference.reference import Reference
    from modos.tables.arrow import ArrowTable
    from modos.tracks.genome import Genome


@dataclass(frozen=True)
class TableOpener:
    """Opens an element as a table, as it was when that was asked for; it can be pickled.

    Parameters
    ----------
    open_file
        Opens a genomic file of the object.
    endpoint
        The server whose annotations count.
    """

    storage: Storage
    document: Document
    element_id: str
    open_file: Callable[..., GenomicFile]
    endpoint: str | None = None

    def __call__(
        self,
        region: RegionsLike = None,
        columns: Iterable[str] | str | None = None,
        *,
        samples: Iterable[str] | str | None = None,
        sample_rows: bool = False,
        section: str | None = None,
        reference_filename: str | Path | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
    ) -> ArrowTable:
        """Open the table; parameters and errors as of `ElementView.to_arrow`."""
        attributes = self.document.element(self.element_id)
        path = attributes.get("data_path") or ""
        format = format_of(plain_name(path)) if path else None
        is_reference = self.element_id.startswith("reference/")
        is_array = is_array_path(path) or self.element_id in tracks.sealed_tracks(self.document)
        is_mztab = format is not None and format.name == "mzTab"
        if samples is not None or sample_rows:
            _refuse(is_array or is_mztab or is_reference, f"{self.element_id} has no samples")
        _refuse(section is not None and not (is_mztab or is_reference), f"{self.element_id} has no sections")
        if is_reference or is_array:
            secret = _as_secret(secret_key, passphrase)
            if section is not None:
                return self._open_annotation(section, region, columns, secret)
            return self._open_tracks(region, columns, secret, is_genome=is_reference)
        if is_mztab:
            _refuse(region is not None, f"{self.element_id} is an mzTab, which has no regions")
            return self._open_mztab(attributes, section, columns, _as_secret(secret_key, passphrase))
        if not path or format is None or not (format.streamable or format.name == "Zarr"):
            raise InvalidInputError(
                f"{self.element_id} is no table" + (f": its data are {name_of(path)}" if path else ": it has no data"),
                "reads, variants, tracks, reference genomes and mzTab are; other files are opened with open_bytes()",
            )
        from modos.tables.record_tables import RecordTable

        file = self.open_file(path, reference_filename, secret_key=secret_key, passphrase=passphrase)
        return RecordTable(file, region, columns, samples=samples, sample_rows=sample_rows)

    def _open_tracks(
        self, region: RegionsLike, columns: Iterable[str] | str | None, secret: SecretKey | None, *, is_genome: bool
    ) -> ArrowTable:
        """Open the table of a track, or of all tracks of a genome."""
        from modos.tables.track_table import TrackTable

        genome = open_tracks(self.storage, self.document, self.element_id, secret, is_genome=is_genome)
        _refuse(not genome.tracks, f"{self.element_id} has no tracks", "the features of its annotation: section='gene'")
        return TrackTable(genome, region, columns)

    def _open_annotation(
        self, section: str, region: RegionsLike, columns: Iterable[str] | str | None, secret: SecretKey | None
    ) -> ArrowTable:
        """Open the features of a kind, by `KIND` or `ANNOTATION/KIND`."""
        from modos.object.references import reference_of_object
        from modos.tables.annotation_table import AnnotationTable

        name, _, kind = section.rpartition("/")
        reference = reference_of_object(self.storage, self.document.metadata(), self.element_id, self.endpoint, secret)
        annotation = reference.annotation(name) if name else self._find_annotation(reference)
        return AnnotationTable(annotation.table(kind), region, columns)

    def _find_annotation(self, reference: Reference) -> Annotation:
        """Find the only annotation of an assembly in the reference store."""
        from modos.reference.locate import has_store, open_store

        store = open_store(endpoint=self.endpoint) if has_store(self.endpoint) else None
        found = [name for name, facts in store.annotations().items() if facts["assembly"] == reference.name] if store else []
        if len(found) != 1:
            several = f"the annotations {listing(found)}" if found else "no annotation in the reference store"
            raise NotFoundError(
                f"{reference.name} has {several}",
                f"say which: section='{found[0]}/gene'" if found else "add one (modos reference add)",
            )
        return reference.annotation(found[0])

    def _open_mztab(
        self, attributes: dict[str, Any], section: str | None, columns: Iterable[str] | str | None, secret: SecretKey | None
    ) -> ArrowTable:
        from modos.storage.readable_file import open_readable
        from modos.tables.mztab_table import MzTabTable

        name = f"{self.storage.url}/{name_of(attributes['data_path'])}"
        with io.TextIOWrapper(open_readable(*open_files_of(self.storage, attributes, secret)), "utf-8", newline="\n") as lines:
            try:
                return MzTabTable(lines, name, section, columns)
            except UnicodeDecodeError:
                raise IntegrityError(f"{name} is no UTF-8 text", "get the file again") from None


def open_tracks(storage: Storage, document: Document, element_id: str, secret: SecretKey | None, *, is_genome: bool) -> Genome:
    """Open the genome of an element: with the track that it is, or, where it is a reference, with all of its tracks.

    Raises
    ------
    InvalidInputError
        Its arrays are no track.
    """
    wanted, genome_id = None, element_id
    if not is_genome:
        wanted = [name for name, one in tracks.tracks_of(document).items() if one == element_id]
        _refuse(not wanted, f"the arrays of {element_id} are no track", "open them with to_zarr()")
        genome_id = next(one for one in tracks.genome_ids(document) if element_id in tracks.tracks_of(document, one).values())
        wanted = [name for name, one in tracks.tracks_of(document, genome_id).items() if one == element_id]
    sealed = None
    if secret and document.sealed_arrays():
        from modos.object.sealed_tracks import SealedArrays

        sealed = SealedArrays(storage, document, secret)
    return tracks.open_genome(storage, document, genome_id, tracks=wanted, sealed=sealed)


def _as_secret(secret_key: SecretKey | str | Path | None, passphrase: str | None) -> SecretKey | None:
    from modos.encryption.keys import as_secret_key

    return None if secret_key is None else as_secret_key(secret_key, passphrase)


def _refuse(is_wrong: bool, message: str, hint: str | None = None) -> None:
    if is_wrong:
        raise InvalidInputError(message, hint)
