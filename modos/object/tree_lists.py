"""Find the lists of a tree, or make them again from its files, where these are the recorded ones."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.formats import files_name, is_encrypted, parts_name
from modos.formats.crypt4gh import part_size
from modos.storage import Storage
from modos.storage.base import Progress, count_readers, report
from modos.storage.part_digests import PART, DigestList, digest_pieces
from modos.storage.prefetch import fetch_ahead
from modos.trees.manifest import Manifest, read_beside, read_digests, read_names, write_names

_PIECE = 64 * PART

TreePlace = tuple[Storage, str]  # a storage, and the folder in it that may have the files of a tree


def find_manifest(key: str, root: str, places: Sequence[TreePlace], progress: Progress | None = None) -> Manifest | None:
    """Find the manifest that is recorded of a tree; None if neither the lists nor the files of a place are those.

    Parameters
    ----------
    root
        Root of the manifest.
    places
        Where the lists, and the files of the tree, may be.
    """
    lists = (stored for storage, folder in places if (stored := read_list(storage, parts_name(folder))) is not None)
    digests = next((found for stored in lists if (found := read_digests(stored, key, root))), None)
    tried: list[bytes] = []
    for listed in _find_names(key, places):
        if digests and (manifest := Manifest.from_lists(key, listed, digests)):
            return manifest
        if listed not in tried:
            tried.append(listed)
    for place, listed in itertools.product(places, tried if digests is None else ()):
        made = _make_again(key, listed, place, progress)
        if made and made.root == root:
            return made
    return None


def _find_names(key: str, places: Sequence[TreePlace]) -> Iterator[bytes]:
    """Find what may be the list of the files of a tree: those beside it, and of a plain tree the names of what is there."""
    for storage, folder in places:
        if (listed := read_list(storage, files_name(folder))) is not None:
            yield listed
    for storage, folder in places if not is_encrypted(key) else ():
        if storage.can_list:
            skip = len(folder) + 1 if folder else 0
            yield write_names(info.key[skip:] for info in storage.iter_files(folder))


def _make_again(key: str, listed: bytes, place: TreePlace, progress: Progress | None) -> Manifest | None:
    """Make a manifest of the files of a place that have some names; None if one cannot be read."""
    storage, folder = place
    workers = count_readers(storage)

    def digest(name: str, _: threading.Event) -> DigestList:
        file = f"{folder}/{name}" if folder else name
        return digest_file(storage, file, storage.stat(file).size, progress, part_size(key))

    try:
        names = Manifest.number_files(1) if is_encrypted(key) else read_names(listed)
        found = list(fetch_ahead(digest, names, workers, 4 * workers))
    except (IntegrityError, InvalidInputError, NotFoundError):
        return None
    except ModosError:  # a disk does not give it
        if storage.is_remote:
            raise
        return None
    if is_encrypted(key):
        return Manifest.make_sealed(key, listed, found)
    return Manifest.make(key, dict(zip(names, found, strict=True)))


def digest_file(storage: Storage, key: str, size: int, progress: Progress | None = None, part: int = PART) -> DigestList:
    """Read a file whose size is known; returns the digests of its parts. NotFoundError where there is none."""
    pieces = (storage.read_part(key, at, min(at + _PIECE, size))[0] for at in range(0, size, _PIECE))
    return digest_pieces(report(pieces, progress), part)


def read_list(storage: Storage, name: str) -> bytes | None:
    """Read a list; None if it is not there, or a disk does not give it."""
    try:
        return read_beside(storage, name, name)
    except (IntegrityError, InvalidInputError):
        return None
    except ModosError:
        if storage.is_remote:
            raise
        return None
