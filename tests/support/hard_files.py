"""Genomic files that are hard to cut, each with its index: records across blocks, many contigs, long ones, empty ones."""

from __future__ import annotations

import gzip
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pysam

from modos.formats import BGZF_EOF, FORMATS, FileFormat
from modos.genomics.index import bgzf, parse_index, plan_regions, read_header
from modos.genomics.region import Region
from modos.storage import ByteRange

CONTIGS = {"chr1": 1_000_000, "chr2": 200_000, "HLA-A*01:01": 3_000, "empty": 5_000, "chr10": 400_000}
OTHER_ORDER = ["chr10", "HLA-A*01:01", "empty", "chr1", "chr2"]  # of the records, under a header with the contigs as above
HUGE = {"small": 10_000, "huge": 1_900_000_000, "last": 50_000}
MANY = {f"contig{number}": 2_000 for number in range(300)}


@dataclass
class File:
    """A data file with its index."""

    path: Path
    index_path: Path

    def __post_init__(self):
        self.data = self.path.read_bytes()
        self.reads: list[tuple[int, int]] = []
        name = self.path.name
        self.format: FileFormat = next(f for f in FORMATS.values() if f.streamable and name.endswith(f.suffixes))
        self.index = parse_index(self.index_path.read_bytes())
        self.header = read_header(self.format, self.read, self.size)

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= self.size
        self.reads.append((start, end))
        return self.data[start:end]

    def resolve(self, segments) -> bytes:
        return b"".join(self.data[s.start : s.end] if isinstance(s, ByteRange) else s for s in segments)

    def plan(self, *regions: Region):
        return list(plan_regions(self.format, self.read, self.size, self.header, self.index, regions))

    def assemble(self, path: Path, *regions: Region) -> Path:
        body = self.resolve(self.plan(*regions))
        path.write_bytes(self.resolve(self.header.segments) + body + self.header.eof)
        return path

    def records(self, region: Region) -> list[str]:
        """What pysam finds with the index, or for `*` by reading the whole file."""
        if region.contig == "*":
            return self.filtered(self.path, region)
        with self.open(self.path, index_filename=str(self.index_path)) as file:
            return [text_of(r) for r in file.fetch(region.contig, region.start, region.end)]

    def open(self, path: Path, **arguments):
        if self.format.kind == "reads":
            return pysam.AlignmentFile(str(path), check_sq=False, **arguments)
        return pysam.VariantFile(str(path), **arguments)

    def filtered(self, path: Path, *regions: Region) -> list[str]:
        """The records of a file that overlap one of the regions, read from its start to its end."""
        with self.open(path) as file:
            records = file.fetch(until_eof=True) if self.format.kind == "reads" else file
            return [text_of(r) for r in records if any(overlaps(r, region) for region in regions)]

    def filtered_in_turn(self, path: Path, *regions: Region) -> list[str]:
        """The same, contig by contig in the order of the regions, as when they are asked for one at a time."""
        contigs = dict.fromkeys(region.contig for region in regions)
        return [text for contig in contigs for text in self.filtered(path, *(r for r in regions if r.contig == contig))]

    def all(self, path: Path) -> list[str]:
        """All records of a file."""
        with self.open(path) as file:
            return [text_of(r) for r in (file.fetch(until_eof=True) if self.format.kind == "reads" else file)]


def contigs_of(file):
    return list(file.header.contigs) if isinstance(file, pysam.VariantFile) else file.references


def text_of(record) -> str:
    return record.to_string() if isinstance(record, pysam.AlignedSegment) else str(record)


def overlaps(record, region: Region) -> bool:
    if isinstance(record, pysam.VariantRecord):
        return record.contig == region.contig and region.overlaps(record.start, record.stop)
    if region.contig == "*":
        return record.reference_id < 0
    start = record.reference_start
    return record.reference_name == region.contig and region.overlaps(start, max(record.reference_end or 0, start + 1))


def write_reads(
    path: Path,
    contigs: dict[str, int],
    count: int,
    unplaced: int = 50,
    mode: str = "wb",
    options: list[bytes] | None = None,
    sparse: tuple[str, ...] = ("empty",),
    order: list[str] | None = None,
) -> Path:
    rng = random.Random(1)
    header = pysam.AlignmentHeader.from_references(list(contigs), list(contigs.values()))
    rank = {list(contigs).index(name): number for number, name in enumerate(order or contigs)}
    places = sorted(
        (
            (tid, rng.randrange(size - 500))
            for _ in range(count)
            for tid, (name, size) in [rng.choice(list(enumerate(contigs.items())))]
            if name not in sparse
        ),
        key=lambda place: (rank[place[0]], place[1]),
    )
    with pysam.AlignmentFile(str(path), mode, header=header, format_options=options) as out:
        for number, (tid, start) in enumerate(places + [(-1, -1)] * unplaced):
            out.write(make_read(header, rng, number, tid, start))
    return path


def make_read(header, rng: random.Random, number: int, tid: int, start: int) -> pysam.AlignedSegment:
    read = pysam.AlignedSegment(header)
    read.query_name = f"read{number}"
    length = rng.randrange(30, 200)
    read.query_sequence = "".join(rng.choices("ACGT", k=length))
    read.query_qualities = pysam.qualitystring_to_array("".join(rng.choices("!5?I", k=length)))
    read.reference_id, read.reference_start = tid, start
    read.flag = 4 if tid < 0 or rng.random() < 0.05 else 0
    if not read.is_unmapped:
        room = header.lengths[tid] - start - length
        skip = rng.randrange(1, max(min(room, 90_000), 2)) if rng.random() < 0.03 and room > 1 else 0
        read.cigartuples = [(0, length - 10), (3, skip), (0, 10)] if skip else [(0, length)]
        read.mapping_quality = 60
    return read


def write_variants(
    path: Path, contigs: dict[str, int], count: int, mode: str, declare: bool = True, order: list[str] | None = None
) -> Path:
    rng = random.Random(2)
    lines = [
        "##fileformat=VCFv4.3",
        '##INFO=<ID=END,Number=1,Type=Integer,Description="End">',
        '##INFO=<ID=T,Number=1,Type=String,Description="ID=x,length=y">',
    ]
    lines += [f"##contig=<ID={name},length={size}>" for name, size in contigs.items()] if declare else []
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for name, size in [(name, contigs[name]) for name in order or contigs]:
        for start in sorted(rng.randrange(size - 500) for _ in range(0 if name == "empty" else count // len(contigs))):
            end = f"END={min(start + rng.randrange(2, 90_000), size)};" if rng.random() < 0.03 else ""
            ref = "A" * (rng.randrange(2, 300) if not end and rng.random() < 0.1 else 1)
            info = end + "T=" + "".join(rng.choices("abcdefghij", k=rng.randrange(1, 120)))
            lines.append(f"{name}\t{start + 1}\tv{len(lines)}\t{ref}\t{'<DEL>' if end else 'C'}\t.\t.\t{info}")
    text = ("\n".join(lines) + "\n").encode()
    if mode == "vcf":
        path.write_bytes(bgzf.compress(text) + BGZF_EOF)
    else:
        run("bcftools", "view", "-Ob", "-o", path, input=text)
    return path


def run(*command, input: bytes | None = None) -> bytes:
    return subprocess.run([str(part) for part in command], input=input, check=True, capture_output=True).stdout


def reblock(path: Path, block: int) -> Path:
    """The same content in BGZF blocks of `block` bytes, so that records and header cross blocks."""
    content = gzip.decompress(path.read_bytes())
    pieces = (bgzf.compress(content[at : at + block]) for at in range(0, len(content), block))
    path.write_bytes(b"".join(pieces) + BGZF_EOF)
    return path


def index_reads(path: Path, *options: str) -> File:
    suffix = ".crai" if path.suffix == ".cram" else ".csi" if options else ".bai"
    index = path.with_name(path.name + suffix)
    run("samtools", "index", *options, path, index)
    return File(path, index)


def index_variants(path: Path, option: str, suffix: str) -> File:
    index = path.with_name(path.name + suffix)
    run("bcftools", "index", *option.split(), "-o", index, path)
    return File(path, index)


def cram(version: str, per_slice: int, contigs: dict[str, int] = CONTIGS, **options):
    def build(path: Path) -> File:
        settings = {"version": version, "no_ref": "1", "seqs_per_slice": str(per_slice), **options}
        return index_reads(
            write_reads(
                path / "a.cram",
                contigs,
                3000,
                mode="wc",
                sparse=("empty", "contig7"),
                options=[f"{key}={value}".encode() for key, value in settings.items()],
            )
        )

    return build


CASES = {
    "bam": lambda p: index_reads(write_reads(p / "a.bam", CONTIGS, 5000)),
    "bam-csi": lambda p: index_reads(write_reads(p / "a.bam", CONTIGS, 5000), "-c", "-m", "12"),
    "bam-reblocked": lambda p: index_reads(reblock(write_reads(p / "a.bam", CONTIGS, 4000), 1000)),
    "bam-tiny-blocks": lambda p: index_reads(reblock(write_reads(p / "a.bam", CONTIGS, 1000), 61)),
    "bam-reblocked-csi": lambda p: index_reads(reblock(write_reads(p / "a.bam", CONTIGS, 4000), 1000), "-c"),
    "bam-full-blocks": lambda p: index_reads(reblock(write_reads(p / "a.bam", CONTIGS, 3000), 0xFF00)),
    "bam-other-order": lambda p: index_reads(write_reads(p / "a.bam", CONTIGS, 4000, order=OTHER_ORDER)),
    "bam-other-order-tiny-blocks": lambda p: index_reads(
        reblock(write_reads(p / "a.bam", CONTIGS, 600, order=OTHER_ORDER), 97), "-c"
    ),
    "bam-no-unplaced": lambda p: index_reads(write_reads(p / "a.bam", CONTIGS, 1000, unplaced=0)),
    "bam-only-unplaced": lambda p: index_reads(write_reads(p / "a.bam", CONTIGS, 0)),
    "bam-no-records": lambda p: index_reads(write_reads(p / "a.bam", CONTIGS, 0, unplaced=0)),
    "bam-many-contigs": lambda p: index_reads(reblock(write_reads(p / "a.bam", MANY, 3000), 500)),
    "bam-huge-contig": lambda p: index_reads(write_reads(p / "a.bam", HUGE, 3000), "-c"),
    "cram-3.0": cram("3.0", 100),
    "cram-3.1": cram("3.1", 100),
    "cram-2.1": cram("2.1", 100),
    "cram-slices": cram("3.0", 50, slices_per_container="4"),
    "cram-other-order": lambda p: index_reads(
        write_reads(p / "a.cram", CONTIGS, 2000, mode="wc", options=[b"no_ref=1", b"seqs_per_slice=100"], order=OTHER_ORDER)
    ),
    "cram-no-contigs": lambda p: index_reads(write_reads(p / "a.cram", {}, 0, mode="wc")),
    "cram-multi-reference": cram("3.0", 200, MANY, multi_seq_per_slice="1"),
    "cram-multi-reference-2.1": cram("2.1", 200, MANY, multi_seq_per_slice="1"),
    "cram-multi-slices": cram("3.1", 60, MANY, multi_seq_per_slice="1", slices_per_container="3"),
    "vcf-tbi": lambda p: index_variants(write_variants(p / "a.vcf.gz", CONTIGS, 5000, "vcf"), "-t", ".tbi"),
    "vcf-csi": lambda p: index_variants(write_variants(p / "a.vcf.gz", CONTIGS, 5000, "vcf"), "-c -m 12", ".csi"),
    "vcf-reblocked": lambda p: index_variants(reblock(write_variants(p / "a.vcf.gz", CONTIGS, 3000, "vcf"), 200), "-t", ".tbi"),
    "vcf-reblocked-csi": lambda p: index_variants(
        reblock(write_variants(p / "a.vcf.gz", CONTIGS, 3000, "vcf"), 200), "-c", ".csi"
    ),
    "vcf-other-order": lambda p: index_variants(
        reblock(write_variants(p / "a.vcf.gz", CONTIGS, 2000, "vcf", order=OTHER_ORDER), 500), "-t", ".tbi"
    ),
    "vcf-no-contig-lines": lambda p: index_variants(
        write_variants(p / "a.vcf.gz", CONTIGS, 1000, "vcf", declare=False), "-t", ".tbi"
    ),
    "vcf-huge-contig": lambda p: index_variants(write_variants(p / "a.vcf.gz", HUGE, 3000, "vcf"), "-c", ".csi"),
    "bcf": lambda p: index_variants(write_variants(p / "a.bcf", CONTIGS, 5000, "bcf"), "-c", ".csi"),
    "bcf-reblocked": lambda p: index_variants(reblock(write_variants(p / "a.bcf", CONTIGS, 3000, "bcf"), 300), "-c", ".csi"),
    "bcf-other-order": lambda p: index_variants(
        reblock(write_variants(p / "a.bcf", CONTIGS, 2000, "bcf", order=OTHER_ORDER), 900), "-c", ".csi"
    ),
    "bcf-huge-contig": lambda p: index_variants(write_variants(p / "a.bcf", HUGE, 3000, "bcf"), "-c", ".csi"),
}
WITHOUT_CONTIGS = {
    "cram-no-contigs",
    "vcf-no-contig-lines",
}  # in their headers: pysam adds some, or refuses to go through the file


def some_regions(file: File, count: int = 25, seed: int = 3) -> list[Region]:
    rng = random.Random(seed)
    known = list(file.header.contigs) or list(getattr(file.index, "names", ()))
    names = rng.sample(known, min(len(known), 8))
    regions = [Region(name) for name in names]
    for _ in range(count if names else 0):
        name = rng.choice(names)
        size = file.header.contigs.get(name) or 100_000
        start = rng.randrange(size)
        width = rng.choice([1, 10, 1_000, 50_000, size])
        regions.append(Region(name, start, rng.choice([None, min(start + width, size + 5)])))
    if file.format.kind == "reads":
        regions.append(Region("*"))
    return regions
