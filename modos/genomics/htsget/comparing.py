"""Compare the blocks of a ticket with the digests that a modos server gives of their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from modos.errors import ProtocolError
from modos.genomics.htsget.protocol import Block
from modos.storage.part_digests import DIGEST, digest_parts, find_differing
from modos.storage.verified import mismatch


def compare_parts(pieces: Iterable[bytes], block: Block, fetch_again: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """Pass on the bytes of a block, each part compared with its digest if the ticket has digests.

    Parameters
    ----------
    fetch_again
        Fetches bytes [start, end) of the block once more, for a part that does not fit.

    Raises
    ------
    ChecksumMismatch
        A part does not fit again.
    """
    if not block.digests:
        yield from pieces
        return
    held, at = bytearray(), 0
    for piece in pieces:
        held += piece
        whole = len(held) - len(held) % block.part
        if whole:
            yield _compare(bytes(held[:whole]), at, block, fetch_again)
            del held[:whole]
            at += whole
    if held:
        yield _compare(bytes(held), at, block, fetch_again)


def _compare(data: bytes, at: int, block: Block, fetch_again: Callable[[int, int], bytes]) -> bytes:
    first = at // block.part * DIGEST
    found = digest_parts(data, block.part)
    expected = block.digests[first : first + len(found)]
    differing = find_differing(found, expected)
    if not differing:
        return data
    whole = bytearray(data)
    for number in differing:
        start = number * block.part
        end = min(start + block.part, len(data))
        again = fetch_again(at + start, at + end)
        if digest_parts(again, block.part) != expected[number * DIGEST : (number + 1) * DIGEST]:
            raise _mismatch(block, at + start, at + end)
        whole[start:end] = again
    return bytes(whole)


def _mismatch(block: Block, start: int, end: int) -> Exception:
    span = block.byte_range
    if span is None:
        return ProtocolError("the htsget ticket has digests of what is no range")
    return mismatch(block.url.partition("?")[0], span.start + start, span.start + end)
