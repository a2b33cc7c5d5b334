"""Read exactly the records of regions of a genomic file as Arrow tables.

Some runs of records are decoded at once, in their order, so that memory is
bounded: it takes a few runs, of 4 MB, or of up to 32 MB with many samples.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import FORMATS
from modos.genomics import GenomicFile, RegionsLike, slicing
from modos.genomics.index import Opening, open_stream
from modos.genomics.index.layout import layout_of
from modos.genomics.index.vcf_header import header_text
from modos.genomics.pipes import forget_end, open_pipe
from modos.genomics.slicing import Run
from modos.genomics.writer import OutputFormat
from modos.storage.prefetch import fetch_ahead
from modos.tables import arrow
from modos.tables.bcf_records import BcfRecords
from modos.tables.declared import Declarations
from modos.tables.kinds import join_kinds
from modos.tables.read_batches import ReadBatches
from modos.tables.variant_batches import VariantBatches
from modos.tables.vcf_records import VcfRecords

_WORKERS, _DEPTH = 2, 3
_READ = 1 << 20  # bytes taken from a pipe at once


class Batches(Protocol):
    """What makes batches of runs of records."""

    run_bytes: int

    @property
    def known(self) -> dict[str, str] | None:
        """The kinds of columns that records could decide; None where only they say it."""

    def decode(self, data: bytes) -> Any:
        """Decode a run."""

    def kinds_in(self, decoded: Any) -> dict[str, str]:
        """Return the kinds of columns that a decoded run has said."""

    def find_kinds(self, data: bytes) -> dict[str, str]:
        """Find the same in a run, without decoding more than that takes."""

    def settle(self, kinds: Mapping[str, str]) -> dict[str, str]:
        """Return the kinds of the columns by those that were found."""

    def schema(self, kinds: Mapping[str, str]) -> Any:
        """Return the schema of the batches."""

    def assemble(self, decoded: Any, kinds: Mapping[str, str], schema: Any) -> Any:
        """Make the batch of a decoded run."""


class RecordTable(arrow.ArrowTable):
    """The records of some regions of a genomic file, as a table.

    Parameters
    ----------
    file
        The file.
    region
        As `GenomicFile.fetch` takes it.
    columns
        Names of columns, as a list or separated by commas; None for all.
    samples
        The samples of variants, in the order of their columns; None for all;
        `rows` for all, each as a row of its own.
    sample_rows
        Whether each sample of a record is a row of its own.

    Raises
    ------
    InvalidInputError
        No such column; samples of reads; pyarrow is not installed.
    NotFoundError
        No such contig or sample.
    """

    def __init__(
        self,
        file: GenomicFile,
        region: RegionsLike = None,
        columns: Iterable[str] | str | None = None,
        *,
        samples: Iterable[str] | str | None = None,
        sample_rows: bool = False,
    ):
        arrow.load_pyarrow()
        self._file = file
        self._region = region if region is None or isinstance(region, str) else _keep(region)
        self._columns = columns if columns is None or isinstance(columns, str) else tuple(columns)
        if isinstance(samples, str):
            if samples != "rows":
                raise InvalidInputError(f"samples are a list of names, or 'rows', and not {samples!r}", f"samples=[{samples!r}]")
            samples, sample_rows = None, True
        self._samples = None if samples is None else tuple(samples)
        if file.format.kind == "reads" and (self._samples is not None or sample_rows):
            raise InvalidInputError(f"{file.name} has reads: samples are for VCF and BCF")
        self._sample_rows = sample_rows
        self._first: tuple[Batches, Iterator[Run]] | None = self._open()

    def read(self) -> Any:
        """Read all as a pyarrow.Table.

        Raises
        ------
        IntegrityError, RemoteError
            The stream is not complete, or damaged: there is no shorter table.
        """
        pa = arrow.load_pyarrow()
        batches, runs = self._take()
        decoded = list(self._decode(batches.decode, batches, runs))
        kinds = batches.settle(_join_found(map(batches.kinds_in, decoded)))
        schema = batches.schema(kinds)
        made = [batches.assemble(one, kinds, schema) for one in decoded]
        return pa.Table.from_batches(made, schema)

    def open(self) -> tuple[Any, Iterator[Any]]:
        """Return the schema, and an iterator of batches.

        Where only the records say which columns there are, or of what type,
        they are gone through twice.
        """
        batches, runs = self._take()
        kinds = batches.known
        if kinds is None:
            kinds = _join_found(self._decode(batches.find_kinds, batches, runs))
            batches, runs = self._open()
        kinds = batches.settle(kinds)
        schema = batches.schema(kinds)
        return schema, self._iter(batches, runs, kinds, schema)

    def _iter(self, batches: Batches, runs: Iterator[Run], kinds: dict[str, str], schema: Any) -> Iterator[Any]:
        return self._decode(lambda data: batches.assemble(batches.decode(data), kinds, schema), batches, runs)

    def _take(self) -> tuple[Batches, Iterator[Run]]:
        """Take what was opened first; open it again the next time."""
        opened, self._first = self._first or self._open(), None
        return opened

    def _open(self) -> tuple[Batches, Iterator[Run]]:
        name = self._file.format.name
        opening, runs = self._file.select(self._region) if name in slicing.FORMATS else _select_decoded(self._file, self._region)
        bam_or_own = self._file.format if name in slicing.FORMATS else FORMATS["BAM"]
        find_starts = layout_of(bam_or_own, opening).starts
        if self._file.format.kind == "reads":
            return ReadBatches(find_starts, opening.header.contigs, self._columns), runs
        declared = Declarations.from_header(header_text(opening, self._file.format))
        if name == "BCF":
            read: Any = partial(_read_bcf, find_starts, declared, opening.header.target_ids)
        else:
            read = partial(VcfRecords, samples=len(declared.samples))
        return VariantBatches(read, declared, self._file.name, self._columns, self._samples, self._sample_rows), runs

    def _decode(self, work: Any, batches: Batches, runs: Iterator[Run]) -> Iterator[Any]:
        def decode(data: bytes, _: threading.Event) -> Any:
            with self._named():
                return work(data)

        return fetch_ahead(decode, _join_runs(runs, batches.run_bytes), _WORKERS, _DEPTH)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in what is said of its records."""
        try:
            yield
        except IntegrityError as error:
            raise type(error)(f"{self._file.name}: {error.message}", error.hint) from None


def _read_bcf(
    find_starts: Callable[[bytes], list[int]], declared: Declarations, contigs: Mapping[str, int], data: bytes
) -> BcfRecords:
    *starts, _ = find_starts(data)
    return BcfRecords(data, starts, declared, contigs)


def _join_found(found: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return the kinds of columns that hold all that was found in some runs."""
    kinds: dict[str, set[str]] = {}
    for one in found:
        for name, kind in one.items():
            kinds.setdefault(name, set()).add(kind)
    return {name: join_kinds(several) for name, several in kinds.items()}


def _keep(region: Any) -> Any:
    """Keep several regions, which may come from an iterator, to be asked for twice."""
    return tuple(region) if not hasattr(region, "contig") else region


def _join_runs(runs: Iterable[Run], size: int) -> Iterator[bytes]:
    """Join runs of records up to a size."""
    held: list[memoryview] = []
    length = 0
    for run in runs:
        held.append(run.data)
        length += len(run.data)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if length:
        yield b"".join(held)


def _select_decoded(file: GenomicFile, region: RegionsLike) -> tuple[Opening, Iterator[Run]]:
    """Select the records of a CRAM as those of a BAM, which htslib makes of them in memory."""
    bam = FORMATS["BAM"]
    opening = open_stream(bam, _iter_written(file, region))
    return opening, slicing.select(opening, bam, None)


def _iter_written(file: GenomicFile, region: RegionsLike) -> Iterator[bytes]:
    """Yield what a thread writes of a file as BAM; raise what it raises."""
    read_end, write_end = open_pipe()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            file.write(write_end, region, OutputFormat("BAM", compressed=False))
        except BrokenPipeError:
            pass  # nobody reads on
        except BaseException as error:
            failed.append(error)
        finally:
            forget_end(write_end)
            os.close(write_end)

    thread = threading.Thread(target=write, name="modos-table", daemon=True)
    thread.start()
    try:
        while data := os.read(read_end, _READ):
            yield data
        thread.join()
        if failed:
            raise failed[0]
    finally:
        forget_end(read_end)
        os.close(read_end)
        thread.join()
