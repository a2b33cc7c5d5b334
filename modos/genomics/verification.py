"""Verify that the bytes that pass by are those on record, or at least whole."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from modos.errors import ChecksumMismatch, IntegrityError, InvalidInputError, TruncatedStream
from modos.formats import FileFormat
from modos.genomics.index.bgzf import inflate_block
from modos.genomics.index.cram_blocks import check_containers
from modos.genomics.slicing import THREADS, block_batches
from modos.storage.hashing import ThreadedHash
from modos.storage.prefetch import fetch_ahead

_NOT_TO_BE_USED = "do not use what has come of it: its end was held back"
_HINT = "stream it again; whether the file itself is damaged, `modos check` tells"


class Recorded(NamedTuple):
    """Recorded size in bytes and BLAKE2b-512, in hexadecimal digits, of a file."""

    size: int | None = None
    checksum: str | None = None

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any], *, sealed: bool = False) -> Recorded:
        """Read what the attributes of an element record of its file; of an encrypted one, of its plain bytes."""
        size, checksum = (attributes.get(f"{'plain' if sealed else 'data'}_{name}") for name in ("size", "checksum"))
        return cls(
            size if isinstance(size, int) else None,
            checksum if isinstance(checksum, str) and re.fullmatch("[0-9a-f]{128}", checksum) else None,
        )


def verify(pieces: Iterator[bytes], recorded: Recorded, name: str) -> Iterator[bytes]:
    """Pass a whole file on, the last piece only where all of it is what was recorded.

    Raises
    ------
    ChecksumMismatch
        The bytes are others; TruncatedStream if their number is another.
    """
    digest, received, held = ThreadedHash(), 0, b""
    for piece in pieces:
        received += len(piece)
        if recorded.checksum:
            digest.update(piece)
        if held:
            yield held
        held = piece
    if recorded.size not in (None, received):
        raise TruncatedStream(f"{name}: {received:,} bytes arrived, the file has {recorded.size:,}")
    if recorded.checksum not in (None, digest.hexdigest()):
        raise ChecksumMismatch(f"{name} does not have the checksum in its metadata: {_NOT_TO_BE_USED}", _HINT)
    yield held


def check_blocks(pieces: Iterator[bytes], format: FileFormat, name: str) -> Iterator[bytes]:
    """Pass a file or regions of one on, checked against the checksums that are in it: of BGZF blocks, or of a CRAM.

    Raises
    ------
    IntegrityError
        One does not match; TruncatedStream if the stream ends within a block.
    """
    checked = check_containers(pieces) if format.name == "CRAM" else fetch_ahead(_check_batch, block_batches(pieces), THREADS)
    try:
        yield from checked
    except (IntegrityError, InvalidInputError) as error:
        if name in error.message:
            raise
        if isinstance(error, InvalidInputError) and format.name == "CRAM":
            raise InvalidInputError(f"{name}: {error.message}", "make it anew with fewer reads in a container") from None
        kind = type(error) if isinstance(error, IntegrityError) else IntegrityError
        raise kind(f"{name}: {error.message}: {_NOT_TO_BE_USED}", _HINT) from None


def _check_batch(batch: tuple[int, list[memoryview]], _: threading.Event) -> bytes:
    offset, blocks = batch
    for block in blocks:
        inflate_block(block, offset)
    return b"".join(blocks)
