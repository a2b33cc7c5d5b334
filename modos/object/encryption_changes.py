"""Encrypt, decrypt, share and verify files of an object within a transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from modos.encryption.header import Header, digest_of
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.recorded import SealRecord, has_no_index
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import (
    ENCRYPTED_SUFFIX,
    ZARR,
    is_array_path,
    is_encrypted,
    is_file_path,
    is_list,
    is_tree_path,
    plain_name,
)
from modos.object.array_encryption import choose_name, plan_opening, plan_sealing, refuse_kept
from modos.object.changes import Update
from modos.object.cut_lists import Readers, can_be_cut, parse_servers, read_servers
from modos.object.document import Document
from modos.object.encryption_plan import select_plain
from modos.object.file_encryption import Decrypt, DecryptedFile, Encrypt, ReplaceHeader, Rotate
from modos.object.journal import ownership_of
from modos.object.kept_arrays import find_with_arrays, lies_elsewhere
from modos.object.moving import find_pairs
from modos.object.plain_indexes import add_plain_indexes, plain_index_error
from modos.object.recipients import Packets, iter_encrypted
from modos.object.record import FOLDER
from modos.object.stored_trees import read_tree_header
from modos.object.transaction import Staged, Transaction
from modos.object.tree_encryption import DecryptTree, ReplaceTreeHeader, open_tree_files, open_tree_header, seal_tree
from modos.storage import Storage
from modos.storage.base import Progress, expect, report

logger = logging.getLogger(__name__)


def verify(
    storage: Storage,
    metadata: Mapping[str, Mapping[str, Any]],
    secret: SecretKey,
    progress: Progress | None,
    senders: Sequence[PublicKey] | None = None,
) -> list[str]:
    """Decrypt all of the encrypted files and their indexes; returns the elements. IntegrityError for the first that is damaged.

    Parameters
    ----------
    senders
        Allowed senders: one of them must have encrypted the files; None allows anybody.
    """
    from modos.genomics.verification import Recorded

    verified = []
    expect(
        progress, sum(Recorded.from_attributes(attributes, sealed=True).size or 0 for _, attributes in iter_encrypted(metadata))
    )
    for element_id, attributes in iter_encrypted(metadata):
        path = attributes["data_path"]
        if is_tree_path(path):
            for _ in report(open_tree_files(storage, attributes, secret, senders).iter_all(), progress):
                pass
            verified.append(element_id)
            continue
        for key, _ in add_plain_indexes(storage, find_pairs(storage, path, path), attributes):
            if not is_encrypted(key):
                if senders is not None:
                    raise plain_index_error(storage, key)
                logger.warning(
                    "%s: %s is not sealed, and was not verified: `modos c4gh revoke --rotate` seals it", element_id, key
                )
                continue
            record = SealRecord.from_attributes(attributes) if key == path else SealRecord.from_index_attributes(attributes)
            if key != path and has_no_index(attributes):
                logger.warning(
                    "%s: no digest of the header of %s is recorded: it may be another index, which leaves out records "
                    "(`modos check --secret-key` looks at it, `modos c4gh revoke --rotate` records one)",
                    element_id,
                    key,
                )
            file = DecryptedFile(storage, key, secret, senders, record=record)
            for _ in report(file.iter_plain(attributes if key == path else {}), progress):
                pass
        verified.append(element_id)
    return verified


def encrypt_elements(
    transaction: Transaction,
    recipients: Sequence[PublicKey],
    sender: SecretKey | None = None,
    chosen: Iterable[str] | None = None,
    *,
    delete: bool = True,
    servers: Sequence[PublicKey] = (),
) -> list[str]:
    """Encrypt the files of elements with their indexes; returns the elements that are changed.

    Parameters
    ----------
    recipients
        Public keys of those who can decrypt them.
    sender
        Secret key that encrypts the headers, and whose public key is recorded; None makes one for this use.
    chosen
        The elements; None for all that have a file or arrays, references included.
    delete
        Remove the plain files when all is committed.
    servers
        Public keys of servers that can open what regions of reads and variants are found by, and no data.

    Raises
    ------
    InvalidInputError
        No recipient, or one that is a server; or some file is encrypted already, and not for all of them;
        or arrays are to stay plain as well.
    """
    all_of_them = tuple(dict.fromkeys(recipients))
    readers = Readers(all_of_them, parse_servers(servers, all_of_them))
    plain = select_plain(transaction.storage, _find_elements(transaction, chosen), all_of_them)
    refuse_kept([] if delete else [i for i, attributes in plain if is_array_path(attributes["data_path"])])
    for element_id, attributes in plain:
        _encrypt_element(transaction, element_id, attributes, readers, sender, delete=delete)
    return [element_id for element_id, _ in plain]


def _encrypt_element(
    transaction: Transaction,
    element_id: str,
    attributes: Mapping[str, Any],
    readers: Readers,
    sender: SecretKey | None,
    *,
    delete: bool,
) -> None:
    """Encrypt the file, the tree or the arrays of an element."""
    recipients = readers.recipients
    storage, path, secret = transaction.storage, attributes["data_path"], sender or SecretKey.random()
    by: dict[str, Any] = {} if sender is None else {"sender": str(sender.public)}
    if not is_file_path(path):
        by |= {"recipients": [str(recipient) for recipient in recipients]}
    if is_array_path(path):
        target = transaction.free_key(choose_name(transaction.view, element_id) + ENCRYPTED_SUFFIX)
        transaction.set_arrays(*plan_sealing(storage, transaction.view, element_id, target, recipients, secret, by))
        return
    target = transaction.free_key(path + ENCRYPTED_SUFFIX)
    convert: Callable[[Update], Staged]
    if is_tree_path(path):
        files = open_tree_files(storage, attributes, None)
        convert = partial(seal_tree, files=files, target=target, recipients=recipients, sender=secret, replaces=delete)
    else:
        pairs = find_pairs(storage, path, target)
        of_cuts = readers if can_be_cut(path) else Readers()
        convert = partial(Encrypt, pairs=pairs, recipients=recipients, sender=secret, replaces=delete, readers=of_cuts)
    transaction.convert_file(element_id, {"data_path": target} | by, convert)


def find_plain(transaction: Transaction, recipients: Sequence[PublicKey], chosen: Iterable[str] | None = None) -> list[str]:
    """Find the elements that `encrypt_elements` would change; raises what it would."""
    return [i for i, _ in select_plain(transaction.storage, _find_elements(transaction, chosen), recipients)]


def find_open(storage: Storage, document: Document) -> dict[str, str]:
    """Find elements whose data are not encrypted, and files that belong to no element; each with the reason, in words."""
    with_arrays, found = find_with_arrays(document), {}
    for element_id in document.ids():
        path = document.element(element_id).get("data_path") or ""
        if path and not is_encrypted(path) and (not is_array_path(path) or element_id in with_arrays):
            found[element_id] = "as not named"
        if path and not is_array_path(path) and element_id in with_arrays:
            found[f"{ZARR}/{element_id}"] = "as arrays beside a file are not"
    found |= dict.fromkeys(lies_elsewhere(document), "as its arrays are not below it")
    is_owned = ownership_of(document)
    for info in storage.iter_files():
        key = info.key
        if not (is_owned(key) or is_encrypted(key) or is_list(key) or key.startswith((f"{ZARR}/", f"{FOLDER}/"))):
            found[key] = "as it belongs to no element"
    return found


def decrypt_elements(
    transaction: Transaction, secret: SecretKey, senders: Sequence[PublicKey] | None = None, chosen: Iterable[str] | None = None
) -> list[str]:
    """Decrypt the encrypted files of elements with their indexes; returns the elements that are changed.

    Parameters
    ----------
    senders
        Allowed senders: one of them must have encrypted the files; None allows anybody.
    chosen
        The elements; None for all.

    Raises
    ------
    DecryptError
        The key does not decrypt one of them; nothing is changed.
    """
    changed, of_arrays = [], transaction.view.sealed_arrays()
    allowed = None if senders is None else tuple(senders)
    for element_id, attributes in _find_elements(transaction, chosen):
        if is_encrypted(attributes["data_path"]):
            _decrypt_element(transaction, element_id, attributes, secret, allowed, is_arrays=element_id in of_arrays)
            changed.append(element_id)
    return changed


def _decrypt_element(
    transaction: Transaction,
    element_id: str,
    attributes: Mapping[str, Any],
    secret: SecretKey,
    senders: tuple[PublicKey, ...] | None,
    *,
    is_arrays: bool,
) -> None:
    """Decrypt the file, the tree or the arrays of an element."""
    storage, path = transaction.storage, attributes["data_path"]
    convert: Callable[[Update], Staged]
    if is_tree_path(path):
        files = open_tree_files(storage, attributes, secret, senders)
        if is_arrays:
            transaction.set_arrays(*plan_opening(transaction.view, element_id, files))
            return
        target = transaction.free_key(plain_name(path))
        convert = partial(DecryptTree, files=files, target=target)
    else:
        DecryptedFile(storage, path, secret, senders, record=SealRecord.from_attributes(attributes))
        target = transaction.free_key(plain_name(path))
        pairs = add_plain_indexes(storage, find_pairs(storage, path, target), attributes)
        if senders is not None and (plain := next((source for source, _ in pairs if not is_encrypted(source)), None)):
            raise plain_index_error(storage, plain)
        convert = partial(Decrypt, pairs=pairs, secret=secret, senders=senders)
    transaction.convert_file(element_id, {"data_path": target}, convert)


def share_elements(
    transaction: Transaction,
    secret: SecretKey,
    recipients: Sequence[PublicKey],
    chosen: Iterable[str] | None = None,
    *,
    servers: Sequence[PublicKey] = (),
) -> list[str]:
    """Add recipients to the headers of encrypted files; the bodies stay. Returns the elements that are changed.

    Parameters
    ----------
    servers
        Public keys of servers that can open what regions of reads and variants are found by, and no data.

    Raises
    ------
    InvalidInputError
        No recipient and no server, or a recipient that is one.
    DecryptError
        The key does not decrypt a file; nothing is changed.
    """
    if not recipients and not servers:
        raise InvalidInputError("no recipient is given", "give at least one public key")

    def choose_servers(attributes: Mapping[str, Any]) -> tuple[PublicKey, ...]:
        known = [PublicKey.parse(key) for key in attributes.get("recipients", ())]
        return parse_servers([*read_servers(attributes), *servers], [*known, *recipients, secret.public])

    def choose_recipients(element_id: str, recorded: list[str], packets: Packets) -> tuple[list[str], list[str]]:
        new = [str(key) for key in dict.fromkeys(recipients) if str(key) not in recorded or packets.missing]
        if new and packets.unknown:
            logger.warning(
                "%s: %s stay%s, and whoever they are for can open it",
                element_id,
                packets.describe_unknown(),
                "s" if packets.unknown == 1 else "",
            )
        return new, list(dict.fromkeys([*recorded, str(secret.public), *new]))

    return _reencrypt_headers(transaction, secret, chosen, choose_recipients, choose_servers, keeps_packets=True, rotate=False)


def revoke_elements(
    transaction: Transaction,
    secret: SecretKey,
    revoked: Sequence[PublicKey],
    chosen: Iterable[str] | None = None,
    *,
    rotate: bool = False,
    servers: Sequence[PublicKey] = (),
) -> list[str]:
    """Write the headers of encrypted files for those who remain; returns the elements that are changed.

    Those who remain are the recipients in the metadata and the owner of the key.
    Packets of others are removed, as they may be of somebody who is revoked.

    Parameters
    ----------
    rotate
        Encrypt the bodies under new keys, too.
    servers
        Servers that are to find no regions any more. What the others need is encrypted for them anew.

    Raises
    ------
    InvalidInputError
        Nobody remains, or the owner of the key does not.
    DecryptError
        The key does not decrypt a file; nothing is changed.
    """
    gone, own = {str(key) for key in revoked}, str(secret.public)

    def choose_recipients(element_id: str, recorded: list[str], packets: Packets) -> tuple[list[str], list[str]]:
        if own in gone:
            raise InvalidInputError(
                "you would not be able to open the files any more, or nobody would",
                "use the secret key of a recipient who remains",
            )
        if servers and not gone and not rotate:
            return [], recorded
        if gone.isdisjoint(recorded) and packets.are_accounted_for and not (rotate and not gone):
            return [], recorded
        for line in packets.describe_losses():
            logger.warning("%s: %s", element_id, line)
        rest = [key for key in dict.fromkeys([*recorded, own]) if key not in gone]
        return rest, rest

    def choose_servers(attributes: Mapping[str, Any]) -> tuple[PublicKey, ...]:
        return tuple(key for key in read_servers(attributes) if key not in servers)

    return _reencrypt_headers(transaction, secret, chosen, choose_recipients, choose_servers, keeps_packets=False, rotate=rotate)


def _reencrypt_headers(
    transaction: Transaction,
    secret: SecretKey,
    chosen: Iterable[str] | None,
    choose_recipients: Callable[[str, list[str], Packets], tuple[list[str], list[str]]],
    choose_servers: Callable[[Mapping[str, Any]], tuple[PublicKey, ...]],
    *,
    keeps_packets: bool,
    rotate: bool,
) -> list[str]:
    """Make headers anew; `choose_recipients` gives the keys to encrypt for and those to record, from the recorded ones.

    `choose_servers` gives the keys of those that open the cuts of a file.
    """
    storage, changed = transaction.storage, []
    for element_id, attributes in _find_elements(transaction, chosen):
        path = attributes["data_path"]
        if not is_encrypted(path):
            continue
        header = _open_header(storage, attributes, secret)
        sealed_for, recorded = choose_recipients(
            element_id, list(attributes.get("recipients", ())), Packets.count_in_files(storage, header, attributes, secret)
        )
        servers = choose_servers(attributes) if can_be_cut(path) else ()
        is_for_servers_alone = not sealed_for and servers != read_servers(attributes)
        if not sealed_for and not is_for_servers_alone:
            continue
        if is_tree_path(path):
            remaining = tuple(PublicKey.parse(key) for key in sealed_for)
            _reencrypt_tree(
                transaction, element_id, header, secret, remaining, recorded, keeps_packets=keeps_packets, rotate=rotate
            )
            changed.append(element_id)
            continue
        target = transaction.free_key(path)
        pairs = add_plain_indexes(storage, find_pairs(storage, path, target), attributes)
        keys = tuple(PublicKey.parse(key) for key in sealed_for)
        readers = Readers(tuple(PublicKey.parse(key) for key in dict.fromkeys([*recorded, str(secret.public)])), servers)
        for source, beside in pairs:
            if not is_encrypted(source):
                logger.warning("%s: %s is sealed as %s; the plain one stays: remove it", element_id, source, beside)
        transaction.convert_file(
            element_id,
            {"data_path": target, "recipients": recorded},
            partial(Rotate, pairs=pairs, secret=secret, recipients=keys, readers=readers)
            if rotate and keys
            else partial(
                ReplaceHeader,
                pairs=pairs,
                secret=secret,
                recipients=keys,
                keeps_packets=keeps_packets or not keys,
                readers=readers,
            ),
        )
        changed.append(element_id)
    return changed


def _open_header(storage: Storage, attributes: Mapping[str, Any], secret: SecretKey) -> Header:
    """Read the header of an element's encrypted data, which the key has to open."""
    path = attributes["data_path"]
    if not is_tree_path(path):
        return DecryptedFile(storage, path, secret, record=SealRecord.from_attributes(attributes)).header
    open_tree_header(storage, attributes, secret)
    return read_tree_header(storage, attributes)


def _reencrypt_tree(
    transaction: Transaction,
    element_id: str,
    header: Header,
    secret: SecretKey,
    keys: tuple[PublicKey, ...],
    recorded: list[str],
    *,
    keeps_packets: bool,
    rotate: bool,
) -> None:
    """Make the header of a tree anew, or with `rotate` all of it."""
    storage, attributes = transaction.storage, transaction.view.element(element_id)
    if rotate:
        target = transaction.free_key(attributes["data_path"])
        files = open_tree_files(storage, attributes, secret)
        transaction.convert_file(
            element_id,
            {"data_path": target, "recipients": recorded, "sender": str(secret.public)},
            partial(seal_tree, files=files, target=target, recipients=keys, sender=secret),
        )
        return
    if keeps_packets:
        head = header.reencrypt(secret, keys, keep=True)
    else:
        head = header.reencrypt_for_others(secret, [key for key in keys if key != secret.public])
    changes = {"recipients": recorded, "header_digests": [digest_of(head)]}
    transaction.convert_file(element_id, changes, partial(ReplaceTreeHeader, head=head))


def _find_elements(transaction: Transaction, chosen: Iterable[str] | None) -> list[tuple[str, dict[str, Any]]]:
    """Find the chosen elements, with their attributes; each has a file or arrays. If none are named, all of them are chosen."""
    view, with_arrays = transaction.view, find_with_arrays(transaction.view)
    if chosen:
        found = [(element_id, view.element(element_id)) for element_id in dict.fromkeys(view.find(name) for name in chosen)]
        for element_id, attributes in found:
            if not attributes.get("data_path"):
                raise NotFoundError(f"{element_id} has no file")
            if is_array_path(attributes["data_path"]) and element_id not in with_arrays:
                raise NotFoundError(f"{element_id} has no arrays of its own", "see with `modos show --zarr` where they are")
        return found
    all_of_them = ((element_id, view.element(element_id)) for element_id in view.ids())
    return [
        (i, attributes)
        for i, attributes in all_of_them
        if attributes.get("data_path") and (not is_array_path(attributes["data_path"]) or i in with_arrays)
    ]
