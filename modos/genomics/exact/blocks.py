"""Read a stream of BAM, BCF or VCF in batches of whole records, with the BGZF blocks that these lie in."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from modos.errors import IntegrityError, TruncatedStream
from modos.formats import FileFormat
from modos.genomics.index import Opening
from modos.genomics.index.bgzf import inflate_block
from modos.genomics.index.layout import MAX_RECORD, Layout
from modos.genomics.slicing import block_batches
from modos.storage.prefetch import fetch_ahead

_MOST_BLOCKS = 128  # of a batch
_OTHER = np.frombuffer(b"#\r\n", np.uint8)
_MOST = 1 << 20  # compressed bytes of a batch; the first ones are smaller, so that something comes soon


class Block(NamedTuple):
    """A BGZF block: where its data lie in the decompressed stream, its bytes, and its data."""

    start: int
    end: int
    raw: memoryview
    data: bytes


class Batch(NamedTuple):
    """Whole records that follow each other in a decompressed stream.

    Parameters
    ----------
    data
        Begins with the records.
    origin
        Where `data` begins in the decompressed stream.
    starts
        Where in `data` each record starts, and where the last one ends.
    blocks
        The blocks that were read for it.
    decided
        Up to where in the decompressed stream this batch and those before it have all records.
    is_loose
        The data are not those of the blocks.
    """

    data: bytes
    origin: int
    starts: list[int]
    blocks: list[Block]
    decided: int
    is_loose: bool = False


def iter_batches(opening: Opening, layout: Layout, format: FileFormat, threads: int) -> Iterator[Batch]:
    """Iterate over the records of a stream; they are used up.

    Raises
    ------
    IntegrityError
        A block is damaged, or a record too large; TruncatedStream where the stream ends within one.
    """
    skip, rest, offset = opening.header.end & 0xFFFF, b"", 0
    for pairs in fetch_ahead(_inflate, _group(block_batches(opening.records)), threads):
        blocks = []
        for raw, data in pairs:
            blocks.append(Block(offset, offset + len(data), raw, data))
            offset += len(data)
        data = b"".join((rest, *(block.data for block in blocks)))
        if skip:
            cut, skip = min(skip, len(data)), max(skip - len(data), 0)
            data = data[cut:]
        origin = offset - len(data)
        cleaned, starts = data, layout.starts(data)
        if format.name == "VCF" and _has_other_lines(data, starts):
            cleaned = layout.clean(data)
            starts = layout.starts(cleaned)
        used = starts[-1]
        if len(cleaned) - used > MAX_RECORD:
            raise IntegrityError(f"a record is larger than {MAX_RECORD >> 20} MiB: the file is damaged")
        rest = cleaned[used:]
        yield Batch(cleaned, origin, starts, blocks, offset - len(rest), len(cleaned) != len(data))
    if rest and format.name != "VCF":
        raise TruncatedStream("the stream ends within a record", "the file is truncated, or its index is of another file")
    if rest and (last := layout.clean(rest + b"\n")):  # the last line of a file may do without its end
        yield Batch(last, offset, layout.starts(last), [], offset, True)


def _has_other_lines(data: bytes, starts: list[int]) -> bool:
    """Return whether there are lines that are empty or begin like a comment."""
    if len(starts) < 2:
        return False
    first = np.frombuffer(data, np.uint8)[starts[:-1]]
    return bool(np.isin(first, _OTHER).any())


def _group(batches: Iterable[tuple[int, list[memoryview]]]) -> Iterator[list[tuple[int, list[memoryview]]]]:
    """Group batches of blocks, to larger and larger ones."""
    group: list[tuple[int, list[memoryview]]] = []
    size, most, count = 0, 0, 0
    for offset, blocks in batches:
        group.append((offset, blocks))
        size += sum(map(len, blocks))
        count += len(blocks)
        if size > most or count >= _MOST_BLOCKS:
            yield group
            group, size, count, most = [], 0, 0, min(max(2 * most, 1 << 16), _MOST)
    if group:
        yield group


def _inflate(group: list[tuple[int, list[memoryview]]], _: threading.Event) -> list[tuple[memoryview, bytes]]:
    return [(block, inflate_block(block, offset)) for offset, blocks in group for block in blocks]
