"""Tables of records against pysam, cyvcf2, oxbow and polars-bio.

A BAM of 400,000 reads to a polars table, 6 columns and all; a VCF with 2,500 samples, with INFO and GT; a region of it
from S3 at 30 ms against samtools. In turn, in one process each. What is not installed (pip install oxbow polars-bio cyvcf2, in
an environment of its own; MODOS_BENCH_PYTHON is its python) is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pysam

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))

from proxy import Proxy

OTHER = os.environ.get("MODOS_BENCH_PYTHON", sys.executable)
ROUNDS = 5
DELAY = 0.03  # seconds
READS, RECORDS, SAMPLES = 400_000, 2_000, 2_500
SIX = ["qname", "flag", "rname", "pos", "mapq", "cigar"]
ALL = [*SIX, "rnext", "pnext", "tlen", "seq", "qual", "end"]
MEASURE = """
import sys, time
times = []
for _ in range({rounds} + 1):
    begin = time.perf_counter()
    work()
    times.append(time.perf_counter() - begin)
print(sorted(times[1:] or times)[len(times[1:]) // 2])
"""
PROGRAMS = {
    "pysam, 6": """
import polars, pysam
def work():
    with pysam.AlignmentFile({bam!r}) as file:
        rows = [(r.query_name, r.flag, r.reference_name, r.reference_start, r.mapping_quality, r.cigarstring) for r in file]
    return polars.DataFrame(rows, orient="row")
""",
    "pysam, all": """
import polars, pysam
def work():
    with pysam.AlignmentFile({bam!r}) as file:
        rows = [(r.query_name, r.flag, r.reference_name, r.reference_start, r.mapping_quality, r.cigarstring, r.next_reference_name,
                 r.next_reference_start, r.template_length, r.query_sequence, r.qual, r.reference_end) for r in file]
    return polars.DataFrame(rows, orient="row")
""",
    "polars-bio, 6": """
import polars_bio
def work():
    return polars_bio.scan_bam({bam!r}).select(["name", "flags", "chrom", "start", "mapping_quality", "cigar"]).collect()
""",
    "polars-bio, all": """
import polars_bio
def work():
    return polars_bio.scan_bam({bam!r}).collect()
""",
    "pysam, variants": """
import polars, pysam
def work():
    rows = []
    with pysam.VariantFile({vcf!r}) as file:
        for record in file:
            rows.append((record.pos, record.info["DP"], record.info["AF"], [sample["GT"] for sample in record.samples.values()]))
    return len(rows)
""",
    "cyvcf2, variants": """
import cyvcf2
def work():
    rows = []
    for record in cyvcf2.VCF({vcf!r}):
        rows.append((record.POS, record.INFO["DP"], record.INFO["AF"], record.genotypes))
    return len(rows)
""",
    "oxbow, variants": """
import oxbow
def work():
    return oxbow.from_vcf({vcf!r}, compression="bgzf", samples="*").to_polars()
""",
    "polars-bio, variants": """
import polars_bio
def work():
    return polars_bio.scan_vcf({vcf!r}).collect()
""",
}


def write_bam(path: Path) -> None:
    """Paired reads of 150 bases with some tags."""
    chance = np.random.default_rng(1)
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 50_000_000}]})
    bases = "".join(chance.choice(list("ACGT"), 100_000))
    qualities = "".join(chance.choice(list("FFFFFF:,#"), 100_000))
    read = pysam.AlignedSegment(header)
    with pysam.AlignmentFile(str(path), "wb", header=header, threads=2) as file:
        for number, at in enumerate(np.sort(chance.integers(0, 40_000_000, READS)).tolist()):
            begin = number * 37 % 99_000
            read.query_name, read.flag = (
                f"A00{number % 97}:12:HXX:{number % 4}:{1000 + number % 1000}:{number}",
                99 if number % 2 else 147,
            )
            read.reference_id, read.reference_start, read.mapping_quality = 0, at, 60 if number % 7 else 0
            read.cigarstring = "150M" if number % 5 else "20S100M2D30M"
            read.query_sequence = bases[begin : begin + 150]
            read.query_qualities = pysam.qualitystring_to_array(qualities[begin : begin + 150])
            read.next_reference_id, read.next_reference_start, read.template_length = 0, at + 200, 350
            read.set_tags([("NM", number % 5, "i"), ("MD", "150", "Z"), ("AS", 150 - number % 30, "i"), ("RG", "lane1", "Z")])
            file.write(read)
    pysam.index(str(path))


def write_vcf(path: Path) -> None:
    """Variants with genotypes of many samples, and INFO as that of the 1000 Genomes."""
    chance = np.random.default_rng(1)
    keys = [("AC", "A", "Integer"), ("AF", "A", "Float"), ("AN", "1", "Integer"), ("DP", "1", "Integer"), ("AA", "1", "String")]
    header = '##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description="x">\n##contig=<ID=chr1,length=50000000>\n'
    header += "".join(f'##INFO=<ID={key},Number={number},Type={type},Description="x">\n' for key, number, type in keys)
    header += '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t'
    genotypes = np.array([b"0|0\t", b"0|1\t", b"1|0\t", b"1|1\t"], "S4")
    with pysam.BGZFile(str(path), "wb") as file:
        file.write((header + "\t".join(f"HG{number:05}" for number in range(SAMPLES)) + "\n").encode())
        for number in range(RECORDS):
            p = chance.random() ** 3
            drawn = genotypes[chance.choice(4, SAMPLES, p=[(1 - p) ** 2, p * (1 - p), p * (1 - p), p * p])]
            info = f"AC={number % 5000};AF={p:.6g};AN=5000;DP={number % 3000};AA=A|||"
            file.write(
                f"chr1\t{1000 + number * 30}\trs{number}\tA\tC\t100\tPASS\t{info}\tGT\t".encode()
                + b"".join(drawn.tolist())[:-1]
                + b"\n"
            )
    pysam.tabix_index(str(path), preset="vcf", force=True)


def ours(element: str, columns: list[str] | None, place: Path) -> str:
    """A program that reads an element with modos."""
    return f"""
from modos.api import MODO
def work():
    return MODO({str(place)!r})[{element!r}].to_polars(None, {columns!r})
"""


def measure(program: str, python: str = sys.executable, rounds: int = ROUNDS) -> float | None:
    """Seconds of a program, the median of some rounds; None if it cannot run."""
    done = subprocess.run([python, "-c", program + MEASURE.format(rounds=rounds)], capture_output=True, text=True)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def compare(name: str, mine: str, others: list[str], files: dict[str, str]) -> None:
    """Print our seconds and those of others, in turn."""
    pairs: dict[str, list[float]] = {}
    seconds = []
    for _ in range(3):
        seconds.append(measure(mine, rounds=3) or float("nan"))
        for other in others:
            slow = other.endswith("variants")
            if other not in pairs or (pairs[other] and not slow):
                found = measure(PROGRAMS[other].format(**files), OTHER, 0 if slow else 3)
                pairs.setdefault(other, []).extend([found] if found else [])
    print(f"{name:<24} modos {median(seconds):5.2f} s")
    for other, found in pairs.items():
        told = f"{median(found):5.2f} s   ratio {median(found) / median(seconds):5.2f}" if found else "not installed"
        print(f"    {other.partition(',')[0]:<20} {told}")


def bench_s3(place: Path) -> None:
    """A region of the VCF from S3 at 30 ms, against samtools and bcftools that fetch and then read it."""
    region = "chr1:30,000-75,000"
    with run_stack() as services, Proxy(services.s3, delay=DELAY) as proxy:
        MODO(place).upload(f"s3://{BUCKET}/bench", endpoint=services.endpoint, s3_kwargs=CREDENTIALS)
        url = f"{proxy.url}/{BUCKET}/bench/calls.vcf.gz"

        def ask() -> object:
            modo = MODO(f"s3://{BUCKET}/bench", services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
            return modo["data/calls"].to_polars(region)

        def fetch() -> object:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "part.vcf.gz")
                subprocess.run(
                    ["bcftools", "view", "-Oz", "-o", path, "-r", region.replace(",", ""), url], check=True, cwd=folder
                )
                return _read_local(path)

        _print_pair("VCF region, S3 at 30 ms", ask, "bcftools, then a table", fetch)


def _read_local(path: Path) -> object:
    from modos.genomics import GenomicFile
    from modos.genomics.sources import StorageSource
    from modos.storage import open_storage
    from modos.tables.record_tables import RecordTable

    return RecordTable(GenomicFile(StorageSource(open_storage(path.parent), path.name))).read()


def _print_pair(name: str, mine: Callable[[], object], other: str, theirs: Callable[[], object]) -> None:
    mine(), theirs()
    pairs = [(_seconds(mine), _seconds(theirs)) for _ in range(ROUNDS)]
    print(
        f"{name:<24} modos {median(pair[0] for pair in pairs):5.2f} s\n    {other:<20} {median(pair[1] for pair in pairs):5.2f} s   "
        f"ratio {median(theirs / ours for ours, theirs in pairs):5.2f}"
    )


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Compare all."""
    with tempfile.TemporaryDirectory() as folder:
        bam, vcf, place = Path(folder, "reads.bam"), Path(folder, "calls.vcf.gz"), Path(folder, "ex")
        write_bam(bam)
        write_vcf(vcf)
        modo = MODO(place)
        modo.add_element({"id": "reads", "@type": "AlignmentSet"}, bam)
        modo.add_element({"id": "calls", "@type": "VariantSet"}, vcf)
        files = {"bam": str(bam), "vcf": str(vcf)}
        compare("BAM, 6 columns", ours("data/reads", SIX, place), ["pysam, 6", "polars-bio, 6"], files)
        compare("BAM, all columns", ours("data/reads", ALL, place), ["pysam, all", "polars-bio, all"], files)
        names = ["pysam, variants", "cyvcf2, variants", "oxbow, variants", "polars-bio, variants"]
        compare("VCF, INFO and GT", ours("data/calls", None, place), names, files)
        bench_s3(place)


if __name__ == "__main__":
    main()
