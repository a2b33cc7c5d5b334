"""Bring local files into an object as the data of elements, plain or encrypted on the way."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.recorded import has_no_index
from modos.encryption.stored import read_stored_header
from modos.encryption.structure import SLOTS_OF_SEALED, source_header
from modos.errors import InvalidInputError, ModosError, listing
from modos.formats import ENCRYPTED_SUFFIX, cuts_name, index_names, is_encrypted, parts_name, plain_name
from modos.formats.crypt4gh import is_crypt4gh, part_size
from modos.object import encrypted_index, part_lists, transfer
from modos.object.changes import Add, Update
from modos.object.cut_lists import Readers, can_be_cut, make_cuts, read_servers, stage_cuts
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.hashing import ThreadedHash
from modos.storage.local import LocalStorage
from modos.storage.part_digests import DigestList, PartHasher
from modos.storage.write_log import WriteLog

_PIECE = 1 << 20  # bytes that are read at once
SLOTS_OF_DIGESTS = ("data_digest", "index_digests")

if TYPE_CHECKING:
    from modos.encryption.writing import SealedFile

logger = logging.getLogger(__name__)


def may_be_tree(source: str | Path) -> bool:
    """Return whether a source can be a Zarr tree: a folder, a zip file, or a place at S3."""
    text = os.fspath(source)
    return text.startswith("s3://") or text.lower().endswith(".zip") or os.path.isdir(text)


@dataclass(frozen=True)
class NewFile:
    """File of this machine that becomes an element's data, at a key that is free."""

    source: Path
    key: str
    indexes: transfer.IndexPlan
    change: Add | Update
    replaces: bool = True
    secret: SecretKey | None = None  # to encrypt a plain index with, where the source is encrypted
    checksum: bool = True  # whether its BLAKE2b-512 is computed

    def keys(self) -> list[str]:
        """List the keys of the file, its indexes and its list of digests."""
        return [self.key, *(key for _, key in self.indexes), parts_name(self.key)]

    def folders(self) -> list[str]:
        """List the folders of arrays: none."""
        return []

    def measure(self, storage: Storage) -> int | None:
        """Return the bytes of the file and of its indexes."""
        return transfer.size_with_indexes(self.source, self.indexes)

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Copy the file and its indexes; returns what the element says of them."""
        replaced = self.change.base.get("data_path") if isinstance(self.change, Update) else None
        staged = transfer.stage_file(
            log, self.source, self.key, self.indexes, progress, replaced, self.secret, checksum=self.checksum
        )
        if is_encrypted(self.key):
            packets = len(source_header(self.source).packets)
            logger.warning(
                "%s: the file was encrypted before, with %d packet%s in its header; for whom is not recorded, as "
                "it does not say so",
                self.change.element_id,
                packets,
                "" if packets == 1 else "s",
            )
        found = staged.describe()
        return found if isinstance(self.change, Update) else {slot: value for slot, value in found.items() if value is not None}


@dataclass(frozen=True)
class PresentFile:
    """File of the object's folder that belongs to no element, and becomes an element's data where it is."""

    change: Update
    key: str
    replaces: bool = False

    def keys(self) -> list[str]:
        """List the key of its list of digests."""
        return [parts_name(self.key)]

    def folders(self) -> list[str]:
        """List the folders of arrays: none."""
        return []

    def measure(self, storage: Storage) -> int | None:
        """Return the bytes of the file."""
        return storage.stat(self.key).size

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Compute the digests of its parts and of its indexes; returns what the element says of them."""
        root = part_lists.stage_list(log, self.key, part_lists.digest_stored(log.storage, self.key, progress), self.key)
        indexes = [name for name in index_names(self.key) if log.storage.exists(name)]
        roots = [part_lists.digest_stored(log.storage, name).root for name in indexes]
        return {"data_digest": root, "index_digests": roots or None}


@dataclass(frozen=True)
class NewEncryptedFile:
    """Plain file of this machine that is encrypted, with its indexes, for the recipients of the file that it replaces."""

    source: Path
    key: str
    indexes: transfer.IndexPlan
    change: Update
    readers: Readers
    replaces: bool = True
    checksum: bool = True  # whether the BLAKE2b-512 of the plain file is computed

    def keys(self) -> list[str]:
        """List the keys of the file, its indexes and its list of digests."""
        cuts = [cuts_name(self.key)] if self.readers.servers else []
        return [self.key, *(key for _, key in self.indexes), parts_name(self.key), *cuts]

    @property
    def recipients(self) -> tuple[PublicKey, ...]:
        """Recipients of the new file."""
        return self.readers.recipients

    def folders(self) -> list[str]:
        """List the folders of arrays: none."""
        return []

    def measure(self, storage: Storage) -> int | None:
        """Return the bytes of the plain file and of its indexes."""
        return transfer.size_with_indexes(self.source, self.indexes)

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Encrypt the file and its indexes; returns what the element says of them."""
        storage, replaced = log.storage, self.change.base["data_path"]
        self._tell_of_strangers(storage)
        blake2b = ThreadedHash() if self.checksum else None
        with tempfile.TemporaryDirectory(prefix="modos-") as folder:
            index = transfer.build_indexes(self.source, plain_name(self.key), self.indexes, Path(folder))
            data = self._encrypt(log, self.source, self.key, replaced, progress, blake2b)
            part_lists.stage_list(log, self.key, data.segments, replaced)
            old_index = transfer.index_of(storage, replaced) if index else None
            of_indexes = [self._encrypt(log, path, index_key, old_index or replaced, progress) for path, index_key in index]
            of_cuts = self._stage_cuts(log, index, replaced)
        return (
            data.describe()
            | of_cuts
            | {
                "plain_checksum": blake2b.hexdigest() if blake2b else None,
                "header_digests": [one.header for one in (data, *of_indexes)],
                "index_digests": [one.segments.root for one in of_indexes] or None,
                "recipients": [str(recipient) for recipient in self.recipients],
            }
        )

    def _stage_cuts(self, log: WriteLog, indexes: Sequence[tuple[Path, str]], replaced: str) -> dict[str, Any]:
        """Encrypt what servers find regions of the new file by, where some did in the file before."""
        if not self.readers.servers:
            return {}
        content = None
        if indexes and can_be_cut(self.key):
            real = self.source.resolve()
            content = make_cuts(LocalStorage(real.parent), real.name, plain_name(self.key), indexes[0][0].read_bytes())
        return stage_cuts(log, self.key, content, self.readers, like=replaced)

    def _encrypt(
        self, log: WriteLog, source: Path, key: str, replaced: str, progress: Progress | None, blake2b: ThreadedHash | None = None
    ) -> SealedFile:
        from modos.encryption.writing import encrypt_pieces

        def pieces() -> Iterator[bytes]:
            with open(source, "rb", buffering=0) as file:
                while piece := file.read(_PIECE):
                    yield piece

        size, plain = source.stat().st_size, blake2b.pass_on(pieces()) if blake2b else pieces()
        sealed = encrypt_pieces(log.storage, plain, size, key, self.recipients, SecretKey.random(), progress, like=replaced)
        log.wrote(key)
        return sealed

    def _tell_of_strangers(self, storage: Storage) -> None:
        try:
            packets = len(read_stored_header(storage, self.change.base["data_path"])[0].packets)
        except ModosError:
            return
        if packets > len(self.recipients):
            logger.warning(
                "%s: the header had %d packets, and %d of its recipients %s recorded: whoever else could open it "
                "cannot open the new file",
                self.change.element_id,
                packets,
                len(self.recipients),
                "is" if len(self.recipients) == 1 else "are",
            )


def refuse_by_hand(element_id: str, changes: dict[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes without the slots that only modos sets: those of an encryption, and digests.

    Raises
    ------
    InvalidInputError
        They would change something of it.
    """
    given = [slot for slot in (*SLOTS_OF_SEALED, *SLOTS_OF_DIGESTS) if slot in changes]
    if wrong := [slot for slot in given if changes[slot] != base.get(slot)]:
        raise InvalidInputError(
            f"{element_id}: {listing(wrong)} cannot be set: modos records what it has encrypted and computed itself",
            "leave it out; `modos c4gh encrypt`, `share` and `revoke` change it, and bringing another file",
        )
    return {slot: value for slot, value in changes.items() if slot not in given}


def needs_encryption(source: Path, base: Mapping[str, Any]) -> bool:
    """Return whether a file is plain, by its content and name, and the one that it replaces is encrypted."""
    transfer.check_present(source)
    return is_encrypted(base.get("data_path") or "") and not is_encrypted(source) and not is_crypt4gh(source)


def is_same_file(storage: Storage, source: Path, base: Mapping[str, Any], changes: Mapping[str, Any], sealing: bool) -> bool:
    """Return whether an element has a file already, at the place where it is to be; encrypted, where it would be encrypted."""
    transfer.check_present(source)
    path, size = base.get("data_path"), source.stat().st_size
    if path is None:
        return False
    wanted = changes.get("data_path", path)
    if sealing:
        same_place = wanted == path or (wanted is not None and not is_encrypted(wanted))
        return same_place and base.get("plain_size") == size and _has_content(source, plain_name(path), base, "plain")
    if wanted != path or base.get("data_size") != size or not _has_content(source, path, base, "data"):
        return False
    if not is_encrypted(path):
        return True
    brings_index = has_no_index(base) and encrypted_index.find(source) is not None
    return not brings_index and read_stored_header(storage, path)[0] == source_header(source)


def _has_content(source: Path, path: str, base: Mapping[str, Any], of: str) -> bool:
    """Return whether a file is the one of which an element has the digest, or the checksum: `data` or `plain`."""
    if root := base.get(f"{of}_digest"):
        return bool(_digest_source(source, path).root == root)
    return bool(base.get(f"{of}_checksum") == transfer.checksum(source, path))


def _digest_source(source: Path, path: str) -> DigestList:
    """Compute the digests of the parts of a file of this machine, as it will have them under a key."""
    digests, is_sealed = PartHasher(part_size(path)), is_encrypted(path) and is_crypt4gh(source)
    with open(source, "rb", buffering=0) as file:
        file.seek(source_header(source).size if is_sealed else 0)
        while piece := file.read(_PIECE):
            digests.update(piece)
    return digests.finish()


def plan_encrypted(source: Path, key: str, change: Update, *, checksum: bool = True) -> NewEncryptedFile:
    """Plan the encryption of a plain file under a key that ends with `.c4gh`; see `NewEncryptedFile`.

    Raises
    ------
    InvalidInputError
        The recipients of the file that it replaces are not recorded.
    """
    indexes = [(path, index_key + ENCRYPTED_SUFFIX) for path, index_key in transfer.plan_indexes(source, plain_name(key))]
    readers = Readers(read_recipients(change.element_id, change.base), read_servers(change.base))
    return NewEncryptedFile(source, key, indexes, change, readers, checksum=checksum)


def read_recipients(element_id: str, attributes: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """Read the recipients of an element's file from its metadata.

    Raises
    ------
    InvalidInputError
        Nobody is recorded, or something that is not a public key.
    """
    hint = "encrypt the file yourself and give that, or store it plain with --plain (plain=True)"
    try:
        keys = tuple(PublicKey.parse(key) for key in attributes.get("recipients", ()))
    except InvalidInputError:
        raise InvalidInputError(
            f"{element_id} is encrypted, and its recipients are no public keys: the new file cannot be encrypted for them", hint
        ) from None
    if not keys:
        raise InvalidInputError(
            f"{element_id} is encrypted, and for whom is not recorded: the new file cannot be encrypted for them", hint
        )
    return keys
