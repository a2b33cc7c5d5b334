"""Checks of a Crypt4GH file without a key: that it is one, and that its parts add up."""

from __future__ import annotations

from pathlib import Path

from modos.encryption.header import MAGIC, Header
from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import ChecksumMismatch, DecryptError, InvalidInputError
from modos.formats import ENCRYPTED_SUFFIX, is_encrypted
from modos.storage import Readable
from modos.storage.local import LocalStorage

# of an element, beside those of any file
SLOTS_OF_SEALED = ("plain_checksum", "plain_size", "seal_digest", "header_digests", "recipients", "sender")
_DATA_KEY_PACKET = 104  # bytes of the smallest packet that holds a data key, without its length


def check_structure(storage: Readable, key: str) -> Header:
    """Check the header of an encrypted file, which is returned, and the length of its body.

    Raises
    ------
    DecryptError
        It is not Crypt4GH version 1, it ends within its header or within a
        segment, or nobody can open it.
    """
    from modos.encryption.body import plain_size

    header, _, info = read_stored_header(storage, key)
    if not any(_may_hold_a_key(packet) for packet in header.packets):
        raise DecryptError("the header is damaged: none of its packets can hold a data key")
    plain_size(info.size - header.size)
    return header


def _may_hold_a_key(packet: bytes) -> bool:
    return packet[:4] == bytes(4) and len(packet) >= _DATA_KEY_PACKET


def is_crypt4gh(path: Path) -> bool:
    """Return whether a file of this machine begins as Crypt4GH does, whatever its name says."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except PermissionError:
        raise InvalidInputError(f"no permission to read {path}") from None


def source_header(source: Path) -> Header:
    """Read the header of an encrypted file of this machine."""
    real = source.resolve()
    return read_stored_header(LocalStorage(real.parent), real.name)[0]


def check_source_encryption(source: Path, key: str) -> None:
    """Refuse a file of this machine that is not what its new name says, encrypted or plain.

    Raises
    ------
    DecryptError
        It is no whole Crypt4GH file, and is to be named as one.
    InvalidInputError
        It is Crypt4GH, and is to be named as a plain file.
    """
    if not is_encrypted(key):
        if is_crypt4gh(source):
            raise InvalidInputError(
                f"{source} is encrypted (Crypt4GH), and its name in the object, {key}, says that it is not",
                f"give it a data_path that ends with {ENCRYPTED_SUFFIX}, or decrypt it first",
            )
        return
    real = source.resolve()
    try:
        check_structure(LocalStorage(real.parent), real.name)
    except DecryptError as error:
        raise DecryptError(
            f"{source} is no whole Crypt4GH file, as {key} has to be: {error.message}",
            f"encrypt it, or take {ENCRYPTED_SUFFIX} off its name and data_path; get it again where it was cut",
        ) from None


def find_damage(storage: Readable, key: str, record: SealRecord = SealRecord()) -> str | None:
    """Describe what is wrong with a file of a storage, encrypted or plain by its name; None if small reads show nothing.

    Parameters
    ----------
    record
        What is known of an encrypted file, whose header is compared.
    """
    if not is_encrypted(key):
        sealed = storage.read_part(key, 0, len(MAGIC))[0] == MAGIC
        return f"{key} is encrypted (Crypt4GH), and its name says that it is not" if sealed else None
    try:
        record.check_header(check_structure(storage, key), key)
    except DecryptError as error:
        return f"{key} is no whole Crypt4GH file: {error.message}"
    except ChecksumMismatch as error:
        return error.message
    return None
