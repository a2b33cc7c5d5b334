"""Files that people name: all bytes come, in whatever pieces a pipe gives them, and nothing is read twice in silence."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import InvalidInputError, NotFoundError
from modos.formats.text import open_text, read_some
from modos.storage import given as given_files
from modos.storage.given import as_file, describe_source, has_name, is_pipe, open_given, read_given, refuse_pipe


@pytest.fixture
def fifo(tmp_path):
    """Makes a FIFO that gives bytes, in pieces."""
    writers = []

    def make(data, name="fifo", piece=7):
        path = tmp_path / name
        os.mkfifo(path)

        def write():
            try:
                with open(path, "wb", buffering=0) as file:
                    for at in range(0, len(data), piece):
                        file.write(data[at : at + piece])
            except BrokenPipeError:
                pass

        writers.append(threading.Thread(target=write, daemon=True))
        writers[-1].start()
        return path

    yield make
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()


@given(st.binary(max_size=200), st.lists(st.tuples(st.booleans(), st.integers(0, 60))))
def test_what_was_looked_at_is_read_all_the_same(tmp_path_factory, data, steps):
    """Any order of looks and reads gives the file's bytes, each as many as were asked for unless it ends."""
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    at = 0
    with open_given(path) as file:
        for is_look, count in steps:
            assert (file.peek if is_look else file.read)(count) == data[at : at + count]
            at += 0 if is_look else count
        assert file.read() == data[at:] and file.read(1) == b""


def test_a_fifo_gives_full_pieces(fifo):
    with open_given(fifo(bytes(range(256)))) as file:
        assert is_pipe(file.name) and file.peek(100) == bytes(range(100)) and file.read(200) == bytes(range(200))
        assert file.read(200) == bytes(range(200, 256)) and file.read(5) == b""


def test_a_pipe_that_does_not_wait_is_waited_for():
    """With O_NONBLOCK, which a neighbour may have set on a shared pipe, an empty pipe is not its end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write():
        for part in (b"one", b"two"):
            time.sleep(0.1)
            os.write(writing, part)
        os.close(writing)

    threading.Thread(target=write).start()
    with open_given(f"/dev/fd/{reading}") as file:
        os.set_blocking(file._file.fileno(), False)
        assert file.read(100) == b"onetwo"
    os.close(reading)


def test_compressed_text_through_a_fifo(fifo):
    text = b"".join(b"%d\n" % number for number in range(5000))
    counted = []
    packed = gzip.compress(text[:20_000]) + gzip.compress(text[20_000:])
    path = fifo(packed, piece=1000)
    with open_text(path, counted.append) as file:
        found = b"".join(iter(lambda: read_some(file, path, 999), b""))
    assert found == text and sum(counted) == len(packed)


def test_a_copy_is_private_and_gone_with_its_folder(fifo, tmp_path):
    (tmp_path / "copies").mkdir()
    path = fifo(b"x" * 5000, "x.fa", 1000)
    copy = as_file(path, tmp_path / "copies")
    assert open(copy, "rb").read() == b"x" * 5000 and str(copy) == str(path) and os.path.dirname(copy) == str(tmp_path / "copies")
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    plain = tmp_path / "plain"
    plain.write_bytes(b"y")
    with open_given(plain) as file:
        assert file.peek(1) == b"y" and as_file(file, tmp_path / "copies") == plain
    assert as_file(plain, tmp_path) == plain


def test_there_is_an_end_to_a_copy(fifo, tmp_path, monkeypatch):
    monkeypatch.setattr(given_files, "MAX_COPY", 2 << 20)
    with pytest.raises(InvalidInputError, match="is a pipe, and a copy .* cannot be kept .*large"):
        as_file(fifo(b"x" * (5 << 20), piece=1 << 20), tmp_path)


def test_the_end_of_a_disk(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    code = (
        "import tempfile, sys; from modos.storage.given import as_file\n"
        "tempfile.mkstemp = lambda *a, **k: (__import__('os').open('/dev/full', 1), '/dev/full')\nas_file('-', sys.argv[1])"
    )
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], input=b"x", capture_output=True)
    assert b"InvalidInputError" in result.stderr and b"No space left" in result.stderr


def test_small_files(fifo, tmp_path):
    assert read_given(fifo(b"x" * 1024), 1024) == b"x" * 1024
    with pytest.raises(InvalidInputError, match="larger than 1 KiB"):
        read_given(fifo(b"x" * 1025, "more"), 1024)
    with pytest.raises(NotFoundError, match="No such file"):
        read_given(tmp_path / "none", 10)
    with pytest.raises(NotFoundError, match="Is a directory"):
        read_given(tmp_path, 10)


def test_names(tmp_path):
    for path in ("-", "/dev/stdin", "/dev/fd/63", "/proc/self/fd/4", "/proc/12/fd/4"):
        assert not has_name(path) and describe_source(path) == "a pipe"
    assert has_name(tmp_path / "fd/63") and describe_source(tmp_path / "x.fa") == "x.fa"
    assert (
        is_pipe("-")
        and is_pipe("/dev/null")
        and not is_pipe(tmp_path)
        and not is_pipe(tmp_path / "none")
        and not is_pipe("s3://x/y")
    )
    refuse_pipe(tmp_path / "none", "it matters", "do so")
    with pytest.raises(InvalidInputError, match="stdin is a pipe, and it matters"):
        refuse_pipe("-", "it matters", "do so")


def test_a_closed_stdin():
    code = "from modos.storage.given import open_given\nopen_given('-')"
    result = subprocess.run(["bash", "-c", f'{sys.executable} -c "{code}" <&-'], capture_output=True)
    assert b"NotFoundError" in result.stderr and b"it is closed" in result.stderr
