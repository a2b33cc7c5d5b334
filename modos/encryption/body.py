"""Encrypt and decrypt Crypt4GH bodies: 64 KiB segments of ChaCha20-Poly1305 (RFC 8439)."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from modos.errors import DecryptError
from modos.formats.crypt4gh import NONCE, OVERHEAD, SEALED, SEGMENT, TAG
from modos.storage.part_digests import PartHasher, digest_parts
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes.memory import keep_freed

_JOB = 8  # segments that a thread handles at once
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
        self._hash.update(_seals_of(memoryview(sealed)))

    def add_seals(self, seals: bytes) -> None:
        """Take in nonces and tags."""
        self._hash.update(seals)

    def hexdigest(self) -> str:
        """Return the digest in hexadecimal digits."""
        return str(self._hash.hexdigest())


class _Pass(NamedTuple):
    """What a thread has made of some segments, and the digests of what it saw."""

    data: bytearray
    plain: bytes = b""
    plain_bytes: int = 0
    sealed: bytes = b""
    sealed_bytes: int = 0
    seals: bytes = b""


class BodyDigests:
    """Digests of a body that are computed in the pass which seals or opens it.

    Parameters
    ----------
    of_plain
        Whether the plain parts have digests, too.

    Attributes
    ----------
    seal
        Over nonces and tags.
    sealed
        Of the sealed segments.
    plain
        Of the plain segments, which are the parts of the file that all of the body is.
    """

    def __init__(self, *, of_plain: bool = True):
        self.seal = Digest()
        self.sealed = PartHasher(SEALED)
        self.plain = PartHasher()
        self._of_plain = of_plain

    def _add(self, done: _Pass) -> None:
        self.seal.add_seals(done.seals)
        self.sealed.add_digests(done.sealed, done.sealed_bytes)
        if self._of_plain:
            self.plain.add_digests(done.plain, done.plain_bytes)

    def _describe(self, data: bytearray, plain: bytes | bytearray, sealed: bytes | bytearray | memoryview) -> _Pass:
        """Return what was made of some segments with the digests of them."""
        view = memoryview(sealed)
        of_plain = digest_parts(plain) if self._of_plain else b""
        return _Pass(data, of_plain, len(plain), digest_parts(view, SEALED), len(view), _seals_of(view))


def encrypt(
    pieces: Iterable[bytes], key: bytes, threads: int = THREADS, *, digests: BodyDigests | None = None
) -> Iterator[bytearray]:
    """Encrypt plain bytes: whole segments, some at a time; each is decrypted again and compared.

    Parameters
    ----------
    pieces
        The plain bytes, in pieces of any size.
    key
        The data key.
    digests
        Takes in what passes; complete at the end.
    """

    def run(data: bytes, _: threading.Event) -> _Pass:
        sealed = _encrypt_piece(data, key)
        return digests._describe(sealed, data, sealed) if digests else _Pass(sealed)

    return _pass(run, _regroup(pieces, PIECE), threads, digests)


def decrypt(
    pieces: Iterable[bytes], keys: Sequence[bytes], digests: BodyDigests | None = None, *, threads: int = THREADS
) -> Iterator[bytearray]:
    """Decrypt the bytes of a body.

    Parameters
    ----------
    pieces
        Whole segments in pieces of any size; the last of all may be short.
    keys
        The data keys.
    digests
        Takes in what passes; complete at the end.

    Raises
    ------
    DecryptError
        A segment that was changed, or is cut.
    """

    def run(job: tuple[int, bytes], _: threading.Event) -> _Pass:
        number, data = job
        plain = decrypt_segments(data, keys, number * _JOB)
        return digests._describe(plain, plain, data) if digests else _Pass(plain)

    return _pass(run, enumerate(_regroup(pieces, SEALED_PIECE)), threads, digests)


def _pass(
    run: Callable[[Any, threading.Event], _Pass], jobs: Iterable[Any], threads: int, digests: BodyDigests | None
) -> Iterator[bytearray]:
    """Do jobs in threads; yields what is made, in order, and collects the digests."""
    keep_freed()
    for done in fetch_ahead(run, jobs, threads + 1):
        if digests:
            digests._add(done)
        yield done.data


def decrypt_segments(data: bytes | memoryview, keys: Sequence[bytes], first: int) -> bytearray:
    """Decrypt some segments that follow each other; the last may be short."""
    plain = bytearray(plain_size(len(data)))
    _decrypt_into(data, memoryview(plain), keys, first)
    return plain


def _decrypt_into(data: bytes | bytearray | memoryview, out: memoryview, keys: Sequence[bytes], first: int) -> None:
    sealed, ciphers = memoryview(data), [ChaCha20Poly1305(key) for key in keys]
    for number, at in enumerate(range(0, len(sealed), SEALED)):
        end = min(at + SEALED, len(sealed))
        target = out[number * SEGMENT : number * SEGMENT + end - at - OVERHEAD]
        for cipher in ciphers:
            try:
                cipher.decrypt_into(sealed[at : at + NONCE], sealed[at + NONCE : end], None, target)
                break
            except InvalidTag:
                continue
        else:
            raise DecryptError(f"segment {first + number:,} of the file was changed: its seal does not hold")


def _encrypt_piece(data: bytes, key: bytes) -> bytearray:
    cipher, plain, count = ChaCha20Poly1305(key), memoryview(data), -(-len(data) // SEGMENT)
    sealed, opened, nonces = bytearray(encrypted_size(len(data))), _own_buffer(len(data)), os.urandom(count * NONCE)
    out, again = memoryview(sealed), memoryview(opened)
    for number in range(count):
        start, at = number * SEALED, number * SEGMENT
        end = min(start + SEALED, len(sealed))
        out[start : start + NONCE] = nonces[number * NONCE : (number + 1) * NONCE]
        nonce, target = out[start : start + NONCE], out[start + NONCE : end]
        cipher.encrypt_into(nonce, plain[at : at + SEGMENT], None, target)
        try:
            cipher.decrypt_into(nonce, target, None, again[at : at + SEGMENT])
        except InvalidTag:
            raise _not_opened_error() from None
    if opened != data:
        raise _not_opened_error()
    return sealed


def _not_opened_error() -> DecryptError:
    return DecryptError("what was sealed could not be opened again")


def _own_buffer(size: int) -> bytearray:
    """Return a buffer of this thread, that the next call uses, too."""
    buffer = getattr(_own, "buffer", None)
    if buffer is None or len(buffer) != size:
        buffer = _own.buffer = bytearray(size)
    return buffer


def _seals_of(sealed: memoryview) -> bytes:
    """Return the nonces and tags of some segments, one after the other."""
    found: list[memoryview] = []
    for at in range(0, len(sealed), SEALED):
        end = min(at + SEALED, len(sealed))
        found += (sealed[at : at + NONCE], sealed[max(end - TAG, at) : end])
    return b"".join(found)


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
