"""Stream the data files of an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from modos.errors import ConflictError, DecryptError, InvalidInputError
from modos.formats import ZARR, is_encrypted, is_tree_path, name_of, plain_name
from modos.genomics import GenomicFile, RegionsLike
from modos.genomics.htsget.query import Query
from modos.genomics.planning import WORKERS, Planner
from modos.genomics.region import RegionLike
from modos.genomics.sources import ConfirmedSource, Source
from modos.object import finding
from modos.object.address import ObjectAddress
from modos.object.document import Document
from modos.object.open_object import OpenObject
from modos.object.part_lists import PartRecords
from modos.object.sealed_files import SealedFiles, open_files_of
from modos.storage import Storage
from modos.storage.base import ProgressLike, expect
from modos.storage.processes.forking import cached_property
from modos.storage.verified import VerifiedFiles

if TYPE_CHECKING:
    from io import BufferedReader

    import numpy as np

    from modos.encryption.keys import PublicKey, PublicKeys, SecretKey
    from modos.figures.plotted import Plotted
    from modos.object.notebook import ElementView
    from modos.trees.tree_store import TreeStore

_Content = tuple[Any, ...]  # size, checksum, digest and seal of a file, as its element has them


class GenomicFiles:
    """Data files of an object, to be streamed."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object

    def stream_genomics(
        self,
        file_path: str | PurePath,
        region: RegionsLike = None,
        reference_filename: str | Path | None = None,
        samples: Iterable[str] | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        sender_pubkey: PublicKeys | None = None,
        progress: ProgressLike | None = None,
    ) -> Iterator[Any]:
        """Stream the records of a file that overlap some regions, each once, and no others.

        They are read over htsget where the endpoint has it, else straight
        from the storage, and never through a file of this machine.

        Parameters
        ----------
        file_path
            The file, as a path within the object or as `list_files` gives it.
        region
            `chr1:1,000-2,000`, 1-based inclusive, or a Region, or the name or
            id of a gene where the file's reference has an annotation; or
            several of them. All records where it is None.
        reference_filename
            FASTA to decode a CRAM with; the object's own reference, then
            REF_PATH and REF_CACHE, where it is None.
        samples
            The samples of a VCF or BCF to decode; all where it is None.
        secret_key
            The key, or its file, to open an encrypted file with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        sender_pubkey
            Public keys, or their files, of allowed senders, of whom one must
            have encrypted it; None allows anybody.
        progress
            Is called with the numbers of bytes that arrive.

        Returns
        -------
        iterator of pysam.AlignedSegment or pysam.VariantRecord

        Raises
        ------
        NotFoundError
            No such file in the object, or no such contig in the file. The
            call says so, as it says all that is known before the first record.
        RegionError, RemoteError, IntegrityError
            Also while iterating: a stream is complete, or it fails.
        """
        file = self.file(file_path, reference_filename, secret_key=secret_key, passphrase=passphrase, sender_pubkey=sender_pubkey)
        if region is None:
            expect(progress, file.size)
        return file.report_to(progress).fetch(region, samples)

    def count(
        self,
        file_path: str | PurePath,
        region: RegionsLike = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        sender_pubkey: PublicKeys | None = None,
        progress: ProgressLike | None = None,
    ) -> int:
        """Count the records of a file that overlap some regions, or all of its records."""
        file = self.file(file_path, secret_key=secret_key, passphrase=passphrase, sender_pubkey=sender_pubkey)
        if region is None:
            expect(progress, file.size)
        return file.report_to(progress).count(region)

    def coverage(
        self,
        file_path: str | PurePath,
        region: RegionLike,
        bins: int | None = None,
        reference_filename: str | Path | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        sender_pubkey: PublicKeys | None = None,
        progress: ProgressLike | None = None,
    ) -> np.ndarray:
        """Compute the depth of reads over a region: means of bins, float64 (bins,), or that of each base, int64 (bases,).

        See `modos.genomics.GenomicFile.coverage`.
        """
        file = self.file(file_path, reference_filename, secret_key=secret_key, passphrase=passphrase, sender_pubkey=sender_pubkey)
        return file.report_to(progress).coverage(region, bins)

    def file(
        self,
        file_path: str | PurePath,
        reference_filename: str | Path | None = None,
        *,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        sender_pubkey: PublicKeys | None = None,
        hints: Query = Query(),
        workers: int = WORKERS,
    ) -> GenomicFile:
        """Open a data file, to be streamed in the ways a GenomicFile offers; see `modos.object.finding.open_genomic_file`.

        With a passphrase it is not pickled, as that would be in the pickle.
        """
        document = self._object.document
        metadata = document.metadata()
        key = finding.find_file(self._object.storage, metadata, str(file_path))
        senders = None
        if sender_pubkey is not None:
            from modos.encryption.keys import as_public_keys

            senders = tuple(as_public_keys(sender_pubkey))
        if senders is not None and not is_encrypted(key):
            raise DecryptError(
                f"{self._object.storage.url}/{key} is not encrypted: nothing says who sent it",
                "leave the sender out to read it all the same",
            )
        if secret_key is not None and passphrase is not None:
            from modos.encryption.keys import as_secret_key

            secret_key = as_secret_key(secret_key, passphrase)
        services = self._object.services if self._object.storage.is_remote else None
        content = _content_at(document, key)
        if is_tree_path(plain_name(key)):
            return self._open_variants(document, key, content, secret_key, senders)
        opened = self._open_sealed(secret_key, senders)
        planner = opened.planner if opened and is_encrypted(key) else self._planner
        file = finding.open_genomic_file(
            self._object.storage,
            planner,
            services,
            metadata,
            key,
            reference_filename,
            hints=hints,
            workers=workers,
            endpoint=self._object.address.endpoint,
            confirm=_Unchanged(self._object, key, content).confirm,
            opened=opened,
        )
        file.reopen = partial(
            _reopen,
            self._object.address,
            key,
            content,
            finding.locate_from_anywhere(reference_filename),
            secret_key=finding.locate_from_anywhere(secret_key),
            hints=hints,
            workers=workers,
            sender_pubkey=senders,
        )
        return file

    def _open_variants(
        self,
        document: Document,
        key: str,
        content: _Content | None,
        secret_key: SecretKey | str | Path | None,
        senders: tuple[PublicKey, ...] | None,
    ) -> GenomicFile:
        """Open a VCF Zarr, whose variants are streamed as those of a VCF."""
        from modos.encryption.keys import as_secret_key
        from modos.object.tree_encryption import open_tree_files
        from modos.trees.tree_store import TreeStore
        from modos.trees.vcf_zarr_source import VcfZarrSource

        storage, element_id = self._object.storage, document.data_paths()[key]
        attributes = document.element(element_id)
        if attributes.get("zarr_kind") not in (None, "VCF-Zarr"):
            raise InvalidInputError(
                f"{name_of(key)} in {storage.url} is a Zarr tree, and no file", finding.HOW_TO_OPEN.format(element_id)
            )
        secret = None if secret_key is None else as_secret_key(secret_key)
        source: Source = VcfZarrSource(TreeStore(open_tree_files(storage, attributes, secret, senders)))
        confirmed = ConfirmedSource(source, _Unchanged(self._object, key, content).confirm)
        opened = self._open_sealed(secret, senders)
        file = finding.open_variants(confirmed, storage, document.metadata(), key, self._object.address.endpoint, opened)
        secret_key = finding.locate_from_anywhere(secret_key)
        file.reopen = partial(_reopen, self._object.address, key, content, secret_key=secret_key, sender_pubkey=senders)
        return file

    @cached_property
    def _planner(self) -> Planner:
        records = PartRecords(lambda: self._object.document)
        return Planner(VerifiedFiles(self._object.storage, records.find))

    @cached_property
    def _opened(self) -> dict[tuple[SecretKey, tuple[PublicKey, ...] | None], SealedFiles]:
        return {}

    def _open_sealed(
        self, secret_key: SecretKey | str | Path | None, senders: tuple[PublicKey, ...] | None
    ) -> SealedFiles | None:
        """Return what a key opens; None if there is no key."""
        if secret_key is None:
            return None
        from modos.encryption.keys import as_secret_key

        key = as_secret_key(secret_key), senders
        if key not in self._opened:
            self._opened[key] = SealedFiles(self._object.storage, lambda: self._object.metadata, *key)
        return self._opened[key]

    def find_file(self, file_path: str | PurePath) -> str:
        """Find the key of a data file, given as within the object or as listed; raise NotFoundError for any other."""
        return finding.find_file(self._object.storage, self._object.metadata, str(file_path))

    def view(self, element: str) -> ElementView:
        """Return an element: its attributes, and the records of its file; NotFoundError (a KeyError) if there is none.

        ::

            for read in modo["data/demo1"].fetch("chr1:1-1,000"):
                ...
        """
        from modos.object.notebook import ElementView
        from modos.object.tabulating import TableOpener

        document = self._object.document
        element_id = document.find(element)
        attributes = document.element(element_id)
        content = _content_at(document, attributes.get("data_path", ""))
        storage, open_file = self._object.storage, _FileOpener(self, self._object, content)
        return ElementView(
            element_id,
            attributes,
            open_file,
            _TreeOpener(storage, attributes),
            _ArraysOpener(storage, document, attributes.get("data_path", "")),
            _BytesOpener(storage, attributes),
            TableOpener(storage, document, element_id, open_file, self._object.address.endpoint),
            _PlotOpener(storage, document, element_id, open_file, self._object.address.endpoint),
            self._object.address,
        )


def _reopen(address: ObjectAddress, key: str, content: _Content | None, *given: Any, **options: Any) -> GenomicFile:
    """Open the file again, in another process; ConflictError where it is another, or gone."""
    opened = OpenObject(address)
    _Unchanged(opened, key, content).confirm()
    return GenomicFiles(opened).file(key, *given, **options)


@dataclass(frozen=True)
class _TreeOpener:
    """Opens the Zarr tree of an element, as it was when that was asked for; it can be pickled."""

    storage: Storage
    attributes: Mapping[str, Any]

    def __call__(self, secret_key: SecretKey | str | Path | None, passphrase: str | None, allow_pickle: bool) -> TreeStore:
        from modos.encryption.keys import as_secret_key
        from modos.object.tree_encryption import open_tree_files
        from modos.trees.tree_store import TreeStore

        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        return TreeStore(open_tree_files(self.storage, self.attributes, secret), allow_pickle=allow_pickle)


@dataclass(frozen=True)
class _BytesOpener:
    """Opens the bytes of the file of an element, as it was when that was asked for; it can be pickled."""

    storage: Storage
    attributes: Mapping[str, Any]

    def __call__(self, secret_key: SecretKey | str | Path | None, passphrase: str | None) -> BufferedReader:
        from modos.encryption.keys import as_secret_key
        from modos.storage.readable_file import open_readable

        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        return open_readable(*open_files_of(self.storage, self.attributes, secret))


@dataclass(frozen=True)
class _ArraysOpener:
    """Opens the arrays that an element is kept as, as they were when they were asked for; it can be pickled."""

    storage: Storage
    document: Document
    data_path: str

    def __call__(self) -> Any:
        from modos.object.tree import open_arrays

        return open_arrays(self.storage, self.document, self.data_path.removeprefix(ZARR).strip("/"))


@dataclass(frozen=True)
class _PlotOpener:
    """Opens an element to be plotted, by a module that is imported then; it can be pickled."""

    storage: Storage
    document: Document
    element_id: str
    open_file: _FileOpener
    endpoint: str | None

    def __call__(self, **keys: Any) -> list[Plotted]:
        from modos.object.plotted_elements import PlotOpener

        opener = PlotOpener(self.storage, self.document, self.element_id, self.open_file, self.endpoint)
        return opener(**keys)


class _FileOpener:
    """Opens the file of an element as it was when the element was looked at; ConflictError where it is another, or gone."""

    def __init__(self, files: GenomicFiles, open_object: OpenObject, content: _Content | None):
        self._files = files
        self._object = open_object
        self._content = content

    def __call__(self, key: str, reference_filename: str | Path | None = None, **keys: Any) -> GenomicFile:
        _Unchanged(self._object, key, self._content).confirm()
        return self._files.file(key, reference_filename, **keys)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_element, (self._object.address, self._content)


def _reopen_element(address: ObjectAddress, content: _Content | None) -> _FileOpener:
    """Be ready to open the file of an element again, in another process."""
    opened = OpenObject(address)
    return _FileOpener(GenomicFiles(opened), opened, content)


class _Unchanged:
    """Check that a file of an object is still the one that it was."""

    def __init__(self, open_object: OpenObject, key: str, content: _Content | None):
        self._object = open_object
        self._key = key
        self._content = content
        self._seen: Document | None = None

    def confirm(self) -> None:
        """Raise ConflictError where it is another, by the newest document."""
        newest = self._object.document
        if newest is self._seen:
            return
        if _content_at(newest, self._key) != self._content:
            raise ConflictError(
                f"{self._object.storage.url}/{self._key} was changed or removed by somebody else since it was opened",
                "open it again",
            )
        self._seen = newest


def _content_at(document: Document, key: str) -> _Content | None:
    """Return what a document says of the content of the file at a key; None if there is none."""
    element_id = document.data_paths().get(key)
    return None if element_id is None else _describe_content(document.nodes[element_id]["attributes"])


def _describe_content(attributes: Mapping[str, Any]) -> _Content:
    return tuple(attributes.get(slot) for slot in ("data_size", "data_checksum", "data_digest", "seal_digest"))
