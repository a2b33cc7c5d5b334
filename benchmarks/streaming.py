"""Raw streaming against curl.

`modos stream --raw` of a BAM from the modos server over a folder against curl of the same bytes,
in turn, five times; the client's peak memory, and that for a file twice as large.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pysam

from modos.api import MODO

MODOS = str(Path(sys.executable).with_name("modos"))
ROUNDS = 5


def write_bam(path: Path, megabytes: int) -> None:
    """A BAM of about that size: long reads whose bases and qualities do not compress well."""
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 200_000_000}]})
    chance = np.random.default_rng(1)
    letters = np.frombuffer(b"ACGT", np.uint8)
    read = pysam.AlignedSegment(header)
    read.flag, read.reference_id, read.mapping_quality, read.cigarstring = 0, 0, 60, "10000M"
    number = 0
    with pysam.AlignmentFile(path, "wb", header=header, threads=2) as file:
        while path.stat().st_size < megabytes * 1_000_000:
            read.query_name, read.reference_start = f"read{number}", number * 1000
            read.query_sequence = letters[chance.integers(0, 4, 10_000)].tobytes().decode()
            read.query_qualities = array("B", chance.integers(2, 41, 10_000, dtype=np.uint8).tobytes())
            file.write(read)
            number += 1


class Run(NamedTuple):
    """Seconds, peak memory in MB and MD5 of the output of a command."""

    seconds: float
    memory: int
    digest: str


def run(command: list[str], *, inspect: bool = False) -> Run:
    """Run a command that writes into a pipe; memory and digest only where asked, as they take time."""
    digest, memory = hashlib.md5(usedforsecurity=False), 0
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    while piece := process.stdout.read(1 << 20):
        if inspect:
            digest.update(piece)
            memory = max(memory, peak_memory(process.pid))
    assert process.wait() == 0, command
    return Run(time.perf_counter() - begin, memory, digest.hexdigest())


def peak_memory(pid: int) -> int:
    """The most memory in MB that a process has held; 0 when it has ended."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) // 1024 if match else 0


def compare(name: str, ours: list[str], theirs: list[str], size: int) -> None:
    """Print the rates of two commands that give the same bytes, and their ratio."""
    inspected = run(ours, inspect=True)
    assert inspected.digest == run(theirs, inspect=True).digest, "the bytes differ"
    pairs = [(run(ours).seconds, run(theirs).seconds) for _ in range(ROUNDS)]
    rate, other = (size / 1e6 / median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = median(theirs / ours for ours, theirs in pairs)
    print(
        f"{name:<24} modos {rate:5.0f} MB/s   curl {other:5.0f} MB/s   ratio {ratio:4.2f}   "
        f"modos' peak memory {inspected.memory} MB"
    )


@contextmanager
def serving(folder: Path, processor: int | None = None, *, words: Sequence[str] = ()) -> Iterator[str]:
    """A modos server over a folder, in a process of its own, with more words if wanted; gives its address."""
    with subprocess.Popen([MODOS, "serve", str(folder), "--port", "0", *words], stderr=subprocess.PIPE, text=True) as server:
        if processor is not None:
            os.sched_setaffinity(server.pid, {processor})
        try:
            yield re.search(r"http://\S+", server.stderr.readline())[0]
        finally:
            server.terminate()


def bench_raw(folder: Path) -> None:
    """Raw streaming over htsget, against curl of the file."""
    for megabytes in (200, 400):
        place = folder / f"objects{megabytes}"
        write_bam(folder / "large.bam", megabytes)
        modo = MODO(place / "ex")
        modo.add_element({"id": "large", "@type": "AlignmentSet"}, folder / "large.bam")
        size = (place / "ex/large.bam").stat().st_size
        with serving(place) as url:
            compare(
                f"raw, folder, {size / 1e6:.0f} MB",
                [MODOS, "stream", "--raw", f"{url}/htsget/reads/ex/large"],
                ["curl", "-s", f"{url}/files/ex/large.bam"],
                size,
            )
        shutil.rmtree(place)


def main() -> None:
    """Run all."""
    if not shutil.which("curl"):
        sys.exit("these benchmarks compare with curl: install it")
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as folder:
        bench_raw(Path(folder))
