"""The files of a tree, read by their names: as they are stored, or decrypted."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import DecryptError, IntegrityError, InvalidInputError
from modos.formats.crypt4gh import OVERHEAD, SEALED, SEGMENT
from modos.storage import ByteRange, Readable, Storage
from modos.storage.prefetch import fetch_ahead
from modos.storage.recent import Cache
from modos.trees.batches import SMALL, gather_batches
from modos.trees.manifest import Manifest, check_list
from modos.trees.tree_sources import SourceFile, TreeSource

if TYPE_CHECKING:
    from modos.encryption.header import Opened

_PIECE = 64 * SEGMENT
_READERS = 8
_KEPT = 16 << 20  # bytes of segments that were decrypted lately
_FEW = 64  # segments of a read that are all kept


class TreeFiles(ABC):
    """Files of a tree that are read by their names, each byte compared with what is recorded.

    Parameters
    ----------
    url
        Of the tree.
    root
        Root of its manifest, which says what all bytes are.
    plain_root
        Root of the manifest of the plain files, if it is known that they are what it says.
    names
        Of the files, in the order of their bytes.
    sizes
        Of the plain files, in the same order.
    """

    def __init__(self, url: str, root: str, names: tuple[str, ...], sizes: Sequence[int], plain_root: str | None = None):
        self.url = url
        self.root = root
        self.plain_root = plain_root
        self.names = names
        self.sizes = dict(zip(names, sizes, strict=True))

    def iter_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names that begin with a prefix; all where it is empty."""
        at = bisect_left(self.names, prefix.encode(), key=str.encode)
        while at < len(self.names) and self.names[at].startswith(prefix):
            yield self.names[at]
            at += 1

    def iter_folder(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Iterate over what lies directly in a folder, each with whether it is a folder itself; in the tree where it is empty.

        What is in these folders is not gone through.
        """
        prefix = f"{folder}/" if folder else ""
        at = bisect_left(self.names, prefix.encode(), key=str.encode)
        while at < len(self.names) and self.names[at].startswith(prefix):
            first, slash, _ = self.names[at][len(prefix) :].partition("/")
            yield first, bool(slash)
            beyond = f"{prefix}{first}0".encode()  # "0" comes after "/"
            at = bisect_left(self.names, beyond, at + 1, key=str.encode) if slash else at + 1

    def iter_bytes(self, name: str) -> Iterator[bytes]:
        """Iterate over the bytes of a file in pieces of whole segments."""
        size = self.sizes[name]
        for at in range(0, max(size, 1), _PIECE):
            yield self.read(name, at, min(at + _PIECE, size))

    def iter_contents(self) -> Iterator[tuple[str, bytes | Iterator[bytes]]]:
        """Iterate over all files, in order: the name of each, and its bytes; those of a large one in pieces.

        The pieces of one are to be used before the next is asked for.
        """

        def read(batch: list[str], _: object) -> list[tuple[str, bytes | None]]:
            return [(batch[0], None)] if self.sizes[batch[0]] > SMALL else list(zip(batch, self.read_small(batch), strict=True))

        batches = gather_batches(self.names, self.sizes.__getitem__, one_by_one=self._waits)
        read_batches = fetch_ahead(read, batches, _READERS, 2 * _READERS) if self._waits else (read(one, None) for one in batches)
        for contents in read_batches:
            for name, content in contents:
                yield name, self.iter_bytes(name) if content is None else content

    def iter_all(self) -> Iterator[bytes]:
        """Iterate over the bytes of all files, one after the other."""
        for _, content in self.iter_contents():
            yield from (content,) if isinstance(content, bytes) else content

    @property
    def local_folder(self) -> Path | None:
        """Folder of the files on this machine, if they are plain and on this machine; what is read there is not compared."""
        return None

    @property
    def _waits(self) -> bool:
        """Return whether it takes the network to read them."""
        return False

    def read_small(self, names: Sequence[str]) -> list[bytes]:
        """Read small files as a whole; see `read`."""
        return [self.read(name, 0, self.sizes[name]) for name in names]

    def check_unchanged(self) -> None:
        """Raise ConflictError where files were added, removed or changed by somebody else since they were listed."""

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
        sizes = manifest.digests.layout.sizes[1:]
        super().__init__(f"{storage.url}/{manifest.key}", manifest.root, manifest.names, sizes, manifest.root)
        self._storage = storage
        self._manifest = manifest
        self._files = manifest.verify(storage)

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes of a file; see `TreeFiles.read`."""
        return self._files.read_part(f"{self._manifest.key}/{name}", start, end)[0]

    def read_small(self, names: Sequence[str]) -> list[bytes]:
        """Read small files as a whole; those that are not as recorded are read again, as any file."""
        if not isinstance(self._storage, Storage):
            return super().read_small(names)
        found = self._storage.read_small((f"{self._manifest.key}/{name}", self.sizes[name] + 1) for name in names)
        return [
            data if self._manifest.fits(name, data) else self.read(name, 0, self.sizes[name])
            for name, data in zip(names, found, strict=True)
        ]

    @property
    def _waits(self) -> bool:
        return self._storage.is_remote

    @property
    def local_folder(self) -> Path | None:
        """Folder of the files, if it is on this machine; see `TreeFiles.local_folder`."""
        return self._storage.local_path(self._manifest.key)

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

    def check_unchanged(self) -> None:
        """Compare the files of the source with those that were listed; see `TreeFiles.check_unchanged`."""
        self._source.check_unchanged(self._files.values())

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
    kept
        Keeps segments that were decrypted lately, as several files may lie in one.

    Attributes
    ----------
    body
        Key of the encrypted file that all of them are in.

    Raises
    ------
    DecryptError
        The header has an edit list, or the list of names cannot be decrypted.
    """

    def __init__(self, storage: Readable, manifest: Manifest, opened: Opened, kept: Cache | None = None):
        url = f"{storage.url}/{manifest.key}"
        if opened.edits:
            raise DecryptError(f"{url}: its header has an edit list, and a tree has none", "have its owner encrypt it again")
        self._keys = opened.keys
        self._kept = Cache(_KEPT) if kept is None else kept
        places = read_places(
            bytes(self._decrypt(manifest.listed, 0, f"{url}, the list of its files")), url, _plain_size(manifest.size)
        )
        super().__init__(url, manifest.root, tuple(places), [place.size for place in places.values()])
        self._places = places
        self._files = manifest.verify(storage)
        (self.body,) = manifest.keys()
        self._size = manifest.size

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes of a file; see `TreeFiles.read`."""
        if start >= end:
            return b""
        low, high = self._places[name].start + start, self._places[name].start + end
        first = low // SEGMENT
        segments = self._read_segments(first, -(-high // SEGMENT), name)
        plain = segments[0] if len(segments) == 1 else b"".join(segments)
        return bytes(memoryview(plain)[low - first * SEGMENT : high - first * SEGMENT])

    def _read_segments(self, first: int, beyond: int, name: str) -> list[bytes]:
        """Read segments [first, beyond): those that are kept at both ends, and all between them at once."""
        head = self._find_kept(range(first, beyond))
        first += len(head)
        tail = self._find_kept(range(beyond - 1, first - 1, -1))[::-1]
        beyond -= len(tail)
        if first == beyond:
            return [*head, *tail]
        sealed, _ = self._files.read_part(self.body, first * SEALED, beyond * SEALED)
        plain = bytes(self._decrypt(sealed, first, f"{self.url}, {name}"))
        for number in range(first, beyond) if beyond - first <= _FEW else (first, beyond - 1):
            at = (number - first) * SEGMENT
            segment = plain[at : at + SEGMENT]
            self._kept.put((self.root, number), segment, len(segment))
        return [*head, plain, *tail]

    def _find_kept(self, numbers: range) -> list[bytes]:
        """Find segments that follow each other and are kept, from the first of some numbers on."""
        return list(takewhile(bool, (self._kept.get((self.root, number)) for number in numbers)))

    def iter_contents(self) -> Iterator[tuple[str, bytes | Iterator[bytes]]]:
        """Iterate over all files, whose bytes are decrypted one after the other; see `TreeFiles.iter_contents`."""
        from modos.encryption import body

        pieces = body.decrypt(self._files.iter_range(self.body, 0, self._size, SEALED), self._keys)
        cutter = _Cutter(pieces)
        for name, (start, end) in self._places.items():
            yield name, cutter.cut(start, end) if end - start > SMALL else cutter.cut_whole(start, end)
        cutter.finish()

    def _decrypt(self, sealed: bytes, first: int, where: str) -> bytearray:
        from modos.encryption import body

        try:
            return body.decrypt_segments(sealed, self._keys, first)
        except DecryptError as error:
            raise DecryptError(f"{where}: {error.message}", error.hint) from None

    def __reduce__(self) -> tuple[Any, ...]:
        raise InvalidInputError(f"{self.url} is decrypted here, and its key cannot be pickled", "open it in each process")


class _Cutter:
    """Cuts ranges that follow each other out of pieces of bytes."""

    def __init__(self, pieces: Iterator[bytearray]):
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._at = 0

    def cut(self, start: int, end: int) -> Iterator[bytes]:
        """Iterate over bytes [start, end), which follow all that were cut before."""
        for _ in self._take(start):
            pass
        return map(bytes, self._take(end))

    def cut_whole(self, start: int, end: int) -> bytes:
        """Return bytes [start, end), which follow all that were cut before."""
        return b"".join(self.cut(start, end))

    def finish(self) -> None:
        """Take the rest, so that all is looked at."""
        for _ in self._pieces:
            pass

    def _take(self, end: int) -> Iterator[memoryview]:
        while self._at < end:
            if not self._rest:
                self._rest = memoryview(next(self._pieces))
            taken = self._rest[: end - self._at]
            self._rest = self._rest[len(taken) :]
            self._at += len(taken)
            yield taken


def _plain_size(sealed: int) -> int:
    return sealed - OVERHEAD * -(-sealed // SEALED)


def write_places(places: Mapping[str, ByteRange]) -> bytes:
    """Write the list of the files of an encrypted tree: where in its body each begins, its bytes, and its name, a line each."""
    return "".join(f"{place.start} {place.size} {name}\n" for name, place in places.items()).encode()


def read_places(listed: bytes, where: str, size: int) -> dict[str, ByteRange]:
    """Read the list of the files of an encrypted tree.

    Parameters
    ----------
    size
        Plain bytes of the body that all files lie in.

    Raises
    ------
    IntegrityError
        It is none, or files lie over each other or beyond the body.
    """
    damaged = IntegrityError(f"{where}: the list of its files is damaged", "restore it from a copy of the object")
    try:
        lines = [line.split(" ", 2) for line in listed.decode().split("\n")[:-1]]
        places = {name: ByteRange(int(start), int(start) + int(length)) for start, length, name in lines}
    except ValueError:
        raise damaged from None
    bounds = [0, *itertools.chain.from_iterable(places.values()), size]
    if len(places) != len(lines) or any(one > other for one, other in itertools.pairwise(bounds)):
        raise damaged
    check_list(places, where)
    return places
