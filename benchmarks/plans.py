"""One query over many objects: 500 objects on a cluster of Dask with one worker and with two, and plans of 100,000 partitions.

Prints the ratio of two workers to one, what scheduling costs, and what a plan takes, each with its limit. One run.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from modos import open_catalog
from modos.api import MODO
from modos.plans.partition import Partition

OBJECTS, DIFFERENT = 500, 5
GENE = "chr1:20001-60000"
LENGTH = 100_000
DEPTH = 30
ROUNDS = 3


def write_reads(path: Path, sample: str, seed: int) -> None:
    """Reads of 100 bases over one contig."""
    import pysam

    rng = random.Random(seed)
    header = pysam.AlignmentHeader.from_dict(
        {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": LENGTH}], "RG": [{"ID": "a", "SM": sample}]}
    )
    with pysam.AlignmentFile(path, "wb", header=header) as out:
        for number, start in enumerate(sorted(rng.randrange(LENGTH - 100) for _ in range(DEPTH * LENGTH // 100))):
            read = pysam.AlignedSegment(header)
            read.query_name, read.reference_id, read.reference_start, read.mapping_quality = f"r{number}", 0, start, 60
            read.cigarstring, read.query_sequence = "100M", "".join(rng.choices("ACGT", k=100))
            read.query_qualities = rng.choices(range(20, 40), k=100)
            out.write(read)
    pysam.index(str(path))


def make_cohort(folder: Path) -> Path:
    """500 objects, of five different ones."""
    place = folder / "cohort"
    for number in range(DIFFERENT):
        write_reads(folder / f"{number}.bam", f"S{number}", number)
        modo = MODO.create(place / f"o{number:03}", id=f"o{number:03}")
        modo.add_element({"id": "data/reads", "@type": "AlignmentSet"}, folder / f"{number}.bam")
    for number in range(DIFFERENT, OBJECTS):
        shutil.copytree(place / f"o{number % DIFFERENT:03}", place / f"o{number:03}")
    return place


@contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """A cluster of processes on this machine."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="ERROR"
        ) as own,
        Client(own) as client,
    ):
        client.wait_for_workers(workers)
        yield client


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes without a scheduler."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


def run_pool(processes: ProcessPoolExecutor, plan: Any) -> float:
    """Seconds that plain processes take for a plan."""
    list(processes.map(do_nothing, plan[:8]))
    return timed(lambda: list(processes.map(measure_coverage, plan, chunksize=8)))[0]


def measure_coverage(partition: Partition) -> tuple[str, float]:
    """The mean depth of a gene in one object."""
    return partition.file.object, float(partition.open_file().measure(partition.regions[0]).mean_depth)


def do_nothing(partition: Partition) -> int:
    """What is left is scheduling."""
    return partition.cost


def timed(call: Any) -> tuple[float, Any]:
    """Seconds and result."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def bench_cluster(folder: Path) -> None:
    """500 objects x 1 gene: coverage, 2 workers against 1; a worker killed halfway; what scheduling costs."""
    plan = open_catalog(make_cohort(folder)).scan("coverage", GENE)
    expected = plan.map(measure_coverage)
    times: dict[int, list[float]] = {1: [], 2: []}
    plains: dict[int, list[float]] = {1: [], 2: []}
    busy: dict[int, list[float]] = {1: [], 2: []}  # CPU seconds of the worker that has worked most
    with cluster(1) as one, cluster(2) as two, pool(1) as single, pool(2) as pair:
        pools = {1: single, 2: pair}
        for client in (one, two):  # what is imported and opened first is not measured
            client.run(plan[0].to_arrow)
        for _ in range(ROUNDS):
            for workers, client in ((1, one), (2, two)):
                before = client.run(time.process_time)
                seconds, found = timed(lambda client=client: plan.map(measure_coverage, client))
                assert found == expected
                times[workers].append(seconds)
                busy[workers].append(max(spent - before[worker] for worker, spent in client.run(time.process_time).items()))
                plains[workers].append(run_pool(pools[workers], plan))
        ratio = median(a / b for a, b in zip(times[1], times[2]))
        plain = median(a / b for a, b in zip(plains[1], plains[2]))
        by_cpu = median(a / b for a, b in zip(busy[1], busy[2]))
        print(
            f"{OBJECTS} objects x 1 gene, coverage: 1 worker {median(times[1]):.2f} s, 2 workers {median(times[2]):.2f} s, "
            f"ratio {ratio:.2f} (goal >= 1.7), by the CPU time of the busiest worker {by_cpu:.2f}; a pool of plain processes: 1 {median(plains[1]):.2f} s, 2 {median(plains[2]):.2f} s, "
            f"ratio {plain:.2f} (what this machine has to give at the time)",
            flush=True,
        )
        many = open_catalog(folder / "cohort").scan("coverage", [f"chr1:{at}-{at + 99}" for at in range(1, 1000, 100)])
        for group, name in ((8 << 20, "grouped"), (1, "one by one")):
            seconds = min(timed(lambda group=group: many.map(do_nothing, two, group=group))[0] for _ in range(ROUNDS))
            print(
                f"scheduling of {len(many):,} partitions, {name}: {seconds / len(many) * 1000:.2f} ms each (goal <= 5)",
                flush=True,
            )
        pid = next(iter(two.run(os.getpid).values()))
        threading.Timer(median(times[2]) / 2, os.kill, (pid, signal.SIGKILL)).start()
        seconds, found = timed(lambda: plan.map(measure_coverage, two))
        print(f"a worker killed halfway: same result {found == expected}, {seconds:.2f} s", flush=True)


PLANNING = """
import sys, time
from modos import open_catalog
place, genes, objects = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
catalog = open_catalog(place, refresh=False)
assert catalog.is_made
begin = time.perf_counter()
plan = catalog.scan("coverage", [f"chr1:{at + 1}-{at + 50}" for at in range(genes)])
partitions = sum(1 for _ in plan)
seconds = time.perf_counter() - begin
assert partitions == genes * objects, partitions
peak = next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(f"plan of {partitions:,} partitions ({objects:,} objects x {genes:,} genes): {seconds:.2f} s (goal <= 2), "
      f"{peak} MB of the process (goal <= 300)")
"""


def bench_planning(folder: Path) -> None:
    """Plans of 100,000 partitions, from a catalogue that is kept; the files of its objects are gone."""
    from modos.catalog.element_catalog import refresh_catalog

    for objects, genes in ((500, 200), (20_000, 5)):
        place = folder / f"plan{objects}"
        make_rows(folder / "cohort" / "o000", place, objects)
        refresh_catalog(place)
        for path in place.iterdir():
            if not path.name.startswith("."):
                shutil.rmtree(path)
        subprocess.run([sys.executable, "-c", PLANNING, place, str(genes), str(objects)], check=True)


def make_rows(source: Path, place: Path, number: int) -> None:
    """Root documents alone."""
    root = (source / "data.zarr" / "zarr.json").read_bytes()
    for one in range(number):
        folder = place / f"o{one:05}" / "data.zarr"
        folder.mkdir(parents=True)
        (folder / "zarr.json").write_bytes(root)


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-", dir=os.environ.get("MODOS_BENCH_DIR")) as name:
        bench_cluster(Path(name))
        bench_planning(Path(name))


if __name__ == "__main__":
    main()
