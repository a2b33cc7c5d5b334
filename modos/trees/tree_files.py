"""The files of a tree, read by their names: as they are stored, or decrypted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from modos.encryption.body import decrypt_segments, plain_size
from modos.encryption.header import Opened
from modos.errors import DecryptError, InvalidInputError
from modos.formats.crypt4gh import SEALED, SEGMENT
from modos.storage import Readable
from modos.trees.manifest import Manifest, read_names
from modos.trees.tree_sources import SourceFile, TreeSource

_PIECE = 64 * SEGMENT


class TreeFiles(ABC):
    """Files of a tree that are read by their names, each byte compared with what is recorded.

    Parameters
    ----------
    url
        Of the tree.
    root
        Root of its manifest, which says what all bytes are.
    names
        Of the files, in the order of their bytes.
    sizes
        Of the plain files, in the same order.
    """

    def __init__(self, url: str, root: str, names: tuple[str, ...], sizes: Sequence[int]):
        self.url = url
        self.root = root
        self.names = names
        self.sizes = dict(zip(names, sizes, strict=True))

    def iter_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names that begin with a prefix; all where it is empty."""
        at = bisect_left(self.names, prefix.encode(), key=str.encode)
        while at < len(self.names) and self.names[at].startswith(prefix):
            yield self.names[at]
            at += 1

    def iter_bytes(self, name: str) -> Iterator[bytes]:
        """Iterate over the bytes of a file in pieces of whole segments."""
        size = self.sizes[name]
        for at in range(0, max(size, 1), _PIECE):
            yield self.read(name, at, min(at + _PIECE, size))

    def iter_all(self) -> Iterator[bytes]:
        """Iterate over the bytes of all files, one after the other."""
        return (piece for name in self.names for piece in self.iter_bytes(name))

    @property
    def local_folder(self) -> Path | None:
        """Folder of the files on this machine, if they are plain and on this machine; what is read there is not compared."""
        return None

    @abstractmethod
    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes [start, end) of a file, which has them.

        Raises
        ------
        IntegrityError
            They are not the recorded ones.
        """


class StoredFiles(TreeFiles):
    """The files of a tree as they are stored."""

    def __init__(self, storage: Readable, manifest: Manifest):
        super().__init__(f"{storage.url}/{manifest.key}", manifest.root, manifest.names, manifest.digests.layout.sizes[1:])
        self._storage = storage
        self._manifest = manifest
        self._files = manifest.verify(storage)

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes of a file; see `TreeFiles.read`."""
        return self._files.read_part(f"{self._manifest.key}/{name}", start, end)[0]

    @property
    def local_folder(self) -> Path | None:
        """Folder of the files, if it is on this machine; see `TreeFiles.local_folder`."""
        return None if self._storage.is_remote else Path(self._storage.url, self._manifest.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredFiles, (self._storage, self._manifest)


class SourceFiles(TreeFiles):
    """The files of a tree that is brought, which are read once, each from its beginning on."""

    def __init__(self, source: TreeSource, files: Sequence[SourceFile]):
        ordered = sorted(files, key=lambda file: file.name.encode())
        super().__init__(source.place, "", tuple(file.name for file in ordered), [file.size for file in ordered])
        self._source = source
        self._files = {file.name: file for file in ordered}

    def iter_bytes(self, name: str) -> Iterator[bytes]:
        """Iterate over the bytes of a file; ConflictError where it is not as it was listed."""
        return self._source.iter_bytes(self._files[name])

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes of a file; see `TreeFiles.read`."""
        return b"".join(self.iter_bytes(name))[start:end]


class DecryptedFiles(TreeFiles):
    """The files of an encrypted tree, of which the segments are read, compared and decrypted that a range touches.

    Parameters
    ----------
    manifest
        Of the encrypted tree.
    opened
        Content of its header.

    Raises
    ------
    DecryptError
        The header has an edit list, or the list of names cannot be decrypted.
    """

    def __init__(self, storage: Readable, manifest: Manifest, opened: Opened):
        url = f"{storage.url}/{manifest.key}"
        if opened.edits:
            raise DecryptError(f"{url}: its header has an edit list, and a tree has none", "have its owner encrypt it again")
        self._keys = opened.keys
        names = read_names(bytes(self._decrypt(manifest.listed, 0, f"{url}, the list of its files")))
        sizes = [plain_size(size) for size in manifest.digests.layout.sizes[1:]]
        if len(names) != len(sizes):
            raise DecryptError(f"{url}: the list of its files names {len(names):,} of {len(sizes):,}", "restore it from a copy")
        super().__init__(url, manifest.root, names, sizes)
        self._manifest = manifest
        self._files = manifest.verify(storage)

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes of a file; see `TreeFiles.read`."""
        if start >= end:
            return b""
        first, beyond = start // SEGMENT, -(-end // SEGMENT)
        sealed, _ = self._files.read_part(self._bodies[name], first * SEALED, beyond * SEALED)
        plain = self._decrypt(sealed, first, f"{self.url}, {name}")
        return bytes(memoryview(plain)[start - first * SEGMENT : end - first * SEGMENT])

    @cached_property
    def _bodies(self) -> dict[str, str]:
        return dict(zip(self.names, self._manifest.keys(), strict=True))

    def _decrypt(self, sealed: bytes, first: int, where: str) -> bytearray:
        try:
            return decrypt_segments(sealed, self._keys, first)
        except DecryptError as error:
            raise DecryptError(f"{where}: {error.message}", error.hint) from None

    def __reduce__(self) -> tuple[Any, ...]:
        raise InvalidInputError(f"{self.url} is decrypted here, and its key cannot be pickled", "open it in each process")
