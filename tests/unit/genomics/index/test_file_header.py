"""Headers of all formats are found in as few bytes as it takes, and what is no header gives one clear error."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import random
import struct
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import IntegrityError, InvalidInputError, ModosError, TruncatedStream
from modos.formats import BGZF_EOF, CRAM3_EOF, FORMATS
from modos.genomics.index import file_header as header_module
from modos.genomics.index import read_header
from modos.genomics.index.bgzf import compress
from modos.storage import ByteRange
from tests.support.sampling import most


def reader(data: bytes, reads: list | None = None):
    def read(start, end):
        if reads is not None:
            reads.append((start, end))
        return data[start:end]

    return read


def header_of(name: str, data: bytes):
    return read_header(FORMATS[name], reader(data), len(data))


def bam(names: list[bytes], text: bytes = b"@HD\tVN:1.6\n", body: bytes = b"") -> bytes:
    out = b"BAM\1" + struct.pack("<I", len(text)) + text + struct.pack("<I", len(names))
    out += b"".join(struct.pack("<I", len(name) + 1) + name + b"\0" + struct.pack("<I", 1000) for name in names)
    return out + body


def itf8(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    if value < 0x4000:
        return bytes([0x80 | value >> 8, value & 255])
    if value < 0x200000:
        return bytes([0xC0 | value >> 16]) + (value & 0xFFFF).to_bytes(2, "big")
    return bytes([0xE0 | value >> 24]) + (value & 0xFFFFFF).to_bytes(3, "big")


def cram(
    text: bytes,
    method: int = 0,
    version: tuple[int, int] = (3, 0),
    raw_size: int | None = None,
    payload: bytes | None = None,
    content_type: int = 0,
    padding: int = 0,
) -> bytes:
    content = len(text).to_bytes(4, "little") + text
    packed = {0: lambda d: d, 1: lambda d: gzip.compress(d, mtime=0), 2: bz2.compress, 3: lzma.compress}.get(method, bytes)(
        content
    )
    packed = packed if payload is None else payload
    block = bytes([method, content_type, 0]) + itf8(len(packed)) + itf8(len(content) if raw_size is None else raw_size)
    block += packed
    checked = version[0] >= 3
    block += zlib.crc32(block).to_bytes(4, "little") if checked else b""
    container = (len(block) + padding).to_bytes(4, "little") + bytes(6) + itf8(1) + itf8(1) + itf8(0)
    container += zlib.crc32(container).to_bytes(4, "little") if checked else b""
    return b"CRAM" + bytes(version) + bytes(20) + container + block + bytes(padding)


SAM = b"@HD\tVN:1.6\n@SQ\tSN:chr1\tLN:1000\n@SQ\tLN:20\tSN:HLA:1\n@CO\t@SQ\tSN:no\tLN:1\n"


@pytest.mark.parametrize("method", [0, 1, 2, 3])
@pytest.mark.parametrize("version", [(2, 1), (3, 0), (3, 1)])
@pytest.mark.parametrize("padding", [0, 500, 100_000])
def test_a_cram_header_in_any_method_and_version(method, version, padding):
    data = cram(SAM, method, version, padding=padding)
    header = header_of("CRAM", data + b"records" + CRAM3_EOF)
    assert header.contigs == {"chr1": 1000, "HLA:1": 20}
    assert header.segments == (ByteRange(0, len(data)),)
    assert header.end == len(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"CRAM", TruncatedStream),
        (b"BAM\1", InvalidInputError),
        (cram(SAM)[:-3], TruncatedStream),
        (cram(SAM, version=(1, 0)), InvalidInputError),
        (cram(SAM, version=(4, 0)), InvalidInputError),
        (cram(SAM, method=4), InvalidInputError),
        (cram(SAM, content_type=4), InvalidInputError),
        (cram(SAM, raw_size=3), IntegrityError),
        (cram(SAM, method=1, payload=b"not gzip"), IntegrityError),
        (cram(SAM, method=2, payload=b"not bzip2"), IntegrityError),
        (cram(SAM, method=3, payload=b"not xz"), IntegrityError),
        (cram(SAM, method=1, payload=gzip.compress(bytes(1 << 26), mtime=0), raw_size=100), IntegrityError),
        (cram(SAM, payload=b"\xff\xff\xff\x7f", raw_size=4), InvalidInputError),
        (cram(SAM + b"@SQ\tSN:chr1\tLN:5\n"), InvalidInputError),
        (cram(b"@SQ\tLN:5\n"), InvalidInputError),
        (cram(SAM).replace(b"chr1", b"chr2"), IntegrityError),
    ],
)
def test_a_bad_cram_header_gives_one_clear_error(data, error):
    with pytest.raises(error):
        header_of("CRAM", data)


def test_a_bam_header_lists_its_contigs_in_order():
    header = header_of("BAM", compress(bam([b"b", b"a", b"HLA-A*01:01"], body=b"records")) + BGZF_EOF)
    assert list(header.contigs) == ["b", "a", "HLA-A*01:01"]
    assert header.target_ids == {"b": 0, "a": 1, "HLA-A*01:01": 2}
    assert gzip.decompress(header.segments[0]) == bam([b"b", b"a", b"HLA-A*01:01"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("BAM", b"BAM\2"),
        ("BAM", bam([b"a", b"a"])),
        ("BAM", b"BAM\1" + struct.pack("<I", 0xFFFFFFFF)),
        ("BAM", b"BAM\1" + struct.pack("<4I", 0, 1, 1, 65) + b"A"),
        ("BCF", b"BCF\1\1"),
        ("BCF", b"BCF\2\2" + struct.pack("<I", 0xFFFFFFFF)),
        ("VCF", b"chr1\t1\t.\tA\tC\n" * 10),
        ("VCF", b"##fileformat=VCFv4.3\nchr1\t1\t.\tA\tC\n"),
        ("VCF", b"##fileformat=VCFv4.3\n##contig=<ID=a>\n"),
    ],
)
def test_a_bad_header_is_refused(name, content):
    with pytest.raises(InvalidInputError):
        header_of(name, compress(content) + BGZF_EOF)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("BAM", bam([b"a" * 50] + [b"b%d" % n for n in range(9)])[:-6]),
        ("BAM", b"BAM\1" + struct.pack("<3I", 0, 0xFFFFFFFF, 1) + b"\0" + struct.pack("<I", 1)),
        ("BCF", b"BCF\2\2" + struct.pack("<I", 500) + b"##fileformat=VCFv4.3\n"),
        ("VCF", b""),
    ],
)
def test_a_header_cut_at_a_block_is_a_truncated_stream(name, content):
    with pytest.raises(TruncatedStream, match="ends within its header"):
        header_of(name, compress(content) + BGZF_EOF)


@pytest.mark.parametrize("name", ["BAM", "CRAM", "VCF", "BCF"])
def test_an_empty_file_is_a_truncated_stream(name):
    with pytest.raises(TruncatedStream):
        header_of(name, b"")


def test_a_vcf_that_is_not_bgzip_is_told_to_be():
    with pytest.raises(InvalidInputError, match="BGZF") as error:
        header_of("VCF", gzip.compress(b"##fileformat=VCFv4.3\n#CHROM\n"))
    assert "bgzip" in error.value.hint


def test_contigs_of_a_vcf_with_quotes_and_without_length():
    text = (
        b'##fileformat=VCFv4.3\n##contig=<ID=a,length=5,note="x,ID=no,length=9">\n##contig=<length=7,ID=b>\r\n'
        b"##contig=<ID=HLA-A*01:01:01:01>\n##contigs=<ID=z>\n##contig=<ID=big,length=" + b"9" * 5000 + b">\n"
        b"##INFO=<ID=i>\n\n#CHROM\tPOS\n"
    )
    header = header_of("VCF", compress(text + b"a\t1\n") + BGZF_EOF)
    assert header.contigs == {"a": 5, "b": 7, "HLA-A*01:01:01:01": None, "big": None}
    assert gzip.decompress(header.segments[0]) == text


def test_a_vcf_of_a_header_only_ends_where_its_text_ends():
    for text in (b"##fileformat=VCFv4.3\n#CHROM\tPOS\n", b"##fileformat=VCFv4.3\n#CHROM\tPOS"):
        header = header_of("VCF", compress(text) + BGZF_EOF)
        assert header.segments == (ByteRange(0, len(compress(text))),)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 50, 1000])
def test_a_header_in_blocks_of_any_size(block):
    text = b"##fileformat=VCFv4.3\n##contig=<ID=a>\n#CHROM\tPOS\na\t1\n"
    for name, content, length in [("VCF", text, len(text) - 4), ("BAM", bam([b"a"], body=b"rest"), len(bam([b"a"])))]:
        data = b"".join(compress(content[at : at + block]) for at in range(0, len(content), block)) + BGZF_EOF
        header = header_of(name, data)
        got = b"".join(data[s.start : s.end] if isinstance(s, ByteRange) else s for s in header.segments)
        assert gzip.decompress(got) == content[:length]
        assert header.contigs == {"a": 1000 if name == "BAM" else None}


def test_a_header_is_read_in_growing_steps_and_no_further():
    rng = random.Random(6)
    names = [b"%032x" % rng.getrandbits(128) for _ in range(30_000)]
    content = bam(names, text=b"".join(b"@SQ\tSN:%s\tLN:1000\n" % name for name in names))
    data = b"".join(compress(bytes([n % 256])) for n in content[:2000]) + compress(content[2000:])
    tail = compress(bytes(i * i % 251 for i in range(1 << 20)))
    reads: list = []
    size = len(data) + len(tail) * 20
    read_header(FORMATS["BAM"], reader(data + tail * 20, reads), size)
    assert reads[0] == (0, 1 << 16)
    assert len(data) > 12 << 16
    assert len(reads) <= 6
    assert max(end for _, end in reads) <= 2 * len(data) + (1 << 17)
    assert sum(end - start for start, end in reads) == max(end for _, end in reads)  # no byte twice


def test_a_large_cram_header_takes_two_reads():
    text = b"".join(b"@SQ\tSN:c%d\tLN:1\n" % n for n in range(20_000))
    reads: list = []
    data = cram(text) + bytes(1 << 20)
    assert len(read_header(FORMATS["CRAM"], reader(data, reads), len(data)).contigs) == 20_000
    assert len(reads) == 2 and reads[1][1] < len(cram(text)) + 100


def test_a_header_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(header_module, "MAX_HEADER", 1 << 20)
    endless = compress(b"##fileformat=VCFv4.3\n" + b"##x=y\n" * 400_000) + BGZF_EOF
    with pytest.raises(InvalidInputError, match="larger than 1 MiB"):
        header_of("VCF", endless)
    with pytest.raises(InvalidInputError, match="larger than 1 MiB"):
        header_of("CRAM", cram(b"@CO\t" + b"x" * (2 << 20)))


def test_a_cram_header_is_never_inflated_beyond_its_declared_size():
    data = cram(SAM, method=1, payload=gzip.compress(bytes(50 << 20)), raw_size=100)
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError, match="declared length"):
            header_of("CRAM", data)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_a_contig_line_of_one_long_word_takes_no_longer_than_its_length():
    text = b"##fileformat=VCFv4.3\n##contig=<" + b"a" * 300_000 + b">\n#CHROM\n"
    started = time.process_time()
    assert header_of("VCF", compress(text) + BGZF_EOF).contigs == {}
    assert time.process_time() - started < 1


def test_too_many_contigs_are_refused(monkeypatch):
    monkeypatch.setattr(header_module, "MAX_CONTIGS", 100)
    for name, data in [
        ("CRAM", cram(b"".join(b"@SQ\tSN:%d\tLN:1\n" % n for n in range(101)))),
        ("BAM", compress(bam([b"%d" % n for n in range(101)]))),
        ("VCF", compress(b"##fileformat=VCFv4.3\n" + b"##contig=<ID=a>\n" * 101 + b"#CHROM\n")),
    ]:
        with pytest.raises(InvalidInputError, match="more than 100 contigs"):
            header_of(name, data)


def test_a_format_without_contigs_is_refused():
    with pytest.raises(InvalidInputError, match="FASTQ"):
        header_of("FASTQ", b"@read")


VCF = b'##fileformat=VCFv4.3\n##contig=<ID=a,length=5,IDX=2>\n##contig=<ID=b,note="q">\n#CHROM\tPOS\na\t1\n'
CONTENTS = {
    "BAM": bam([b"a", b"b"], body=b"records"),
    "VCF": VCF,
    "BCF": b"BCF\2\2" + struct.pack("<I", len(VCF)) + VCF,
    "CRAM": cram(SAM, 1),
}


@settings(max_examples=most(300, 100))
@given(st.data(), st.sampled_from(list(CONTENTS)), st.booleans())
def test_any_damage_of_a_header_gives_a_header_or_one_of_our_errors(data, name, outside):
    content = bytearray(CONTENTS[name])
    if outside and name != "CRAM":
        content = bytearray(compress(bytes(content)) + BGZF_EOF)
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[at] = data.draw(st.sampled_from([0, 1, 9, 10, 34, 127, 128, 255]) | st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    if not outside and name != "CRAM":
        content = compress(content) + BGZF_EOF
    with contextlib.suppress(ModosError):
        header_of(name, content)


@given(st.binary(max_size=300), st.sampled_from(list(CONTENTS)))
def test_any_bytes_give_one_of_our_errors(data, name):
    for content in (data, compress(data), b"CRAM\3\0" + bytes(20) + data):
        with pytest.raises(ModosError):
            header_of(name, content)


@pytest.mark.parametrize(
    "line",
    [
        b"<ID=a,length=5,IDX=1> and <ID=x,IDX=7>",
        b'<ID=a,length=5,note="x>y,IDX=9",IDX=1>\xff##contig=<ID=c,IDX=0>',
        b"<ID=a,IDX=1,length=5,IDX=4>",
        b"<ID=a,Values=<p,q>,IDX=1,length=5>",
    ],
)
def test_what_follows_a_line_of_a_header_is_no_part_of_it(line):
    """Fields behind the bracket, or there twice, took the place of its own: a contig had another number than it has for htslib, and no records."""
    text = (
        b"##fileformat=VCFv4.3\n##contig=<ID=b,IDX=0>\n##contig=" + line + b"\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n\0"
    )
    header = header_of("BCF", compress(b"BCF\2\2" + struct.pack("<I", len(text)) + text) + BGZF_EOF)
    assert header.target_ids == {"a": 1, "b": 0} and header.contigs["a"] == 5
