"""Encrypt plain bytes on their way into a storage."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from modos.encryption import body
from modos.encryption.header import digest_of, encrypt_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import AlreadyExistsError, ConflictError
from modos.storage import Storage
from modos.storage.base import Progress, report
from modos.storage.hashing import ThreadedHash


def encrypt_pieces(
    storage: Storage,
    pieces: Iterable[bytes],
    size: int,
    target: str,
    recipients: Sequence[PublicKey],
    sender: SecretKey,
    progress: Progress | None,
    like: str | None = None,
) -> dict[str, Any]:
    """Encrypt plain bytes into a new file; returns what to record of it.

    Parameters
    ----------
    like
        The file that it replaces, whose mode it keeps.
    """
    key = os.urandom(32)
    head, sealed, digest = encrypt_header(key, recipients, sender), ThreadedHash(), body.Digest()

    def parts() -> Iterator[bytes]:
        yield head
        for part in body.encrypt(report(pieces, progress), key):
            sealed.update(part)
            digest.add(part)
            yield part

    whole = len(head) + body.encrypted_size(size)
    write_new(storage, target, parts(), whole, like)
    return {
        "data_size": whole,
        "data_checksum": sealed.hexdigest(),
        "seal_digest": digest.hexdigest(),
        "header_digest": digest_of(head),
    }


def write_new(storage: Storage, key: str, pieces: Iterator[bytes], size: int, like: str | None = None) -> None:
    """Write a file whose key is free; raise AlreadyExistsError if it is not."""
    try:
        storage.write_stream(key, pieces, size=size, like=like)
    except ConflictError:
        raise exists_error(storage, key) from None


def exists_error(storage: Storage, key: str) -> AlreadyExistsError:
    """Return the error for a file that exists already."""
    return AlreadyExistsError(
        f"there is a file {key} in {storage.url} already", "it is not overwritten: look at it, and remove it"
    )
