"""Make a CRAM of the bytes of a BAM, and a VCF of those of a BCF, piece by piece."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator

from modos.formats import BGZF_EOF, FORMATS
from modos.genomics.index.bgzf import compress
from modos.genomics.pipes import PIPE_BYTES, forget_end, open_pipe
from modos.genomics.reader import RecordReader
from modos.genomics.writer import OutputFormat, RecordWriter

_BATCH = 1 << 20  # characters of records that are compressed at once


def iter_as_cram(pieces: Generator[bytes, None, None], name: str) -> Generator[bytes, None, None]:
    """Iterate over the bytes of a CRAM, which needs no reference, with the reads of a BAM.

    Parameters
    ----------
    pieces
        A complete BAM; closed at the end.
    name
        What to call it in messages.

    Raises
    ------
    ModosError
        What the pieces raise, or a read cannot be decoded; the CRAM then has no end.
    """
    read_end, write_end = open_pipe()
    worker = _Worker(pieces, write_end, name)
    worker.start()
    try:
        while piece := os.read(read_end, PIPE_BYTES):
            yield piece
    finally:
        forget_end(read_end)
        os.close(read_end)
        worker.join()
        pieces.close()
    if worker.error:
        raise worker.error


def iter_as_vcf(pieces: Generator[bytes, None, None], name: str) -> Generator[bytes, None, None]:
    """Iterate over the bytes of a VCF, in BGZF blocks, with the header and the records of a BCF, as bcftools writes them.

    Parameters
    ----------
    pieces
        A complete BCF; closed at the end.
    name
        What to call it in messages.

    Raises
    ------
    ModosError
        What the pieces raise, or a record cannot be decoded; the VCF then has no end.
    """
    try:
        with RecordReader(pieces, FORMATS["BCF"], name=name) as reader:
            lines, size = [str(reader.header)], 0
            for record in reader:
                lines.append(str(record))
                size += len(lines[-1])
                if size > _BATCH:
                    yield compress("".join(lines).encode("utf-8", "surrogateescape"))
                    lines, size = [], 0
            yield compress("".join(lines).encode("utf-8", "surrogateescape"))
        yield BGZF_EOF
    finally:
        pieces.close()


class _Worker(threading.Thread):
    """Reads the BAM and writes the CRAM into a pipe; keeps the error that ended it early."""

    def __init__(self, pieces: Generator[bytes, None, None], descriptor: int, name: str):
        super().__init__(name="modos-remaking", daemon=True)
        self._pieces = pieces
        self._descriptor = descriptor
        self._source = name
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with RecordReader(self._pieces, FORMATS["BAM"], name=self._source) as reader:
                writer = RecordWriter(reader.header, OutputFormat("CRAM"), self._descriptor)
                writer.write(reader)
                writer.close()
        except BrokenPipeError:
            pass  # nobody reads it any more
        except BaseException as error:
            self.error = error
        finally:
            forget_end(self._descriptor)
            os.close(self._descriptor)
