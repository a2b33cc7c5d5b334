"""Numeric tracks against Genomedata, pyBigWig and pybigtools, on the same data and in the same run.

Loading is timed as whole commands, reading inside one process for each side.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import track_data

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
from modos.encryption.keys import SecretKey
from modos.tracks.data import Values
from modos.tracks.genome import Genome
from modos.tracks.wiggle import read_text

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from proxy import Proxy

BIN = Path(sys.executable).parent
MODOS = str(BIN / "modos")
TRACKS = ("dense", "signal", "peaks", "points")
DELAY = 0.03  # seconds
HUMAN = {
    f"chr{name}": length
    for name, length in zip(
        [*range(1, 23), "X", "Y", "M"],
        (
            248_956_422,
            242_193_529,
            198_295_559,
            190_214_555,
            181_538_259,
            170_805_979,
            159_345_973,
            145_138_636,
            138_394_717,
            133_797_422,
            135_086_622,
            133_275_309,
            114_364_328,
            107_043_718,
            101_991_189,
            90_338_345,
            83_257_441,
            80_373_285,
            58_617_616,
            64_444_167,
            46_709_983,
            50_818_468,
            156_040_895,
            57_227_415,
            16_569,
        ),
    )
}

WINDOWS = """
import json, sys, time
import numpy as np
random = np.random.default_rng(5)
contigs = {"chr1": 25_000_000, "chr2": 15_000_000, "chr3": 10_000_000, "chr4": 6_000_000, "chr5": 4_000_000}
names = random.choice(list(contigs), 10_000, p=np.array(list(contigs.values())) / 60e6).tolist()
starts = [int(random.integers(0, contigs[name] - 1000)) for name in names]
def timed(work, rounds=3):
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return sorted(found)[len(found) // 2]
"""
OURS = (
    WINDOWS
    + """
from modos.api import MODO
from modos.tracks import bigwig, sharded
def opened():
    return MODO.open(sys.argv[1]).genome
def loop(genome):
    for name, start in zip(names, starts):
        genome[name][start:start + 1000]
def million(genome):
    for start in range(1_000_000, 9_000_000, 1_000_000):
        genome["chr2"][start:start + 1_000_000] if start < 14_000_000 else None
regions = [(name, start, start + 1000) for name, start in zip(names, starts)]
opened()["chr1"][0:10]
print(json.dumps({
    "loop": timed(lambda: loop(opened())), "batch": timed(lambda: opened().windows(regions)),
    "mean": timed(lambda: opened().track("dense").scan("chr1").mean), "statistics": timed(lambda: opened().track("dense").mean("chr1")),
    "million": timed(lambda: million(opened())) / 8,
    "check": [float(np.nansum(opened()["chr2"][5_000_000:5_100_000, k].astype(float))) for k in range(4)],
}))
"""
)
GENOMEDATA = (
    WINDOWS
    + """
import warnings
warnings.simplefilter("ignore")
from genomedata import Genome
def loop(genome):
    for name, start in zip(names, starts):
        genome[name][start:start + 1000]
def million(genome):
    for start in range(1_000_000, 9_000_000, 1_000_000):
        genome["chr2"][start:start + 1_000_000]
def mean(genome):
    return np.nanmean(genome["chr1"][0:25_000_000, 0])
def on(work):
    with Genome(sys.argv[1]) as genome:
        return work(genome)
print(json.dumps({
    "loop": timed(lambda: on(loop), 1), "mean": timed(lambda: on(mean)), "million": timed(lambda: on(million)) / 8,
    "check": on(lambda genome: [float(np.nansum(genome["chr2"][5_000_000:5_100_000, k].astype(float))) for k in range(4)]),
}))
"""
)
PYBIGTOOLS = (
    WINDOWS
    + """
import pybigtools
files = [pybigtools.open(path) for path in sys.argv[1:]]
def loop():
    for name, start in zip(names, starts):
        for file in files:
            file.values(name, start, start + 1000, fillna=np.nan)
print(json.dumps({"loop": timed(loop)}))
"""
)
PYBIGWIG = (
    WINDOWS
    + """
import pyBigWig
files = [pyBigWig.open(path) for path in sys.argv[1:]]
def loop():
    for name, start in zip(names, starts):
        for file in files:
            file.values(name, start, start + 1000, numpy=True)
print(json.dumps({"loop": timed(loop, 1)}))
"""
)


def command(*words: str | Path, cwd: Path, stdin: int = subprocess.DEVNULL, path: str = "") -> tuple[float, int]:
    """Run a command; seconds, and its peak memory in MB (that of the largest of its processes).

    A small process starts it: what a child takes counts from what its parent has when it forks.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    environment["PATH"] = f"{BIN}:{environment['PATH']}:{path}"
    starter = (
        "import json, resource, subprocess, sys, time; begin = time.perf_counter(); code = subprocess.run(sys.argv[1:]).returncode; "
        "print(json.dumps([time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, code]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", starter, *map(str, words)], cwd=cwd, env=environment, stdin=stdin, capture_output=True, text=True
    )
    seconds, memory, code = json.loads(result.stdout.splitlines()[-1])
    assert code == 0, (words, result.stderr)
    return seconds, memory


def figures(code: str, *arguments: str | Path) -> dict:
    """Run a script that prints figures as JSON."""
    result = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def show(case: str, ours: float, theirs: float | None, unit: str, goal: str, good: bool, other: str = "Genomedata") -> None:
    """Print a row."""
    ratio = f"{other} {theirs:8.4g} {unit:<4} ratio {theirs / ours:6.2f}" if theirs is not None else " " * 20
    print(f"{case:<44} modos {ours:8.4g} {unit:<4} {ratio}  (goal {goal}){'' if good else '  MISSED'}", flush=True)


def faster(case: str, ours: float, theirs: float, goal: float, other: str = "Genomedata") -> None:
    """Print a row of times."""
    show(case, ours, theirs, "s", f">= {goal:g}x", theirs / ours >= goal, other)


def write_bigwigs(files: dict[str, Path], folder: Path) -> dict[str, Path]:
    """The tracks as bigWig files, by pyBigWig."""
    import pyBigWig

    found = {}
    for track in TRACKS:
        found[track] = folder / f"{track}.bw"
        with pyBigWig.open(str(found[track]), "w") as file:
            file.addHeader(list(track_data.CONTIGS.items()))
            for block in read_text(files[track]):
                data = block.data
                if isinstance(data, Values):
                    file.addEntries(data.contig, int(data.start), values=data.values.astype(float), span=1, step=1)
                elif track == "points":
                    file.addEntries(data.contig, data.starts.tolist(), values=data.values.astype(float).tolist(), span=1)
                else:
                    file.addEntries(
                        [data.contig] * len(data.starts),
                        data.starts.tolist(),
                        ends=data.ends.tolist(),
                        values=data.values.astype(float).tolist(),
                    )
    return found


def bench_loading(folder: Path, files: dict[str, Path], shim: str) -> None:
    """Full load, size on disk, a track more, a track replaced."""
    names = [f"{track}={files[track]}" for track in TRACKS]
    archive, ex = folder / "a.genomedata", folder / "ex"
    loading, gigantic = command(
        "genomedata-load",
        "-s",
        files["genome"],
        *(word for name in names for word in ("-t", name)),
        archive,
        cwd=folder,
        path=shim,
    )
    times, peaks = [], []
    for _ in range(3):
        shutil.rmtree(ex, ignore_errors=True)
        parts = [
            command(MODOS, "create", ex, cwd=folder),
            command(MODOS, "genome", "init", ex, files["genome"], cwd=folder),
            command(MODOS, "track", "add", ex, *names, cwd=folder),
        ]
        times.append(sum(part[0] for part in parts))
        peaks.append(max(part[1] for part in parts))
    faster("full load with sequence", median(times), loading, 10)
    show("  its peak memory", max(peaks), gigantic, "MB", "<= 500 MB", max(peaks) <= 500)
    show(
        "size on disk, zooms and sequence in it",
        size(ex) / 1e6,
        size(archive) / 1e6,
        "MB",
        "<= 0.65 of it",
        size(ex) <= 0.65 * size(archive),
    )
    bigwigs = write_bigwigs(files, folder)
    tracks = sum(size(ex / "data.zarr/data" / track) for track in TRACKS) / 1e6
    theirs = sum(map(size, bigwigs.values())) / 1e6
    show("size of the tracks", tracks, theirs, "MB", "<= 0.5 of it", tracks <= 0.5 * theirs, "bigWig    ")
    more, _ = command(MODOS, "track", "add", ex, f"more={files['signal']}", cwd=folder)
    again, _ = command(MODOS, "track", "replace", ex, f"more={files['peaks']}", cwd=folder)
    copy = folder / "b.genomedata"
    shutil.copyfile(archive, copy)
    adding = sum(
        command(*words, cwd=folder, path=shim, stdin=stdin)[0]
        for words, stdin in (
            (("genomedata-open-data", copy, "--tracknames", "more"), subprocess.DEVNULL),
            (("genomedata-load-data", copy, "more"), open(files["signal"], "rb")),
            (("genomedata-close-data", copy), subprocess.DEVNULL),
        )
    )
    faster("add a track (0.9 M intervals)", more, adding, 10)
    faster("replace it (0.1 M intervals)", again, adding, 10, "Genomedata's add")
    command(MODOS, "track", "remove", ex, "more", "--yes", cwd=folder)


APPENDING = """
import json, sys, time
import numpy as np
from modos.api import MODO
from modos.tracks.data import Values
modo, names = MODO.open(sys.argv[1]), [f"chr{number}" for number in range(1, 11)]
def blocks(names):
    for name in names:
        values = np.random.default_rng(int(name[3:])).normal(0, 0.5, 4_000_000).round(3).astype(np.float32)
        for at in range(0, 100_000_000, 4_000_000):
            yield Values(name, at, values)
def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
anew = timed(lambda: modo.add_track("once", blocks(names)))
modo.add_track("parts", blocks(names[:-1]))
appended = timed(lambda: modo.append_track("parts", blocks(names[-1:])))
once, parts = (modo.open_genome().tracks[name] for name in ("once", "parts"))
assert np.array_equal(once.table, parts.table) and np.array_equal(once.zoom_array.read(), parts.zoom_array.read())
print(json.dumps({"anew": anew, "append": appended}))
"""


def bench_appending(folder: Path) -> None:
    """A contig of 100 Mb more in a track of 900 Mb, against all of it once more."""
    place, sizes = folder / "appended", folder / "ten.sizes"
    sizes.write_text("".join(f"chr{number}\t100000000\n" for number in range(1, 11)))
    MODO.create(place).add_genome(sizes=sizes)
    found = figures(APPENDING, place)
    faster("append 100 Mb to a track of 900 Mb", found["append"], found["anew"], 5, "all of it anew")
    shutil.rmtree(place)


def bench_reading(folder: Path) -> None:
    """Windows, means, a million bases."""
    ours, theirs = figures(OURS, folder / "ex"), figures(GENOMEDATA, folder / "a.genomedata")
    np.testing.assert_allclose(ours["check"], theirs["check"], rtol=1e-6)
    files = [folder / f"{track}.bw" for track in TRACKS]
    tools, wig = figures(PYBIGTOOLS, *files), figures(PYBIGWIG, *files)
    faster("10,000 windows of 1 kb x 4, in a loop", ours["loop"], theirs["loop"], 4)
    faster("  all at once", ours["batch"], theirs["loop"], 12)
    faster("  all at once", ours["batch"], tools["loop"], 1, "pybigtools")
    faster("  all at once", ours["batch"], wig["loop"], 1, "pyBigWig  ")
    faster("mean of chr1, every value read", ours["mean"], theirs["mean"], 10)
    faster("  from statistics, with opening the object", ours["statistics"], theirs["mean"], 10)
    faster("1 Mb x 4", ours["million"], theirs["million"], 8)


def bench_verified(place: Path) -> None:
    """What it costs that parts are compared with their digests: the same object with and without them, in turn, in one process."""
    from modos.object import commits
    from modos.object.tracks import open_genome
    from modos.storage import open_storage

    storage, random = open_storage(place), np.random.default_rng(5)
    with_digests, without = commits.load(storage), commits.load(storage)
    for node in without.nodes.values():
        node.get("attributes", {}).pop("shard_digest", None)
    contigs = open_genome(storage, without).contigs
    names = random.choice(list(contigs), 10_000).tolist()
    regions = [(name, start, start + 1000) for name in names for start in [int(random.integers(0, contigs[name].length - 1000))]]
    longest = max(contigs, key=lambda name: contigs[name].length)
    cases: dict[str, Callable[[Genome], object]] = {
        "10,000 windows of 1 kb, one by one": lambda genome: [genome[name][start:end] for name, start, end in regions],
        "10,000 windows of 1 kb, at once": lambda genome: genome.windows(regions),
        "a whole contig": lambda genome: genome[longest][:],
    }
    for case, work in cases.items():
        times: dict[bool, list[float]] = {True: [], False: []}
        for compared in (False, True) * 5:
            genome = open_genome(storage, with_digests if compared else without)
            times[compared].append(timed(lambda: work(genome)))
        ours, theirs = min(times[True]), min(times[False])
        show(f"{case}, compared", ours, theirs, "s", "<= 1.1x", ours <= 1.1 * theirs, "not compared")


def bench_sealed(folder: Path) -> None:
    """What encryption costs: the same object plain and sealed, in turn, in one process; here, and on S3."""
    key, sealed = SecretKey.random(), folder / "sealed"
    shutil.copytree(folder / "ex", sealed)
    show("seal the tracks", timed(lambda: MODO.open(sealed).encrypt(key.public)), None, "s", "-", True)
    random = np.random.default_rng(5)
    names = random.choice(list(track_data.CONTIGS), 10_000).tolist()
    regions = [
        (name, start, start + 1000) for name in names for start in [int(random.integers(0, track_data.CONTIGS[name] - 1000))]
    ]
    cases: dict[str, Callable[[Genome], object]] = {
        "10,000 windows of 1 kb x 4, one by one": lambda genome: [genome[name][start:end] for name, start, end in regions],
        "10,000 windows of 1 kb x 4, at once": lambda genome: genome.windows(regions),
        "chr2 x 4": lambda genome: genome["chr2"][:],
    }
    for case, work in cases.items():
        times: dict[Path, list[float]] = {folder / "ex": [], sealed: []}
        for place in list(times) * 5:
            genome = MODO.open(place).open_genome(secret_key=key)
            times[place].append(timed(lambda: work(genome)))
        plain, ours = map(min, times.values())
        show(f"sealed: {case}", ours, plain, "s", "<= 1.5x", ours <= 1.5 * plain, "plain     ")
    bench_sealed_s3({"plain": folder / "ex", "sealed": sealed}, key)
    shutil.rmtree(sealed)


def bench_sealed_s3(places: dict[str, Path], key: SecretKey) -> None:
    """A million bases of four tracks from afar, sealed and plain."""
    with run_stack() as services, Proxy(services.s3) as proxy:
        options = {"services": {"s3": proxy.url}, "s3_kwargs": CREDENTIALS}
        taken, counts, notes = {}, {}, []
        for kind, place in places.items():
            url = f"s3://{BUCKET}/{kind}"
            MODO.open(place).upload(url, endpoint=services.endpoint, s3_kwargs=CREDENTIALS)
            genome = MODO.open(url, **options).open_genome(secret_key=key)
            genome.check_tracks()
            proxy.delay, begin, used = DELAY, len(proxy.requests), time.process_time()
            taken[kind] = timed(lambda: genome["chr1"][3_000_000:4_000_000])
            counts[kind], proxy.delay = len(proxy.requests) - begin, 0
            notes.append(f"{kind} {counts[kind]} requests, {time.process_time() - used:.3f} s of CPU")
        good = taken["sealed"] <= 1.5 * taken["plain"] and counts["sealed"] <= 10
        show("sealed, S3 at 30 ms: 1 Mb x 4", taken["sealed"], taken["plain"], "s", "<= 1.5x, 10 requests", good, "plain     ")
        print(f"{'':<44} {'; '.join(notes)}", flush=True)


def bench_s3(folder: Path) -> None:
    """Requests and time from afar."""
    import warnings

    import zarr

    with run_stack() as services, Proxy(services.s3) as proxy:
        place = f"s3://{BUCKET}/ex"
        MODO.open(folder / "ex").upload(place, endpoint=services.endpoint, s3_kwargs=CREDENTIALS)
        options = {"services": {"s3": proxy.url}, "s3_kwargs": CREDENTIALS}
        for case, start, end, goal in (
            ("S3 at 30 ms: 1 kb x 4 after open", 5_000_000, 5_001_000, 8),
            ("S3 at 30 ms: 1 Mb x 4", 3_000_000, 4_000_000, 10),
        ):
            genome = MODO.open(place, **options).genome
            genome.tracks["dense"].contigs  # what is opened is opened
            proxy.delay, begin = DELAY, len(proxy.requests)
            taken = timed(lambda: genome["chr1"][start:end])
            count, proxy.delay = len(proxy.requests) - begin, 0
            note = f"{count} requests, {taken / DELAY:.1f} x the delay"
            print(
                f"{case:<44} modos {taken:8.4g} s    {note}  (goal <= {goal} requests, depth 2){'' if count <= goal else '  MISSED'}",
                flush=True,
            )
        warnings.simplefilter("ignore")
        proxy.delay, begin = DELAY, len(proxy.requests)
        storage = {"endpoint_url": proxy.url, **CREDENTIALS}
        root = zarr.open_group(f"{place}/data.zarr", mode="r", storage_options=storage)
        arrays = [
            root[f"data/{track}"][name]
            for track in TRACKS
            for name in root[f"data/{track}"].array_keys()
            if name.startswith(("values", "runs"))
        ]
        taken = timed(lambda: [array[..., 3_000_000:4_000_000] if array.ndim == 1 else array[:, :65_536] for array in arrays])
        print(
            f"{'  plain zarr-python, as much of the arrays':<44} zarr  {taken:8.4g} s    {len(proxy.requests) - begin} requests, with opening",
            flush=True,
        )


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def bench_opening(folder: Path) -> None:
    """Many tracks, many contigs."""
    for case, tracks, contigs in (
        ("open 100 tracks x 25 contigs, a value of one", 100, 25),
        ("open 4 tracks x 2,000 contigs, a value of one", 4, 2000),
    ):
        place, sizes = folder / f"open{tracks}", folder / "sizes"
        sizes.write_text("".join(f"c{number}\t2400000\n" for number in range(contigs)))
        modo = MODO.create(place)
        modo.add_genome(sizes=sizes)
        with modo.track_changes() as changes:
            for number in range(tracks):
                changes.add(f"t{number}", {f"c{contig}": np.arange(100) + number for contig in range(0, contigs, 5)})
        taken = median(timed(lambda: MODO.open(place).genome["c0"][5, 3]) for _ in range(9)) * 1000
        show(case, taken, None, "ms", "<= 20 ms", taken <= 20)


def bench_sparse(folder: Path) -> None:
    """3 M points over 3 Gb."""
    import pyBigWig

    random, source = np.random.default_rng(8), folder / "sparse.bw"
    with pyBigWig.open(str(source), "w") as file:
        file.addHeader(list(HUMAN.items()))
        for contig, length in HUMAN.items():
            at = np.unique(random.integers(0, length, max(length // 1030, 1)))
            file.addEntries(contig, at.tolist(), values=random.random(len(at)).round(3).tolist(), span=1)
    sizes, human = folder / "human.sizes", folder / "human"
    sizes.write_text("".join(f"{name}\t{length}\n" for name, length in HUMAN.items()))
    command(MODOS, "create", human, cwd=folder)
    command(MODOS, "genome", "init", human, "--sizes", sizes, cwd=folder)
    taken, peak = command(MODOS, "track", "add", human, f"sparse={source}", cwd=folder)
    show("import 3 M points over 3.1 Gb from a bigWig", taken, None, "s", f"<= 5 s; peak {peak} MB", taken <= 5)
    ours = size(human / "data.zarr/data/sparse") / 1e6
    show("  its size", ours, size(source) / 1e6, "MB", "smaller", ours < size(source) / 1e6, "bigWig    ")


def bench_human(folder: Path) -> None:
    """A genome of 3.1 Gb: a dense track over chr1 from a pipe, sparse ones over all."""
    human, length = folder / "human", HUMAN["chr1"]
    code = (
        "import sys, numpy as np, polars as pl\n"
        "print('fixedStep chrom=chr1 start=1 step=1', flush=True)\n"
        "random = np.random.default_rng(3)\n"
        f"for at in range(0, {length}, 1 << 20):\n"
        f"    n = min(1 << 20, {length} - at)\n"
        "    pl.DataFrame({'v': random.normal(0, .6, n).round(3)}).write_csv(sys.stdout.buffer, include_header=False, float_precision=3)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        taken, peak = command(MODOS, "track", "add", human, "dense=-", cwd=folder, stdin=writer.stdout.fileno())
    show(f"{length / 1e6:.0f} M values of chr1 from a pipe", taken, None, "s", "-", True)
    show("  its peak memory", peak, None, "MB", "<= 500 MB", peak <= 500)
    print(f"{'  the object':<44} {size(human) / 1e6:.0f} MB")
    genome = MODO.open(human).genome
    for case, work in (
        ("mean of chr1, from statistics", lambda: genome.track("dense").mean("chr1")),
        ("mean of chr1:2-248,000,000, exact", lambda: genome.track("dense").mean("chr1:2-248,000,000")),
        ("picture of chr1, 1,000 parts x 2", lambda: [genome.track(t).zoom("chr1", 1000) for t in ("dense", "sparse")]),
        ("picture of chr2, sparse", lambda: genome.track("sparse").zoom("chr2", 1000)),
        ("1 kb of chr1 x 2", lambda: genome["chr1"][100_000_000:100_001_000]),
        ("1 Mb of chr1 x 2", lambda: genome["chr1"][50_000_000:51_000_000]),
    ):
        print(f"{'  ' + case:<44} modos {timed(work) * 1000:8.4g} ms")


def main() -> None:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="modos-tracks-") as name:
        folder = Path(name)
        shim = folder / "bin"
        shim.mkdir()
        if not shutil.which("h5repack"):
            print("(h5repack is not installed: Genomedata's archive stays as it was loaded)")
            (shim / "h5repack").write_text('#!/bin/sh\nfor last; do :; done\neval "from=\\${$(($#-1))}"\ncp "$from" "$last"\n')
            (shim / "h5repack").chmod(0o755)
        files = track_data.make(folder / "data")
        bench_loading(folder, files, str(shim))
        bench_reading(folder)
        bench_verified(folder / "ex")
        bench_sealed(folder)
        bench_s3(folder)
        bench_appending(folder)
        bench_opening(folder)
        bench_sparse(folder)
        bench_human(folder)


if __name__ == "__main__":
    main()
