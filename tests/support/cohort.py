"""A cohort of small objects, each with the reads and variants of one sample and a track, and what is in them as plain text."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pysam

from modos.api import MODO

CONTIGS = {"chr1": 20_000, "chr2": 8_000}
VARIANTS = [("chr1", 100 * number + 50, "ACGT"[number % 4]) for number in range(60)]
HEADER = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": name, "LN": length} for name, length in CONTIGS.items()]}


def make_cohort(folder: Path, number: int, seed: int = 1, prefix: str = "") -> Path:
    """Make objects `s000`, `s001`, ... in `folder/cohort`, of files in `folder/files`; returns the first."""
    files, place = folder / "files", folder / "cohort"
    files.mkdir(parents=True)
    place.mkdir()
    for one in range(number):
        make_object(files, place / f"s{one:03}", one, random.Random(seed * 1000 + one), prefix)
    return place


def make_object(files: Path, path: Path, number: int, rng: random.Random, prefix: str = "") -> MODO:
    sample = f"S{number}"
    bam, vcf, graph = files / f"{sample}.bam", files / f"{sample}.vcf.gz", files / f"{sample}.bedGraph"
    write_reads(bam, sample, rng)
    write_calls(vcf, sample, rng)
    graph.write_text("".join(f"chr1\t{at}\t{at + 50}\t{rng.randrange(100) / 4}\n" for at in range(0, 15_000, 100)))
    sizes = files / "sizes.tsv"
    sizes.write_text("".join(f"{name}\t{length}\n" for name, length in CONTIGS.items()))
    modo = MODO.create(path, id=path.name)
    with modo.transaction() as tx:
        tx.add_element({"id": "sample/one", "@type": "Sample", "name": sample, "sex": ("Female", "Male")[number % 2]})
        for name, kind, file in (("reads", "AlignmentSet", bam), ("calls", "VariantSet", vcf)):
            tx.add_element({"id": f"data/{name}", "@type": kind, "has_sample": ["sample/one"]}, file)
    modo.add_genome(sizes=sizes, id="genome")
    modo.add_track("signal", graph)
    modo.update_element("data/signal", {"has_sample": ["sample/one"]})
    return modo


def write_reads(path: Path, sample: str, rng: random.Random, depth: int = 12) -> None:
    """Write reads of 100 bases, some with deletions, skipped bases, or flags that do not count."""
    header = pysam.AlignmentHeader.from_dict(HEADER | {"RG": [{"ID": "a", "SM": sample}]})
    with pysam.AlignmentFile(path, "wb", header=header) as out:
        for number, (name, length) in enumerate(CONTIGS.items()):
            starts = sorted(rng.randrange(length - 700) for _ in range(length * depth // 100))
            for at, start in enumerate(starts):
                if 5_000 < start < 5_400:
                    continue
                read = pysam.AlignedSegment(header)
                read.query_name, read.reference_id, read.reference_start = f"{name}.{at}", number, start
                read.flag = rng.choice([0, 0, 0, 0, 16, 0x400, 0x100])
                read.mapping_quality = 60
                read.cigarstring = rng.choice(["100M", "100M", "40M5D60M", "50M500N50M", "10S90M"])
                read.query_sequence, read.query_qualities = "ACGTA" * 20, [30] * 100
                read.set_tag("RG", "a")
                out.write(read)
    pysam.index(str(path))


def write_calls(path: Path, sample: str, rng: random.Random) -> None:
    """Write variants: some of those of the cohort, with one or two ALT alleles and calls that miss alleles."""
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name},length={length}>" for name, length in CONTIGS.items())]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="g">', "#" + "\t".join(
        ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", sample)
    )]  # fmt: skip
    for contig, start, ref in VARIANTS:
        if rng.random() < 0.4:
            continue
        others = [base for base in "ACGT" if base != ref]
        alts = rng.sample(others, rng.choice([1, 1, 1, 2]))
        alleles = ["0", "1", "."] + (["2"] if len(alts) == 2 else [])
        call = rng.choice("/|").join(rng.choice(alleles) for _ in range(rng.choice([2, 2, 2, 1])))
        lines.append("\t".join((contig, str(start + 1), ".", ref, ",".join(alts), "50", "PASS", ".", "GT", call)))
    text = path.with_suffix("")
    text.write_text("\n".join(lines) + "\n")
    pysam.tabix_compress(str(text), str(path), force=True)
    pysam.tabix_index(str(path), preset="vcf", force=True)


def brute_depth(path: Path, contig: str, start: int, end: int) -> np.ndarray:
    """The depth of each base, read by read and base by base."""
    depth = np.zeros(CONTIGS[contig], np.int64)
    with pysam.AlignmentFile(path) as reads:
        for read in reads:
            if read.flag & 0x704 or read.reference_name != contig:
                continue
            for position in read.get_reference_positions():
                depth[position] += 1
    return depth[start:end]
