"""The time that commands take which do little, as ratios to `python -c 'import typer'` in the same run.

All are run in turn; of the processor's seconds and of those on the clock the medians are compared.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from modos.api import MODO
from modos.demo.dataset import generate

ROUNDS = 15
MODOS = [sys.executable, "-c", "from modos.cli import main; main()"]


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of a processor, and on the clock, that a command takes."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
    clock, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock


def report(cases: dict[str, tuple[list[str], float]], environment: dict[str, str], rounds: int = ROUNDS) -> None:
    """Print the ratio of each command to the first one, with the most that it may be."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(rounds + 1):  # the first fills caches
        for name, (command, _) in cases.items():
            seconds = measure(command, environment)
            if turn:
                taken[name].append(seconds)
    processor, clock = ({name: median(pair[side] for pair in pairs) for name, pairs in taken.items()} for side in (0, 1))
    first = next(iter(cases))
    for name, (_, most) in cases.items():
        print(
            f"{name:<44} processor {processor[name]:6.3f} s {processor[name] / processor[first]:5.2f}x   "
            f"clock {clock[name]:6.3f} s {clock[name] / clock[first]:5.2f}x   (at most {most}x)",
            flush=True,
        )


def main() -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ex = folder / "ex"
        MODO.from_file(generate(folder / "data"), ex)
        region = ["stream", "-r", "chr1:1000-1000"]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        report(
            {
                "import typer": ([sys.executable, "-c", "import typer"], 1),
                "import modos": ([sys.executable, "-c", "import modos"], 1),
                "modos --help": ([*MODOS, "--help"], 1.8),
                "modos show OBJECT": ([*MODOS, "show", str(ex)], 2.5),
                "modos stream, one base of a BAM": ([*MODOS, *region, f"{ex}/demo2.bam"], 2.5),
                "modos stream, one base of a CRAM": ([*MODOS, *region, f"{ex}/demo1.cram"], 2.5),
                "modos stream --raw, a BAM of 0.7 MB": ([*MODOS, "stream", "--raw", f"{ex}/demo2.bam"], 2.5),
            },
            environment | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")},
        )


if __name__ == "__main__":
    main()
