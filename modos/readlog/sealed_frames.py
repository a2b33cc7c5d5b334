"""Frames of a segment of the log: each names the one before, and is sealed under a key of its own.

A frame is a header, plain bytes, and sealed bytes:

    magic `mlog`, kind (1 byte), 3 zero bytes, number (u64), SHA-256 of the frame before (32 bytes),
    length of the plain bytes (u32), length of the sealed bytes (u32); integers are little-endian

The sealed bytes are a nonce (12), a ciphertext and a tag (16) of ChaCha20-Poly1305 (RFC 8439), with the header and the
plain bytes as additional data: the tag vouches for all of the frame.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import NamedTuple

from modos.encryption.sealing import seal, unseal

HEADER = struct.Struct("<4sB3xQ32sII")
FORMAT = 1  # of the log; the first frame of a segment tells it
MAGIC = b"mlog"
NONCE, OVERHEAD = 12, 28
MOST_PLAIN, MOST_SEALED = 64 << 20, (16 << 20) + OVERHEAD  # bytes
NOTHING = bytes(32)  # the digest before the first frame


class Kind(IntEnum):
    """Kinds of frames."""

    BEGIN = 1  # the first of each segment: the sealed key, other chains, what was deleted
    ENTRIES = 2
    ROTATED = 3  # the last of a segment that another one follows
    CLOSED = 4  # the last of a chain that ended in order


class Frame(NamedTuple):
    """A frame as it was read.

    Parameters
    ----------
    digest
        SHA-256 of all its bytes.
    vouched
        Header and plain bytes.
    """

    kind: int
    number: int
    before: bytes
    plain: bytes
    sealed: bytes
    digest: bytes
    vouched: bytes


def seal_frame(kind: Kind, number: int, before: bytes, plain: bytes, content: bytes, key: bytes, attempt: int) -> bytes:
    """Seal a frame under a key that no other frame has, and for the attempt of that number, which is the nonce."""
    head = HEADER.pack(MAGIC, kind, number, before, len(plain), len(content) + OVERHEAD) + plain
    return head + seal(key, attempt.to_bytes(NONCE, "little"), content, head)


def digest_of_frame(data: bytes) -> bytes:
    """Return the digest that the next frame names."""
    return hashlib.sha256(data).digest()


def size_of_frame(head: bytes) -> int | None:
    """Return the bytes of the frame that begins with a header; None if no frame does."""
    magic, kind, _, _, plain, sealed = HEADER.unpack(head)
    if magic != MAGIC or head[5:8] != b"\0\0\0" or not 1 <= kind <= 4 or not OVERHEAD <= sealed <= MOST_SEALED:
        return None
    return HEADER.size + plain + sealed if plain <= MOST_PLAIN else None


def read_frame(data: bytes) -> Frame:
    """Read a frame of the size that its header tells; nothing of it is proven."""
    _, kind, number, before, plain, _ = HEADER.unpack_from(data)
    at = HEADER.size + plain
    return Frame(kind, number, before, data[HEADER.size : at], data[at:], hashlib.sha256(data).digest(), data[:at])


def open_frame(key: bytes, frame: Frame) -> bytes | None:
    """Open what a frame has sealed; None where the seal does not hold."""
    return unseal(key, frame.sealed[:NONCE], frame.sealed[NONCE:], frame.vouched)
