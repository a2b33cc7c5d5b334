"""Regions of an encrypted BAM of 1 GB from a server that cannot open it, against the same server and the plain file.

Both are asked in turn, and the median of the ratios is printed, with the ratio to reach.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from regions import write_short_reads
from streaming import MODOS, serving

from modos.api import MODO
from modos.encryption.keys import load_secret_key
from modos.formats.crypt4gh import SEALED, SEGMENT
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.query import Query
from modos.genomics.planning import Planner
from modos.genomics.region import Region
from modos.object.finding import open_served_file
from modos.storage import open_storage

READS, LENGTH = 11_500_000, 100_000_000
WIDTHS = (1_000, 100_000, 1_000_000)
ROUNDS = 9


def measure_ticket(client: HtsgetClient, region: Region) -> int:
    """Return the bytes of an answer."""
    ticket = client.fetch_ticket("reads", "sealed/short", Query("BAM", (region,), encryption_scheme="c4gh"))
    return sum(block.byte_range.size if block.byte_range else len(block.decode_inline() or b"") for block in ticket.blocks)


def measure_plan(planner: Planner, region: Region) -> int:
    """Return the bytes of the segments that the plain plan lies in: header, chunks and end marker."""
    info, header = planner.storage.stat("short.bam"), planner.plan_header("short.bam").header
    spans = [(start >> 16, (end >> 16) + 1) for start, end in planner.find_chunks("short.bam", [region], 1 << 40)[1]]
    spans += [(0, sum(len(part) if isinstance(part, bytes) else part.size for part in header)), (info.size - 28, info.size)]
    return SEALED * len({number for start, end in spans for number in range(start // SEGMENT, -(-end // SEGMENT))})


def make_objects(folder: Path) -> None:
    """Make a plain object and an encrypted one with the same BAM, and say what the server's share of encrypting costs."""
    for name in ("alice", "server"):
        subprocess.run([MODOS, "c4gh", "keygen", "--no-passphrase", folder / f"{name}.sec"], check=True, capture_output=True)
    write_short_reads(folder / "short.bam", READS, LENGTH)
    seconds = {}
    for name in ("plain", "without", "sealed"):
        modo = MODO(folder / "data" / name)
        modo.add_element({"id": "short", "@type": "AlignmentSet"}, folder / "short.bam")
        begin = time.perf_counter()
        if name != "plain":
            modo.encrypt(folder / "alice.pub", index_for=folder / "server.pub" if name == "sealed" else [])
        seconds[name] = time.perf_counter() - begin
    size = (folder / "data/sealed/short.bam.cuts.c4gh").stat().st_size
    print(
        f"encrypt a BAM of 1 GB {seconds['without']:.1f} s, --index-for {seconds['sealed']:.1f} s; for the server {size:,} bytes"
    )


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        folder = Path(name)
        make_objects(folder)
        alice, planner = load_secret_key(folder / "alice.sec"), Planner(open_storage(str(folder / "data/plain")))
        chance = random.Random(1)
        with serving(folder / "data", words=("--index-key", str(folder / "server.sec"))) as url:
            client = HtsgetClient(f"{url}/htsget", public_key=alice.public.raw)
            plain = open_served_file(f"{url}/htsget/reads/plain/short", None)
            sealed = open_served_file(f"{url}/htsget/reads/sealed/short", None, secret=alice)
            for width in WIDTHS:
                bytes_over, ratios = [], []
                for _ in range(ROUNDS):
                    region = Region("chr1", start := chance.randrange(LENGTH - width), start + width)
                    got, wanted = measure_ticket(client, region), measure_plan(planner, region)
                    bytes_over.append((got - (64 << 10)) / wanted)
                    seconds, counts = [], []
                    for file in (plain, sealed):
                        begin = time.perf_counter()
                        counts.append(file.count(region))
                        seconds.append(time.perf_counter() - begin)
                    assert counts[0] == counts[1]
                    ratios.append(seconds[1] / seconds[0])
                print(
                    f"{f'{width:,} bases, no key':<34} {max(bytes_over):5.2f} x the segments of the plain plan (goal 1.1, and 64 "
                    f"KiB)   {median(ratios):5.2f} x the time of the plain region (goal 1.3)",
                    flush=True,
                )


if __name__ == "__main__":
    sys.exit(main())
