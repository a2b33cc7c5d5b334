"""Convert variants to another format, or select samples, with the `bcftools view` of pysam.

It runs in a process of its own, as it holds the interpreter's lock and reads
its input to the end. The output is that of bcftools 1.24, whichever version the
machine has.
"""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import IO

from modos.errors import IntegrityError, InvalidInputError, ModosError, listing
from modos.genomics.pipes import is_closed_pipe
from modos.genomics.writer import OutputFormat
from modos.storage.processes import children

_PROGRAM = "import sys; from pysam import bcftools; bcftools.view(*sys.argv[1:], catch_stdout=False)"
_MAX_MESSAGES = 1 << 20  # bytes
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
_UNWRITTEN = re.compile(r"\bwrit|\bclos|memory", re.IGNORECASE)  # htslib says of its output
_UNDECLARED = re.compile(
    r"(INFO|FORMAT|FILTER|contig|Contig) '([^'\n]{1,100})'[^\n]* is not defined in the header", re.IGNORECASE
)


def write_variants(
    pieces: Iterable[bytes],
    descriptor: int,
    output: OutputFormat,
    samples: Sequence[str] | None = None,
    *,
    name: str = "the stream",
    threads: int = 0,
) -> None:
    """Write a VCF or BCF as `bcftools view` does, with INFO as it is (`-I`).

    Where anything fails, the output has no end marker.

    Parameters
    ----------
    pieces
        The file, compressed or not, piece by piece.
    descriptor
        An open file or pipe; it stays open.
    samples
        Those to keep, in this order; all where it is None.
    name
        What to call the file in messages.
    threads
        How many threads compress.

    Raises
    ------
    BrokenPipeError
        Nobody reads the pipe any more.
    InvalidInputError
        The header does not declare all that is written.
    IntegrityError
        bcftools does not take what it reads.
    ModosError
        It cannot write, or was ended; or what the pieces raise.
    """
    arguments = ["--no-version", f"-O{_output_type(output)}", "--threads", str(threads)]
    with tempfile.TemporaryDirectory(prefix="modos-") as folder, tempfile.TemporaryFile() as messages:
        if samples is not None:
            path = f"{folder}/samples"
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{sample}\n" for sample in samples)
            arguments += ["-I", "-S", path]
        process = children.start(_PROGRAM, *arguments, "-", stdout=descriptor, stderr=messages)
        assert process.stdin
        try:
            _feed(process.stdin, pieces)
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            with suppress(OSError):
                process.stdin.close()
            raise
        if code:
            raise _reason(code, messages, descriptor, name, output)


def _output_type(output: OutputFormat) -> str:
    if output.name == "BCF":
        return "b" if output.compressed else "u"
    return "v" if output.is_text else "z" if output.compressed else "z0"


def _feed(pipe: IO[bytes], pieces: Iterable[bytes]) -> None:
    """Write all pieces; a process that has ended early says itself why."""
    for piece in pieces:
        try:
            pipe.write(piece)
        except BrokenPipeError:
            break
    with suppress(BrokenPipeError):
        pipe.close()


def _reason(code: int, messages: IO[bytes], descriptor: int, name: str, output: OutputFormat) -> Exception:
    if is_closed_pipe(descriptor):
        return BrokenPipeError()
    messages.seek(0)
    text = messages.read(_MAX_MESSAGES).decode("utf-8", "replace")
    if "No space left" in text:
        return ModosError("cannot write: No space left on device")
    undeclared = dict.fromkeys(f"{kind} {key}" for kind, key in _UNDECLARED.findall(text))
    if -code in _CRASHES:
        return IntegrityError(
            f"{name} is damaged: bcftools crashed (signal {-code}) while it wrote it as {output.name}",
            "stream it in its own format",
        )
    if code < 0:
        return ModosError(f"bcftools was ended by signal {-code} while it wrote {name} as {output.name}", "is there room for it?")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("[W::")]
    said = lines[-1].rpartition("stderr=")[2].strip("'") if lines else "it does not say why"
    reason = f"its header does not declare {listing(undeclared)}" if undeclared else said.removesuffix("\\n")
    message = f"bcftools cannot write {name} as {output.name}: {_printable(reason)}"
    if undeclared:
        return InvalidInputError(
            message, "declare what the header leaves out (bcftools annotate --header-lines), or stream the file in its own format"
        )
    if _UNWRITTEN.search(said):
        return ModosError(message, "is there room for it? else stream the file in its own format")
    return IntegrityError(message, "see what is wrong with it, or stream it in its own format")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:300]
