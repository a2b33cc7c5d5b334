"""Cutting a BGZF stream between any two bytes gives exactly these bytes, and damaged blocks give one clear error."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import IntegrityError, InvalidInputError, ModosError, TruncatedStream
from modos.formats import BGZF_EOF
from modos.genomics.index import slices
from modos.genomics.index.bgzf import MAX_BLOCK, Blocks, compress
from modos.genomics.index.slices import merge_chunks
from modos.storage import ByteRange


def cut(*args, **kwargs):
    return list(slices.cut(*args, **kwargs))


def bgzip(pieces: list[bytes]) -> tuple[bytes, list[int]]:
    """A file of one block per piece, and where each block starts."""
    file, starts = b"", []
    for piece in pieces:
        starts.append(len(file))
        file += compress(piece) if piece else BGZF_EOF
    return file + BGZF_EOF, [*starts, len(file)]


def reader(data: bytes):
    return lambda start, end: data[start:end]


def inflate(file: bytes, segments) -> bytes:
    pieces = [file[s.start : s.end] if isinstance(s, ByteRange) else s for s in segments]
    return gzip.decompress(b"".join(pieces)) if pieces else b""


@given(st.binary(max_size=5000) | st.integers(0, 200_000).map(lambda n: b"ACGT" * (n // 4)))
def test_compressed_data_comes_back(data):
    assert gzip.decompress(compress(data) + BGZF_EOF) == data


@pytest.mark.parametrize("size", [0, 1, 0xFEFF, 0xFF00, 0xFF01, 3 * 0xFF00])
def test_data_that_do_not_compress_still_fit_their_blocks(size):
    data = os.urandom(size)
    file = compress(data) + BGZF_EOF
    assert subprocess.run(["bgzip", "-dc"], input=file, capture_output=True, check=True).stdout == data
    blocks, offset, out = Blocks(reader(file), len(file)), 0, b""
    while offset < len(file):
        piece, offset = blocks.inflate(offset)
        out += piece
    assert out == data


@given(st.data())
def test_a_cut_is_exact(data):
    pieces = data.draw(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
    file, starts = bgzip(pieces)
    places = []  # every way to name a place between two bytes: also as the end of the block before
    done = 0
    for start, piece in zip(starts, [*pieces, b""], strict=True):
        places += [(start << 16 | within, done + within) for within in range(len(piece) + 1)]
        done += len(piece)
    chosen = sorted(data.draw(st.lists(st.sampled_from(places), min_size=2, max_size=2)))
    (start, first), (end, last) = chosen
    for inline in (0, 1 << 20):
        segments = cut(reader(file), len(file), [(start, end)], inline=inline)
        assert inflate(file, segments) == b"".join(pieces)[first:last]
        assert all(len(segment) for segment in segments)
        assert not inline or all(isinstance(segment, bytes) for segment in segments)


@given(st.data())
def test_several_cuts_at_once_are_those_one_after_the_other(data):
    file, starts = bgzip([bytes([65 + n]) * 50 for n in range(20)])
    bounds = sorted(data.draw(st.sets(st.integers(0, 19), min_size=2, max_size=10)))
    chunks = [(starts[a] << 16 | 7, starts[b] << 16 | 9) for a, b in zip(bounds[::2], bounds[1::2])]
    plain = cut(reader(file), len(file), chunks)
    assert cut(reader(file), len(file), chunks, workers=4) == plain
    budget = data.draw(st.integers(0, len(file)))
    assert inflate(file, cut(reader(file), len(file), chunks, inline=budget, workers=3)) == inflate(file, plain)


def test_what_comes_inline_is_read_once():
    file, starts = bgzip([os.urandom(3000) for _ in range(10)])
    reads = []

    def read(start, end):
        reads.append((start, end))
        return file[start:end]

    (segment,) = cut(read, len(file), [(starts[1] << 16 | 5, starts[8] << 16 | 5)], inline=1 << 18)
    assert isinstance(segment, bytes) and len(reads) == 1


def test_whole_blocks_stay_ranges_of_the_file():
    file, starts = bgzip([b"a" * 100, b"b" * 100, b"c" * 100, b"d" * 100])
    head, middle, tail = cut(reader(file), len(file), [(starts[0] << 16 | 40, starts[3] << 16 | 7)])
    assert gzip.decompress(head) == b"a" * 60
    assert middle == ByteRange(starts[1], starts[3])
    assert gzip.decompress(tail) == b"d" * 7


def test_a_chunk_between_blocks_is_not_read_at_all():
    file, starts = bgzip([b"a" * 100, b"b" * 100, b"c" * 100])

    def read(start, end):
        raise AssertionError("nothing needs to be read")

    assert cut(read, len(file), [(starts[1] << 16, starts[2] << 16)]) == [ByteRange(starts[1], starts[2])]


def test_near_edges_take_one_read_and_far_ones_two():
    file, starts = bgzip([os.urandom(60_000) for _ in range(12)])
    reads = []

    def read(start, end):
        reads.append((start, end))
        return file[start:end]

    cut(read, len(file), [(starts[0] << 16 | 5, starts[2] << 16 | 5)])
    assert len(reads) == 1
    reads.clear()
    cut(read, len(file), [(starts[0] << 16 | 5, starts[11] << 16 | 5)])
    assert [end - start <= MAX_BLOCK for start, end in reads] == [True, True]


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)).map(sorted).map(tuple)))
def test_merged_chunks_are_sorted_apart_and_cover_the_same(chunks):
    merged = merge_chunks(chunks)
    assert merged == sorted(merged)
    assert all((b[0] >> 16) - (a[1] >> 16) >= MAX_BLOCK for a, b in itertools.pairwise(merged))
    assert all(any(a <= start and end <= b for a, b in merged) for start, end in chunks)
    assert {a for a, _ in merged} <= {a for a, _ in chunks} and {b for _, b in merged} <= {b for _, b in chunks}


FILE, STARTS = bgzip([b"first block " * 50, b"second block " * 50, b"third block " * 50])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((0, 5), (STARTS[1], 651)),  # beyond the end of a block
        ((0, 601), (STARTS[1], 3)),
        ((STARTS[2], 9), (STARTS[1], 3)),  # backwards
        ((0, 5), (STARTS[1] - 20, 0)),  # between two blocks
    ],
)
def test_offsets_that_do_not_fit_the_blocks_are_an_integrity_error(start, end):
    with pytest.raises(IntegrityError, match="does not fit"):
        cut(reader(FILE), len(FILE), [(start[0] << 16 | start[1], end[0] << 16 | end[1])])


def test_offsets_within_no_block_say_so():
    with pytest.raises(InvalidInputError, match="no BGZF block at byte 3"):
        cut(reader(FILE), len(FILE), [(3 << 16 | 5, STARTS[1] << 16)])


def test_offsets_beyond_the_file_are_a_truncated_stream():
    with pytest.raises(TruncatedStream, match="beyond the end"):
        cut(reader(FILE), len(FILE), [(0, len(FILE) + 100 << 16)])


def test_a_read_that_comes_short_is_a_truncated_stream():
    with pytest.raises(TruncatedStream, match="early"):
        cut(lambda start, end: FILE[start : end - 10], len(FILE), [(5, STARTS[1] << 16 | 5)])


def block_with(payload: bytes, length: int, checksum: int, extra: bytes | None = None) -> bytes:
    extra = b"BC\2\0" + (len(payload) + 25).to_bytes(2, "little") if extra is None else extra
    header = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + len(extra).to_bytes(2, "little") + extra
    return header + payload + checksum.to_bytes(4, "little") + length.to_bytes(4, "little")


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (block_with(deflate(b"abc"), 3, 1), IntegrityError),
        (block_with(deflate(b"abc"), 4, zlib.crc32(b"abc")), IntegrityError),
        (block_with(deflate(bytes(1 << 20)), 1 << 20, zlib.crc32(bytes(1 << 20))), IntegrityError),  # more than 64 KiB
        (block_with(deflate(b"abc")[:-2], 3, zlib.crc32(b"abc")), IntegrityError),
        (block_with(b"\xff\xff\xff", 3, 0), IntegrityError),
        (block_with(b"", 0, 0, b"BC\2\0\1\0"), InvalidInputError),  # smaller than its header
        (block_with(b"", 0, 0, b"XY\2\0\1\0"), InvalidInputError),  # gzip, but not BGZF
        (block_with(b"", 0, 0, b"BC\2\0\xff\xff"), TruncatedStream),
        (gzip.compress(b"plain gzip", mtime=0), InvalidInputError),
        (b"\x1f\x8b\x08\x04", TruncatedStream),
        (b"not gzip at all", InvalidInputError),
    ],
)
def test_a_bad_block_gives_one_clear_error(block, error):
    with pytest.raises(error):
        Blocks(reader(block), len(block)).inflate(0)


@given(st.data())
def test_any_damage_of_a_block_is_noticed_or_harmless(data):
    file = bytearray(FILE)
    for at in data.draw(st.lists(st.integers(0, len(file) - 1), min_size=1, max_size=4)):
        file[at] = data.draw(st.integers(0, 255))
    end = (STARTS[1] << 16) | 7
    try:
        segments = cut(reader(bytes(file)), len(file), [(5, end)])
    except ModosError:
        return
    assert inflate(bytes(file), segments) == (b"first block " * 50)[5:] + b"second "


def test_other_subfields_before_the_block_size_are_skipped():
    payload = deflate(b"abc")
    extra = b"XY\3\0abc"
    size = 12 + len(extra) + 6 + len(payload) + 8
    block = block_with(payload, 3, zlib.crc32(b"abc"), extra + b"BC\2\0" + (size - 1).to_bytes(2, "little"))
    assert Blocks(reader(block), len(block)).inflate(0) == (b"abc", len(block))
