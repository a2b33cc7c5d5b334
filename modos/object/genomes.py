"""Open, add and change the genomes of an object and the tracks along them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.encryption.keys import SecretKey, as_secret_key
from modos.errors import InvalidInputError
from modos.formats import is_encrypted
from modos.metadata.ids import format_id
from modos.object.address import ObjectAddress
from modos.object.document import Document
from modos.object.open_object import OpenObject
from modos.object.track_changes import TrackChanges
from modos.storage.base import ProgressLike, expect

if TYPE_CHECKING:
    import numpy as np

    from modos.encryption.keys import SecretKey
    from modos.reference.reference import Reference
    from modos.tracks.conditions import Condition
    from modos.tracks.contigs import Contigs
    from modos.tracks.fitting import LoadReport
    from modos.tracks.genome import Genome
    from modos.tracks.loading import Source


class Genomes:
    """Genomes of an object, with their sequences and tracks."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object
        self._known: dict[tuple[str | None, str | None], tuple[Document, Genome]] = {}

    def open_genome(
        self,
        id: str | None = None,
        *,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
    ) -> Genome:
        """Open a genome of the object with its tracks; raise NotFoundError if there is none.

        It shows the object as it is now: what others commit later does not
        change it, and opening it again shows that.

        Parameters
        ----------
        secret_key
            The key, or its file, that encrypted tracks and sequences are
            decrypted with, as they are read; reading them without is an
            AccessError. Such a genome cannot be pickled.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        """
        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        document, known = self._object.document, (id, str(secret.public) if secret else None)
        of, genome = self._known.get(known, (None, None))
        if genome is None or of is not document:
            genome = self._open_genome(document, id, secret)
            self._known[known] = document, genome
        return genome

    def _open_genome(self, document: Document, id: str | None, secret: SecretKey | None) -> Genome:
        from modos.object.tracks import open_genome

        storage, sealed = self._object.storage, None
        if secret and document.sealed_arrays():
            from modos.object.sealed_tracks import SealedArrays

            sealed = SealedArrays(storage, document, secret)
        reopen = None if sealed else partial(_reopen, self._object.address, id)
        return open_genome(storage, document, id, partial(self._write_values, id, secret), reopen, sealed=sealed)

    def _write_values(
        self, genome: str | None, secret: SecretKey | None, contig: str, start: int, values: Mapping[str, np.ndarray]
    ) -> Genome:
        with self.track_changes() as tracks:
            for track, column in values.items():
                tracks.write(track, contig, start, column)
        return self.open_genome(genome, secret_key=secret)

    def reference(
        self, name: str | None = None, secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None
    ) -> Reference:
        """Open a reference genome, to ask for its bases and annotations: `modo.reference("hg38").dna("chr1", 0, 100)`.

        Its sequence is that of the object's FASTA, or of the reference store
        that the object's ReferenceGenome names an assembly of.

        Parameters
        ----------
        name
            The id or name of a reference of the object, or the assembly that
            it names; else of any assembly in the store. The object's only
            one, where it is None.
        secret_key
            The key, or its file, to decrypt its FASTA with: what is asked
            for, as it is read.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.

        Raises
        ------
        NotFoundError
            Neither the object nor the store has it.
        AccessError
            Its FASTA is encrypted, and there is no key.
        ConflictError
            The store has another assembly of that name than the object names.
        """
        from modos.encryption.keys import as_secret_key
        from modos.object.references import reference_of_object

        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        return reference_of_object(self._object.storage, self._object.metadata, name, self._object.endpoint, secret)

    @contextmanager
    def track_changes(self, progress: ProgressLike | None = None) -> Iterator[TrackChanges]:
        """Collect changes of genomes and tracks, and commit them together at the end of the block.

        ::

            with modo.track_changes() as tracks:
                tracks.add("coverage", "coverage.bw")
                tracks.rename("signal", "signal-2024")
        """
        with self._object.transaction(progress) as transaction:
            yield TrackChanges(transaction)

    def add_genome(
        self,
        fasta: str | Path | Sequence[str | Path] = (),
        *,
        sizes: str | Path | Sequence[str | Path] = (),
        agp: str | Path | Sequence[str | Path] = (),
        reference: str | None = None,
        id: str | None = None,
        assembly_report: str | Path | None = None,
        name_style: str = "UCSC-style-name",
        chromosome_map: str | Path | None = None,
        progress: ProgressLike | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        plain: bool = False,
    ) -> str:
        """Give the object a genome from files, in one commit; returns the reference's id.

        Parameters
        ----------
        fasta
            Files or patterns, plain or compressed: contigs and sequence.
        sizes
            Tables of names and lengths: files or patterns.
        agp
            AGP files.
        reference
            A reference of the object whose FASTA is taken; or, where it names
            an assembly of a reference store, that one's contigs with all of
            their names.
        id
            Of the reference; `genome`, or `reference`, where it is None.
        assembly_report, name_style
            An NCBI assembly report, and which of its names the contigs get.
        chromosome_map
            A table of names and the names that they get.
        secret_key, passphrase
            To decrypt the FASTA of the reference with.
        plain
            Store the genome plain, also that of an encrypted FASTA.

        Raises
        ------
        InvalidInputError
            The FASTA is encrypted, and a plain genome was not asked for.
        """
        from modos.encryption.keys import as_secret_key
        from modos.formats.fasta import iter_fastas
        from modos.object.track_sequence import settle_contigs
        from modos.storage.memory_files import MemoryFiles

        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        if secret and not plain and reference and self._is_encrypted(reference):
            raise InvalidInputError(
                f"the FASTA of {reference} is encrypted, and the genome made of it would not be",
                "with --plain (plain=True) it is stored plain",
            )
        stored = self._read_stored_contigs(reference)
        if stored is not None:
            with self.track_changes(progress) as tracks:
                return tracks.add_genome(stored, None, id or str(reference))
        with MemoryFiles() as folder:
            contigs, paths = settle_contigs(
                self._object.storage,
                self._object.document,
                fasta,
                sizes,
                agp,
                reference,
                assembly_report,
                name_style,
                chromosome_map,
                folder,
                progress,
                secret,
            )
            with self.track_changes(progress) as tracks:
                return tracks.add_genome(contigs, partial(iter_fastas, paths) if paths else None, id or reference or "genome")

    def _is_encrypted(self, reference: str) -> bool:
        document = self._object.document
        element_id = document.find(reference if "/" in reference else f"reference/{reference}")
        return is_encrypted(document.element(element_id).get("data_path") or "")

    def _read_stored_contigs(self, reference: str | None) -> Contigs | None:
        """Read the contigs of a reference that names an assembly of a store."""
        if reference is None:
            return None
        from modos.reference.locate import read_assembly
        from modos.tracks.contigs import Contigs

        document = self._object.document
        attributes = document.element(document.find(reference if "/" in reference else f"reference/{reference}"))
        if not attributes.get("assembly"):
            return None
        assembly = read_assembly(attributes, endpoint=self._object.endpoint)
        names = {alias: contig.name for contig in assembly.contigs for alias in contig.aliases}
        return Contigs({contig.name: contig.length for contig in assembly.contigs}, aliases=names)

    def add_track(
        self, /, name: str, source: Source, genome: str | None = None, progress: ProgressLike | None = None, **options: Any
    ) -> LoadReport:
        """Add a track in one commit; see `TrackChanges.add` for its options and errors."""
        with self.track_changes(progress) as tracks:
            tracks.add(name, source, genome, **options)
        return tracks.reports[name]

    def append_track(self, /, name: str, source: Source, progress: ProgressLike | None = None, **options: Any) -> LoadReport:
        """Add contigs to a track in one commit, which others may do at the same time; see `TrackChanges.append`."""
        with self.track_changes(progress) as tracks:
            tracks.append(name, source, **options)
        return tracks.reports[name]

    def replace_track(self, /, name: str, source: Source, progress: ProgressLike | None = None, **options: Any) -> LoadReport:
        """Give a track other data in one commit; see `TrackChanges.replace`."""
        with self.track_changes(progress) as tracks:
            tracks.replace(name, source, **options)
        return tracks.reports[name]

    def import_genomedata(self, archive: str | Path, id: str = "genome", progress: ProgressLike | None = None) -> list[str]:
        """Import an archive of Genomedata, with its sequence and all tracks, in one commit; returns the tracks' names.

        An archive of the same contigs as the object's genome of that id adds
        its tracks to it.
        """
        from modos.object.tracks import contigs_of, genome_ids
        from modos.tracks.genomedata import Archive

        with Archive(archive) as source, self.track_changes(progress) as tracks:
            genome_id, document = format_id("reference", id), tracks.transaction.start
            if genome_id not in genome_ids(document):
                tracks.add_genome(source.contigs, (lambda _: source.iter_sequence()) if source.has_sequence else None, id)
            elif contigs_of(document, genome_id).lengths != source.contigs.lengths:
                raise InvalidInputError(f"{archive} has other contigs than {genome_id}", "give another --id")
            expect(progress, source.values_size)
            for name in source.tracks:
                tracks.add(name, source.iter_track(name, progress), genome_id)
            return source.tracks

    def remove_track(self, name: str) -> str:
        """Remove a track; returns the id that it had."""
        with self.track_changes() as tracks:
            return tracks.remove(name)

    def rename_track(self, name: str, new: str) -> str:
        """Give a track another name; its id stays, and is returned."""
        with self.track_changes() as tracks:
            return tracks.rename(name, new)

    def mask_track(
        self,
        name: str,
        where: str | Path | Condition | None = None,
        hard: bool = False,
        progress: ProgressLike | None = None,
        *,
        scores: Condition | None = None,
    ) -> str:
        """Mask places of a track, which have no value then; see `TrackChanges.mask`."""
        with self.track_changes(progress) as tracks:
            return tracks.mask(name, where, scores=scores, hard=hard)

    def mask_tracks(
        self,
        where: str | Path | Condition,
        names: Sequence[str] | None = None,
        *,
        scores: Condition | None = None,
        hard: bool = False,
        progress: ProgressLike | None = None,
    ) -> list[str]:
        """Mask several tracks, or all, in one commit; the file is read once. Returns their ids."""
        from modos.tracks.mask_files import MaskFile

        with self.track_changes(progress) as tracks:
            chosen = tracks.names() if names is None else list(names)
            places = MaskFile(where, scores) if isinstance(where, (str, Path)) else where
            return [tracks.mask(name, places, hard=hard) for name in chosen]

    def unmask_track(self, name: str, progress: ProgressLike | None = None) -> str:
        """Let a track have all of its values again."""
        with self.track_changes(progress) as tracks:
            return tracks.unmask(name)


def _reopen(address: ObjectAddress, id: str | None) -> Genome:
    """Open the genome again, in another process."""
    return Genomes(OpenObject(address)).open_genome(id)
