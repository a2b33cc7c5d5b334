"""How a file of a storage is sealed, opened, and given to others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.changes import Update
from modos.encryption import body
from modos.encryption.header import Opened
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.stored import stored_header
from modos.encryption.structure import SLOTS_OF_SEALED
from modos.encryption.writing import seal_pieces, taken, with_progress, write_new
from modos.errors import ChecksumMismatch, ConflictError, DecryptError
from modos.hashing import ThreadedHash
from modos.storage import Storage
from modos.storage.base import Progress


@dataclass(frozen=True)
class _Conversion(ABC):
    """Makes other files of a data file and its indexes.

    Parameters
    ----------
    pairs
        What is there and what will be; the data file first.
    """

    change: Update
    pairs: tuple[tuple[str, str], ...]
    replaces: bool = field(default=True, kw_only=True)

    def keys(self) -> list[str]:
        return [target for _, target in self.pairs]

    def folders(self) -> list[str]:
        return []

    def stage(self, storage: Storage, written: list[str], progress: Progress | None) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for source, target in self.pairs:
            found = self._convert(storage, source, target, {} if told else self.change.base, progress)
            written.append(target)
            told = told or found
        return told

    @abstractmethod
    def _convert(self, storage: Storage, source: str, target: str, recorded: dict[str, Any],
                 progress: Progress | None) -> dict[str, Any]:
        """Make one file, checked against what is recorded of it; returns what there is to say of the new one."""


@dataclass(frozen=True)
class Seal(_Conversion):
    """Seals a file and its indexes for some recipients."""

    recipients: tuple[PublicKey, ...]
    sender: SecretKey

    def _convert(self, storage: Storage, source: str, target: str, recorded: dict[str, Any],
                 progress: Progress | None) -> dict[str, Any]:
        size, plain = storage.stat(source).size, ThreadedHash()

        def pieces() -> Iterator[bytes]:
            yield from plain.over(storage.iter_range(source, 0, size, body.PIECE))
            if recorded.get("data_checksum") not in (None, plain.hexdigest()):
                raise ChecksumMismatch(f"{storage.url}/{source} does not have the checksum in its metadata",
                                       "the file was changed or damaged: see `modos check`")

        told = seal_pieces(storage, pieces(), size, target, self.recipients, self.sender, progress, like=source)
        return told | {"plain_size": size, "plain_checksum": plain.hexdigest(),
                       "recipients": [str(recipient) for recipient in self.recipients]}


@dataclass(frozen=True)
class Unseal(_Conversion):
    """Opens a sealed file and its indexes."""

    secret: SecretKey
    sender: PublicKey | None

    def _convert(self, storage: Storage, source: str, target: str, recorded: dict[str, Any],
                 progress: Progress | None) -> dict[str, Any]:
        opened = SealedFile(storage, source, self.secret, self.sender)
        write_new(storage, target, with_progress(opened.iter_plain(recorded), progress), opened.size, like=source)
        return {"data_size": opened.size, "data_checksum": opened.plain_checksum} | dict.fromkeys(SLOTS_OF_SEALED)


@dataclass(frozen=True)
class Rotate(_Conversion):
    """Seals a sealed file and its indexes anew, under other keys."""

    secret: SecretKey
    recipients: tuple[PublicKey, ...]

    def _convert(self, storage: Storage, source: str, target: str, recorded: dict[str, Any],
                 progress: Progress | None) -> dict[str, Any]:
        opened = SealedFile(storage, source, self.secret)
        told = seal_pieces(storage, opened.iter_plain(recorded), opened.size, target, self.recipients, self.secret, progress,
                           like=source)
        return told | {"plain_size": opened.size, "plain_checksum": opened.plain_checksum}


@dataclass(frozen=True)
class Reseal(_Conversion):
    """Gives a sealed file and its indexes another header.

    Parameters
    ----------
    recipients
        All of them, where packets are not kept; else those to add.
    """

    secret: SecretKey
    recipients: tuple[PublicKey, ...]
    keeps_packets: bool

    def _convert(self, storage: Storage, source: str, target: str, recorded: dict[str, Any],
                 progress: Progress | None) -> dict[str, Any]:
        header, _, _ = stored_header(storage, source)
        head = header.resealed(self.secret, self.recipients, keep=self.keeps_packets)
        try:
            storage.splice(target, head, source, header.size)
        except ConflictError:
            raise taken(storage, target) from None
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
        self.plain_checksum = ""
        try:
            self._header, _, info = stored_header(storage, key)
            self._bytes = info.size
            self._opened: Opened = self._header.open(secret, sender)
            total = body.plain_size(self._bytes - self._header.size)
        except DecryptError as error:
            raise DecryptError(f"{storage.url}/{key}: {error.message}", error.hint) from None
        self.size = sum(end - start for start, end in body.kept(total, self._opened.edits))

    def iter_plain(self, recorded: Mapping[str, Any]) -> Iterator[bytes]:
        """The plain bytes, checked against what is recorded of the file.

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
        self.plain_checksum = plain.hexdigest()
        if recorded.get("seal_digest", digest.hexdigest()) != digest.hexdigest():
            raise DecryptError(f"{self._storage.url}/{self._key}: segments are missing, repeated or moved",
                               "restore the file from a copy")
        if recorded.get("plain_checksum", self.plain_checksum) != self.plain_checksum:
            raise DecryptError(f"{self._storage.url}/{self._key}: what is in it is not what was sealed")
