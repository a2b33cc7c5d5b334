"""What may end the process that reads it is read in one of its own: its end is one line, and good files do not pay for it."""

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.reference import tried as trying
from modos.reference.annotations import parquet
from modos.reference.tried import try_once
from modos.storage.processes import children
from modos.storage.processes.children import Child
from tests.support.waiting import wait_until

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="this system says nothing of processes in /proc")


@pytest.fixture
def child():
    child = Child("builtins", "exec", 1 << 28, 60)
    yield child
    child.close()


@pytest.fixture
def untried(monkeypatch):
    """As in a process that has read no table yet."""
    monkeypatch.setattr(trying, "_known", set())


def number_of(child):
    return child._process.pid


@pytest.mark.parametrize(
    "end",
    [
        "import os; os.abort()",
        "import ctypes; ctypes.string_at(0)",
        "import os; os.kill(os.getpid(), 9)",
        "raise SystemExit(3)",
        "1 / 0",
        "import sys; sys.stderr.write('thread panicked'); import os; os._exit(1)",
    ],
)
def test_a_process_that_ends_is_one_line(child, end, capfd):
    """Of the class of damage, with the name of what was read; what the process says of its own is said nowhere, and the next one works."""
    with pytest.raises(
        IntegrityError, match="^x.parquet is damaged, or takes more memory than there is: a process that read it ended "
    ) as found:
        child.call(end, "x.parquet")
    assert found.value.exit_code == 6 and capfd.readouterr() == ("", "")
    child.call("pass", "y.parquet")


@needs_proc
def test_memory_is_limited(child):
    """By what it may have beyond what it has: 256 MiB here."""
    child.call("bytearray(100 << 20)", "x")
    number = number_of(child)
    with pytest.raises(IntegrityError, match="is damaged, or takes more memory than it may"):
        child.call("bytearray(1 << 30)", "x")
    child.call("bytearray(100 << 20)", "x")
    assert number_of(child) == number
    with pytest.raises(IntegrityError, match="^x is damaged, or takes more memory than there is"):
        child.call("import polars; polars.Series([0]).new_from_index(0, 1 << 40)", "x")  # which aborts, as libraries in Rust do


def test_time_is_limited():
    """Also where the library never comes back to Python."""
    child = Child("builtins", "exec", 1 << 28, 2)
    with pytest.raises(IntegrityError, match=r"^x is damaged: to read it takes more than 2 s \(restore it from its source\)$"):
        child.call("import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass", "x")
    child.close()


def test_errors_of_ours_come_as_they_are(child):
    with pytest.raises(InvalidInputError, match=r"^no table \(give one\)$") as found:
        child.call("from modos.errors import InvalidInputError; raise InvalidInputError('no table', 'give one')", "x")
    assert found.value.hint == "give one"


def test_one_process_for_all_calls(child):
    """It is kept, starts anew where somebody ended it, and leaves Control-C to its parent."""
    child.call("pass", "x")
    number = number_of(child)
    for _ in range(5):
        child.call("print('to nobody')", "x")
    os.kill(number, signal.SIGINT)
    child.call("pass", "x")
    assert number_of(child) == number
    os.kill(number, signal.SIGKILL)
    child.call("pass", "x")
    assert number_of(child) != number


def test_a_process_without_work_ends(child, monkeypatch):
    """And the next call starts one."""
    monkeypatch.setattr(children, "_IDLE", 1.0)
    child.call("pass", "x")
    assert child._process.wait(60) == 0
    child.call("pass", "x")


@needs_proc
def test_a_process_ends_with_its_parent():
    """Also where that was killed."""
    code = (
        "from modos.storage.processes.children import Child\nimport os\nchild = Child('builtins', 'exec', 1 << 30, 60)\nchild.call('pass', 'x')\n"
        "print(child._process.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    number = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout)

    def is_gone():
        try:
            return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(is_gone, tell=lambda: "it is still there")


def test_a_fork_has_a_process_of_its_own(child):
    """Two that wrote into one pipe would have each other's answers."""
    child.call("pass", "x")
    number, (read, write) = number_of(child), os.pipe()
    fork = os.fork()
    if not fork:
        child.call("pass", "x")
        os.write(write, f"{number_of(child)}".encode())
        child.close()
        os._exit(0)
    os.waitpid(fork, 0)
    assert os.read(read, 20) != f"{number}".encode()
    child.call("pass", "x")
    assert number_of(child) == number


def test_no_process_can_be_started():
    """It says so; nothing is called damaged."""
    child = Child("modos.nothing_of_this_name", "x", 1 << 30, 60)
    with pytest.raises(ModosError, match="no process can be started for what may be damaged: .*No module named") as found:
        child.call("pass", "x")
    assert found.value.exit_code == 1


def panicking(path):
    """A table whose sizes are all right, and whose first column refers to a name that is not there: polars panics, and says so on stderr."""
    pl.DataFrame({"contig": ["a", "b"] * 50, "start": range(100), "end": range(1, 101)}).write_parquet(
        path, compression="uncompressed", statistics=False
    )
    data = bytearray(path.read_bytes())
    data[49] = 255
    path.write_bytes(data)
    parquet.check_parquet(path)
    return bytes(data)


def test_a_table_over_which_the_library_panics(tmp_path, untried, capfd):
    """One line with its name; the library's own lines are not to be seen."""
    data = panicking(tmp_path / "a.parquet")
    with pytest.raises(IntegrityError, match="a.parquet is damaged"):
        try_once(tmp_path / "a.parquet", sha256(data).hexdigest())
    assert capfd.readouterr() == ("", "")


def test_a_table_of_a_store_over_which_the_library_panics(tmp_path):
    """On the command line: exit code 6, one error, nothing of threads that panicked."""
    run = [sys.executable, "-c", "from modos.cli import main; main()", "reference"]
    (tmp_path / "a.fa").write_text(">c\nACGTacgtACGT\n")
    (tmp_path / "a.gff3").write_text("##gff-version 3\nc\tx\tgene\t1\t9\t.\t+\t.\tID=g\n")
    subprocess.run(
        [*run, "add", "x", tmp_path / "a.fa", "--gff3", tmp_path / "a.gff3", "--annotation", "y", "--store", tmp_path / "refs"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    manifest = next((tmp_path / "refs").rglob("manifest.json"))
    data, said = panicking(manifest.parent / "gene.parquet"), json.loads(manifest.read_text())
    said["tables"]["gene"] |= {"file": "gene.parquet", "size": len(data), "sha256": sha256(data).hexdigest()}
    manifest.write_text(json.dumps(said))
    done = subprocess.run(
        [*run, "features", "y", "c:1-8", "--store", tmp_path / "refs"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 6 and "panicked" not in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {manifest.parent / 'gene.parquet'} is damaged") and done.stderr.count("error:") == 1


def test_a_table_is_tried_once(tmp_path, untried, monkeypatch):
    """On a machine, not in each process; others may not say that it was."""
    path, digest = tmp_path / "a.parquet", "ab" * 32
    pl.DataFrame({"a": [1, 2]}).write_parquet(path)
    assert try_once(path, digest) == path
    monkeypatch.setattr(trying, "_known", set())
    monkeypatch.setattr(trying._child, "call", lambda *_: pytest.fail("it was tried again"))
    try_once(path, digest)
    monkeypatch.setattr(trying, "_known", set())
    calls = []
    monkeypatch.setattr(trying._child, "call", lambda *given: calls.append(given))
    (tmp_path / "state" / "modos" / "tables").chmod(0o777)
    try_once(path, digest)
    assert len(calls) == 1


def test_text_of_a_column_that_is_said_once(tmp_path, monkeypatch):
    """A name of 1 MB and many numbers that refer to it are a small file, and much text in Python."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": ["x" * 1_000_000] * 20}).write_parquet(path, compression="zstd")
    assert path.stat().st_size < 10_000
    parquet.try_table(str(path))
    monkeypatch.setattr(parquet, "MAX_COLUMN", 10_000_000)
    with pytest.raises(
        InvalidInputError,
        match="a.parquet has a column with 20,000,000 bytes of text, more than the 10,000,000 that a table may have",
    ):
        parquet.try_table(str(path))
