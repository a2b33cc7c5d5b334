"""The data files of an object, sealed for recipients and opened again, in one commit."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos.editing import Add, Transaction, Update
from modos.encryption import body
from modos.encryption.header import Header, Opened, read_header, seal_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import AlreadyExistsError, ChecksumMismatch, ConflictError, DecryptError, InvalidInputError, NotFoundError
from modos.formats import ENCRYPTED_SUFFIX, index_names, is_encrypted, plain_name
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
        self.size = _counted(total, self._opened.edits)

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


@dataclass(frozen=True)
class Recipients:
    """For whom the file of an element is sealed.

    Parameters
    ----------
    packets
        In the header, which does not say for whom they are.
    fingerprints
        Of the public keys in the metadata.
    opens
        Whether a key opens it; None where none was given.
    """

    element_id: str
    packets: int
    fingerprints: tuple[str, ...]
    opens: bool | None


def find_recipients(storage: Storage, metadata: Mapping[str, Mapping[str, Any]], secret: SecretKey | None) -> list[
        Recipients]:
    """For whom each sealed file is."""
    found = []
    for element_id, attributes in _sealed(metadata):
        header = header_of(storage, attributes["data_path"])
        keys = (PublicKey(base64.b64decode(key)) for key in attributes.get("recipients", ()))
        found.append(Recipients(element_id, len(header.packets), tuple(key.fingerprint for key in keys),
                                None if secret is None else header.opens(secret)))
    return found


def verify(storage: Storage, metadata: Mapping[str, Mapping[str, Any]], secret: SecretKey,
           progress: Progress | None) -> list[str]:
    """Open all of the sealed files and their indexes; returns the elements, DecryptError for the first that is damaged."""
    verified = []
    for element_id, attributes in _sealed(metadata):
        path = attributes["data_path"]
        for key in (path, *(name for name in index_names(path) if storage.exists(name))):
            for piece in SealedFile(storage, key, secret).iter_plain(attributes if key == path else None):
                if progress:
                    progress(len(piece))
        verified.append(element_id)
    return verified


def _sealed(metadata: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((element_id, a) for element_id, a in metadata.items() if is_encrypted(a.get("data_path") or ""))


def seal_elements(transaction: Transaction, recipients: Sequence[PublicKey], sender: SecretKey | None = None,
                  chosen: Iterable[str] | None = None, *, delete: bool = True) -> list[str]:
    """Seal the files of elements with their indexes; returns the elements that are changed.

    Parameters
    ----------
    recipients
        Who can open them.
    sender
        Whose key seals the headers; one for this use where it is None.
    chosen
        The elements; None for all data, without references.
    delete
        Remove the plain files when all is committed.

    Raises
    ------
    InvalidInputError
        No recipient.
    """
    if not recipients:
        raise InvalidInputError("no recipient is given", "give at least one public key")
    storage, view, changed = transaction.storage, transaction.view, []
    for element_id in _with_files(transaction, chosen):
        path = view.element(element_id)["data_path"]
        if is_encrypted(path):
            continue
        sources = (path, *(name for name in index_names(path) if storage.exists(name)))

        def convert(change: Update, sources: tuple[str, ...] = sources) -> Seal:
            return Seal(sources, tuple(dict.fromkeys(recipients)), sender or SecretKey.random(), change, delete)

        transaction.convert_file(element_id, {"data_path": path + ENCRYPTED_SUFFIX}, convert)
        changed.append(element_id)
    return changed


def open_elements(transaction: Transaction, secret: SecretKey, sender: PublicKey | None = None,
                  chosen: Iterable[str] | None = None) -> list[str]:
    """Open the sealed files of elements with their indexes; returns the elements that are changed.

    Parameters
    ----------
    sender
        Who must have sealed them; anybody may where it is None.
    chosen
        The elements; None for all.

    Raises
    ------
    DecryptError
        The key does not open one of them; nothing is changed.
    """
    storage, view, changed = transaction.storage, transaction.view, []
    for element_id in _with_files(transaction, chosen, every=True):
        path = view.element(element_id)["data_path"]
        if not is_encrypted(path):
            continue
        SealedFile(storage, path, secret, sender)
        sources = (path, *(name for name in index_names(path) if storage.exists(name)))
        transaction.convert_file(element_id, {"data_path": plain_name(path)},
                                 lambda change, sources=sources: Unseal(sources, secret, sender, change))
        changed.append(element_id)
    return changed


def share_elements(transaction: Transaction, secret: SecretKey, recipients: Sequence[PublicKey],
                   chosen: Iterable[str] | None = None) -> list[str]:
    """Seal the headers of sealed files for more recipients; the bodies stay. Returns the elements that are changed.

    Raises
    ------
    InvalidInputError
        No recipient.
    DecryptError
        The key does not open a file; nothing is changed.
    """
    if not recipients:
        raise InvalidInputError("no recipient is given", "give at least one public key")

    def for_whom(recorded: list[str]) -> tuple[list[str], list[str]]:
        new = [str(key) for key in dict.fromkeys(recipients) if str(key) not in recorded]
        return new, [*recorded, *new]

    return _reseal(transaction, secret, chosen, for_whom, keeps_packets=True, rotate=False)


def revoke_elements(transaction: Transaction, secret: SecretKey, revoked: Sequence[PublicKey],
                    chosen: Iterable[str] | None = None, *, rotate: bool = False) -> list[str]:
    """Seal the headers of sealed files for those who remain; returns the elements that are changed.

    Parameters
    ----------
    rotate
        Seal the bodies under new keys, too.

    Raises
    ------
    InvalidInputError
        Nobody remains, or not whose key it is.
    DecryptError
        The key does not open a file; nothing is changed.
    """
    gone = {str(key) for key in revoked}

    def for_whom(recorded: list[str]) -> tuple[list[str], list[str]]:
        if not gone & set(recorded) and not (rotate and not gone):
            return [], recorded
        rest = [key for key in recorded if key not in gone]
        if str(secret.public) not in rest:
            raise InvalidInputError("you would not be able to open the files any more, or nobody would",
                                    "use the secret key of a recipient who remains")
        return rest, rest

    return _reseal(transaction, secret, chosen, for_whom, keeps_packets=False, rotate=rotate)


def _reseal(transaction: Transaction, secret: SecretKey, chosen: Iterable[str] | None,
            for_whom: Callable[[list[str]], tuple[list[str], list[str]]], *, keeps_packets: bool, rotate: bool) -> list[str]:
    """Make headers anew; `for_whom` gives of the recorded recipients whom to seal for and whom to record."""
    storage, view, changed = transaction.storage, transaction.view, []
    for element_id in _with_files(transaction, chosen, every=True):
        attributes = view.element(element_id)
        path = attributes["data_path"]
        if not is_encrypted(path):
            continue
        SealedFile(storage, path, secret)
        sealed_for, recorded = for_whom(list(attributes.get("recipients", ())))
        if not sealed_for:
            continue
        target = transaction.free_key(path)
        present = [name for name in index_names(path) if storage.exists(name)][:1]
        suffixes = [Path(plain_name(name)).suffix + ENCRYPTED_SUFFIX for name in present]
        pairs = ((path, target), *((name, plain_name(target) + suffix) for name, suffix in zip(present, suffixes)))
        keys = tuple(PublicKey(base64.b64decode(key)) for key in sealed_for)

        def convert(change: Update, pairs: tuple = pairs, keys: tuple[PublicKey, ...] = keys) -> Reseal:
            return Reseal(pairs, secret, keys, keeps_packets, rotate, change)

        transaction.convert_file(element_id, {"data_path": target, "recipients": recorded}, convert)
        changed.append(element_id)
    return changed


def _with_files(transaction: Transaction, chosen: Iterable[str] | None, *, every: bool = False) -> list[str]:
    view = transaction.view
    if chosen:
        found = list(dict.fromkeys(view.find(name) for name in chosen))
        for element_id in found:
            if not view.element(element_id).get("data_path"):
                raise NotFoundError(f"{element_id} has no file")
        return found
    return [element_id for element_id in view.ids() if (every or element_id.startswith("data/"))
            and view.element(element_id).get("data_path") and view.element(element_id)["@type"] != "Array"]


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


def _counted(total: int, edits: Sequence[int] | None) -> int:
    """Plain bytes that count."""
    if edits is None:
        return total
    kept, at = 0, 0
    for number, length in enumerate(edits):
        kept += min(length, max(total - at, 0)) if number % 2 else 0
        at += length
    return kept + (max(total - at, 0) if len(edits) % 2 else 0)
