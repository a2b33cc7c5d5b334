"""Encrypt, decrypt or re-encrypt a Zarr tree of an object, as part of a transaction.

All files of a tree are one zip file, which is the body of a Crypt4GH file. Its
header lies beside it, so that who may open it is changed by one small file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modos.encryption import body
from modos.encryption.header import Opened, digest_of, encrypt_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.structure import SLOTS_OF_SEALED
from modos.encryption.writing import place_new
from modos.errors import AlreadyExistsError, ChecksumMismatch, ConflictError, DecryptError, NotFoundError, make_locked_error
from modos.formats import header_key, is_encrypted, name_of, names_beside_tree
from modos.object.changes import Update
from modos.object.stored_trees import HINT, load_manifest, read_tree_header
from modos.storage import Storage
from modos.storage.base import Place, Progress
from modos.storage.part_digests import DigestList, list_parts
from modos.storage.prefetch import fetch_ahead
from modos.storage.write_log import WriteLog
from modos.trees.batches import gather_batches
from modos.trees.manifest import Manifest
from modos.trees.staging import count_writers, put_file, put_files, write_manifest
from modos.trees.tree_files import DecryptedFiles, StoredFiles, TreeFiles, write_places
from modos.trees.zipped_tree import ZippedTree


@dataclass(frozen=True)
class _NewFiles:
    """Tree that is made of another, in a folder without files."""

    change: Update
    files: TreeFiles
    target: str
    replaces: bool = True

    def keys(self) -> list[str]:
        """List the keys of its files, and of what lies beside them."""
        names = Manifest.number_files(1) if is_encrypted(self.target) else self.files.names
        return [*(f"{self.target}/{name}" for name in names), *names_beside_tree(self._slots())]

    def _slots(self) -> dict[str, Any]:
        """Return what the element is going to say of where its files are."""
        return {"data_path": self.target}

    def folders(self) -> list[str]:
        """List the folders of arrays: none."""
        return []

    def measure(self, storage: Storage) -> int | None:
        """Return the plain bytes of its files."""
        return sum(self.files.sizes.values())


@dataclass(frozen=True)
class EncryptTree(_NewFiles):
    """Encryption of the files of a tree under one data key, whose header is made for some recipients.

    Parameters
    ----------
    head
        The header.
    data_key
        What the files are encrypted with.
    expected
        Root of the plain manifest; None where nothing is recorded yet.
    """

    head: bytes = b""
    data_key: bytes = b""
    expected: str | None = None

    def _slots(self) -> dict[str, Any]:
        return {"data_path": self.target, "header_digests": [digest_of(self.head)]}

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the encrypted body; returns what the element says of it."""
        archive = ZippedTree(self.files)
        digests, (key, *_) = body.BodyDigests(of_plain=False), self.keys()
        pieces = archive.iter_bytes(progress)

        def make(place: Place | None) -> Iterator[bytes]:
            return body.encrypt(pieces, self.data_key, digests=digests, place=place)

        place_new(log.storage, key, make, body.encrypted_size(archive.size))
        log.wrote(key)
        self.files.check_unchanged()
        plain_root = self.files.plain_root or Manifest.make(self.target, archive.digests).root
        listed = b"".join(body.encrypt([write_places(archive.places)], self.data_key, 1))
        manifest = Manifest.make_sealed(self.target, listed, [digests.sealed.finish()])
        write_manifest(log, manifest)
        stage_header(log, self.target, self.head)
        log.storage.flush()
        if self.expected not in (None, plain_root):
            raise ChecksumMismatch(f"{self.files.url} is not what is recorded in its metadata", "see `modos check`")
        return {
            "data_size": manifest.size,
            "data_digest": manifest.root,
            "data_checksum": None,
            "plain_size": sum(self.files.sizes.values()),
            "plain_digest": plain_root,
        }


@dataclass(frozen=True)
class DecryptTree(_NewFiles):
    """Decryption of the files of a tree."""

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the plain files; returns what the element says of them."""
        made = Manifest.make(self.target, write_files(log, self.files, lambda name: f"{self.target}/{name}", progress))
        if made.root != self.change.base.get("plain_digest", made.root):
            raise DecryptError(f"{self.files.url}: what is in it is not what was sealed")
        write_manifest(log, made)
        log.storage.flush()
        return {"data_size": made.size, "data_digest": made.root} | dict.fromkeys(SLOTS_OF_SEALED)


def write_files(
    log: WriteLog, files: TreeFiles, place: Callable[[str], str | None], progress: Progress | None
) -> dict[str, DigestList]:
    """Write the files of a tree that is decrypted; returns the digests of each by its name.

    Parameters
    ----------
    place
        Gives the key of a file by its name; None of one that is read, and not written.
    """
    made_of: dict[str, DigestList] = {}

    def iter_small() -> Iterator[tuple[str, str, bytes]]:
        for name, content in files.iter_contents():
            key, size = place(name), files.sizes[name]
            if key is None:
                made_of[name] = list_parts(content if isinstance(content, bytes) else b"".join(content))
                if progress:
                    progress(size)
            elif isinstance(content, bytes):
                yield name, key, content
            else:
                made_of[name] = put_file(log, key, size, content, progress)

    def write(batch: list[tuple[str, str, bytes]], _: threading.Event) -> list[tuple[str, DigestList]]:
        digests = put_files(log, [(key, content) for _, key, content in batch], progress)
        return list(zip((name for name, _, _ in batch), digests, strict=True))

    batches = gather_batches(iter_small(), lambda file: len(file[2]), one_by_one=log.storage.is_remote)
    for written in fetch_ahead(write, batches, *count_writers(log.storage), wait=True):
        made_of.update(written)
    return made_of


@dataclass(frozen=True)
class ReplaceTreeHeader:
    """Replacement of the header of a tree; its files stay where they are.

    Parameters
    ----------
    head
        The new header, whose digest is in the change.
    """

    change: Update
    head: bytes
    replaces: bool = True

    def keys(self) -> list[str]:
        """List the key of the new header."""
        path = self.change.base["data_path"]
        return [header_key({"data_path": path, "header_digests": [digest_of(self.head)]})]

    def folders(self) -> list[str]:
        """List the folders of arrays: none."""
        return []

    def measure(self, storage: Storage) -> int | None:
        """Return 0: the files are not read."""
        return 0

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the header; returns what the element says of it."""
        stage_header(log, self.change.base["data_path"], self.head)
        log.storage.flush()
        return {}


def stage_header(log: WriteLog, path: str, head: bytes) -> None:
    """Write the header of a tree beside it, under a name that tells its digest."""
    key = header_key({"data_path": path, "header_digests": [digest_of(head)]})
    try:
        log.storage.put_new(key, head)
    except ConflictError:
        raise AlreadyExistsError(f"there is a file {key} in {log.storage.url} already", "see `modos check`") from None
    log.wrote(key)


def seal_tree(
    change: Update,
    files: TreeFiles,
    target: str,
    recipients: Sequence[PublicKey],
    sender: SecretKey,
    *,
    replaces: bool = True,
    is_new: bool = False,
) -> EncryptTree:
    """Plan the encryption of a tree under a new data key; its header is made now, and said in the change.

    Parameters
    ----------
    is_new
        Whether the tree comes from elsewhere, so that nothing is recorded of it.
    """
    data_key = os.urandom(32)
    head = encrypt_header(data_key, recipients, sender)
    change.attributes |= {"header_digests": [digest_of(head)]}
    slot = "plain_digest" if is_encrypted(change.base.get("data_path") or "") else "data_digest"
    return EncryptTree(change, files, target, replaces, head, data_key, None if is_new else change.base.get(slot))


def open_tree_files(
    storage: Storage, attributes: Mapping[str, Any], secret: SecretKey | None, senders: Sequence[PublicKey] | None = None
) -> TreeFiles:
    """Open the files of an element's tree, decrypted if it is encrypted.

    Raises
    ------
    AccessError
        It is encrypted, and there is no key.
    DecryptError
        The key does not decrypt it, or it was not encrypted by one of the senders.
    IntegrityError
        Its header or its manifest is not the recorded one.
    """
    manifest, path = load_manifest(storage, attributes), attributes["data_path"]
    if not is_encrypted(path):
        return StoredFiles(storage, manifest)
    if secret is None:
        raise make_locked_error(f"{storage.url}/{name_of(path)}")
    return DecryptedFiles(storage, manifest, open_tree_header(storage, attributes, secret, senders))


def open_tree_header(
    storage: Storage, attributes: Mapping[str, Any], secret: SecretKey, senders: Sequence[PublicKey] | None = None
) -> Opened:
    """Read and decrypt the header of a tree, which has to be the recorded one."""
    try:
        header = read_tree_header(storage, attributes)
    except NotFoundError:
        raise DecryptError(f"{storage.url}/{header_key(attributes)} is gone, the header of the tree", HINT) from None
    try:
        return header.decrypt(secret, senders)
    except DecryptError as error:
        raise DecryptError(f"{storage.url}/{attributes['data_path']}: {error.message}", error.hint) from None
