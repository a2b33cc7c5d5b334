"""The manifest of a tree: the names of its files, and the digests of their parts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from modos.errors import ChecksumMismatch, IntegrityError, InvalidInputError, NotFoundError
from modos.errors.escaping import escape_line, is_plain
from modos.formats import files_name, is_encrypted, parts_name
from modos.formats.crypt4gh import SEALED, part_size
from modos.storage import Readable, check_key
from modos.storage.part_digests import (
    DIGEST,
    DigestList,
    digest_parts,
    find_differing,
    join_lists,
    list_parts,
    read_layout,
)
from modos.storage.prefetch import fetch_ahead
from modos.storage.verified import PartRecord, VerifiedFiles

MOST_FILES = 1 << 22
_MOST_BYTES = 1 << 30  # of each of the two files
_AT_ONCE = 1 << 20  # bytes of one that are read before its size is known
_HINT = "restore it from a copy of the object, or bring the tree again"


@dataclass(frozen=True)
class Manifest:
    """Names of the files of a tree, and the digests of their parts.

    An encrypted tree has one file, which is called by a number; its parts are the
    segments of its body.

    Parameters
    ----------
    key
        The folder of the tree.
    names
        Relative to that, in the order of their bytes.
    listed
        The list of names as it is stored: a name a line, encrypted if the tree is.
    digests
        Of the list of names, then of each file.
    """

    key: str
    names: tuple[str, ...]
    listed: bytes = field(repr=False)
    digests: DigestList = field(repr=False)

    @classmethod
    def make(cls, key: str, files: Mapping[str, DigestList]) -> Manifest:
        """Make the manifest of some files; raise InvalidInputError if there are too many."""
        names = tuple(sorted(files, key=str.encode))
        if len(names) > MOST_FILES:
            raise InvalidInputError(f"{key} has {len(names):,} files, and a tree at most {MOST_FILES:,}", "write it in shards")
        listed = write_names(names)
        return cls(key, names, listed, join_lists([list_parts(listed), *(files[name] for name in names)]))

    @classmethod
    def make_sealed(cls, key: str, listed: bytes, bodies: Sequence[DigestList]) -> Manifest:
        """Make the manifest of an encrypted tree, given the body of its list of names and the digests of the others."""
        return cls(key, cls.number_files(len(bodies)), listed, join_lists([list_parts(listed, SEALED), *bodies]))

    @classmethod
    def load(cls, storage: Readable, key: str, root: str) -> Manifest:
        """Read the manifest of a tree.

        Raises
        ------
        IntegrityError
            It is gone, or not the one with this root.
        """
        stored, listed = fetch_ahead(lambda name, _: read_beside(storage, name, key), (parts_name(key), files_name(key)), 2)
        digests = read_digests(stored, key, root)
        found = cls.from_lists(key, listed, digests) if digests else None
        if found is None:
            raise ChecksumMismatch(f"{storage.url}/{key}: the list of its files is not the recorded one", _HINT)
        return found

    @classmethod
    def from_lists(cls, key: str, listed: bytes, digests: DigestList) -> Manifest | None:
        """Make the manifest of a list of names and one of digests, of which the first is that of the names; None if it is not."""
        layout, count = digests.layout, len(digests.layout.sizes) - 1
        if layout.sizes[:1] != (len(listed),):
            return None
        if find_differing(digest_parts(listed, layout.part), digests.digests[: DIGEST * layout.first_parts[1]]):
            return None
        names = cls.number_files(count) if is_encrypted(key) else read_names(listed)
        return cls(key, names, listed, digests) if len(names) == count else None

    @staticmethod
    def number_files(count: int) -> tuple[str, ...]:
        """Return what the files of an encrypted tree are called."""
        return tuple(f"{number:07d}" for number in range(count))

    @property
    def root(self) -> str:
        """Root of the digests, which says what the names and all bytes are."""
        return self.digests.root

    @property
    def size(self) -> int:
        """Bytes of all files of the tree."""
        return sum(self.digests.layout.sizes[1:])

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name."""
        return dict(zip(self.names, self.digests.layout.sizes[1:], strict=True))

    def keys(self) -> Iterator[str]:
        """Iterate over the keys of the files."""
        return (f"{self.key}/{name}" for name in self.names)

    def find_record(self, key: str) -> PartRecord | None:
        """Find what is recorded of a file of the tree, or of its list of names; None of any other."""
        layout, roots = self.digests.layout, (self.root,)
        if key == files_name(self.key):
            return PartRecord(roots, layout, parts_name(self.key))
        number = self._numbers.get(key.removeprefix(f"{self.key}/"))
        if number is None or not key.startswith(f"{self.key}/"):
            return None
        return PartRecord(roots, layout, parts_name(self.key), file=number)

    def find_differing(self, name: str, digests: bytes) -> list[int]:
        """Find the parts of a file that are not the recorded ones, given the digests of those that it has."""
        layout, number = self.digests.layout, self._numbers[name]
        first, beyond = layout.first_parts[number], layout.first_parts[number + 1]
        return find_differing(digests, self.digests.digests[DIGEST * first : DIGEST * beyond])

    def fits(self, name: str, data: bytes) -> bool:
        """Return whether a whole file has the bytes that are recorded of it."""
        layout, number = self.digests.layout, self._numbers[name]
        first, beyond = layout.first_parts[number], layout.first_parts[number + 1]
        expected = self.digests.digests[DIGEST * first : DIGEST * beyond]
        return len(data) == layout.sizes[number] and digest_parts(data, layout.part) == expected

    def locate_part(self, part: int) -> tuple[str | None, int]:
        """Locate a part by its number in all: the name of its file (None for the list of names), and its number in that."""
        first = self.digests.layout.first_parts
        file = bisect_right(first, part) - 1
        return (self.names[file - 1] if file else None), part - first[file]

    def verify(self, storage: Readable) -> VerifiedFiles:
        """Return the storage, where the files of the tree are compared with their digests."""
        return VerifiedFiles(storage, self.find_record, {(parts_name(self.key), self.root): self.digests})

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names, 1)}

    def __reduce__(self) -> tuple[Any, ...]:
        return Manifest, (self.key, self.names, self.listed, self.digests)


def read_digests(stored: bytes, key: str, root: str) -> DigestList | None:
    """Read the list of digests beside a tree; None if it is not the one with this root."""
    try:
        layout = read_layout(stored, part_size(key))
        digests = DigestList(layout, stored[layout.table_size :])
    except IntegrityError:
        return None
    return digests if digests.root == root and stored == digests.to_bytes() else None


def write_names(names: Iterable[str]) -> bytes:
    """Write a list of names, in the order of their bytes."""
    return "".join(f"{name}\n" for name in sorted(names, key=str.encode)).encode()


def read_names(listed: bytes) -> tuple[str, ...]:
    """Read a list of names; raise IntegrityError if it is none: see `check_list`."""
    names = tuple(listed.decode(errors="replace").split("\n")[:-1])
    check_list(names, "the tree")
    return names


def check_list(names: Iterable[str], where: str) -> None:
    """Check that the names that are stored can be those of all files of a tree, in the order of their bytes.

    Raises
    ------
    IntegrityError
        A name leads out of the tree, or comes twice or too late.
    """
    before = ""
    for name in names:
        if name <= before:
            raise IntegrityError(f"{where} has a list of files that is none, at {escape_line(name)}", _HINT)
        before = name
    try:
        check_names(names, where)
    except InvalidInputError as error:
        raise IntegrityError(error.message, _HINT) from None


def check_names(names: Iterable[str], where: str) -> None:
    """Check that names can be those of files of a tree.

    Raises
    ------
    InvalidInputError
        A name leads out of the tree, or has control characters.
    """
    for name in names:
        if not is_plain(name):
            raise InvalidInputError(f"{where} has a file {escape_line(name)}, whose name has control characters", "rename it")
        try:
            check_key(name)
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}: {error.message}", error.hint) from None


def read_beside(storage: Readable, name: str, key: str) -> bytes:
    """Read one of the two lists beside a tree; raise IntegrityError if it is gone, or too large for one."""
    try:
        data, info = storage.read_part(name, 0, _AT_ONCE)
        if info.size > _MOST_BYTES:
            raise IntegrityError(f"{storage.url}/{name} has {info.size:,} bytes, and no list of files is that large", _HINT)
        if len(data) == info.size:
            return data
        return data + storage.read_part(name, len(data), info.size, if_match=info.etag)[0]
    except NotFoundError:
        raise IntegrityError(f"{storage.url}/{name} is gone, which says what belongs to the tree {key}", _HINT) from None
