"""Turn bytes into pysam records without a file in between.

htslib reads from a pipe that a thread fills, at the speed of a local file and
in constant memory. What the pipe cannot tell (a broken transport, a missing
end marker) is remembered by the thread and raised here, after the last record
at the latest.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from modos.errors import IntegrityError, InvalidInputError, NotFoundError, TruncatedStream, did_you_mean, listing
from modos.formats import FileFormat
from modos.genomics.index import open_stream
from modos.genomics.pipes import forget_end, open_pipe, write_all
from modos.genomics.region import UNMAPPED, Region, Regions
from modos.storage.processes.forking import check_same_process

if TYPE_CHECKING:
    from pysam import AlignedSegment

_PLACES = [b"required_fields=0x2e"]  # of htslib: flag, contig, position and CIGAR


def quiet_htslib() -> None:
    """Keep htslib from writing to stderr: what goes wrong is raised."""
    import pysam

    pysam.set_verbosity(0)


def without_end(format: FileFormat) -> FileFormat:
    """Return the format of a stream that has a header and no end marker."""
    return replace(format, eof_markers=())


def check_end(pieces: Iterable[bytes], format: FileFormat | None, name: str = "the stream") -> Iterator[bytes]:
    """Pass bytes on and raise TruncatedStream where they do not end with the format's end marker."""
    markers = format.eof_markers if format else ()
    keep = max((len(marker) for marker in markers), default=0)
    tail = b""
    for piece in pieces:
        tail = piece[-keep:] if len(piece) >= keep else (tail + piece)[-keep:]
        yield piece
    if format and markers and not tail.endswith(markers):
        raise TruncatedStream(
            f"{name} is truncated: it does not end with the end marker of a {format.name} file", "fetch or make the file again"
        )


@contextmanager
def translate_text_errors(name: str) -> Iterator[None]:
    """Raise IntegrityError where a header that htslib has taken is no text for Python."""
    try:
        yield
    except UnicodeDecodeError:
        raise IntegrityError(
            f"the header of {name} is no UTF-8 text", "write it anew (samtools reheader, bcftools reheader)"
        ) from None


def header_lines(header: Any, kind: str, name: str) -> list[dict[str, str]]:
    """Return the fields of the header lines of a kind (`SQ`, `RG`) of a BAM or CRAM; pysam itself refuses some that htslib takes.

    Raises
    ------
    IntegrityError
        It is no text.
    """
    with translate_text_errors(name):
        lines = str(header).split("\n")
    return [
        dict(field.partition(":")[::2] for field in line.rstrip("\r").split("\t")[1:])
        for line in lines
        if line.startswith(f"@{kind}\t")
    ]


def contig_lines(header: Any, name: str) -> dict[str, dict[str, str]]:
    """Return the fields of the contigs in pysam's header of a VCF or BCF; its `contigs` fails where numbers are left out (IDX).

    Raises
    ------
    IntegrityError
        It is no text.
    """
    with translate_text_errors(name):
        lines = [dict(record) for record in header.records if record.key == "contig"]
    return {line["ID"]: line for line in lines if "ID" in line}


def check_header(pieces: Iterator[bytes], format: FileFormat, name: str) -> Iterator[bytes]:
    """Pass bytes on once their header is seen to be one: htslib would read one without end until the memory is full.

    Raises
    ------
    IntegrityError
        It is none, or larger than 256 MiB.
    """
    try:
        opening = open_stream(format, pieces)
    except (InvalidInputError, IntegrityError) as error:
        if name in error.message:
            raise
        kind = type(error) if isinstance(error, IntegrityError) else IntegrityError
        raise kind(f"cannot decode {name}: {error.message}", error.hint) from None
    yield from opening.pieces


class _Feeder(threading.Thread):
    """Writes pieces into a pipe; keeps the error that ended it early."""

    def __init__(self, pieces: Iterator[bytes], descriptor: int):
        super().__init__(name="modos-feeder", daemon=True)
        self._pieces = pieces
        self._descriptor = descriptor
        self.error: BaseException | None = None

    def run(self) -> None:
        pieces, self._pieces = self._pieces, iter(())  # whose threads and connections end when it is let go
        try:
            for piece in pieces:
                write_all(self._descriptor, piece)
        except BrokenPipeError:
            pass  # the reader has seen enough
        except BaseException as error:
            self.error = error
        finally:
            forget_end(self._descriptor)
            os.close(self._descriptor)
            if close := getattr(pieces, "close", None):
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
    samples
        The samples of a VCF or BCF to decode; all where it is None.
    places_only
        Decode of reads only where they lie, and their flags; a CRAM needs no
        reference then.

    Raises
    ------
    NotFoundError
        No such sample.
    ModosError
        While opening or iterating: what the stream raised, TruncatedStream
        where its end is missing, IntegrityError where it cannot be decoded.
    """

    def __init__(
        self,
        pieces: Iterable[bytes],
        format: FileFormat,
        reference_filename: str | Path | None = None,
        name: str = "the stream",
        samples: Iterable[str] | None = None,
        places_only: bool = False,
    ):
        self.format = format
        self._name = name
        self._header: Any = None
        self._regions: Regions | None = None
        self._read_end, write_end = open_pipe()
        self._home = os.getpid()
        self._feeder = _Feeder(check_end(pieces, format, name), write_end)
        self._feeder.start()
        self._file: Any = None
        try:
            self._file = _open(self._read_end, format, reference_filename, _PLACES if places_only else None)
        except (OSError, ValueError, TypeError) as error:
            with suppress(OSError):
                os.close(self._read_end)
            self._fail(error)
        self._header = self._file.header
        if samples is not None:
            try:
                with translate_text_errors(name):
                    self._file.subset_samples(check_samples(samples, self._file.header.samples, name))
            except BaseException:
                self.close()
                raise

    @property
    def header(self) -> Any:
        """Pysam's header object."""
        return self._file.header

    @property
    def contigs(self) -> tuple[str, ...]:
        """Names of the reference sequences in the header."""
        if self.format.kind == "variants":
            return tuple(contig_lines(self._file.header, self._name))
        with translate_text_errors(self._name):
            return tuple(self._file.references)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over all records; raise after the last one if the stream was not complete."""
        try:
            yield from self._file.fetch(until_eof=True) if self.format.kind == "reads" else self._file
        except (OSError, ValueError) as error:
            check_same_process(self._home)
            self._fail(error)
        check_same_process(self._home)
        self._feeder.join()
        if self._feeder.error:
            raise self._feeder.error

    def iter_overlapping(self, regions: Regions | None, after: Region | None = None) -> Iterator[Any]:
        """Iterate over the reads that overlap some regions and no others, as samtools selects them.

        Parameters
        ----------
        regions
            Apart from each other; None for all records.
        after
            A region before these, whose records are left out.
        """
        records, self._regions = iter(self), regions
        if regions is None:
            return records
        number_of = self._file.get_tid
        numbered = [(-1, -1, r.limit) if r.contig == UNMAPPED else (number_of(r.contig), r.start, r.limit) for r in regions]
        if len(numbered) == 1 and after is None:
            return _iter_region_reads(records, *numbered[0])
        overlaps = _overlap(numbered, (number_of(after.contig), after.start, after.limit) if after else None)
        return (record for record in records if overlaps(record.reference_id, record.reference_start, _end_of_read(record)))

    def close(self) -> None:
        """Stop reading; ends the thread that feeds."""
        forget_end(self._read_end)
        self._read_end = -1
        if self._file is not None:
            with suppress(OSError, TypeError):  # htslib cannot seek in a pipe and says so
                self._file.close()
        self._feeder.join()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fail(self, error: Exception) -> NoReturn:
        """Raise the reason behind what htslib complains about."""
        self.close()
        if self._feeder.error:
            raise self._feeder.error from None
        if self.format.name == "CRAM":
            raise IntegrityError(
                f"cannot decode {self._name}: {self._references()} was not found, or the file is damaged",
                "give the FASTA it was made with (-T, reference_filename), add it to a store (modos reference add), "
                "or set REF_PATH",
            ) from error
        raise IntegrityError(f"cannot decode {self._name}: it is damaged, or not {self.format.name} ({error})") from error

    def _references(self) -> str:
        """Return the reference sequences of the file, with their MD5s."""
        try:
            lines = header_lines(self._header, "SQ", self._name) if self._header else []
        except IntegrityError:
            lines = []
        wanted = {region.contig for region in self._regions or ()}
        named = [
            f"{line['SN']} (MD5 {line.get('M5', 'unknown')})"
            for line in lines
            if "SN" in line and (not wanted or line["SN"] in wanted)
        ]
        return f"the reference of {listing(named, 3)}" if named else "its reference"


def check_samples(wanted: Iterable[str], known: Iterable[str], name: str) -> list[str]:
    """Return the wanted samples; raise NotFoundError if a file lacks one, InvalidInputError if one is named twice."""
    wanted, known = list(wanted), list(known)
    if twice := [sample for sample, times in Counter(wanted).items() if times > 1]:
        raise InvalidInputError(f"samples are named twice: {listing(twice)}", "name each once")
    there = set(known)
    for sample in wanted:
        if sample not in there:
            near = did_you_mean(sample, known)
            raise NotFoundError(
                f"{name} has no sample {sample}", f"did you mean {near}?" if near else f"it has {listing(known) or 'none'}"
            )
    return wanted


def _iter_region_reads(records: Iterator[AlignedSegment], target: int, start: int, end: int) -> Iterator[AlignedSegment]:
    """Iterate over the reads of one region; look up where a read ends only for those that start before it."""
    for record in records:
        if record.reference_id == target:
            position = record.reference_start
            if target == -1 or (position < end and (position >= start or _end_of_read(record) > start)):
                yield record


def _end_of_read(record: AlignedSegment) -> int:
    return record.reference_end or record.reference_start + 1


def _overlap(regions: list[tuple[int, int, int]], after: tuple[int, int, int] | None) -> Callable[[int, int, int], bool]:
    """Return whether [start, end) of a contig overlaps one of some regions, and not the one before them."""
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for contig, start, end in regions:
        starts.setdefault(contig, []).append(start)
        ends.setdefault(contig, []).append(end)

    def overlaps(contig: int, start: int, end: int) -> bool:
        if contig not in starts:
            return False
        at = bisect_right(ends[contig], start)
        if at == len(ends[contig]) or starts[contig][at] >= end:
            return False
        return after is None or contig != after[0] or start >= after[2] or end <= after[1]

    return overlaps


def _open(descriptor: int, format: FileFormat, reference_filename: str | Path | None, options: list[bytes] | None) -> Any:
    import pysam

    quiet_htslib()
    if format.kind == "reads":
        reference = str(reference_filename) if reference_filename else None
        return pysam.AlignmentFile(
            descriptor,
            "r",
            check_sq=False,
            reference_filename=reference,
            duplicate_filehandle=False,
            format_options=options,  # type: ignore[arg-type]  # it takes bytes
        )
    return pysam.VariantFile(descriptor, "r", duplicate_filehandle=False)
