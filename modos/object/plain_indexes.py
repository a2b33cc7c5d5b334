"""Find the plain indexes beside an encrypted file, which htsget-rs uses instead of encrypted ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modos.encryption.recorded import SealRecord
from modos.errors import DecryptError
from modos.formats import index_names, is_encrypted, plain_name
from modos.storage import Storage

Pairs = tuple[tuple[str, str], ...]  # what is there and what will be


def add_plain_indexes(storage: Storage, pairs: Pairs, attributes: Mapping[str, Any]) -> Pairs:
    """Add a plain index to the pairs of a file and its indexes, where the file is encrypted and has no other index.

    Raises
    ------
    DecryptError
        It had an encrypted one, as is recorded.
    """
    (path, target), indexes = pairs[0], pairs[1:]
    if not is_encrypted(path) or indexes:
        return pairs
    names = zip(map(plain_name, index_names(path)), index_names(target), strict=True)
    found = tuple((name, beside) for name, beside in names if storage.exists(name))
    if found and SealRecord.from_index_attributes(attributes).has_bytes:
        raise DecryptError(
            f"the encrypted index of {storage.url}/{path} is gone, and {found[0][0]} is not taken in its place, "
            "as anybody can have made it",
            "restore the encrypted index from a copy",
        )
    return pairs + found


def plain_index_error(storage: Storage, index: str) -> DecryptError:
    """Make the error for a plain index where the sender has to be known."""
    return DecryptError(
        f"{storage.url}/{index} is not encrypted: nothing says who made it",
        "leave the sender out, or remove that index and make another one",
    )
