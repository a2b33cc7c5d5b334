"""Bytes of a genomic file to pysam records and back, without a file in between.

htslib reads from a pipe that a thread fills, at the speed of a local file and
in constant memory. What the pipe cannot tell (a broken transport, a missing
end marker) is remembered by the thread and raised here, after the last record
at the latest.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from modos.errors import IntegrityError, InvalidInputError, ModosError, TruncatedStream
from modos.formats import FileFormat
from modos.pipes import widen, write_all
from modos.region import UNMAPPED, Region


_samtools_turn = threading.Lock()  # pysam runs one samtools command at a time


def quiet_htslib() -> None:
    """Keep htslib from writing to stderr: what goes wrong is raised."""
    import pysam

    pysam.set_verbosity(0)


def check_end(pieces: Iterable[bytes], format: FileFormat | None, name: str = "the stream") -> Iterator[bytes]:
    """Pass bytes on and raise TruncatedStream where they do not end with the format's end marker."""
    markers = format.eof_markers if format else ()
    keep = max((len(marker) for marker in markers), default=0)
    tail = b""
    for piece in pieces:
        tail = piece[-keep:] if len(piece) >= keep else (tail + piece)[-keep:]
        yield piece
    if markers and not tail.endswith(markers):
        raise TruncatedStream(f"{name} is truncated: it does not end with the end marker of a {format.name} file",
                              "fetch or make the file again")


class _Feeder(threading.Thread):
    """Writes pieces into a pipe; keeps the error that ended it early."""

    def __init__(self, pieces: Iterator[bytes], descriptor: int):
        super().__init__(name="modos-feeder", daemon=True)
        self._pieces = pieces
        self._descriptor = descriptor
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for piece in self._pieces:
                write_all(self._descriptor, piece)
        except BrokenPipeError:
            pass  # the reader has seen enough
        except BaseException as error:
            self.error = error
        finally:
            os.close(self._descriptor)
            if close := getattr(self._pieces, "close", None):
                close()


class RecordReader:
    """pysam records from a stream of bytes, in file order.

    Parameters
    ----------
    pieces
        A complete BAM, CRAM, VCF or BCF, piece by piece.
    format
        Its format.
    reference_filename
        FASTA for a CRAM that needs one.
    name
        What to call it in messages.

    Raises
    ------
    ModosError
        While opening or iterating: what the stream raised, TruncatedStream
        where its end is missing, IntegrityError where it cannot be decoded.
    """

    def __init__(self, pieces: Iterable[bytes], format: FileFormat, reference_filename: str | Path | None = None,
                 name: str = "the stream"):
        self.format = format
        self._name = name
        read_end, write_end = os.pipe()
        widen(write_end)
        self._feeder = _Feeder(check_end(pieces, format, name), write_end)
        self._feeder.start()
        self._file = None
        try:
            self._file = _open(read_end, format, reference_filename)
        except (OSError, ValueError, TypeError) as error:
            with suppress(OSError):
                os.close(read_end)
            self._fail(error)

    @property
    def header(self) -> Any:
        """pysam's header object."""
        return self._file.header

    @property
    def contigs(self) -> tuple[str, ...]:
        """Names of the reference sequences in the header."""
        return tuple(self._file.references if self.format.kind == "reads" else self._file.header.contigs)

    def __iter__(self) -> Iterator[Any]:
        """All records; raises after the last one where the stream was not complete."""
        try:
            for record in self._file:
                yield record
        except (OSError, ValueError) as error:
            self._fail(error)
        self._feeder.join()
        if self._feeder.error:
            raise self._feeder.error

    def overlapping(self, region: Region | None) -> Iterator[Any]:
        """The records that overlap a region and no others, as samtools and bcftools select them."""
        records = iter(self)
        if region is None:
            return records
        return self._reads(records, region) if self.format.kind == "reads" else self._variants(records, region)

    def _reads(self, records: Iterator[Any], region: Region) -> Iterator[Any]:
        start, end = region.start, region.limit
        target = -1 if region.contig == UNMAPPED else self._file.get_tid(region.contig)
        for record in records:
            if record.reference_id != target:
                continue
            position = record.reference_start
            if target == -1 or (position < end and max(record.reference_end or 0, position + 1) > start):
                yield record

    def _variants(self, records: Iterator[Any], region: Region) -> Iterator[Any]:
        for record in records:
            if record.contig == region.contig and region.overlaps(record.start, record.stop):
                yield record

    def close(self) -> None:
        """Stop reading; ends the thread that feeds."""
        if self._file is not None:
            with suppress(OSError, TypeError):  # htslib cannot seek in a pipe and says so
                self._file.close()
        self._feeder.join()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fail(self, error: Exception) -> None:
        """Raise the reason behind what htslib complains about."""
        self.close()
        if self._feeder.error:
            raise self._feeder.error from None
        if self.format.name == "CRAM":
            raise IntegrityError(
                f"cannot decode {self._name}: its reference sequence was not found, or it is damaged",
                "give the FASTA it was made with (-T, reference_filename), or set REF_PATH",
            ) from error
        raise IntegrityError(f"cannot decode {self._name}: it is damaged, or not {self.format.name} ({error})") from error


def _open(descriptor: int, format: FileFormat, reference_filename: str | Path | None) -> Any:
    import pysam

    if format.kind == "reads":
        reference = str(reference_filename) if reference_filename else None
        return pysam.AlignmentFile(descriptor, "r", check_sq=False, reference_filename=reference,
                                   duplicate_filehandle=False)
    return pysam.VariantFile(descriptor, "r", duplicate_filehandle=False)


def write_records(reader: RecordReader, region: Region | None, descriptor: int, *, compress: bool) -> int:
    """Write the records of a region, in the reader's format; returns how many.

    Where anything fails, no end marker is written, so that the output cannot
    pass for a complete file.

    Parameters
    ----------
    descriptor
        An open file or pipe; it stays open.
    compress
        Compress BAM and BCF, as for a file; a pipe is faster without. CRAM is
        written with its bases, so that reading it takes no reference.

    Raises
    ------
    BrokenPipeError
        Nobody reads the pipe any more.
    """
    own = os.dup(descriptor)
    writer = _open_writer(reader, own, compress)
    count = 0
    try:
        for count, record in enumerate(reader.overlapping(region), 1):
            writer.write(record)
    except BaseException as error:
        _abandon(writer, own)
        if isinstance(error, (OSError, ValueError)) and not isinstance(error, ModosError):
            raise BrokenPipeError if _is_closed_pipe(descriptor) else ModosError(f"cannot write: {error}") from error
        raise
    try:
        writer.close()
    except OSError as error:
        raise ModosError(f"cannot write the last records: {error}") from error
    return count


_WRITE_MODES = {  # by format: compressed, uncompressed
    "BAM": ("wb", "wbu"),
    "BCF": ("wb", "wb0"),
    "VCF": ("wz", "wz"),
    "CRAM": ("wc", "wc"),
}


def _open_writer(reader: RecordReader, descriptor: int, compress: bool) -> Any:
    import pysam

    mode = _WRITE_MODES[reader.format.name][0 if compress else 1]
    if reader.format.kind == "variants":
        return pysam.VariantFile(descriptor, mode, header=reader.header, duplicate_filehandle=False)
    options = [b"version=3.0", b"no_ref=1"] if reader.format.name == "CRAM" else None
    return pysam.AlignmentFile(descriptor, mode, header=reader.header, format_options=options,
                               duplicate_filehandle=False)


def _abandon(writer: Any, descriptor: int) -> None:
    """Close a writer with its last bytes, the end marker among them, going nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
    with suppress(OSError):
        writer.close()


def _is_closed_pipe(descriptor: int) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def build_index(path: Path, format: FileFormat, folder: Path) -> Path:
    """Build the index of a coordinate-sorted file.

    Parameters
    ----------
    path
        The file.
    folder
        Where the index is written.

    Returns
    -------
    Path
        The index, named after the file with the ending its format has.

    Raises
    ------
    InvalidInputError
        The file cannot be indexed: not sorted, not BGZF, or damaged.
    """
    import pysam

    out = folder / (path.name + format.index_suffixes[0])
    commands = {
        "BAM": lambda: pysam.samtools.index("-o", str(out), str(path)),
        "CRAM": lambda: pysam.samtools.index("-o", str(out), str(path)),
        "VCF": lambda: pysam.bcftools.index("-t", "-o", str(out), str(path)),
        "BCF": lambda: pysam.bcftools.index("-o", str(out), str(path)),
        "FASTA": lambda: pysam.samtools.faidx("--fai-idx", str(out), str(path)),
    }
    verbosity = pysam.set_verbosity(0)
    try:
        with _samtools_turn:
            commands[format.name]()
    except (pysam.SamtoolsError, OSError) as error:
        out.unlink(missing_ok=True)
        reason = " ".join(str(error).split()).strip("'\"")
        raise InvalidInputError(f"{path} cannot be indexed: {reason[:300]}",
                                "sort it by coordinate and compress it with bgzip, or give its index beside it") from None
    finally:
        pysam.set_verbosity(verbosity)
    return out


def check_complete(path: Path, format: FileFormat) -> None:
    """Raise TruncatedStream where a file does not end with its format's end marker."""
    keep = max((len(marker) for marker in format.eof_markers), default=0)
    with open(path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - keep, 0))
        for _ in check_end([file.read()], format, str(path)):
            pass
