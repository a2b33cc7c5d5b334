"""Write records to files and pipes in any format that htslib writes."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from typing import Any

from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.formats import RecordKind
from modos.genomics.pipes import is_closed_pipe, wait_until_empty, write_all
from modos.storage.memory_files import open_memory

RECORD_FORMATS: dict[str, RecordKind] = {"SAM": "reads", "BAM": "reads", "CRAM": "reads", "VCF": "variants", "BCF": "variants"}
_ENDINGS = {
    ".sam": ("SAM", False),
    ".bam": ("BAM", True),
    ".cram": ("CRAM", True),
    ".vcf": ("VCF", False),
    ".vcf.gz": ("VCF", True),
    ".vcf.bgz": ("VCF", True),
    ".bcf": ("BCF", True),
}
_PIECE = 1 << 20
_MODES = {  # by format: compressed, uncompressed
    "SAM": ("wh", "wh"),
    "BAM": ("wb", "wbu"),
    "CRAM": ("wc", "wc"),
}


@dataclass(frozen=True)
class OutputFormat:
    """A format that records are written in: SAM, BAM, CRAM, VCF or BCF.

    Parameters
    ----------
    compressed
        Whether BAM, VCF and BCF are; a pipe is faster without.
    blocks
        Whether a VCF that is not compressed comes in BGZF blocks all the
        same, for readers of a `.vcf.gz`; else it is text.
    """

    name: str
    compressed: bool = True
    blocks: bool = False

    @classmethod
    def from_name(cls, name: str, *, compressed: bool) -> OutputFormat:
        """Return the format of a name; raise InvalidInputError if there is none."""
        if name.upper() not in RECORD_FORMATS:
            raise InvalidInputError(f"{name} is not a format to write", f"choose {', '.join(RECORD_FORMATS).lower()}")
        return cls(name.upper(), compressed)

    @classmethod
    def from_path(cls, path: str) -> OutputFormat | None:
        """Return the format that a file name's ending says, or None."""
        found = [ending for ending in _ENDINGS if path.lower().endswith(ending)]
        return cls(*_ENDINGS[max(found, key=len)]) if found else None

    @property
    def kind(self) -> RecordKind:
        """Kind of its records."""
        return RECORD_FORMATS[self.name]

    @property
    def is_text(self) -> bool:
        """Return whether the format is text."""
        return self.name == "SAM" or (self.name == "VCF" and not self.compressed and not self.blocks)


class RecordWriter:
    """Writes reads into an open file or pipe, which stays open.

    Where anything fails, no end marker is written, so that the output cannot
    pass for a complete file.

    Parameters
    ----------
    header
        pysam's header object.
    threads
        How many threads compress, beside this one.
    """

    def __init__(self, header: Any, output: OutputFormat, descriptor: int, threads: int = 0):
        self._descriptor = descriptor
        self._threads = threads
        self._own = os.dup(descriptor)
        with redirect_stderr(io.StringIO()):  # pysam prints what it raises anyway
            self._file = _open(header, output, self._own, threads)

    def write(self, records: Iterable[Any]) -> None:
        """Write some records.

        Raises
        ------
        BrokenPipeError
            Nobody reads the pipe any more.
        IntegrityError
            One is damaged.
        ModosError
            They cannot be written; or what the records raise.
        """
        write, record = self._file.write, None
        try:
            for record in records:
                write(record)
        except BaseException as error:
            self._abandon()
            if isinstance(error, (OSError, ValueError)) and not isinstance(error, ModosError):
                raise self._reason(error, record) from error
            raise

    def close(self) -> None:
        """Write what is left, and the end marker; the same errors.

        pysam holds the interpreter while it does so. If a thread of this process reads the pipe, and it is full, each would
        wait for the other without end. So htslib writes what is left into memory, from where it goes on.
        """
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._close()
            return
        self._let_threads_write()
        with open_memory() as memory:
            os.dup2(memory, self._own, inheritable=False)
            self._close()
            os.lseek(memory, 0, os.SEEK_SET)
            while data := os.read(memory, _PIECE):
                write_all(self._descriptor, data)

    def _close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            self._abandon()
            raise self._reason(error) from error

    def _reason(self, error: Exception, record: Any = None) -> Exception:
        if is_closed_pipe(self._descriptor):
            return BrokenPipeError()
        if record is not None and _is_damaged(record):
            return IntegrityError("cannot write: a read is damaged", "get the file that it is of again")
        return ModosError(f"cannot write: {error}")

    def _let_threads_write(self) -> None:
        """Wait for the reader of a pipe, as long as a thread of htslib may: else pysam would wait for that thread."""
        if self._threads > 1:
            wait_until_empty(self._descriptor)

    def _abandon(self) -> None:
        """Close with the last bytes, the end marker among them, going nowhere."""
        self._let_threads_write()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._own)
        os.close(null)
        with suppress(OSError):
            self._file.close()


def _is_damaged(record: Any) -> bool:
    """Return whether a read has tags that htslib cannot make anything of."""
    try:
        record.to_string()
    except UnicodeDecodeError:
        return False
    except ValueError:
        return True
    return False


def _open(header: Any, output: OutputFormat, descriptor: int, threads: int) -> Any:
    import pysam

    mode = _MODES[output.name][0 if output.compressed else 1]
    # With its bases, so that reading it takes no reference.
    options = [b"version=3.0", b"no_ref=1"] if output.name == "CRAM" else None
    return pysam.AlignmentFile(
        descriptor,
        mode,
        header=header,
        duplicate_filehandle=False,
        threads=max(threads, 1),
        format_options=options,  # type: ignore[arg-type]  # it takes bytes
    )
