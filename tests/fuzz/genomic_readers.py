"""Readers of BAM, CRAM, VCF and BCF and of their indexes: samtools and bcftools say what a file has, where they read it."""

from __future__ import annotations

import atexit
import functools
import gzip
import os
import struct
import tempfile
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pysam

from modos.formats import BGZF_EOF, CRAM3_EOF
from modos.genomics import GenomicFile, indexer
from modos.genomics.htsget.query import Query
from modos.genomics.index import bgzf
from modos.genomics.region import Region
from modos.genomics.sources import StorageSource
from modos.genomics.writer import OutputFormat
from modos.object.enrichment import read_header
from modos.storage import open_storage
from tests.support.hard_files import reblock, write_reads, write_variants

from ..foreign.asking import Asked, bytes_of, texts
from ..foreign.files import Form
from ..foreign.oracle import Oracle, Refused, lines_of
from .bundles import Steps, bundled, unbundled
from .trying import Target

CONTIGS = {"chr1": 100_000, "chr2": 20_000, "HLA-A*01:01": 3_000, "empty": 5_000}
_BLOCK = 900  # bytes
_SLOW = 0.5  # seconds
_SOME = 16  # one in so many files is written in another format, too
_COMMANDS = {".bai": ("samtools", ()), ".csi": ("", ("-c",)), ".tbi": ("bcftools", ("-t",)), ".crai": ("samtools", ())}


def oracle() -> Oracle:
    """samtools and bcftools in a process of their own, one for each of ours."""
    return _oracle_of(os.getpid())


@functools.cache
def _oracle_of(process: int) -> Oracle:
    folder = tempfile.TemporaryDirectory(prefix="modos-fuzz-oracle-")
    atexit.register(folder.cleanup)
    return Oracle(Path(folder.name), patience=4)


def index_by_oracle(path: Path, suffix: str) -> Path | None:
    """An index as samtools or bcftools make it; None where they refuse."""
    program, options = _COMMANDS[suffix]
    program = program or ("samtools" if path.suffix == ".bam" else "bcftools")
    index = path.with_name(path.name + suffix)
    try:
        oracle().run(program, "index", *options, "-o", index, path)
    except Refused:
        index.unlink(missing_ok=True)
    return index if index.is_file() else None


def read_all(path: Path, index: Path | None) -> None:
    """Read a file in all the ways there are; AssertionError where records are missed, or invented, in silence."""
    pysam.set_verbosity(0)
    steps, storage = Steps(), open_storage(path.parent)
    file = GenomicFile(StorageSource(storage, path.name))
    steps.take(lambda: read_header(storage, path.name))
    steps.take(lambda: file.iter_bytes())
    begun = time.process_time()
    whole, truth = steps.take(lambda: _lines(file, None)), _said(path, index, ())
    if time.process_time() - begun > _SLOW:  # htslib takes its time for some CRAMs, each time anew
        steps.finish()
        return
    _compare("all", whole, truth, None)
    _compare_count("all", steps.take(file.count), whole)
    steps.take(lambda: _written(file, OutputFormat(file.format.name, False)))
    if file.format.kind == "variants" and whole and len(path.read_bytes()) % _SOME == 0:  # bcftools takes its time
        steps.take(lambda: _written(file, OutputFormat("BCF" if file.format.name == "VCF" else "VCF")))
    if file.format.kind == "reads":
        few = GenomicFile(StorageSource(storage, path.name), hints=Query(fields=("QNAME", "FLAG", "CIGAR"), notags=("XB", "NM")))
        steps.take(lambda: _written(few, OutputFormat("BAM" if file.format.name == "BAM" else "SAM", False)))
    if index is not None:
        steps.take(lambda: indexer.check_index(storage, path.name, index.name, thorough=True))
        for region in _regions(steps, file):
            ours = steps.take(lambda: _lines(file, region))
            theirs = _said(path, index, (region,))
            _compare(
                str(region),
                ours,
                theirs and [line for line in theirs if file.format.kind != "reads" or line.split("\t")[2] == region.contig],
                truth,
            )
            steps.take(lambda: file.iter_bytes(region))
            _compare_count(str(region), steps.take(lambda: file.count(region)), ours)
            if file.format.kind == "reads" and region.contig != "*":
                steps.take(
                    lambda: file.coverage(Region(region.contig, region.start, min(region.limit, region.start + 2_000)), 10)
                )
    steps.finish()


def _regions(steps: Steps, file: GenomicFile) -> list[Region]:
    names = steps.take(lambda: sorted(file._names)) or ()
    found = [Region(name, start, end) for name in names[:2] for start, end in ((0, None), (1_000, 1_500))]
    return [*found, Region("*", 0, None)] if file.format.kind == "reads" else found


def _written(file: GenomicFile, output: OutputFormat, region: Region | None = None) -> bytes:
    return bytes_of(functools.partial(file.write, region=region, output=output))


def _lines(file: GenomicFile, region: Region | None) -> list[str] | None:
    """The records as lines; None where some are no text, which is for whoever asks for text."""
    if file.format.kind == "reads":
        header = len(lines_of(bytes_of(functools.partial(file.write_header, output=OutputFormat("SAM", False)))))
        return lines_of(_written(file, OutputFormat("SAM", False), region))[header:]
    try:
        return texts(file.fetch(region))
    except UnicodeDecodeError:
        return None


def _said(path: Path, index: Path | None, few: tuple[Region, ...]) -> list[str] | None:
    """What the oracle says; None where it refuses."""
    try:
        return Asked(oracle(), Form(path, index)).ask(few)
    except Refused:
        return None


def _compare(what: str, ours: list[str] | None, theirs: list[str] | None, whole: list[str] | None) -> None:
    """More of the file's records than the oracle finds are right where an index is damaged; fewer or others never are."""
    if ours is None or theirs is None or ours == theirs:
        return
    missed, more = Counter(theirs) - Counter(ours), Counter(ours) - Counter(theirs)
    if not missed and (whole is None or not more - Counter(whole)):
        return
    raise AssertionError(
        f"{what}: {len(ours)} records, and {len(theirs)} by the oracle; missed {str(list(missed)[:1])[:300]}, more {str(list(more)[:1])[:300]}"
    )


def _compare_count(what: str, count: int | None, records: Sequence[str] | None) -> None:
    assert None in (count, records) or count == len(records), f"{what}: {count} counted, and {len(records)} read"


def _as_they_are(name: str, suffix: str, path: Path) -> None:
    """A file and its index, as they are."""
    data, index = unbundled(path, 2)
    file, beside = path.with_name(name), path.with_name(name + suffix)
    file.write_bytes(data)
    if index:
        beside.write_bytes(index)
    read_all(file, beside if index else None)


def _packed(name: str, suffix: str, path: Path) -> None:
    """The content of a file of BGZF blocks, whose checksums are right then."""
    file = path.with_name(name)
    content = path.read_bytes()
    file.write_bytes(b"".join(bgzf.compress(content[at : at + _BLOCK]) for at in range(0, len(content), _BLOCK)) + BGZF_EOF)
    read_all(file, index_by_oracle(file, suffix))


def whole_bam() -> tuple[bytes, bytes]:
    """A BAM and its index."""
    return _made("a.bam", ".bai")


def _with_index(name: str, suffix: str, seed: Callable[[], bytes], path: Path) -> None:
    """The content of an index of a whole file."""
    file, index = path.with_name(name), path.with_name(name + suffix)
    file.write_bytes(seed())
    data = path.read_bytes()
    index.write_bytes(
        data if suffix == ".bai" else gzip.compress(data, 1) if suffix == ".crai" else bgzf.compress(data) + BGZF_EOF
    )
    read_all(file, index)


def _with_right_checksums(path: Path) -> None:
    """A CRAM whose containers and blocks have the checksums of what they hold."""
    file = path.with_name("a.cram")
    file.write_bytes(_checksummed(path.read_bytes()))
    read_all(file, index_by_oracle(file, ".crai"))


def _checksummed(data: bytes) -> bytes:
    """CRC-32s set anew in a CRAM of version 3, as far as its structure can be followed."""
    out, at = bytearray(data), 26
    try:
        while at + 15 < len(out):
            start, length = at, struct.unpack_from("<i", out, at)[0]
            at += 4
            numbers = []
            for number in range(8):
                value, at = (_itf8 if number not in (4, 5) else _ltf8)(out, at)
                numbers.append(value)
            for _ in range(numbers[7]):
                _, at = _itf8(out, at)
            struct.pack_into("<I", out, at, zlib.crc32(out[start:at]))
            at += 4
            end = at + length
            while at < end:
                first = at
                at += 2
                _, at = _itf8(out, at)
                packed, at = _itf8(out, at)
                _, at = _itf8(out, at)
                at += packed
                struct.pack_into("<I", out, at, zlib.crc32(out[first:at]))
                at += 4
    except (struct.error, IndexError, MemoryError):
        pass
    return bytes(out)


def _itf8(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    more = next((count for count in range(4) if not first << count & 0x80), 4)
    number = int.from_bytes(bytes([first & (0x7F >> more)]) + data[at + 1 : at + 1 + min(more, 3)], "big")
    return (number << 4 | data[at + 4] & 0x0F if more == 4 else number), at + 1 + more


def _ltf8(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    more = next((count for count in range(8) if not first << count & 0x80), 8)
    return first, at + 1 + more


@functools.cache
def _made(name: str, suffix: str, **options: Any) -> tuple[bytes, bytes]:
    """A whole file of a few records, and its index."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if name.endswith((".bam", ".cram")):
            _write_reads(path, [f"{key}={value}".encode() for key, value in options.items()] or None)
        else:
            write_variants(path, CONTIGS, 40, "bcf" if name.endswith(".bcf") else "vcf", **options)
        if not name.endswith(".cram"):
            reblock(path, _BLOCK)
        index = index_by_oracle(path, suffix)
        return path.read_bytes(), index.read_bytes()


def _write_reads(path: Path, options: list[bytes] | None) -> None:
    """Reads with tags of all kinds."""
    plain, mode = path.with_name("plain.bam"), "wc" if path.suffix == ".cram" else "wb"
    write_reads(plain, CONTIGS, 40, unplaced=4)
    with (
        pysam.AlignmentFile(str(plain), check_sq=False) as reads,
        pysam.AlignmentFile(str(path), mode, header=reads.header, format_options=options) as out,
    ):
        for number, read in enumerate(reads.fetch(until_eof=True)):
            read.set_tags(
                [
                    ("NM", number, "i"),
                    ("XA", "x", "A"),
                    ("XF", 1.5, "f"),
                    ("XB", array("h", [1, -2, number]), None),
                    ("XZ", f"text{number}", "Z"),
                ][: number % 6]
            )
            out.write(read)


_CRAMS = (
    {"version": "3.0", "no_ref": "1", "seqs_per_slice": "10"},
    {"version": "3.1", "no_ref": "1", "seqs_per_slice": "15", "slices_per_container": "2"},
    {"version": "2.1", "no_ref": "1", "seqs_per_slice": "20"},
    {"version": "3.0", "no_ref": "1", "seqs_per_slice": "20", "multi_seq_per_slice": "1"},
)
_KINDS = {
    "bam": ("a.bam", ".bai"),
    "bam-csi": ("a.bam", ".csi"),
    "bcf": ("a.bcf", ".csi"),
    "vcf-gz": ("a.vcf.gz", ".tbi"),
    "vcf-csi": ("a.vcf.gz", ".csi"),
}


def _content(data: bytes) -> bytes:
    return gzip.decompress(data)


def _targets() -> list[Target]:
    found = []
    for name, kind in _KINDS.items():
        found.append(
            Target(
                name,
                ".bundle",
                functools.partial(_as_they_are, *kind),
                functools.partial(lambda kind: [bundled(*_made(*kind))], kind),
                (BGZF_EOF, b"BC\x02\x00"),
            )
        )
        if not name.endswith("-csi"):
            found.append(
                Target(
                    f"{name}-records",
                    ".content",
                    functools.partial(_packed, *kind),
                    functools.partial(lambda kind: [_content(_made(*kind)[0])], kind),
                    (b"##contig=<ID=", b"IDX=", b"@SQ\tSN:x\tLN:5\n", b"@RG\tID:a\n", b"END=5;", b"*"),
                )
            )
        found.append(
            Target(
                f"{name}-index",
                ".index",
                functools.partial(_with_index, *kind, functools.partial(lambda kind: _made(*kind)[0], kind)),
                functools.partial(lambda kind: [_made(*kind)[1] if kind[1] == ".bai" else _content(_made(*kind)[1])], kind),
            )
        )
    crams = lambda: [bundled(*_made("a.cram", ".crai", **options)) for options in _CRAMS]  # noqa: E731
    found.append(Target("cram", ".bundle", functools.partial(_as_they_are, "a.cram", ".crai"), crams, (CRAM3_EOF,)))
    found.append(
        Target(
            "cram-blocks",
            ".cram",
            _with_right_checksums,
            lambda: [_made("a.cram", ".crai", **options)[0] for options in _CRAMS if options["version"] != "2.1"],
            (CRAM3_EOF,),
        )
    )
    found.append(
        Target(
            "cram-index",
            ".crai",
            functools.partial(_with_index, "a.cram", ".crai", lambda: _made("a.cram", ".crai", **_CRAMS[3])[0]),
            lambda: [_content(_made("a.cram", ".crai", **_CRAMS[3])[1])],
            (b"-1\t", b"-2\t", b"0\t0\t0\t"),
        )
    )
    return found


TARGETS = _targets()
