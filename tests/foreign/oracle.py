"""samtools and bcftools of pysam (1.24) in a process of their own: what they say decides, and what kills them kills no test."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = """
import json, os, sys
import pysam, pysam.bcftools, pysam.samtools
answers = os.fdopen(os.dup(1), "w")
print("ready", file=answers, flush=True)
for line in sys.stdin:
    program, command, words, out = json.loads(line)
    target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(target, 1)
    os.close(target)
    error = None
    try:
        getattr(getattr(pysam, program), command)(*words, catch_stdout=False)
    except (pysam.SamtoolsError, OSError, UnicodeDecodeError) as failure:
        error = str(failure)
    print(json.dumps(error), file=answers, flush=True)
"""


_PATIENCE = 120  # seconds, of who waits for a program


class Refused(Exception):
    """The program says no, died, or has no end."""


@dataclass
class Oracle:
    """Runs commands, in one process for as long as none of them kills it."""

    folder: Path
    process: subprocess.Popen | None = None
    patience: float = _PATIENCE

    def run(self, program: str, command: str, *words: object) -> bytes:
        """What a command writes to its standard output.

        Raises
        ------
        Refused
            It ended with an error.
        """
        out = self.folder / "stdout"
        request = json.dumps([program, command, [str(word) for word in words], str(out)])
        process = self._running()
        try:
            process.stdin.write(request + "\n")
            process.stdin.flush()
            answer = process.stdout.readline() if select.select([process.stdout], [], [], self.patience)[0] else ""
        except BrokenPipeError:
            answer = ""
        if not answer:
            process.kill()
            process.wait()
            self.process = None
            raise Refused(f"{program} {command} died with {process.returncode}")
        error = json.loads(answer)
        if error is not None:
            raise Refused(error)
        return out.read_bytes()

    def lines(self, program: str, command: str, *words: object) -> list[str]:
        """The lines of its standard output."""
        return lines_of(self.run(program, command, *words))

    def _running(self) -> subprocess.Popen:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self.process.stdout.readline()  # its patience is for what it is asked
        return self.process


def lines_of(data: bytes) -> list[str]:
    """Lines as text, whatever bytes are in them."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return lines if lines[-1] else lines[:-1]


@contextmanager
def consulted() -> Iterator[Oracle]:
    """An oracle, and its end."""
    with tempfile.TemporaryDirectory() as folder:
        oracle = Oracle(Path(folder))
        try:
            yield oracle
        finally:
            if oracle.process is not None:
                oracle.process.stdin.close()
                oracle.process.wait(60)
