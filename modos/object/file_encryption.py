"""Encrypt, decrypt or re-encrypt the header of a single file in a storage, as part of a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modos.encryption import body
from modos.encryption.beside import encrypt_beside
from modos.encryption.header import Opened, digest_of
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.recorded import SealRecord, find_record, iter_whole
from modos.encryption.stored import read_stored_header
from modos.encryption.structure import SLOTS_OF_CUTS, SLOTS_OF_SEALED
from modos.encryption.view import DecryptedView
from modos.encryption.writing import encrypt_pieces, expect_free, place_new, write_new
from modos.errors import ChecksumMismatch, DecryptError, IntegrityError, InvalidInputError, NotFoundError
from modos.formats import cuts_name, is_encrypted, parts_name, plain_name, read_roots
from modos.formats.crypt4gh import SEALED
from modos.object import transfer
from modos.object.changes import Update
from modos.object.cut_lists import Readers, find_index, make_cuts, read_cuts, stage_cuts
from modos.object.moving import FilePairs
from modos.object.part_lists import body_start, digest_stored, stage_list
from modos.storage import Storage
from modos.storage.base import Place, Progress, report
from modos.storage.hashing import ThreadedHash
from modos.storage.part_digests import DigestList, PartHasher
from modos.storage.write_log import WriteLog

_LET_GO = 16 << 20  # bytes that were read, more than are read ahead


@dataclass(frozen=True)
class _Made:
    """File that was made of another.

    Parameters
    ----------
    slots
        What the element says of it, if it is the data file.
    digests
        Of its parts, or of the segments of its body; None where these are those of the file of which it was made.
    header
        Digest of its header, if it is encrypted.
    """

    slots: dict[str, Any]
    digests: DigestList | None
    header: str | None = None


@dataclass(frozen=True)
class _Conversion(FilePairs, ABC):
    """Conversion of a data file and its indexes to other files.

    Parameters
    ----------
    readers
        Whom the cuts of the new file are encrypted for.
    """

    readers: Readers = field(default=Readers(), kw_only=True)

    def keys(self) -> list[str]:
        """List the keys of the new files; an index may stay where it is."""
        target = self.pairs[0][1]
        beside = [parts_name(target), *([cuts_name(target)] if self.readers.servers else ())]
        return [*(target for source, target in self.pairs if source != target), *beside]

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the new files; returns what the element says of them."""
        (path, new), *indexes = self.pairs
        data = self._make(log, path, new, self.change.base, progress)
        if data.digests:
            stage_list(log, new, data.digests, like=path)
        else:
            _copy_list(log, path, new, self.change.base)
        of_indexes = [self._make(log, source, target, {}, progress) for source, target in indexes]
        headers = [one.header for one in (data, *of_indexes) if one.header]
        roots = [one.digests.root for one in of_indexes if one.digests]
        return (
            data.slots
            | ({"header_digests": headers} if headers else {})
            | ({"index_digests": roots or None} if len(roots) == len(of_indexes) else {})
            | self._stage_cuts(log, path, new)
        )

    def _stage_cuts(self, log: WriteLog, source: str, target: str) -> dict[str, Any]:
        """Write the cuts of the new file, if there are servers that need them; returns what the element says of them."""
        if not self.readers.servers:
            return dict.fromkeys(slot for slot in SLOTS_OF_CUTS if self.change.base.get(slot))
        return stage_cuts(log, target, self._make_cuts(log.storage, source), self.readers, like=source)

    def _make_cuts(self, storage: Storage, source: str) -> bytes | None:
        """Make the cuts of a plain file."""
        return make_cuts(storage, source, source, find_index(storage, source))

    def _make(self, log: WriteLog, source: str, target: str, recorded: Mapping[str, Any], progress: Progress | None) -> _Made:
        made = self._convert(log.storage, source, target, recorded, progress)
        if source != target:
            log.wrote(target)
        return made

    @abstractmethod
    def _convert(
        self, storage: Storage, source: str, target: str, recorded: Mapping[str, Any], progress: Progress | None
    ) -> _Made:
        """Make one file, checked against what is recorded of it, which is nothing of an index."""


@dataclass(frozen=True)
class Encrypt(_Conversion):
    """Encryption of a file and its indexes for some recipients."""

    recipients: tuple[PublicKey, ...]
    sender: SecretKey

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: Mapping[str, Any], progress: Progress | None
    ) -> _Made:
        size, checksum = storage.stat(source).size, recorded.get("data_checksum")
        roots = read_roots(recorded, "data_digest") if recorded else read_roots(self.change.base, "index_digests")
        blake2b = ThreadedHash() if checksum and not roots else None

        def check(plain: DigestList) -> None:
            if (roots and plain.root not in roots) or (blake2b and blake2b.hexdigest() != checksum):
                raise ChecksumMismatch(
                    f"{storage.url}/{source} is not what is recorded in its metadata",
                    "the file was changed or damaged: see `modos check`"
                    if recorded
                    else "the index was changed, or put there by hand: see `modos check`, and remove it if another one is there",
                )

        pieces: body.Pieces = _read(storage, source, 0, size, body.PIECE, once=self.replaces)
        if blake2b:
            pieces = blake2b.pass_on(storage.iter_range(source, 0, size, body.PIECE))
        sealed = encrypt_pieces(
            storage, pieces, size, target, self.recipients, self.sender, progress, source, check, is_compared=bool(roots)
        )
        slots = {"plain_checksum": checksum, "recipients": [str(recipient) for recipient in self.recipients]}
        return _Made(sealed.describe() | slots, sealed.segments, sealed.header)


@dataclass(frozen=True)
class Decrypt(_Conversion):
    """Decryption of an encrypted file and its indexes."""

    secret: SecretKey
    senders: tuple[PublicKey, ...] | None

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: Mapping[str, Any], progress: Progress | None
    ) -> _Made:
        if not is_encrypted(source):
            return _copy_plain(storage, source, target)
        opened = DecryptedFile(storage, source, self.secret, self.senders, record=_read_record(self.change, recorded))

        def plain(place: Place | None) -> Iterator[bytes]:
            return report(opened.iter_plain(recorded, once=self.replaces, place=place), progress)

        place_new(storage, target, plain, opened.size, like=source)
        slots = {"data_size": opened.size, "data_digest": opened.plain.root, "data_checksum": recorded.get("plain_checksum")}
        return _Made(slots | dict.fromkeys(SLOTS_OF_SEALED), opened.plain)


@dataclass(frozen=True)
class Rotate(_Conversion):
    """New encryption of an encrypted file and its indexes, under other keys."""

    secret: SecretKey
    recipients: tuple[PublicKey, ...]

    def _make_cuts(self, storage: Storage, source: str) -> bytes | None:
        return _copy_or_make_cuts(storage, source, self.change.base, self.secret)

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: Mapping[str, Any], progress: Progress | None
    ) -> _Made:
        if not is_encrypted(source):
            return _encrypt_index(storage, source, target, self.pairs[0][1], self.secret)
        opened = DecryptedFile(storage, source, self.secret, record=_read_record(self.change, recorded))
        plain = opened.iter_plain(recorded, once=self.replaces)
        sealed = encrypt_pieces(storage, plain, opened.size, target, self.recipients, self.secret, progress, source)
        return _Made(sealed.describe() | {"sender": str(self.secret.public)}, sealed.segments, sealed.header)


@dataclass(frozen=True)
class ReplaceHeader(_Conversion):
    """Replacement of the headers of an encrypted file and its indexes; the bodies stay, and their digests.

    Parameters
    ----------
    recipients
        All of them except the owner of the key, where packets are not kept; else those to add.
    """

    secret: SecretKey
    recipients: tuple[PublicKey, ...]
    keeps_packets: bool

    def _make_cuts(self, storage: Storage, source: str) -> bytes | None:
        return _copy_or_make_cuts(storage, source, self.change.base, self.secret)

    def _convert(
        self, storage: Storage, source: str, target: str, recorded: Mapping[str, Any], progress: Progress | None
    ) -> _Made:
        if not is_encrypted(source):
            return _encrypt_index(storage, source, target, self.pairs[0][1], self.secret)
        header, _, _ = read_stored_header(storage, source)
        _read_record(self.change, recorded).check_header(header, f"{storage.url}/{source}")
        if self.keeps_packets:
            head = header.reencrypt(self.secret, self.recipients, keep=True)
        else:
            head = header.reencrypt_for_others(self.secret, [key for key in self.recipients if key != self.secret.public])
        with expect_free(storage, target):
            storage.splice(target, head, source, header.size)
        slots: dict[str, Any] = {"data_size": storage.stat(target).size}
        if recorded.get("data_checksum") and transfer.counts_whole(recorded):
            slots["data_checksum"] = transfer.measure(storage, target)[1]
        return _Made(slots, None, digest_of(head))


def _read(storage: Storage, key: str, start: int, end: int, unit: int, *, once: bool) -> body.Pieces:
    """Read bytes [start, end) of a file in pieces; those of this machine are read by the threads that need them."""
    if storage.is_remote:
        return storage.iter_range(key, start, end, unit)
    return _list_pieces(storage, key, start, end, unit, once=once)


def _list_pieces(storage: Storage, key: str, start: int, end: int, unit: int, *, once: bool) -> Iterator[body.StoredPiece]:
    """List pieces to be read; if the file is deleted afterwards, memory that they have taken is free for what is written."""
    gone, tag = start, storage.stat(key).etag
    for at in range(start, end, unit):
        yield body.StoredPiece(storage, key, at, min(at + unit, end), tag)
        if once and at - gone >= 2 * _LET_GO:  # the last ones may still be read
            storage.let_go(key, gone, at - _LET_GO)
            gone = at - _LET_GO


def _put_each(pieces: Iterator[bytes], place: Place | None) -> Iterator[bytes]:
    at = 0
    for piece in pieces:
        if place:
            place(at, piece)
        yield piece
        at += len(piece)


def _copy_list(log: WriteLog, source: str, target: str, recorded: Mapping[str, Any]) -> None:
    """Give a file whose body is that of another the other's list of digests, if it has one."""
    storage, root = log.storage, recorded.get("data_digest")
    if not root or storage.stat(target).size - body_start(storage, target) <= SEALED:
        return
    try:
        with expect_free(storage, parts_name(target)):
            storage.copy(parts_name(target), parts_name(source))
    except NotFoundError:
        digests = digest_stored(storage, target)
        SealRecord.from_attributes(recorded).check_body(digests.root, f"{storage.url}/{source}")
        stage_list(log, target, digests, like=source)
    else:
        log.wrote(parts_name(target))


def _read_record(change: Update, recorded: Mapping[str, Any]) -> SealRecord:
    """Read what is recorded of the headers of a data file, or of those of its indexes."""
    return SealRecord.from_attributes(recorded) if recorded else SealRecord.from_index_attributes(change.base)


def _copy_or_make_cuts(storage: Storage, source: str, recorded: Mapping[str, Any], secret: SecretKey) -> bytes | None:
    """Read the cuts of an encrypted file, or make them where it has none for the key that are as recorded.

    Raises
    ------
    InvalidInputError
        The file has an edit list, so that its bytes are not those of its segments.
    """
    header, _, _ = read_stored_header(storage, source)
    if header.decrypt(secret).edits is not None:
        raise InvalidInputError(
            f"{storage.url}/{source} has an edit list, and a server cannot find regions in it",
            "encrypt the file anew: modos c4gh revoke --rotate",
        )
    try:
        return read_cuts(storage, recorded, secret)
    except (NotFoundError, IntegrityError):
        metadata = {"": recorded}
        view, key = DecryptedView(storage, secret, lambda name: find_record(metadata, name)), plain_name(source)
        return make_cuts(view, key, key, find_index(view, key))


def _copy_plain(storage: Storage, source: str, target: str) -> _Made:
    """Copy a plain index; one that stays where it is is read alone."""
    size, digests = storage.stat(source).size, PartHasher()
    pieces = digests.pass_on(storage.iter_range(source, 0, size, body.PIECE))
    if source == target:
        for _ in pieces:
            pass
    else:
        write_new(storage, target, pieces, size, like=source)
    return _Made({}, digests.finish())


def _encrypt_index(storage: Storage, source: str, target: str, beside: str, secret: SecretKey) -> _Made:
    """Encrypt a plain index for the recipients of the data file beside it."""
    header, _, _ = read_stored_header(storage, beside)
    size, digests = storage.stat(source).size, body.BodyDigests(of_plain=False)
    sealed = encrypt_beside(header, secret, storage.iter_range(source, 0, size, body.PIECE), digests)
    write_new(storage, target, sealed, header.size + body.encrypted_size(size), like=source)
    return _Made({}, digests.sealed.finish(), header.digest)


class DecryptedFile:
    """Encrypted file of a storage, decrypted with a key as it is read.

    Parameters
    ----------
    senders
        Allowed senders: one of them must have encrypted it; None allows anybody.
    record
        What the metadata record of it.

    Attributes
    ----------
    header
        The Crypt4GH header.
    size
        Number of plain bytes.
    plain
        Digests of the parts of the plain bytes, once all of them were read.

    Raises
    ------
    IntegrityError
        The key does not decrypt it, or it is damaged, or not what is recorded.
    """

    plain: DigestList

    def __init__(
        self,
        storage: Storage,
        key: str,
        secret: SecretKey,
        senders: Sequence[PublicKey] | None = None,
        *,
        record: SealRecord = SealRecord(),
    ):
        self._storage = storage
        self._key = key
        self._record = record
        try:
            self.header, _, info = read_stored_header(storage, key)
            self._bytes = info.size
            self._opened: Opened = self.header.decrypt(secret, senders)
            total = body.plain_size(self._bytes - self.header.size)
        except DecryptError as error:
            raise DecryptError(f"{storage.url}/{key}: {error.message}", error.hint) from None
        record.check_header(self.header, f"{storage.url}/{key}")
        self.size = sum(end - start for start, end in body.kept_stretches(total, self._opened.edits))

    def iter_plain(self, recorded: Mapping[str, Any], *, once: bool = False, place: Place | None = None) -> Iterator[bytes]:
        """Iterate over the plain bytes, which are checked against what is recorded of them.

        Parameters
        ----------
        once
            The file is deleted afterwards.
        place
            Puts them in their places before they are given: see `Storage.write_placed`.

        Raises
        ------
        IntegrityError
            A segment was changed, or segments are missing, repeated or moved;
            or the plain file is not the one that was encrypted.
        """
        is_whole, name = not self._opened.edits, f"{self._storage.url}/{self._key}"
        root, checksum = recorded.get("plain_digest"), recorded.get("plain_checksum")
        digests = body.BodyDigests(of_plain=is_whole, of_sealed=not root)
        pieces = _read(self._storage, self._key, self.header.size, self._bytes, body.SEALED_PIECE, once=once)
        plain = iter_whole(pieces, self._opened, self._record, name, digests, place=place if is_whole else None)
        if not is_whole:
            plain = digests.plain.pass_on(_put_each(plain, place))
        blake2b = ThreadedHash() if checksum and not root else None
        yield from blake2b.pass_on(plain) if blake2b else plain
        self.plain = digests.plain.finish()
        if root not in (None, self.plain.root) or (blake2b and blake2b.hexdigest() != checksum):
            raise DecryptError(f"{name}: what is in it is not what was sealed")
