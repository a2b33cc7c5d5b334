"""How a file of a storage is sealed, opened, and given to others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from modos.editing import Add, Update
from modos.encryption import body
from modos.encryption.header import Header, Opened, read_header, seal_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import AlreadyExistsError, ChecksumMismatch, ConflictError, DecryptError
from modos.formats import ENCRYPTED_SUFFIX, plain_name
from modos.hashing import ThreadedHash
from modos.storage import Storage
from modos.storage.base import Progress

_OF_SEALED = ("plain_checksum", "plain_size", "seal_digest", "recipients")


@dataclass(frozen=True)
class Seal:
    """Seals a file and its indexes for some recipients."""

    sources: tuple[str, ...]  # the data file first
    recipients: tuple[PublicKey, ...]
    sender: SecretKey
    change: Add | Update
    replaces: bool

    def keys(self) -> list[str]:
        return [source + ENCRYPTED_SUFFIX for source in self.sources]

    def stage(self, storage: Storage, written: list[str], progress: Progress | None) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for source, target in zip(self.sources, self.keys()):
            found = self._seal(storage, source, target, progress)
            written.append(target)
            told = told or found
        recorded = self.change.base.get("data_checksum")
        if recorded not in (None, told["plain_checksum"]):
            raise ChecksumMismatch(f"{storage.url}/{self.sources[0]} does not have the checksum in its metadata",
                                   "the file was changed or damaged: see `modos check`")
        return told | {"recipients": [str(recipient) for recipient in self.recipients]}

    def _seal(self, storage: Storage, source: str, target: str, progress: Progress | None) -> dict[str, Any]:
        size = storage.stat(source).size
        return _seal_pieces(storage, storage.iter_range(source, 0, size, body.PIECE), size, target, self.recipients, self.sender,
                            progress)


def _seal_pieces(storage: Storage, pieces: Iterable[bytes], size: int, target: str, recipients: Sequence[PublicKey],
                 sender: SecretKey, progress: Progress | None) -> dict[str, Any]:
    """Seal plain bytes into a new file; returns what there is to say of it."""
    key = os.urandom(32)
    head, plain, sealed, digest = seal_header(key, recipients, sender), ThreadedHash(), ThreadedHash(), body.Digest()

    def parts() -> Iterator[bytes]:
        yield head
        for part in body.seal(plain.over(_told(pieces, progress)), key):
            sealed.update(part)
            digest.add(part)
            yield part

    whole = len(head) + body.sealed_size(size)
    _write(storage, target, parts(), whole)
    return {"data_size": whole, "data_checksum": sealed.hexdigest(), "plain_size": size,
            "plain_checksum": plain.hexdigest(), "seal_digest": digest.hexdigest()}


@dataclass(frozen=True)
class Unseal:
    """Opens a sealed file and its indexes."""

    sources: tuple[str, ...]  # the data file first
    secret: SecretKey
    sender: PublicKey | None
    change: Add | Update
    replaces: bool = True

    def keys(self) -> list[str]:
        return [plain_name(source) for source in self.sources]

    def stage(self, storage: Storage, written: list[str], progress: Progress | None) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for source, target in zip(self.sources, self.keys()):
            opened = SealedFile(storage, source, self.secret, self.sender)
            _write(storage, target, _told(opened.iter_plain(None if told else self.change.base), progress), opened.size)
            written.append(target)
            told = told or {"data_size": opened.size, "data_checksum": opened.plain_checksum}
        return told | dict.fromkeys(_OF_SEALED)


@dataclass(frozen=True)
class Reseal:
    """Gives a sealed file and its indexes to others: by another header, or with `rotate` under another key."""

    pairs: tuple[tuple[str, str], ...]  # what is there and what will be; the data file first
    secret: SecretKey
    recipients: tuple[PublicKey, ...]  # all, where packets are not kept; else those to add
    keeps_packets: bool
    rotate: bool
    change: Add | Update
    replaces: bool = True

    def keys(self) -> list[str]:
        return [target for _, target in self.pairs]

    def stage(self, storage: Storage, written: list[str], progress: Progress | None) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for source, target in self.pairs:
            if self.rotate:
                opened = SealedFile(storage, source, self.secret)
                found = _seal_pieces(storage, opened.iter_plain(None if told else self.change.base), opened.size, target,
                                     self.recipients, self.secret, progress)
            else:
                found = self._give(storage, source, target)
            written.append(target)
            told = told or found
        return told

    def _give(self, storage: Storage, source: str, target: str) -> dict[str, Any]:
        header = header_of(storage, source)
        head = header.resealed(self.secret, self.recipients, keep=self.keeps_packets)
        try:
            storage.splice(target, head, source, header.size)
        except ConflictError:
            raise _taken(storage, target) from None
        return {"data_size": storage.stat(target).size}


class SealedFile:
    """A sealed file of a storage, opened with a key.

    Attributes
    ----------
    size
        Plain bytes.
    plain_checksum
        Their BLAKE2b-512, when all of them were read.

    Raises
    ------
    DecryptError
        The key does not open it, or it is damaged.
    """

    def __init__(self, storage: Storage, key: str, secret: SecretKey, sender: PublicKey | None = None):
        self._storage = storage
        self._key = key
        self._bytes = storage.stat(key).size
        self.plain_checksum = ""
        try:
            self._header = header_of(storage, key)
            self._opened: Opened = self._header.open(secret, sender)
            total = body.plain_size(self._bytes - self._header.size)
        except DecryptError as error:
            raise DecryptError(f"{storage.url}/{key}: {error.message}", error.hint) from None
        self.size = sum(end - start for start, end in body.kept(total, self._opened.edits))

    def iter_plain(self, recorded: dict[str, Any] | None) -> Iterator[bytes]:
        """The plain bytes; with what the element says of the file they are checked against that.

        Raises
        ------
        DecryptError
            A segment was changed, or segments are missing, repeated or moved;
            or the plain file is not the one that was sealed.
        """
        digest, plain = body.Digest(), ThreadedHash()
        pieces = self._storage.iter_range(self._key, self._header.size, self._bytes, body.SEALED_PIECE)
        try:
            yield from plain.over(body.apply_edits(body.unseal(pieces, self._opened.keys, digest), self._opened.edits))
        except DecryptError as error:
            raise DecryptError(f"{self._storage.url}/{self._key}: {error.message}", error.hint) from None
        self.plain_checksum, expected = plain.hexdigest(), recorded or {}
        if expected.get("seal_digest", digest.hexdigest()) != digest.hexdigest():
            raise DecryptError(f"{self._storage.url}/{self._key}: segments are missing, repeated or moved",
                               "restore the file from a copy")
        if expected.get("plain_checksum", self.plain_checksum) != self.plain_checksum:
            raise DecryptError(f"{self._storage.url}/{self._key}: what is in it is not what was sealed")


def header_of(storage: Storage, key: str) -> Header:
    """The header of a sealed file."""
    return read_header(lambda start, end: storage.read_range(key, start, end))


def _told(pieces: Iterable[bytes], progress: Progress | None) -> Iterator[bytes]:
    """The pieces, of whose bytes somebody is told."""
    for piece in pieces:
        yield piece
        if progress:
            progress(len(piece))


def _write(storage: Storage, key: str, pieces: Iterator[bytes], size: int) -> None:
    try:
        storage.write_stream(key, pieces, size=size)
    except ConflictError:
        raise _taken(storage, key) from None


def _taken(storage: Storage, key: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"there is a file {key} in {storage.url} already",
                              "it is not overwritten: look at it, and remove it")
