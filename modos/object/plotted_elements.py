"""Open elements of an object to be plotted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError
from modos.figures.gene_models import LooseTables
from modos.figures.plotted import FindAnnotation, Plotted
from modos.formats import format_of, is_array_path, name_of, plain_name
from modos.object.document import Document
from modos.object.finding import make_annotation_finder
from modos.object.sealed_files import SealedFiles
from modos.object.tabulating import open_tracks
from modos.object.tracks import sealed_tracks
from modos.storage import Storage

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.genomics import GenomicFile


@dataclass(frozen=True)
class PlotOpener:
    """Opens an element to be plotted, as it was when that was asked for; it can be pickled.

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
        *,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        reference_filename: str | Path | None = None,
    ) -> list[Plotted]:
        """Open it; of a reference genome, all of its tracks. Errors as of `ElementView.plot`."""
        from modos.encryption.keys import as_secret_key

        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        attributes = self.document.element(self.element_id)
        path, place = attributes.get("data_path") or "", self.storage.url.rstrip("/").rpartition("/")[2]
        finder = self._make_finder(path, secret)
        is_genome = self.element_id.startswith("reference/")
        if is_genome or is_array_path(path) or self.element_id in sealed_tracks(self.document):
            genome = open_tracks(self.storage, self.document, self.element_id, secret, is_genome=is_genome)
            return [Plotted(track.name, track, place, find_annotation=finder) for track in genome.check_tracks()]
        format = format_of(plain_name(path)) if path else None
        if format is None or not (format.streamable or format.name == "Zarr"):
            raise InvalidInputError(
                f"{self.element_id} cannot be plotted" + (f": its data are {name_of(path)}" if path else ": it has no data"),
                "reads, variants, tracks and reference genomes can",
            )
        file = self.open_file(path, reference_filename, secret_key=secret)
        return [Plotted(_name(self.element_id, attributes), file, place, find_annotation=finder)]

    def _make_finder(self, path: str, secret: SecretKey | None) -> FindAnnotation:
        metadata = self.document.metadata()
        opened = SealedFiles(self.storage, lambda: metadata, secret) if secret else None
        find = make_annotation_finder(self.storage, metadata, path, self.endpoint, opened)

        def find_annotation(contigs: Mapping[str, tuple[int | None, str | None]], name: str | None) -> Any:
            found = find(contigs, name)
            return LooseTables(name_of(found[0]), found[1]) if isinstance(found, tuple) else found

        return find_annotation


def _name(element_id: str, attributes: Mapping[str, Any]) -> str:
    return str(attributes.get("name") or element_id.partition("/")[2])
