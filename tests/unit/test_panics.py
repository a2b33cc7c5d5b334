"""Damaged files that make libraries in Rust panic, or ask for all memory there is: one line with the file's name instead."""

import subprocess
import sys

import pytest

from modos.errors import IntegrityError
from modos.panics import panics_told
from modos.tracks.bigwig import BigWigTrack

READ = """
import resource, sys, warnings
from pathlib import Path
import numpy as np
from modos.errors import ModosError
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

def bigwig(path):
    from modos.tracks.bigwig import BigWigTrack
    track = BigWigTrack(path)
    if "c1" in track.contigs:
        track.fill(np.empty(1000, np.float32), "c1", 0)
        track.zoom("c1", 10)
    return track.statistics(), track.total

def parquet(path):
    from modos.annotations.tables import read_columns
    read_columns(Path(path))
    read_columns(Path(path), ["contig"])

kind, source, path, *places = sys.argv[1:]
data = Path(source).read_bytes()
for at in map(int, places):
    for value in {0, 255, data[at] ^ 1, data[at] ^ 128} - {data[at]}:
        Path(path).write_bytes(data[:at] + bytes([value]) + data[at + 1:])
        print(at, value, end=" ", flush=True)
        try:
            globals()[kind](path)
            print("read", flush=True)
        except ModosError as error:
            print(type(error).__name__, "\\n" in error.message, flush=True)
"""


def damage(kind, source, folder, places):
    """Read the file with each of some bytes changed in a process of its own; what became of each."""
    done = subprocess.run([sys.executable, "-c", READ, kind, source, folder / "damaged.bw", *map(str, places)], capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (done.returncode, lines[-1:], done.stderr[-500:])
    assert "panicked" not in done.stderr and not any(line.endswith("True") for line in lines)
    return lines


def test_a_bigwig_with_any_byte_before_its_data_changed(tmp_path):
    """Sizes that it gives, nodes that lead in a circle, versions, numbers of contigs: nothing aborts, whatever is there."""
    pyBigWig = pytest.importorskip("pyBigWig")
    with pyBigWig.open(str(tmp_path / "a.bw"), "w") as file:
        file.addHeader([("c1", 20000), ("c2", 900)], maxZooms=3)
        file.addEntries(["c1"] * 500, list(range(0, 10000, 20)), ends=list(range(10, 10010, 20)), values=[float(i) for i in range(500)])
        file.addEntries("c2", [5, 100], values=[1.0, 2.0], span=7)
    found = damage("bigwig", tmp_path / "a.bw", tmp_path, range(232))
    assert any(line.endswith("read") for line in found) and any("IntegrityError" in line for line in found)


def test_a_bigwig_may_have_any_name(tmp_path):
    """Its zoom levels are read as those of x.bw; the library goes by the ending."""
    pyBigWig = pytest.importorskip("pyBigWig")
    with pyBigWig.open(str(tmp_path / "a.bw"), "w") as file:
        file.addHeader([("c1", 20000)])
        file.addEntries(["c1"], [0], ends=[20000], values=[2.0])
    (tmp_path / "a.bw").rename(tmp_path / "a.BW.1")
    assert BigWigTrack(tmp_path / "a.BW.1").zoom("c1", 4)[1].tolist() == [2, 2, 2, 2]


def test_a_panic_is_an_error_with_the_name_of_the_file():
    """What Rust raises is no Exception; what else passes, such as Control-C, still does."""
    class PanicException(BaseException):
        pass

    with pytest.raises(IntegrityError, match="^a.bw is damaged$"), panics_told("a.bw"):
        raise PanicException("index out of bounds")
    with pytest.raises(KeyboardInterrupt), panics_told("a.bw"):
        raise KeyboardInterrupt
