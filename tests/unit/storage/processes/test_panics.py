"""Damaged files that make libraries in Rust panic, or ask for all memory there is: one line with the file's name instead."""

import struct
import subprocess
import sys

import polars as pl
import pytest

from modos.errors import IntegrityError, InvalidInputError
from modos.reference.annotations import parquet
from modos.reference.annotations.parquet import read_parquet
from modos.storage.processes.panics import translate_panics
from modos.tracks.bigwig import BigWigTrack

pytestmark = pytest.mark.sweep(6)

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
    from modos.reference.annotations.parquet import read_parquet
    read_parquet(Path(path))

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
    done = subprocess.run(
        [sys.executable, "-c", READ, kind, source, folder / "damaged.bw", *map(str, places)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (done.returncode, lines[-1:], done.stderr[-500:])
    assert not any(line.endswith("True") for line in lines)
    return lines, done.stderr


def test_a_bigwig_with_any_byte_before_its_data_changed(tmp_path):
    """Sizes that it gives, nodes that lead in a circle, versions, numbers of contigs: nothing aborts, whatever is there."""
    pyBigWig = pytest.importorskip("pyBigWig")
    with pyBigWig.open(str(tmp_path / "a.bw"), "w") as file:
        file.addHeader([("c1", 20000), ("c2", 900)], maxZooms=3)
        file.addEntries(
            ["c1"] * 500, list(range(0, 10000, 20)), ends=list(range(10, 10010, 20)), values=[float(i) for i in range(500)]
        )
        file.addEntries("c2", [5, 100], values=[1.0, 2.0], span=7)
    found, said = damage("bigwig", tmp_path / "a.bw", tmp_path, range(232))
    assert (
        "panicked" not in said
        and any(line.endswith("read") for line in found)
        and any("IntegrityError" in line for line in found)
    )


def test_a_bigwig_with_a_byte_of_its_zoom_level_changed(tmp_path):
    """The library panics where it cannot decompress what it reads, and says so on stderr before anybody can catch it."""
    pyBigWig = pytest.importorskip("pyBigWig")
    with pyBigWig.open(str(tmp_path / "a.bw"), "w") as file:
        file.addHeader([("c1", 20000)], maxZooms=3)
        file.addEntries(
            ["c1"] * 500, list(range(0, 10000, 20)), ends=list(range(10, 10010, 20)), values=[float(i) for i in range(500)]
        )
    data = (tmp_path / "a.bw").read_bytes()
    begin, end = struct.unpack_from("<QQ", data, 72)
    found, said = damage("bigwig", tmp_path / "a.bw", tmp_path, range(begin + 4, end))
    assert "panicked" not in said and sum("IntegrityError" in line for line in found) > len(found) / 2


def test_a_bigwig_is_read_by_no_library_that_panics(tmp_path, monkeypatch):
    """Nor one that writes to stderr: what is not loaded does neither."""
    pyBigWig = pytest.importorskip("pyBigWig")
    with pyBigWig.open(str(tmp_path / "a.bw"), "w") as file:
        file.addHeader([("c1", 20000)])
        file.addEntries(["c1"], [0], ends=[20000], values=[2.0])
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    assert BigWigTrack(tmp_path / "a.bw").zoom("c1", 4)[1].tolist() == [2, 2, 2, 2]


def test_a_bigwig_may_have_any_name(tmp_path):
    """Its zoom levels are read as those of x.bw."""
    pyBigWig = pytest.importorskip("pyBigWig")
    with pyBigWig.open(str(tmp_path / "a.bw"), "w") as file:
        file.addHeader([("c1", 20000)])
        file.addEntries(["c1"], [0], ends=[20000], values=[2.0])
    (tmp_path / "a.bw").rename(tmp_path / "a.BW.1")
    assert BigWigTrack(tmp_path / "a.BW.1").zoom("c1", 4)[1].tolist() == [2, 2, 2, 2]


def test_a_table_with_any_byte_of_its_sizes_changed(tmp_path):
    """The headers of pages may ask for 2^60 bytes, and the footer for rows that are nowhere."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({"contig": ["a", "b"] * 50, "start": range(100)}).write_parquet(path, compression="zstd", statistics=False)
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    places = [*range(100), *range(200, 320), *range(footer, data.index(b"ARROW:schema")), *range(len(data) - 8, len(data))]
    found, _ = damage("parquet", path, tmp_path, [at for at in places if data[max(at - 8, footer) : at + 8].find(b"contig") < 0])
    assert any("IntegrityError" in line for line in found)


@pytest.mark.parametrize(
    "more", [{}, {"row_group_size": 700}, {"data_page_size": 1000}, {"compression": "uncompressed"}, {"statistics": "full"}]
)
def test_tables_that_are_whole_pass(tmp_path, more):
    """Of polars and of pyarrow, in several groups of rows and pages, with nulls."""
    table = pl.DataFrame(
        {"a": [None, "x", "yy" * 30] * 2000, "n": range(6000), "f": [0.5, None, 2.0] * 2000, "u": [None] * 6000},
        schema_overrides={"u": pl.String},
    )
    table.write_parquet(tmp_path / "p.parquet", **more)
    table.write_parquet(
        tmp_path / "q.parquet",
        use_pyarrow=True,
        **{key: value for key, value in more.items() if key not in ("statistics", "compression")},
    )
    for name in ("p", "q"):
        assert read_parquet(tmp_path / f"{name}.parquet").equals(table)
        assert read_parquet(tmp_path / f"{name}.parquet", ["n"]).equals(table.select("n"))


def test_a_small_file_of_many_rows(tmp_path, monkeypatch):
    """It is refused by what it says, before it is read."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": ["x" * 100]}).select(pl.col("a").repeat_by(1_000_000).explode()).write_parquet(path)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(parquet, "MAX_ROWS", 999_999)
    with pytest.raises(InvalidInputError, match="a.parquet has 1,000,000 rows, more than the 999,999 that a table may have"):
        read_parquet(path)


def test_a_small_file_of_large_columns(tmp_path):
    """88 kB that would be 400 MB are not read."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": ["x" * 100_000_000] * 4}).write_parquet(path, compression="zstd", row_group_size=1)
    assert path.stat().st_size < 100_000
    with pytest.raises(
        InvalidInputError, match="a.parquet has a column of 400,000,[0-9]+ bytes, more than a table of its size may have"
    ):
        read_parquet(path)


def test_a_panic_is_an_error_with_the_name_of_the_file():
    """What Rust raises is no Exception; what else passes, such as Control-C, still does."""

    class PanicException(BaseException):
        pass

    with pytest.raises(IntegrityError, match=r"^a.bw is damaged \(copy it again\)$"), translate_panics("a.bw"):
        raise PanicException("index out of bounds")
    with pytest.raises(KeyboardInterrupt), translate_panics("a.bw"):
        raise KeyboardInterrupt


def test_a_panic_that_nobody_has_caught_ends_the_program_in_one_line():
    """With the exit code of damage, without a traceback."""
    code = (
        "import modos.cli.app\nclass PanicException(BaseException): pass\ndef app(**options): raise PanicException('out of range')\n"
        "modos.cli.app.app = app\nfrom modos.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 6 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0] == "error: what was read is damaged: out of range"
