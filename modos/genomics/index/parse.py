"""Parse an index of any kind."""

from __future__ import annotations

import io

from isal import igzip

from modos.errors import InvalidInputError
from modos.formats.deflate import DeflateError
from modos.genomics.index.binning import BinningIndex
from modos.genomics.index.crai import Crai

Index = BinningIndex | Crai

MAX_INDEX = 256 << 20  # decompressed bytes
_STEP = 1 << 20


def parse_index(data: bytes) -> Index:
    """Read a BAI, CSI, TBI or CRAI, recognised by content, compressed or not.

    Raises
    ------
    InvalidInputError
        It is none of these, or it is cut or damaged.
    """
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data)
    elif not data:
        raise InvalidInputError("the index is empty", "make the index again")
    if data[:4] in (b"BAI\1", b"TBI\1", b"CSI\1"):
        return BinningIndex.parse(data)
    if data[:1] and data[:1] not in b"-0123456789":
        raise InvalidInputError("not an index: neither BAI, CSI, TBI nor CRAI")
    return Crai.parse(data)


def _gunzip(data: bytes) -> bytes:
    out = bytearray()
    try:
        with igzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while piece := file.read(_STEP):
                out += piece
                if len(out) > MAX_INDEX:
                    raise InvalidInputError(f"the index is larger than {MAX_INDEX >> 20:,} MiB")
    except (OSError, EOFError, OverflowError, DeflateError) as error:
        raise InvalidInputError(f"the index is cut or damaged: {error}", "make the index again") from None
    return bytes(out)
