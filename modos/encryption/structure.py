"""Check the structure of a Crypt4GH file without a key."""

from __future__ import annotations

from pathlib import Path

from modos.encryption.header import Header
from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import ChecksumMismatch, DecryptError
from modos.formats import ENCRYPTED_SUFFIX, is_encrypted
from modos.formats.crypt4gh import MAGIC
from modos.storage import Readable
from modos.storage.local import LocalStorage

# of an element, beside those of any file
SLOTS_OF_CUTS = ("index_recipients", "cuts_checksum")
SLOTS_OF_SEALED = (
    *("plain_checksum", "plain_size", "plain_digest", "seal_digest", "header_digests", "recipients", "sender"),
    *SLOTS_OF_CUTS,
)
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


def source_header(source: Path) -> Header:
    """Read the header of an encrypted file of this machine."""
    real = source.resolve()
    return read_stored_header(LocalStorage(real.parent), real.name)[0]


def check_encrypted_source(source: Path, key: str) -> None:
    """Refuse a file of this machine that is no whole Crypt4GH file, and is to be named as one: DecryptError."""
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
