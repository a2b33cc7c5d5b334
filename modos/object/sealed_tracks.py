"""Open encrypted tracks and sequences with a key, which fetch, compare and decrypt what is read of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from modos.encryption.keys import SecretKey
from modos.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from modos.formats import ZARR
from modos.object import commits
from modos.object.document import Document
from modos.object.kept_arrays import read_nodes
from modos.object.stored_trees import load_manifest
from modos.object.tracks import open_sequence, open_track, roles_of
from modos.object.tree_encryption import open_tree_header
from modos.storage import ObjectInfo, Storage
from modos.storage.prefetch import fetch_ahead
from modos.storage.recent import Cache
from modos.tracks.contigs import Contigs
from modos.tracks.late_track import LateTrack
from modos.tracks.open_files import OpenFiles
from modos.tracks.sharded import Reader, ShardedArray
from modos.tracks.stored_track import StoredTrack
from modos.trees.tree_files import DecryptedFiles

_CACHE = 160 << 20  # bytes of chunks that are kept
_SEGMENTS = 96 << 20  # bytes of segments that are kept, decrypted


class SealedArrays:
    """The encrypted arrays of an object, which are opened with a key when they are first read.

    Parameters
    ----------
    secret
        The key.

    Raises
    ------
    IntegrityError
        As they are read: the key does not decrypt them, or they are damaged.
    """

    def __init__(self, storage: Storage, document: Document, secret: SecretKey):
        self._storage, self._document, self._secret = storage, document, secret
        self._chunks, self._segments = Cache(_CACHE), Cache(_SEGMENTS)

    def find_track(self, name: str, element_id: str, contigs: Contigs) -> LateTrack:
        """Return a track, which is yet to be opened."""

        def opened() -> StoredTrack:
            reader, nodes = self._open(element_id)
            return open_track(reader, nodes, roles_of(nodes, element_id), name, element_id, contigs)

        return LateTrack(name, element_id, contigs, self._storage.is_remote, opened)

    def find_sequence(self, genome_id: str, contigs: Contigs) -> Callable[[], ShardedArray]:
        """Return what opens the sequence of a genome."""

        def opened() -> ShardedArray:
            reader, nodes = self._open(genome_id)
            sequence = open_sequence(reader, nodes, roles_of(nodes, genome_id).get("sequence"), genome_id, contigs)
            if sequence is None:
                raise NotFoundError(f"there is no sequence in the encrypted arrays of {genome_id}", "see what is in them")
            return sequence

        return opened

    def _open(self, element_id: str) -> tuple[Reader, Mapping[str, Any]]:
        """Open the tree of an element: its list of files and its header at once, then the metadata of its arrays."""
        storage, attributes = self._storage, self._document.element(element_id)
        calls: list[Callable[[], Any]] = [
            lambda: open_tree_header(storage, attributes, self._secret),
            lambda: load_manifest(storage, attributes),
        ]
        try:
            opened, manifest = fetch_ahead(lambda call, _: call(), calls, 2)
            files = DecryptedFiles(OpenFiles(storage) if storage.has_paths else storage, manifest, opened, self._segments)
            return _SealedReader(storage, files, element_id, self._chunks), read_nodes(files, element_id)
        except (IntegrityError, NotFoundError) as error:
            self._refuse_changed(element_id)
            if isinstance(error, IntegrityError):
                raise
            raise IntegrityError(error.message, "restore it from a copy of the object") from None

    def _refuse_changed(self, element_id: str) -> None:
        """Raise ConflictError where somebody else has changed an element since the object was opened."""
        newest = commits.load(self._storage)
        if element_id not in newest or newest.element(element_id) != self._document.element(element_id):
            raise ConflictError(
                f"{element_id} was changed or removed by somebody else meanwhile", "open the object again"
            ) from None


class _SealedReader(Reader):
    """Reads the shards of an element's arrays from its encrypted tree."""

    def __init__(self, storage: Storage, files: DecryptedFiles, element_id: str, cache: Cache):
        super().__init__(storage, 0)
        self.cache, self.files = cache, _Shards(files, element_id)

    def __reduce__(self) -> NoReturn:
        raise InvalidInputError(
            f"{self.describe('')} is decrypted here, and its key cannot be pickled", "open it in each process"
        )

    def has(self, key: str) -> bool:
        """Return whether the body is there that a file is in."""
        return self.storage.exists(self.files.body)

    def describe(self, key: str) -> str:
        """Return what a file is called in messages."""
        return self.files.describe(key)

    files: _Shards


class _Shards:
    """Files of an encrypted tree under the keys that they would have as arrays of the object."""

    def __init__(self, files: DecryptedFiles, element_id: str):
        self._files = files
        self._prefix = f"{ZARR}/{element_id}/"

    @property
    def body(self) -> str:
        """Key of the encrypted body."""
        return self._files.body

    def describe(self, key: str) -> str:
        """Return what a file is called in messages."""
        return f"{self._files.url}, {key.removeprefix(self._prefix)}"

    def read_part(self, key: str, start: int, end: int) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Files.read_part`."""
        name = key.removeprefix(self._prefix)
        size = self._files.sizes.get(name)
        if size is None:
            raise NotFoundError(f"no file {name} in {self._files.url}")
        return self._files.read(name, start, min(end, size)), ObjectInfo(key, size, self._files.root)
