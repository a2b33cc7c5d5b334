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

from modos.errors import DecryptError, TruncatedStream
from modos.formats.crypt4gh import NONCE, OVERHEAD, SEALED, SEGMENT, TAG
from modos.storage import Storage
from modos.storage.base import Place
from modos.storage.part_digests import PartHasher, digest
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes.memory import keep_freed
from modos.storage.system import count_cores

_JOB = 16  # segments that a thread handles at once
PIECE, SEALED_PIECE = SEGMENT * _JOB, SEALED * _JOB  # bytes that are best read at once
_DEPTH = 3  # jobs of a thread that are in progress or done
THREADS = min(count_cores(), 8)
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
        segments = (view[at : at + SEALED] for at in range(0, len(view), SEALED))
        self.add_seals(b"".join(part for segment in segments for part in (segment[:NONCE], segment[-TAG:])))

    def add_seals(self, seals: bytes) -> None:
        """Take in nonces and tags."""
        self._hash.update(seals)

    def hexdigest(self) -> str:
        """Return the digest in hexadecimal digits."""
        return str(self._hash.hexdigest())


class _Tally:
    """Digests of some segments, each computed while it is in the cache of a processor."""

    def __init__(self, digests: BodyDigests):
        self.digests = digests
        self.plain: list[bytes] = []
        self.sealed: list[bytes] = []
        self.seals: list[memoryview] = []

    def add(self, plain: memoryview, sealed: memoryview) -> None:
        """Take in a segment."""
        if self.digests.of_plain:
            self.plain.append(digest(plain))
        if self.digests.of_sealed:
            self.sealed.append(digest(sealed))
        self.seals += (sealed[:NONCE], sealed[-TAG:])


class _Pass(NamedTuple):
    """What a thread has made of some segments, with the sizes and digests of what it saw."""

    data: bytearray
    plain_size: int
    sealed_size: int
    tally: _Tally | None


class StoredPiece(NamedTuple):
    """Bytes [start, end) of a file, which the thread that handles them reads."""

    storage: Storage
    key: str
    start: int
    end: int
    tag: str

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    def read(self) -> bytes:
        """Read the bytes; raise TruncatedStream where the file ends before, ConflictError if it is another."""
        data = self.storage.read_part(self.key, self.start, self.end, if_match=self.tag)[0]
        if len(data) != self.size:
            raise TruncatedStream(f"{self.storage.url}/{self.key} ends before byte {self.end:,}")
        return data


Pieces = Iterable[bytes] | Iterable[StoredPiece]


def _read_piece(piece: bytes | StoredPiece) -> bytes:
    return piece.read() if isinstance(piece, StoredPiece) else piece


class BodyDigests:
    """Digests of a body that are computed in the pass which seals or opens it.

    Parameters
    ----------
    of_plain
        Whether the plain parts have digests.
    of_sealed
        Whether the sealed segments have digests.
    of_opened
        Whether those of a file that is encrypted are computed of what was sealed and opened again. Then the caller compares
        them with digests that are known, and the bytes are not compared otherwise.

    Attributes
    ----------
    seal
        Over nonces and tags.
    sealed
        Of the sealed segments.
    plain
        Of the plain segments, which are the parts of the file that all of the body is.
    """

    def __init__(self, *, of_plain: bool = True, of_sealed: bool = True, of_opened: bool = False):
        self.of_plain, self.of_sealed, self.of_opened = of_plain, of_sealed, of_opened
        self.seal = Digest()
        self.sealed = PartHasher(SEALED)
        self.plain = PartHasher()

    def _add(self, done: _Pass) -> None:
        if done.tally:
            self.seal.add_seals(b"".join(done.tally.seals))
            if self.of_sealed:
                self.sealed.add_digests(b"".join(done.tally.sealed), done.sealed_size)
            if self.of_plain:
                self.plain.add_digests(b"".join(done.tally.plain), done.plain_size)


def encrypt(
    pieces: Pieces,
    key: bytes,
    threads: int = THREADS,
    *,
    digests: BodyDigests | None = None,
    place: Place | None = None,
    start: int = 0,
) -> Iterator[bytearray]:
    """Encrypt plain bytes: whole segments, some at a time; each is decrypted again and compared.

    Parameters
    ----------
    pieces
        The plain bytes, in pieces of any size; or pieces of `PIECE` bytes that are yet to be read.
    key
        The data key.
    digests
        Takes in what passes; complete at the end.
    place
        Puts what was made in its place, before it is given: see `Storage.write_placed`.
    start
        Offset of the body in the file.
    """

    def run(job: tuple[int, bytes | StoredPiece], _: threading.Event) -> _Pass:
        number, data = job[0], _read_piece(job[1])
        tally = _Tally(digests) if digests else None
        sealed = _encrypt_piece(data, key, tally)
        if place:
            place(start + number * SEALED_PIECE, sealed)
        return _Pass(sealed, len(data), len(sealed), tally)

    return _pass(run, enumerate(_regroup(pieces, PIECE)), threads, digests)


def decrypt(
    pieces: Pieces,
    keys: Sequence[bytes],
    digests: BodyDigests | None = None,
    *,
    threads: int = THREADS,
    place: Place | None = None,
) -> Iterator[bytearray]:
    """Decrypt the bytes of a body.

    Parameters
    ----------
    pieces
        Whole segments in pieces of any size; the last of all may be short. Or pieces of `SEALED_PIECE` bytes that are yet to
        be read.
    keys
        The data keys.
    digests
        Takes in what passes; complete at the end.
    place
        Puts what was made in its place, before it is given: see `Storage.write_placed`.

    Raises
    ------
    DecryptError
        A segment that was changed, or is cut.
    """

    def run(job: tuple[int, bytes | StoredPiece], _: threading.Event) -> _Pass:
        number, data = job[0], _read_piece(job[1])
        tally = _Tally(digests) if digests else None
        plain = decrypt_segments(data, keys, number * _JOB, tally)
        if place:
            place(number * PIECE, plain)
        return _Pass(plain, len(plain), len(data), tally)

    return _pass(run, enumerate(_regroup(pieces, SEALED_PIECE)), threads, digests)


def _pass(
    run: Callable[[Any, threading.Event], _Pass], jobs: Iterable[Any], threads: int, digests: BodyDigests | None
) -> Iterator[bytearray]:
    """Do jobs in threads; yields what is made, in order, and collects the digests."""
    keep_freed()
    never = threading.Event()
    passes = fetch_ahead(run, jobs, threads, _DEPTH * threads) if threads > 1 else (run(job, never) for job in jobs)
    for done in passes:
        if digests:
            digests._add(done)
        yield done.data


def decrypt_segments(data: bytes | memoryview, keys: Sequence[bytes], first: int, tally: _Tally | None = None) -> bytearray:
    """Decrypt some segments that follow each other; the last may be short."""
    found = bytearray(plain_size(len(data)))
    sealed, plain, ciphers = memoryview(data), memoryview(found), [ChaCha20Poly1305(key) for key in keys]
    for number, at in enumerate(range(0, len(sealed), SEALED)):
        segment, target = sealed[at : at + SEALED], plain[number * SEGMENT : (number + 1) * SEGMENT]
        for cipher in ciphers:
            try:
                cipher.decrypt_into(segment[:NONCE], segment[NONCE:], None, target)
                break
            except InvalidTag:
                continue
        else:
            raise DecryptError(f"segment {first + number:,} of the file was changed: its seal does not hold")
        if tally:
            tally.add(target, segment)
    return found


def _encrypt_piece(data: bytes, key: bytes, tally: _Tally | None = None) -> bytearray:
    cipher, view, count = ChaCha20Poly1305(key), memoryview(data), -(-len(data) // SEGMENT)
    by_digest = tally is not None and tally.digests.of_opened
    found, opened = bytearray(encrypted_size(len(data))), _own_buffer(SEGMENT if by_digest else len(data))
    sealed, nonces = memoryview(found), os.urandom(count * NONCE)
    for number in range(count):
        at, segment = number * SEGMENT, sealed[number * SEALED : (number + 1) * SEALED]
        plain, nonce, target = view[at : at + SEGMENT], segment[:NONCE], segment[NONCE:]
        again = memoryview(opened)[: len(plain)] if by_digest else memoryview(opened)[at : at + SEGMENT]
        nonce[:] = nonces[number * NONCE : (number + 1) * NONCE]
        cipher.encrypt_into(nonce, plain, None, target)
        try:
            cipher.decrypt_into(nonce, target, None, again)
        except InvalidTag:
            raise _not_opened_error() from None
        if tally:
            tally.add(again if by_digest else plain, segment)
    if not by_digest and opened != data:
        raise _not_opened_error()
    return found


def _not_opened_error() -> DecryptError:
    return DecryptError("what was sealed could not be opened again")


def _own_buffer(size: int) -> bytearray:
    """Return a buffer of this thread, that the next call uses, too."""
    buffer = getattr(_own, "buffer", None)
    if buffer is None or len(buffer) != size:
        buffer = _own.buffer = bytearray(size)
    return buffer


def _regroup(pieces: Pieces, size: int) -> Iterator[bytes | StoredPiece]:
    """Regroup the bytes into pieces of one size; the last may be smaller. Those that are yet to be read have that size."""
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        if isinstance(piece, StoredPiece):
            yield piece
            continue
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
