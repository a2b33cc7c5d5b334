"""Crypt4GH, as far as it can be told from the first bytes of a file."""

from __future__ import annotations

from pathlib import Path

from modos.errors import InvalidInputError
from modos.formats import ENCRYPTED_SUFFIX, is_encrypted
from modos.storage.part_digests import PART

MAGIC = b"crypt4gh"
SEGMENT = 1 << 16  # plain bytes
NONCE, TAG = 12, 16
OVERHEAD = NONCE + TAG
SEALED = SEGMENT + OVERHEAD  # bytes of a segment


def part_size(key: str) -> int:
    """Return the bytes of the parts of a file that have digests: of an encrypted one, those of a segment of its body."""
    return SEALED if is_encrypted(key) else PART


def is_crypt4gh(path: Path) -> bool:
    """Return whether a file of this machine begins as Crypt4GH does, whatever its name says."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except PermissionError:
        raise InvalidInputError(f"no permission to read {path}") from None


def refuse_crypt4gh(source: Path, key: str) -> None:
    """Refuse a file of this machine that is Crypt4GH, and is to be named as a plain file: InvalidInputError."""
    if is_crypt4gh(source):
        raise InvalidInputError(
            f"{source} is encrypted (Crypt4GH), and its name in the object, {key}, says that it is not",
            f"give it a data_path that ends with {ENCRYPTED_SUFFIX}, or decrypt it first",
        )
