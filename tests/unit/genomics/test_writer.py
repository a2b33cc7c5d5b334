"""What writes records into a pipe does not wait for a thread that waits for it."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pysam
import pytest

from modos.genomics.writer import OutputFormat, RecordWriter

ROOT = Path(__file__).resolve().parents[3]
READS = 6000

# Writes reads into a pipe that a thread of the same process reads, which begins when the pipe is full and the last reads
# are in htslib's buffers; prints how many bytes came and that nothing waits any more.
_PROGRAM = """
import os, sys, threading, time
from tests.unit.genomics.test_writer import make_reads
from modos.genomics.writer import OutputFormat, RecordWriter
name, threads, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
header, reads = make_reads()
read_end, write_end = os.pipe()
begin = threading.Event()
def read():
    begin.wait()
    time.sleep(0.3)
    with open(path, "wb") as file:
        while data := os.read(read_end, 1 << 12):
            file.write(data)
thread = threading.Thread(target=read)
thread.start()
def write():
    writer = RecordWriter(header, OutputFormat(name, compressed=False), write_end, threads)
    def pass_on():
        for number, read in enumerate(reads):
            if number == int(sys.argv[4]):
                begin.set()
            yield read
    writer.write(pass_on())
    writer.close()
write()
os.close(write_end)
thread.join()
print("read to its end")
"""


def make_reads():
    """A header, and reads that no compression makes small."""
    chance = random.Random(7)
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 10**6}]})
    reads = []
    for number in range(READS):
        read = pysam.AlignedSegment(header)
        read.query_name = f"r{number}"
        read.reference_id, read.reference_start, read.mapping_quality = 0, number, 60
        read.query_sequence = "".join(chance.choices("ACGT", k=150))
        read.query_qualities = pysam.qualitystring_to_array("".join(chance.choices("!#%+5:?I", k=150)))
        read.cigarstring = "150M"
        reads.append(read)
    return header, reads


@pytest.mark.parametrize("threads", [0, 2, 4])
@pytest.mark.parametrize("name", ["SAM", "BAM", "CRAM"])
def test_the_last_reads_come_through_a_pipe_that_this_process_reads(name, threads, tmp_path):
    """pysam closes a file with the interpreter held, so a full pipe had both wait for ever."""
    path = tmp_path / "reads"
    # the reader begins when all reads are handed over (CRAM), or when the pipe would hold up the writer anyway
    begin = READS - 1 if name == "CRAM" else 100
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, name, str(threads), path, str(begin)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "read to its end\n"), done.stderr
    _, reads = make_reads()
    with pysam.AlignmentFile(path, check_sq=False) as file:
        assert [read.query_name for read in file.fetch(until_eof=True)] == [read.query_name for read in reads]


@pytest.mark.parametrize("threads", [0, 4])
def test_an_error_comes_through_while_a_pipe_is_full(threads):
    """What raised it is not waited for either, and no end marker is written."""
    program = _PROGRAM.replace(
        "            yield read\n", "            yield read\n        raise ValueError('no more')\n"
    ).replace("\nwrite()\n", "\ntry:\n    write()\nexcept Exception as error:\n    print(error)\n")
    done = subprocess.run(
        [sys.executable, "-c", program, "BAM", str(threads), os.devnull, "100"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "cannot write: no more\nread to its end\n", done.stderr


@pytest.mark.parametrize("name", ["SAM", "BAM", "CRAM"])
def test_a_file_goes_on_after_what_is_in_it(name, tmp_path):
    """What was left goes where the rest went, into a file that is open for more as well."""
    header, reads = make_reads()
    with open(tmp_path / "reads", "wb") as file:
        writer = RecordWriter(header, OutputFormat(name), file.fileno())
        writer.write(reads[:1000])
        writer.close()
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == os.path.getsize(tmp_path / "reads")
    with pysam.AlignmentFile(tmp_path / "reads") as found:
        assert sum(1 for _ in found.fetch(until_eof=True)) == 1000


@pytest.mark.parametrize("threads", [0, 2])
def test_a_reader_that_has_gone_is_told_at_the_end(threads):
    header, reads = make_reads()
    read_end, write_end = os.pipe()
    writer = RecordWriter(header, OutputFormat("BAM", compressed=False), write_end, threads)
    writer.write(reads[:10])
    os.close(read_end)
    with pytest.raises(BrokenPipeError):
        writer.close()
    os.close(write_end)


@pytest.mark.parametrize("threads", [0, 2])
def test_what_waits_to_be_read_from_a_socket_holds_nothing_up(threads):
    """Nor what somebody has typed at a terminal: it is not what is written there."""
    header, reads = make_reads()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"typed")
        writer = RecordWriter(header, OutputFormat("SAM"), ours.fileno(), threads)
        writer.write(reads[:10])
        done = threading.Thread(target=writer.close, daemon=True)
        done.start()
        done.join(60)
        assert not done.is_alive()
        ours.shutdown(socket.SHUT_WR)
        text = b"".join(iter(partial(theirs.recv, 1 << 16), b"")).decode()
    assert [line.split("\t")[0] for line in text.splitlines() if line[0] != "@"] == [f"r{n}" for n in range(10)]
