"""Rename a file of an object in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.errors import AlreadyExistsError, ConflictError, IntegrityError, InvalidInputError, NotFoundError
from modos.formats import (
    ENCRYPTED_SUFFIX,
    FileFormat,
    cuts_name,
    format_of,
    index_names,
    is_encrypted,
    is_tree_path,
    name_of,
    parts_name,
    plain_name,
)
from modos.object.changes import Update
from modos.object.journal import has_list
from modos.object.stored_trees import list_tree_keys
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.write_log import WriteLog

_COMPRESSED = (".gz", ".bgz")


@dataclass(frozen=True)
class FilePairs:
    """File of an element, and its indexes, from which others are made.

    Parameters
    ----------
    pairs
        Keys of existing files and of those to be made; the data file first.
    """

    change: Update
    pairs: tuple[tuple[str, str], ...]
    replaces: bool = field(default=True, kw_only=True)

    def keys(self) -> list[str]:
        """List the keys of the new files."""
        return [target for _, target in self.pairs]

    def folders(self) -> list[str]:
        """List the folders of arrays: none."""
        return []

    def measure(self, storage: Storage) -> int | None:
        """Return the bytes of the files that are there."""
        return sum(storage.stat(source).size for source, _ in self.pairs)


@dataclass(frozen=True)
class MovedFile(FilePairs):
    """File of an element, and its indexes, under another name.

    The bytes are not read: they get one more name in a folder, and are
    copied by the server on S3. Sizes are compared.
    """

    def measure(self, storage: Storage) -> int | None:
        """Return 0, as no bytes are read."""
        return 0

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Give the files their new names; returns what the element says of them."""
        storage, base = log.storage, self.change.base
        recorded = None if is_tree_path(base["data_path"]) else base.get("data_size")
        for source, target in self.pairs:
            try:
                size = storage.stat(source).size
            except NotFoundError:
                raise ConflictError(
                    f"{self.change.element_id}: its file {source} is not in {storage.url} any more",
                    "nothing was changed: look whether somebody else has renamed or replaced it, or see `modos check`",
                ) from None
            if recorded not in (None, size):
                raise IntegrityError(f"{storage.url}/{source} has {size:,} bytes, recorded are {recorded:,}", "see `modos check`")
            try:
                storage.copy(target, source)
            except ConflictError:
                raise AlreadyExistsError(
                    f"there is a file {target} in {storage.url} already",
                    "choose another name; if an interrupted change left it, `modos check --fix` removes it",
                ) from None
            log.wrote(target)
            if storage.stat(target).size != size:
                raise IntegrityError(f"{storage.url}/{target} is not as large as {source}, of which it was made", "try again")
            recorded = None
        return {}


def target_of(element_id: str, base: Mapping[str, Any], name: str) -> str:
    """Return the key that the file of an element gets by a name.

    Raises
    ------
    InvalidInputError
        The element is kept as arrays, or the name is one of another format, or of an encrypted file where this one is plain.
    """
    path = base["data_path"]
    before, after = format_of(name_of(path)), format_of(plain_name(name))
    if is_encrypted(name) and not is_encrypted(path):
        raise InvalidInputError(f"{element_id}: {path} is not encrypted, as {name} says", "encrypt it with `modos c4gh encrypt`")
    if before != after and (before or after is None or after.name != base.get("data_format")):
        raise InvalidInputError(
            f"{element_id}: {name_of(path)} is {_name_format(before)}, and {name} says {_name_format(after)}",
            "a name does not convert a file: keep the ending",
        )
    if name_of(path).lower().endswith(_COMPRESSED) != plain_name(name).lower().endswith(_COMPRESSED):
        raise InvalidInputError(
            f"{element_id}: {name_of(path)} and {name} are not compressed alike",
            "a name does not convert a file: keep the ending",
        )
    return plain_name(name) + (ENCRYPTED_SUFFIX if is_encrypted(path) else "")


def _name_format(format: FileFormat | None) -> str:
    return format.name if format else "of no format that is known"


def find_pairs(storage: Storage, path: str, target: str) -> tuple[tuple[str, str], ...]:
    """Find a file and those of its indexes that are there, each with its name beside another file."""
    indexes = zip(index_names(path), index_names(target))
    return (path, target), *((name, beside) for name, beside in indexes if storage.exists(name))


def find_pairs_to_move(storage: Storage, base: Mapping[str, Any], target: str) -> tuple[tuple[str, str], ...]:
    """Find pairs as `find_pairs` does for the file of an element, and its list of digests.

    An encrypted file without an encrypted index comes with the plain one in its place.
    """
    path = base["data_path"]
    if is_tree_path(path):
        return tuple((key, target + key[len(path) :]) for key in list_tree_keys(storage, base))
    pairs = find_pairs(storage, path, target)
    if len(pairs) == 1 and is_encrypted(path):
        pairs += find_pairs(storage, plain_name(path), plain_name(target))[1:]
    is_listed = has_list(base) and storage.exists(parts_name(path))
    pairs += ((parts_name(path), parts_name(target)),) if is_listed else ()
    return pairs + (((cuts_name(path), cuts_name(target)),) if base.get("cuts_checksum") else ())
