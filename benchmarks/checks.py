"""Checks of an object of 1 GB in the page cache, side by side with `b2sum`: whole commands, in turn, medians of ratios."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from modos.api import MODO

SIZE = 1_000_000_000
ROUNDS = 5
_PIECE = 50_000_000
_MODOS = [sys.executable, "-c", "from modos.cli import main; main()", "-q"]


def seconds(command: list[str]) -> float:
    """Run a command; returns the seconds that it takes."""
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def report(case: str, command: list[str], other: list[str], size: int, goal: str) -> None:
    """Run a check and `b2sum` in turn, and print the rate and the ratio."""
    pairs = [(seconds(command), seconds(other)) for _ in range(ROUNDS + 1)][1:]
    mine, its = (median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = median(b / a for a, b in pairs)
    print(
        f"{case:<34} {mine:6.2f} s {size / mine / 1e9:5.2f} GB/s   b2sum {its:5.2f} s   ratio {ratio:5.2f}  ({goal})", flush=True
    )


def main() -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as name:
        folder, piece = Path(name), Path("/dev/urandom").open("rb").read(_PIECE)
        with open(folder / "big.tsv", "wb") as file:
            for _ in range(SIZE // _PIECE):
                file.write(piece)
        modo = MODO.create(folder / "ex", id="ex")
        modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, folder / "big.tsv")
        b2sum = ["b2sum", str(folder / "big.tsv")]
        report("modos check", [*_MODOS, "check", str(folder / "ex")], b2sum, SIZE, "goal 2 GB/s")
        report("modos check --quick", [*_MODOS, "check", "--quick", str(folder / "ex")], b2sum, SIZE, "200 parts")


if __name__ == "__main__":
    main()
