"""Exact slices from the server, against the same regions with neighbours, as any htsget server gives them.

Rates are of the bytes that leave the server; the reader throws them away. Each case
runs all ways in turn and prints the medians of the ratios, with what is to be reached.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import requests
from regions import write_genotypes, write_short_reads
from streaming import serving

from modos.api import MODO

ROUNDS = 5
RULES = """
[[rule]]
who = ["anyone"]
read = ["open"]

[[rule]]
who = ["anyone"]
read = ["masked"]
regions = ["chr1:10,000,001-90,000,000"]

[[rule]]
who = ["anyone"]
read = ["cut"]
regions = ["chr1:10,000,001-90,000,000"]
samples = ["s1", "s2", "s3"]
"""
FILES = (("reads", "short", "BAM"), ("variants", "calls", "VCF"), ("variants", "cohort", "BCF"))


def read_all(server: str, kind: str, file_id: str, **params: str) -> tuple[float, float, int]:
    """Seconds to the first byte of records and to the last, and bytes, of a ticket and what it leads to."""
    place = {"referenceName": "chr1", "start": "10000000", "end": "90000000"}
    begin, first, size = time.perf_counter(), 0.0, 0
    answer = requests.get(f"{server}/htsget/{kind}/{file_id}", params=place | params, timeout=60)
    answer.raise_for_status()
    for block in answer.json()["htsget"]["urls"]:
        if block["url"].startswith("data:"):
            continue
        with requests.get(block["url"], headers=block.get("headers"), stream=True, timeout=600) as data:
            data.raise_for_status()
            for piece in data.raw.stream(1 << 16, decode_content=False):
                first = first or time.perf_counter() - begin
                size += len(piece)
    return first, time.perf_counter() - begin, size


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        root = Path(folder) / "root"
        make_objects(Path(folder), root)
        (Path(folder) / "access.toml").write_text(RULES)
        with serving(root, words=["--access", str(Path(folder) / "access.toml")]) as server:
            for kind, name, format_name in FILES:
                ways = {
                    "exact": (f"open/{name}", {"exact": "true"}),
                    "exact and masked": (f"masked/{name}", {}),
                } | ({"3 of 300 samples": (f"cut/{name}", {})} if kind == "variants" else {})
                compare(server, kind, f"open/{name}", format_name, ways)


def make_objects(folder: Path, root: Path) -> None:
    """Make the same object in three places."""
    write_short_reads(folder / "short.bam", 2_500_000)
    write_genotypes(folder / "calls.vcf.gz", 60_000, 300)
    subprocess.run(["bcftools", "view", "-Ob", "-o", folder / "cohort.bcf", folder / "calls.vcf.gz"], check=True)
    subprocess.run(["bcftools", "index", folder / "cohort.bcf"], check=True)
    modo = MODO.create(root / "open")
    for file, class_name in (("short.bam", "AlignmentSet"), ("calls.vcf.gz", "VariantSet"), ("cohort.bcf", "VariantSet")):
        modo.add_element({"id": file.partition(".")[0], "@type": class_name}, folder / file)
    for place in ("masked", "cut"):
        shutil.copytree(root / "open", root / place)


def compare(server: str, kind: str, raw: str, format_name: str, ways: dict[str, tuple[str, dict[str, str]]]) -> None:
    """Print how the ways of one file compare with the raw one."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    firsts: dict[str, list[float]] = {way: [] for way in ways}
    raw_rates = []
    for _ in range(ROUNDS):
        first, seconds, size = read_all(server, kind, raw, format=format_name)
        raw_rates.append(size / seconds / 1e6)
        for way, (file_id, params) in ways.items():
            its_first, its_seconds, _ = read_all(server, kind, file_id, format=format_name, **params)
            rates[way].append(seconds / its_seconds)
            firsts[way].append(its_first / first)
    print(f"{format_name}: a region with neighbours {median(raw_rates):.0f} MB/s")
    for way in ways:
        print(
            f"{format_name} {way}: {median(rates[way]):.2f} of its rate (>= 0.5), "
            f"first byte after {median(firsts[way]):.2f} of its time (<= 1.5)"
        )


if __name__ == "__main__":
    main()
