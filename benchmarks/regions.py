"""Regions and whole files over the network, against curl, requests, samtools, pysam and the htsget client of PyPI.

Each case runs both sides in turn and prints the median of the ratios, with the ratio to reach.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pysam
from streaming import MODOS, peak_memory, run, serving, write_bam

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
from modos.genomics import GenomicFile
from modos.genomics.htsget.streams import htsget_source
from modos.genomics.writer import OutputFormat

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from proxy import Proxy

HTSGET = str(Path(sys.executable).with_name("htsget"))
READ_IN_TURN = (
    "import requests, sys\nfor block in requests.get(sys.argv[1]).json()['htsget']['urls']:\n"
    "    with requests.get(block['url'], headers=block.get('headers'), stream=True) as answer:\n"
    "        while piece := answer.raw.read(1 << 16):\n            sys.stdout.buffer.write(piece)\n"
)
DELAY = 0.05  # seconds


def write_short_reads(path: Path, count: int, length: int = 100_000_000) -> None:
    """A BAM of sorted reads of 150 bases with four qualities, as current sequencers give them, and its index."""
    chance = np.random.default_rng(1)
    letters, levels = np.frombuffer(b"ACGT", np.uint8), np.frombuffer(b"#,:F", np.uint8)
    starts = np.sort(chance.integers(1, length - 200, count))
    writer = subprocess.Popen(["samtools", "view", "-b", "-@1", "-o", str(path), "-"], stdin=subprocess.PIPE, text=True)
    writer.stdin.write(f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:{length}\n")
    for begin in range(0, count, 10_000):
        places = starts[begin : begin + 10_000]
        bases = letters[chance.integers(0, 4, (len(places), 150))]
        qualities = levels[chance.choice(4, (len(places), 150), p=[0.02, 0.05, 0.13, 0.8])]
        writer.stdin.write(
            "".join(
                f"A00:1:{begin + n}\t99\tchr1\t{place}\t60\t150M\t=\t{place + 200}\t350\t{bases[n].tobytes().decode()}\t"
                f"{qualities[n].tobytes().decode()}\tNM:i:0\tRG:Z:a\n"
                for n, place in enumerate(places)
            )
        )
    writer.stdin.close()
    assert writer.wait() == 0
    subprocess.run(["samtools", "index", str(path)], check=True)


def write_genotypes(path: Path, count: int, samples: int = 20, length: int = 100_000_000) -> None:
    """A VCF of sorted variants with the genotype, depth and quality of each sample, and its index."""
    chance = np.random.default_rng(2)
    genotypes = [f"{call}:{depth}:{99 - depth}" for depth in range(90) for call in ("0/0", "0/1", "1/1")]
    header = [
        "##fileformat=VCFv4.3",
        f"##contig=<ID=chr1,length={length}>",
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">',
        '##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="Quality">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *(f"s{n}" for n in range(samples))]),
    ]
    with open(path, "wb") as target:
        writer = subprocess.Popen(["bgzip", "-c"], stdin=subprocess.PIPE, stdout=target, text=True)
        writer.stdin.write("\n".join(header) + "\n")
        for number, place in enumerate(np.sort(chance.integers(1, length, count))):
            calls = "\t".join(genotypes[at] for at in chance.integers(0, len(genotypes), samples))
            writer.stdin.write(f"chr1\t{place}\tv{number}\tA\tC\t50\tPASS\tDP=500\tGT:DP:GQ\t{calls}\n")
        writer.stdin.close()
        assert writer.wait() == 0
    subprocess.run(["tabix", "-p", "vcf", str(path)], check=True)


def add(place: Path, name: str, source: Path, kind: str = "AlignmentSet") -> MODO:
    """An object at a place with one file."""
    modo = MODO(place)
    modo.add_element({"id": name, "@type": kind}, source)
    return modo


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def report(case: str, other: str, ours: Callable[[], object], theirs: Callable[[], object], goal: float, rounds: int = 5) -> None:
    """Print how many times as fast the first is as the second."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    ratio = median(b / a for a, b in pairs)
    mine, its = (median(pair[side] for pair in pairs) for side in (0, 1))
    print(f"{case:<44} modos {mine:7.3f} s   {other:<12} {its:7.3f} s   ratio {ratio:5.2f}  (goal {goal})", flush=True)


def command(*parts: object) -> Callable[[], object]:
    """Run a command whose output goes into a pipe and is read."""
    return lambda: run([str(part) for part in parts])


def same_bytes(*commands: list[str]) -> None:
    digests = {run([str(part) for part in one], inspect=True).digest for one in commands}
    assert len(digests) == 1, "the bytes differ"


def bench_raw(folder: Path) -> None:
    """A large file over loopback."""
    write_bam(folder / "large.bam", 500)
    add(folder / "raw/ex", "large", folder / "large.bam")
    (folder / "large.bam").unlink()
    with serving(folder / "raw") as url:
        ticket, data = f"{url}/htsget/reads/ex/large", f"{url}/files/ex/large.bam"
        ours, curl, pypi = [MODOS, "stream", "--raw", ticket], ["curl", "-s", data], [HTSGET, ticket]
        same_bytes(ours, curl, pypi)
        report("500 MB raw to a pipe", "curl", command(*ours), command(*curl), 0.8)
        report("500 MB raw to a pipe", "htsget PyPI", command(*ours), command(*pypi), 0.9)


@contextmanager
def far_away(path: Path, rate: float, block: int) -> Iterator[str]:
    """A server with a delay of 50 ms; gives the address of its ticket."""
    script = str(Path(__file__).with_name("slow_server.py"))
    arguments = [sys.executable, script, str(path), str(DELAY), str(rate), str(block)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"{server.stdout.readline().strip()}/reads/x"
        finally:
            server.terminate()


def bench_far(folder: Path) -> None:
    """One block, and many, from a server that is far away."""
    path = folder / "raw/ex/large.bam"
    with far_away(path, 40e6, 0) as ticket:
        data = ticket.replace("/reads/x", "/data.bam")
        ours = [MODOS, "stream", "--raw", ticket]
        for name, theirs in (
            ("curl", ["curl", "-s", data]),
            ("requests", [sys.executable, "-c", READ_IN_TURN, ticket]),
            ("htsget PyPI", [HTSGET, ticket]),
            ("samtools", ["samtools", "view", "-u", ticket]),
        ):
            report("500 MB, 50 ms away, 40 MB/s a connection", name, command(*ours), command(*theirs), 4, rounds=1)
    small = folder / "small.bam"
    with open(path, "rb") as source, open(small, "wb") as target:
        target.write(source.read(64 << 18))
    with far_away(small, 0, 1 << 18) as ticket:
        client = htsget_source(ticket)
        report(
            "64 blocks, 50 ms each",
            "in turn",
            lambda: b"".join(next(client.open(None)).pieces),
            command(sys.executable, "-c", READ_IN_TURN, ticket),
            6,
            rounds=3,
        )


def bench_exact(folder: Path) -> None:
    """Exactly the records of a region, into a pipe and into Python."""
    write_short_reads(folder / "short.bam", 3_000_000)
    add(folder / "exact/ex", "short", folder / "short.bam")
    local, region = folder / "exact/ex/short.bam", "chr1:5000000-95000000"
    ours, theirs = [MODOS, "stream", "-r", region, local], ["samtools", "view", "-u", local, region]
    count = ["samtools", "view", "-c", "-"]
    counts = {
        subprocess.run(f"{' '.join(map(str, one))} | {' '.join(count)}", shell=True, capture_output=True).stdout
        for one in (ours, theirs)
    }
    assert len(counts) == 1, counts
    report("a region of a BAM into a pipe", "samtools", command(*ours), command(*theirs), 0.8)
    with serving(folder / "exact") as url:
        served = GenomicFile(htsget_source(f"{url}/htsget/reads/ex/short"))

        def iterate() -> int:
            with pysam.AlignmentFile(str(local)) as file:
                return sum(1 for _ in file.fetch("chr1", 4_999_999, 95_000_000))

        report("records into Python, served", "pysam, local", lambda: sum(1 for _ in served.fetch(region)), iterate, 0.9)


def bench_variants(folder: Path) -> None:
    """Exactly the variants of a region, as text and for a pipe; cut by lines, and decoded and written again by pysam."""
    write_genotypes(folder / "calls.vcf.gz", 500_000)
    modo = add(folder / "exact/ex", "calls", folder / "calls.vcf.gz", "VariantSet")
    local, region = folder / "exact/ex/calls.vcf.gz", "chr1:5000000-95000000"
    text, bcftools = [MODOS, "stream", "-O", "vcf", "-r", region, local], ["bcftools", "view", "-r", region, local]
    lines = {
        subprocess.run(f"{' '.join(map(str, one))} | grep -v '^#' | md5sum", shell=True, capture_output=True).stdout
        for one in (text, bcftools)
    }
    assert len(lines) == 1, "the records differ"
    report("a region of a VCF as text", "bcftools", command(*text), command(*bcftools), 1)
    with open(os.devnull, "wb") as nowhere:

        def decode() -> None:
            with pysam.VariantFile(str(local)) as file, pysam.VariantFile(nowhere.fileno(), "w", header=file.header) as out:
                for record in file.fetch(region=region):
                    out.write(record)

        ours = modo.file("calls.vcf.gz")
        report(
            "the same within a process",
            "decoded",
            lambda: ours.write(nowhere.fileno(), region, OutputFormat("VCF", False)),
            decode,
            3,
        )
    piped = [MODOS, "stream", "-r", region, local]
    report("a region of a VCF into a pipe", "bcftools -Oz", command(*piped), command(*bcftools, "-Oz"), 3)


def bench_s3(folder: Path) -> None:
    """Requests and bytes of a small region, straight from S3."""
    with run_stack() as services, Proxy(services.s3) as proxy:
        MODO.open(folder / "exact/ex").upload(f"s3://{BUCKET}/ex", endpoint=services.endpoint, s3_kwargs=CREDENTIALS)
        begin = len(proxy.requests)
        modo = MODO.open(f"s3://{BUCKET}/ex", services={"s3": proxy.url})
        proxy.delay, proxy.rate, region, fetched = DELAY, 20e6, "chr1:50000000-50001000", []
        for name, goal in (("index not cached", 5), ("index cached", 2)):
            proxy.answered = 0
            taken = seconds(lambda: next(modo.stream_genomics("short.bam", region)))
            print(
                f"{f'1 kb from S3, {name}':<44} modos {taken:7.3f} s   {len(proxy.requests) - begin} requests, "
                f"{taken / DELAY:.1f} x the delay  (goal: <= {goal} round trips)",
                flush=True,
            )
            begin = len(proxy.requests)
            fetched.append(proxy.answered)
        proxy.delay, proxy.answered = 0, 0
        url = f"{proxy.url}/{BUCKET}/ex/short.bam"
        with tempfile.TemporaryDirectory() as empty:
            subprocess.run(["samtools", "view", "-c", url, region], check=True, capture_output=True, cwd=empty)
        print(
            f"{'bytes for 1 kb, with header and index':<44} modos {fetched[0]:,}   samtools {proxy.answered:,} over HTTP "
            f"(cached: {fetched[1]:,})"
        )


def bench_memory(folder: Path) -> None:
    """The client's memory does not grow with the file."""
    for megabytes in (200, 2000):
        place = folder / f"memory{megabytes}"
        place.mkdir()
        shutil.copyfile(folder / "raw/ex/large.bam", place / "x.bam")
        with open(place / "x.bam", "r+b") as file:
            file.truncate(megabytes * 1_000_000)
        with far_away(place / "x.bam", 200e6, 0) as ticket:
            process = subprocess.Popen([MODOS, "stream", "--raw", ticket], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            memory = 0
            while process.stdout.read(1 << 20):
                memory = max(memory, peak_memory(process.pid))
            process.wait()
        print(f"{f'memory, {megabytes} MB split over connections':<44} modos {memory:7} MB  (goal <= 150)", flush=True)
        shutil.rmtree(place)


def bench_tickets(folder: Path) -> None:
    """Tickets for random regions, from a server that has one processor."""
    with serving(folder / "exact", processor=0) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        times, chance = [], random.Random(1)
        for _ in range(2_000):
            start = chance.randrange(99_000_000)
            begin = time.perf_counter()
            connection.request("GET", f"/htsget/reads/ex/short?format=BAM&referenceName=chr1&start={start}&end={start + 1000}")
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - begin)
            assert answer.status == 200
        times.sort()
        print(
            f"{'tickets for random regions, one processor':<44} {len(times) / sum(times):7.0f} /s   p99 "
            f"{times[int(len(times) * 0.99)] * 1e3:.1f} ms  (goal >= 500 /s, < 50 ms)"
        )


def main() -> None:
    """Run all."""
    for program in ("curl", "samtools", "bcftools", "bgzip", "tabix", HTSGET):
        if not shutil.which(program):
            sys.exit(f"these benchmarks compare with {os.path.basename(program)}: install it")
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        folder = Path(name)
        for bench in (bench_raw, bench_far, bench_memory, bench_exact, bench_variants, bench_tickets, bench_s3):
            bench(folder)
