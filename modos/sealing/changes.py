"""Which files of an object are sealed, opened, or given to others; and for whom they are."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modos.changes import Update
from modos.editing import Transaction
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.stored import stored_header
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import ENCRYPTED_SUFFIX, is_array_path, is_encrypted, plain_name
from modos.moving import find_pairs
from modos.sealing.files import Reseal, Rotate, Seal, SealedFile, Unseal
from modos.sealing.planning import to_be_sealed
from modos.storage import Storage
from modos.storage.base import Progress


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
        header, _, _ = stored_header(storage, attributes["data_path"])
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
        for key, _ in find_pairs(storage, path, path):
            for piece in SealedFile(storage, key, secret).iter_plain(attributes if key == path else {}):
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
        No recipient; or some file is sealed already, and not for all of them.
    """
    all_of_them, changed = tuple(dict.fromkeys(recipients)), []
    for element_id, attributes in to_be_sealed(transaction.storage, _with_files(transaction, chosen), all_of_them):
        path = attributes["data_path"]
        target = transaction.free_key(path + ENCRYPTED_SUFFIX)
        pairs = find_pairs(transaction.storage, path, target)
        transaction.convert_file(element_id, {"data_path": target}, lambda change, pairs=pairs: Seal(
            change, pairs, all_of_them, sender or SecretKey.random(), replaces=delete))
        changed.append(element_id)
    return changed


def find_plain(transaction: Transaction, recipients: Sequence[PublicKey], chosen: Iterable[str] | None = None) -> list[str]:
    """The elements that `seal_elements` would change; raises what it would."""
    return [i for i, _ in to_be_sealed(transaction.storage, _with_files(transaction, chosen), recipients)]


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
    storage, changed = transaction.storage, []
    for element_id, attributes in _with_files(transaction, chosen, every=True):
        path = attributes["data_path"]
        if not is_encrypted(path):
            continue
        SealedFile(storage, path, secret, sender)
        target = transaction.free_key(plain_name(path))
        pairs = find_pairs(storage, path, target)
        transaction.convert_file(element_id, {"data_path": target},
                                 lambda change, pairs=pairs: Unseal(change, pairs, secret, sender))
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
    storage, changed = transaction.storage, []
    for element_id, attributes in _with_files(transaction, chosen, every=True):
        path = attributes["data_path"]
        if not is_encrypted(path):
            continue
        SealedFile(storage, path, secret)
        sealed_for, recorded = for_whom(list(attributes.get("recipients", ())))
        if not sealed_for:
            continue
        target = transaction.free_key(path)
        pairs, keys = find_pairs(storage, path, target), tuple(PublicKey(base64.b64decode(key)) for key in sealed_for)

        def convert(change: Update, pairs: tuple = pairs, keys: tuple[PublicKey, ...] = keys) -> Rotate | Reseal:
            return Rotate(change, pairs, secret, keys) if rotate else Reseal(change, pairs, secret, keys, keeps_packets)

        transaction.convert_file(element_id, {"data_path": target, "recipients": recorded}, convert)
        changed.append(element_id)
    return changed


def _with_files(transaction: Transaction, chosen: Iterable[str] | None, *, every: bool = False) -> list[
        tuple[str, dict[str, Any]]]:
    """The elements that are meant, with their attributes; each has a file."""
    view = transaction.view
    if chosen:
        found = [(element_id, view.element(element_id)) for element_id in dict.fromkeys(view.find(name) for name in chosen)]
        for element_id, attributes in found:
            if not attributes.get("data_path"):
                raise NotFoundError(f"{element_id} has no file")
            if is_array_path(attributes["data_path"]):
                raise InvalidInputError(f"{element_id} is kept as arrays, which are not encrypted", "name elements with files")
        return found
    all_of_them = ((element_id, view.element(element_id)) for element_id in view.ids()
                   if every or element_id.startswith("data/"))
    return [(i, attributes) for i, attributes in all_of_them if attributes.get("data_path") and not is_array_path(attributes["data_path"])]
