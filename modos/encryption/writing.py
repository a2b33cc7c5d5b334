"""Encrypt plain bytes on their way into a storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from modos.encryption import body
from modos.encryption.header import digest_of, encrypt_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import AlreadyExistsError, ConflictError
from modos.storage import Storage
from modos.storage.base import Place, Progress
from modos.storage.part_digests import DigestList


@dataclass(frozen=True)
class SealedFile:
    """Encrypted file in place.

    Parameters
    ----------
    size
        Bytes of it.
    header
        Digest of its header.
    seal
        Digest over the nonces and tags of its segments.
    segments
        Digests of the segments of its body.
    plain
        Digests of the parts of the plain file.
    """

    size: int
    header: str
    seal: str
    segments: DigestList
    plain: DigestList

    def describe(self) -> dict[str, Any]:
        """Return what the element says of it; the checksum was one of the plain bytes."""
        return {
            "data_size": self.size,
            "data_digest": self.segments.root,
            "data_checksum": None,
            "seal_digest": self.seal,
            "plain_size": self.plain.layout.sizes[0],
            "plain_digest": self.plain.root,
        }


def encrypt_pieces(
    storage: Storage,
    pieces: body.Pieces,
    size: int,
    target: str,
    recipients: Sequence[PublicKey],
    sender: SecretKey,
    progress: Progress | None,
    like: str | None = None,
    check: Callable[[DigestList], None] | None = None,
    *,
    is_compared: bool = False,
) -> SealedFile:
    """Encrypt plain bytes into a new file.

    Parameters
    ----------
    like
        The file that it replaces, whose mode it keeps.
    check
        Is called with the digests of the plain parts before the file is
        there; an error leaves none.
    is_compared
        Whether `check` compares them with known ones: they are of what was sealed and opened again then.
    """
    key, digests = os.urandom(32), body.BodyDigests(of_opened=is_compared)
    head = encrypt_header(key, recipients, sender)
    found: list[DigestList] = []

    def parts(place: Place | None) -> Iterator[bytes]:
        if place:
            place(0, head)
        yield head
        done = 0
        for part in body.encrypt(pieces, key, digests=digests, place=place, start=len(head)):
            yield part
            if progress:
                progress(digests.plain.size - done)
                done = digests.plain.size
        found.append(digests.plain.finish())
        if check:
            check(found[0])

    whole = len(head) + body.encrypted_size(size)
    place_new(storage, target, parts, whole, like)
    return SealedFile(whole, digest_of(head), digests.seal.hexdigest(), digests.sealed.finish(), found[0])


def write_new(storage: Storage, key: str, pieces: Iterable[bytes], size: int, like: str | None = None) -> None:
    """Write a file whose key is free, as `Storage.write_stream` does; raise AlreadyExistsError if it is not."""
    with expect_free(storage, key):
        storage.write_stream(key, pieces, size=size, like=like)


def place_new(
    storage: Storage, key: str, make: Callable[[Place | None], Iterable[bytes]], size: int, like: str | None = None
) -> None:
    """Write a file whose key is free, as `Storage.write_placed` does; raise AlreadyExistsError if it is not."""
    with expect_free(storage, key):
        storage.write_placed(key, make, size=size, like=like)


@contextmanager
def expect_free(storage: Storage, key: str) -> Iterator[None]:
    """Tell a conflict about the new file from one about the file that is read."""
    try:
        yield
    except ConflictError:
        if storage.exists(key):
            raise _exists_error(storage, key) from None
        raise


def _exists_error(storage: Storage, key: str) -> AlreadyExistsError:
    """Return the error for a file that exists already."""
    return AlreadyExistsError(
        f"there is a file {key} in {storage.url} already",
        "it is not overwritten: somebody else may just have made it; see with `modos check` whether an element has it, "
        "and remove it if none has",
    )
