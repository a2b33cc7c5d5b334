"""Pack an object into one zip file, every byte compared with its digests on the way."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from modos.errors import AlreadyExistsError, ConflictError, IntegrityError, InvalidInputError, NotFoundError
from modos.errors.escaping import escape_line, hide_secrets
from modos.formats import is_list
from modos.object import commits, journal
from modos.object.copying import list_wanted
from modos.object.document import ROOT_KEY, Document
from modos.object.record import Entry as Change
from modos.object.record import entries
from modos.object.sending import Expected, FileToSend, iter_checked
from modos.object.stored_trees import TreeRecords
from modos.storage import Storage
from modos.storage.base import ByteRange, Place, Progress, expect, report
from modos.storage.prefetch import fetch_ahead
from modos.storage.readonly import UnaskedStorage
from modos.storage.verified import VerifiedFiles
from modos.storage.zip_format import (
    ENDING,
    MOST_DIRECTORY,
    MOST_ENTRIES,
    Entry,
    place_data,
    write_directory,
    write_end,
    write_header,
)

_SMALL = 4 << 20  # bytes up to which a file is read at once, and several together
_WORKERS = 8


@dataclass(frozen=True)
class Member:
    """File that is packed: what is recorded of it, or its bytes, and where its header and its own bytes are in the zip file."""

    file: FileToSend
    header: int
    start: int
    content: bytes | None = None

    def to_entry(self, crc: int) -> Entry:
        """Return its entry."""
        return Entry(self.file.key, self.file.size, crc, self.header)


class PackPlan:
    """Plan of the zip file of an object: what goes into it, and where; the same object gives the same bytes.

    Data files, trees and arrays come first, by their keys, then the mirrors
    of groups, then the root document, the directory, and the end.

    Raises
    ------
    ConflictError
        Somebody is changing the object.
    InvalidInputError
        It is in the layout of Zarr v2, or has too many files for one.
    IntegrityError
        It is not whole.
    """

    def __init__(self, source: Storage):
        changes = entries(source)
        journal.refuse_busy(source, changes)
        self.source, self.document = source, commits.load(source).copy()
        commits.refuse_old_layout(source, self.document)
        self.document.keep_apart()  # as its root and its mirrors are written
        self.trees = TreeRecords(source, self.document)
        files = list_wanted(source, self.document, self.trees)
        is_left = _tell_left(self.document, changes)
        sent = [(file, None) for file in sorted(files, key=lambda file: file.key) if not is_left(file.key)]
        own = [(FileToSend(key, len(content), Expected()), content) for key, content in _write_metadata(self.document)]
        self.members: list[Member] = []
        at = 0
        for file, content in [*sent, *own]:
            start = place_data(file.key, file.size, at)
            self.members.append(Member(file, at, start, content))
            at = start + file.size
        entries_ = [member.to_entry(0) for member in self.members]
        self.directory = ByteRange(at, at + sum(map(len, write_directory(entries_))))
        self._refuse_too_many()

    def __repr__(self) -> str:
        return escape_line(hide_secrets(f"<packing of {self.source.url}: {self.files:,} files, {self.size:,} bytes>"))

    def _refuse_too_many(self) -> None:
        if len(self.members) > MOST_ENTRIES or self.directory.size > MOST_DIRECTORY:
            raise InvalidInputError(
                f"{self.source.url} has {len(self.members):,} files; an object in one file has at most {MOST_ENTRIES:,}",
                "write its arrays in shards, or leave it in its folder",
            )

    def check_unchanged(self) -> None:
        """Raise ConflictError if there was a commit since the object was looked at."""
        if commits.load(self.source, self.document).tag != self.document.tag:
            raise _changed_error(self.source)

    @property
    def size(self) -> int:
        """Bytes of the zip file."""
        return self.directory.end + len(write_end(len(self.members), self.directory))

    @property
    def files(self) -> int:
        """Number of files, without metadata and lists of digests."""
        return sum(member.content is None and not is_list(member.file.key) for member in self.members)


def pack(plan: PackPlan, target: Storage, progress: Progress | None = None) -> None:
    """Write the zip file of a plan, whole or not at all.

    Parameters
    ----------
    target
        Whose root is the zip file.

    Raises
    ------
    AlreadyExistsError
        There is a file.
    InvalidInputError
        Its name does not end with `.zip`, or it would lie in the object.
    ChecksumMismatch
        A file is not what its metadata say.
    ConflictError
        The object was changed meanwhile.
    """
    place = target.as_file()
    if place is None or not target.url.lower().endswith(ENDING):
        raise InvalidInputError(f"{target.url} is no name of an object in one file", f"that ends with {ENDING}")
    if _lies_in(target, plan.source):
        raise InvalidInputError(f"{target.url} would lie in the object itself", "write it elsewhere")
    above, key = place
    if above.exists(key) or next(target.iter_files(), None) is not None:
        raise AlreadyExistsError(f"{target.url} exists already", "choose another name, or remove that first")
    expect(progress, plan.size)

    def make(place: Place | None) -> Iterator[bytes]:
        return report(_Writer(plan, place).write(), progress)

    try:
        if above.is_remote:  # the same object gives the same bytes: what a killed attempt has sent need not be sent again
            above.write_stream(key, make(None), size=plan.size, resume=True)
        else:
            above.drop_kept(key)  # of an attempt that was killed
            above.write_placed(key, make, size=plan.size)
    except (NotFoundError, IntegrityError):
        plan.check_unchanged()
        raise


def _lies_in(target: Storage, source: Storage) -> bool:
    if target.is_remote or source.is_remote:
        return target.url.startswith(f"{source.url}/")
    return os.path.realpath(target.url).startswith(f"{os.path.realpath(source.url)}/")


class _Writer:
    """Writes a zip file: with a place for bytes, the header of a large file is put there when its CRC-32 is known."""

    def __init__(self, plan: PackPlan, place: Place | None):
        self._plan, self._place, self._at = plan, place, 0
        self._crcs: list[int] = []
        records = {member.file.key: member.file.expected.record for member in plan.members}
        self._shards = VerifiedFiles(plan.source, records.get, plan.trees.lists)
        self._nothing = UnaskedStorage(plan.source.url, "nothing is kept of what was packed before")

    def write(self) -> Iterator[bytes]:
        """Write all of it, in order."""
        small = fetch_ahead(lambda member, _: self._read_small(member), self._plan.members, _WORKERS, 2 * _WORKERS)
        for member, content in zip(self._plan.members, small, strict=True):
            if member.file.key == ROOT_KEY:
                self._plan.check_unchanged()
            yield from map(self._put, self._write_large(member) if content is None else self._write_small(member, content))
        entries_ = (member.to_entry(crc) for member, crc in zip(self._plan.members, self._crcs, strict=True))
        yield from map(self._put, _join(write_directory(entries_)))
        yield self._put(write_end(len(self._crcs), self._plan.directory))

    def _put(self, piece: bytes) -> bytes:
        if self._place:
            self._place(self._at, piece)
        self._at += len(piece)
        return piece

    def _read_small(self, member: Member) -> bytes | None:
        if member.content is not None or member.file.size > _SMALL:
            return member.content
        return b"".join(self._iter_bytes(member))

    def _iter_bytes(self, member: Member) -> Iterator[bytes]:
        return iter_checked(self._plan.source, self._nothing, member.file, self._shards, None)

    def _write_small(self, member: Member, content: bytes) -> Iterator[bytes]:
        self._crcs.append(zlib.crc32(content))
        yield write_header(member.to_entry(self._crcs[-1])) + content

    def _write_large(self, member: Member) -> Iterator[bytes]:
        source, file = self._plan.source, member.file
        expected = None if self._place else _digest(source.iter_range(file.key, 0, file.size))
        yield write_header(member.to_entry(expected or 0))
        crc = 0
        for piece in self._iter_bytes(member):
            crc = zlib.crc32(piece, crc)
            yield piece
        if expected is None and self._place:
            self._place(member.header, write_header(member.to_entry(crc)))
        elif crc != expected:
            raise _changed_error(source)
        self._crcs.append(crc)


def _changed_error(source: Storage) -> ConflictError:
    return ConflictError(f"{source.url} was changed while it was packed", "nothing was written: pack it again")


def _digest(pieces: Iterable[bytes]) -> int:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc


def _join(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces to larger ones."""
    data = bytearray()
    for row in rows:
        data += row
        if len(data) >= 1 << 20:
            yield bytes(data)
            data.clear()
    yield bytes(data)


def _tell_left(document: Document, changes: Sequence[Change]) -> Callable[[str], bool]:
    """Return a test of whether a file was left by a change that was interrupted."""
    is_owned = journal.ownership_of(document)
    return lambda key: any(change.covers(key) for change in changes) and not is_owned(key)


def _write_metadata(document: Document) -> Iterator[tuple[str, bytes]]:
    """Write the mirrors of groups and arrays by their keys, and the root document last."""
    for path in sorted(filter(commits.has_mirror, document.nodes)):
        yield commits.mirror_key(path), json.dumps(document.mirror(path), ensure_ascii=False).encode()
    yield ROOT_KEY, document.to_bytes()
