"""What can be seen of a Crypt4GH file without a key: that it is one, and that its parts add up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modos.encryption.header import MAGIC, Header
from modos.encryption.stored import stored_header
from modos.errors import DecryptError, InvalidInputError
from modos.formats import ENCRYPTED_SUFFIX, is_encrypted
from modos.storage import Readable
from modos.storage.local import LocalStorage

SLOTS_OF_SEALED = ("plain_checksum", "plain_size", "seal_digest", "recipients")  # of an element, beside those of any file
_DATA_KEY_PACKET = 104  # bytes of the smallest packet that holds a data key, without its length


@dataclass(frozen=True)
class Structure:
    """Of a sealed file: packets in its header, and the bytes that its body opens to."""

    packets: int
    plain_size: int


def read_structure(storage: Readable, key: str) -> Structure:
    """Look at the header of a sealed file, and at the length of its body.

    Raises
    ------
    DecryptError
        It is not Crypt4GH version 1, it ends within its header or within a
        segment, or nobody can open it.
    """
    from modos.encryption.body import plain_size

    header, _, info = stored_header(storage, key)
    if not any(_may_hold_a_key(packet) for packet in header.packets):
        raise DecryptError("the header is damaged: none of its packets can hold a data key")
    return Structure(len(header.packets), plain_size(info.size - header.size))


def _may_hold_a_key(packet: bytes) -> bool:
    return packet[:4] == bytes(4) and len(packet) >= _DATA_KEY_PACKET


def is_sealed(path: Path) -> bool:
    """Whether a file of this machine begins as Crypt4GH does, whatever its name says."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except PermissionError:
        raise InvalidInputError(f"no permission to read {path}") from None


def source_header(source: Path) -> Header:
    """The header of a sealed file of this machine."""
    real = source.resolve()
    return stored_header(LocalStorage(real.parent), real.name)[0]


def check_source_seal(source: Path, key: str) -> None:
    """Refuse a file of this machine that is not what the name it gets says, sealed or plain.

    Raises
    ------
    DecryptError
        It is no whole Crypt4GH file, and is to be named as one.
    InvalidInputError
        It is Crypt4GH, and is to be named as a plain file.
    """
    if not is_encrypted(key):
        if is_sealed(source):
            raise InvalidInputError(f"{source} is encrypted (Crypt4GH), and its name in the object, {key}, says that it is not",
                                    f"give it a data_path that ends with {ENCRYPTED_SUFFIX}, or decrypt it first")
        return
    real = source.resolve()
    try:
        read_structure(LocalStorage(real.parent), real.name)
    except DecryptError as error:
        raise DecryptError(f"{source} is no whole Crypt4GH file, as {key} has to be: {error.message}",
                           f"encrypt it, or take {ENCRYPTED_SUFFIX} off its name and data_path; get it again where it was cut"
                           ) from None


def find_damage(storage: Readable, key: str) -> str | None:
    """What is wrong with a file of a storage, sealed or plain by its name; None where nothing can be seen, in small reads."""
    if not is_encrypted(key):
        sealed = storage.read_part(key, 0, len(MAGIC))[0] == MAGIC
        return f"{key} is encrypted (Crypt4GH), and its name says that it is not" if sealed else None
    try:
        read_structure(storage, key)
    except DecryptError as error:
        return f"{key} is no whole Crypt4GH file: {error.message}"
    return None
