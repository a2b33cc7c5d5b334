"""Encrypt, decrypt or re-encrypt the header of a single file in a storage, as part of a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modos.encryption import body
from modos.encryption.beside import encrypt_beside
from modos.encryption.header import Opened, digest_of
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.recorded import SealRecord, iter_whole
from modos.encryption.stored import read_stored_header
from modos.encryption.structure import SLOTS_OF_SEALED
from modos.encryption.writing import encrypt_pieces, exists_error, write_new
from modos.errors import ChecksumMismatch, ConflictError, DecryptError
from modos.formats import is_encrypted
from modos.object import transfer
from modos.object.changes import Update
from modos.object.moving import FilePairs
from modos.storage import Storage
from modos.storage.base import Progress, report
from modos.storage.hashing import ThreadedHash
from modos.storage.write_log import WriteLog


@dataclass(frozen=True)
class _Conversion(FilePairs, ABC):
    """Conversion of a data file and its indexes to other files."""

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the new files; returns what the element says of them."""
        told: dict[str, Any] = {}
        headers = []
        for source, target in self.pairs:
            found = self._convert(log.storage, source, target, {} if told else self.change.base, progress)
            log.wrote(target)
            headers += [found.pop("header_digest")] if "header_digest" in found else []
            told = told or found
        return told | ({"header_digests": headers} if headers else {})

    @abstractmethod
    def _convert(
        self, storage: Storage, source: str, target: str, recorded: dict[str, Any], progress: Progress | None
    ) -> dict[str, Any]:
        """Make one file, checked against what is recorded of it; returns what the element says of the new one."""


@dataclass(frozen=True)
class Encrypt(_Conversion):
    """Encryption of a file and its indexes for some recipients."""

    recipients: tuple[PublicKey, ...]
    sender: SecretKey

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: dict[str, Any], progress: Progress | None
    ) -> dict[str, Any]:
        size, plain = storage.stat(source).size, ThreadedHash()

        def pieces() -> Iterator[bytes]:
            yield from plain.pass_on(storage.iter_range(source, 0, size, body.PIECE))
            if recorded.get("data_checksum") not in (None, plain.hexdigest()):
                raise ChecksumMismatch(
                    f"{storage.url}/{source} does not have the checksum in its metadata",
                    "the file was changed or damaged: see `modos check`",
                )

        told = encrypt_pieces(storage, pieces(), size, target, self.recipients, self.sender, progress, like=source)
        return told | {
            "plain_size": size,
            "plain_checksum": plain.hexdigest(),
            "recipients": [str(recipient) for recipient in self.recipients],
        }


@dataclass(frozen=True)
class Decrypt(_Conversion):
    """Decryption of an encrypted file and its indexes."""

    secret: SecretKey
    senders: tuple[PublicKey, ...] | None

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: dict[str, Any], progress: Progress | None
    ) -> dict[str, Any]:
        if not is_encrypted(source):
            size = storage.stat(source).size
            write_new(storage, target, storage.iter_range(source, 0, size, body.PIECE), size, like=source)
            return {}
        opened = DecryptedFile(storage, source, self.secret, self.senders, headers=_read_record(self.change, recorded))
        write_new(storage, target, report(opened.iter_plain(recorded), progress), opened.size, like=source)
        return {"data_size": opened.size, "data_checksum": opened.plain_checksum} | dict.fromkeys(SLOTS_OF_SEALED)


@dataclass(frozen=True)
class Rotate(_Conversion):
    """New encryption of an encrypted file and its indexes, under other keys."""

    secret: SecretKey
    recipients: tuple[PublicKey, ...]

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: dict[str, Any], progress: Progress | None
    ) -> dict[str, Any]:
        if not is_encrypted(source):
            return _encrypt_index(storage, source, target, self.pairs[0][1], self.secret)
        opened = DecryptedFile(storage, source, self.secret, headers=_read_record(self.change, recorded))
        told = encrypt_pieces(
            storage, opened.iter_plain(recorded), opened.size, target, self.recipients, self.secret, progress, like=source
        )
        return told | {"plain_size": opened.size, "plain_checksum": opened.plain_checksum, "sender": str(self.secret.public)}


@dataclass(frozen=True)
class ReplaceHeader(_Conversion):
    """Replacement of the headers of an encrypted file and its indexes.

    Parameters
    ----------
    recipients
        All of them except the owner of the key, where packets are not kept; else those to add.
    """

    secret: SecretKey
    recipients: tuple[PublicKey, ...]
    keeps_packets: bool

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: dict[str, Any], progress: Progress | None
    ) -> dict[str, Any]:
        if not is_encrypted(source):
            return _encrypt_index(storage, source, target, self.pairs[0][1], self.secret)
        header, _, _ = read_stored_header(storage, source)
        _read_record(self.change, recorded).check_header(header, f"{storage.url}/{source}")
        if self.keeps_packets:
            head = header.reencrypt(self.secret, self.recipients, keep=True)
        else:
            head = header.reencrypt_for_others(self.secret, [key for key in self.recipients if key != self.secret.public])
        try:
            storage.splice(target, head, source, header.size)
        except ConflictError:
            raise exists_error(storage, target) from None
        told = {"data_size": storage.stat(target).size, "header_digest": digest_of(head)}
        if recorded and transfer.counts_whole(recorded):
            told["data_checksum"] = transfer.measure(storage, target)[1]
        return told


def _read_record(change: Update, recorded: Mapping[str, Any]) -> SealRecord:
    """Read what is recorded of the headers of a data file, or of those of its indexes."""
    return SealRecord.from_attributes(recorded) if recorded else SealRecord.from_index_attributes(change.base)


def _encrypt_index(storage: Storage, source: str, target: str, beside: str, secret: SecretKey) -> dict[str, Any]:
    """Encrypt a plain index for the recipients of the data file beside it."""
    header, _, _ = read_stored_header(storage, beside)
    size = storage.stat(source).size
    sealed = encrypt_beside(header, secret, storage.iter_range(source, 0, size, body.PIECE))
    write_new(storage, target, sealed, header.size + body.encrypted_size(size), like=source)
    return {"header_digest": header.digest}


class DecryptedFile:
    """Encrypted file of a storage, decrypted with a key as it is read.

    Parameters
    ----------
    senders
        Allowed senders: one of them must have encrypted it; None allows anybody.
    headers
        Record of its header in the metadata.

    Attributes
    ----------
    header
        The Crypt4GH header.
    size
        Number of plain bytes.
    plain_checksum
        BLAKE2b-512 of the plain bytes, once all of them were read.

    Raises
    ------
    IntegrityError
        The key does not decrypt it, or it is damaged, or not what is recorded.
    """

    def __init__(
        self,
        storage: Storage,
        key: str,
        secret: SecretKey,
        senders: Sequence[PublicKey] | None = None,
        *,
        headers: SealRecord = SealRecord(),
    ):
        self._storage = storage
        self._key = key
        self.plain_checksum = ""
        try:
            self.header, _, info = read_stored_header(storage, key)
            self._bytes = info.size
            self._opened: Opened = self.header.decrypt(secret, senders)
            total = body.plain_size(self._bytes - self.header.size)
        except DecryptError as error:
            raise DecryptError(f"{storage.url}/{key}: {error.message}", error.hint) from None
        headers.check_header(self.header, f"{storage.url}/{key}")
        self.size = sum(end - start for start, end in body.kept_stretches(total, self._opened.edits))

    def iter_plain(self, recorded: Mapping[str, Any]) -> Iterator[bytes]:
        """Iterate over the plain bytes, which are checked against what is recorded of the file.

        Raises
        ------
        DecryptError
            A segment was changed, or segments are missing, repeated or moved;
            or the plain file is not the one that was encrypted.
        """
        plain, name = ThreadedHash(), f"{self._storage.url}/{self._key}"
        pieces = self._storage.iter_range(self._key, self.header.size, self._bytes, body.SEALED_PIECE)
        yield from plain.pass_on(iter_whole(pieces, self._opened, SealRecord.from_attributes(recorded), name))
        self.plain_checksum = plain.hexdigest()
        if recorded.get("plain_checksum", self.plain_checksum) != self.plain_checksum:
            raise DecryptError(f"{name}: what is in it is not what was sealed")
