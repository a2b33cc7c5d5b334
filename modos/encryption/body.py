"""Encrypt and decrypt Crypt4GH bodies: 64 KiB segments of ChaCha20-Poly1305 (RFC 8439)."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from modos.errors import DecryptError
from modos.formats.crypt4gh import NONCE, OVERHEAD, SEALED, SEGMENT, TAG
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes.memory import keep_freed

_JOB = 16  # segments that a thread handles at once
PIECE, SEALED_PIECE = SEGMENT * _JOB, SEALED * _JOB  # bytes that are best read at once
THREADS = max(min(os.cpu_count() or 1, 8), 1)
_ENDLESS = 1 << 70  # more than any edit list adds up to in a file
_own = threading.local()


def encrypted_size(plain: int) -> int:
    """Return the number of bytes of an encrypted body, without its header."""
    whole, rest = divmod(plain, SEGMENT)
    return whole * SEALED + (rest + OVERHEAD if rest else 0)


def plain_size(sealed: int) -> int:
    """Return the number of plain bytes in a body of some bytes; raise DecryptError if no body has that many."""
    whole, rest = divmod(sealed, SEALED)
    if 0 < rest <= OVERHEAD:
        raise DecryptError(f"the file is truncated: its last segment has {rest} bytes")
    return whole * SEGMENT + max(rest - OVERHEAD, 0)


@dataclass
class Digest:
    """A digest over the nonce and tag of each segment in their order.

    The format seals each segment for itself: that one is missing, or in the
    place of another, shows here alone.
    """

    _hash: Any = field(default_factory=hashlib.blake2b)

    def add(self, sealed: bytes | bytearray | memoryview) -> None:
        """Take in whole segments, of which the last of all may be short."""
        view = memoryview(sealed)
        for at in range(0, len(view), SEALED):
            segment = view[at : at + SEALED]
            self._hash.update(segment[:NONCE])
            self._hash.update(segment[-TAG:])

    def hexdigest(self) -> str:
        """Return the digest in hexadecimal digits."""
        return str(self._hash.hexdigest())


def encrypt(pieces: Iterable[bytes], key: bytes, threads: int = THREADS) -> Iterator[bytearray]:
    """Encrypt plain bytes: whole segments, some at a time; each is decrypted again and compared.

    Parameters
    ----------
    pieces
        The plain bytes, in pieces of any size.
    key
        The data key.
    """
    keep_freed()
    yield from fetch_ahead(lambda data, _: _encrypt_piece(data, key), _regroup(pieces, PIECE), threads + 1)


def decrypt(
    pieces: Iterable[bytes], keys: Sequence[bytes], digest: Digest | None = None, *, threads: int = THREADS
) -> Iterator[bytearray]:
    """Decrypt the bytes of a body.

    Parameters
    ----------
    pieces
        Whole segments in pieces of any size; the last of all may be short.
    keys
        The data keys.
    digest
        Takes in what is read.

    Raises
    ------
    DecryptError
        A segment that was changed, or is cut.
    """
    keep_freed()

    def jobs() -> Iterator[tuple[int, bytes]]:
        for number, data in enumerate(_regroup(pieces, SEALED_PIECE)):
            if digest:
                digest.add(data)
            yield number * _JOB, data

    yield from fetch_ahead(lambda job, _: decrypt_segments(job[1], keys, job[0]), jobs(), threads + 1)


def decrypt_segments(data: bytes | memoryview, keys: Sequence[bytes], first: int) -> bytearray:
    """Decrypt some segments that follow each other; the last may be short."""
    plain = bytearray(plain_size(len(data)))
    _decrypt_into(data, memoryview(plain), keys, first)
    return plain


def _decrypt_into(data: bytes | bytearray | memoryview, out: memoryview, keys: Sequence[bytes], first: int) -> None:
    sealed, ciphers = memoryview(data), [ChaCha20Poly1305(key) for key in keys]
    for number in range(-(-len(sealed) // SEALED)):
        segment = sealed[number * SEALED : (number + 1) * SEALED]
        target = out[number * SEGMENT : number * SEGMENT + len(segment) - OVERHEAD]
        if not any(_try_decrypt(cipher, segment, target) for cipher in ciphers):
            raise DecryptError(f"segment {first + number:,} of the file was changed: its seal does not hold")


def _try_decrypt(cipher: ChaCha20Poly1305, segment: memoryview, target: memoryview) -> bool:
    try:
        cipher.decrypt_into(segment[:NONCE], segment[NONCE:], None, target)
    except InvalidTag:
        return False
    return True


def _encrypt_piece(data: bytes, key: bytes) -> bytearray:
    cipher, view = ChaCha20Poly1305(key), memoryview(data)
    sealed = bytearray(encrypted_size(len(data)))
    out, count = memoryview(sealed), -(-len(data) // SEGMENT)
    nonces = os.urandom(count * NONCE)
    for number in range(count):
        plain = view[number * SEGMENT : (number + 1) * SEGMENT]
        target = out[number * SEALED : number * SEALED + len(plain) + OVERHEAD]
        target[:NONCE] = nonces[number * NONCE : (number + 1) * NONCE]
        cipher.encrypt_into(target[:NONCE], plain, None, target[NONCE:])
    if _decrypt_again(sealed, key, len(data)) != data:
        raise DecryptError("what was sealed could not be opened again")
    return sealed


def _decrypt_again(sealed: bytearray, key: bytes, size: int) -> bytearray:
    """Decrypt some segments into a buffer of this thread that the next call uses, too."""
    buffer = getattr(_own, "buffer", None)
    if buffer is None or len(buffer) != size:
        buffer = _own.buffer = bytearray(size)
    _decrypt_into(sealed, memoryview(buffer), (key,), 0)
    return buffer


def _regroup(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Regroup the bytes into pieces of one size; the last may be smaller."""
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length < size:
            continue
        data = b"".join(held) if len(held) > 1 else held[0]
        whole = length - length % size
        yield from (data[at : at + size] for at in range(0, whole, size))
        held, length = [data[whole:]], length - whole
    if length:
        yield b"".join(held)


def kept_stretches(size: int, edits: Sequence[int] | None) -> tuple[tuple[int, int], ...]:
    """Return the stretches [start, end) of some plain bytes that count, in their order.

    Parameters
    ----------
    edits
        Lengths to skip and to keep in turn; after an odd number of them the
        rest is kept. All counts where it is None or has no lengths, as the
        specification has it.
    """
    if not edits:
        return ((0, size),) if size else ()
    found, at = [], 0
    for number, length in enumerate(edits):
        if number % 2:
            found.append((min(at, size), min(at + length, size)))
        at += length
    if len(edits) % 2:
        found.append((min(at, size), size))
    return tuple((start, end) for start, end in found if start < end)


def apply_edits(pieces: Iterable[bytes], edits: Sequence[int] | None) -> Iterator[bytes]:
    """Apply an edit list to plain bytes that come in pieces; see `kept_stretches`.

    The other pieces are read, too, up to the last, so that a source that
    decrypts and checks them sees all.
    """
    if not edits:
        yield from pieces
        return
    stretches, at = deque(kept_stretches(_ENDLESS, edits)), 0
    for piece in pieces:
        end = at + len(piece)
        while stretches and stretches[0][0] < end:
            low, high = stretches[0]
            yield piece[max(low - at, 0) : high - at]
            if high > end:
                break
            stretches.popleft()
        at = end
