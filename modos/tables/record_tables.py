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
from itertools import islice
from typing import Any, Protocol

import numpy as np

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import FORMATS
from modos.genomics import GenomicFile, RegionsLike, slicing
from modos.genomics.index import Opening, open_stream
from modos.genomics.index.layout import layout_of
from modos.genomics.index.vcf_header import header_text
from modos.genomics.slicing import Run
from modos.genomics.writer import OutputFormat, RecordWriter
from modos.storage.memory_files import open_memory
from modos.storage.prefetch import fetch_ahead
from modos.tables import arrow
from modos.tables.bcf_records import BcfRecords
from modos.tables.column_kinds import join_kinds
from modos.tables.declared import Declarations
from modos.tables.ragged import PADDING, Block, Ints
from modos.tables.read_batches import ReadBatches
from modos.tables.variant_batches import VariantBatches
from modos.tables.vcf_records import VcfRecords

_WORKERS, _DEPTH = 2, 3
_BAM = FORMATS["BAM"]
_DECODED = 4 << 20  # bytes of records that are decoded at once
_FIRST_RECORDS, _MOST_RECORDS = 100, 20_000  # of these


class Batches(Protocol):
    """Maker of batches of runs of records."""

    run_bytes: int

    @property
    def known(self) -> dict[str, str] | None:
        """The kinds of columns that records could decide; None where only they say it."""

    def decode(self, block: Block) -> Any:
        """Decode a run."""

    def kinds_in(self, decoded: Any) -> dict[str, str]:
        """Return the kinds of columns that a decoded run has said."""

    def find_kinds(self, block: Block) -> dict[str, str]:
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
        self._first: tuple[Batches, Iterator[Block]] | None = self._open()

    def read(self) -> Any:
        """Read all as a pyarrow.Table.

        Raises
        ------
        IntegrityError, RemoteError
            The stream is not complete, or damaged: there is no shorter table.
        """
        pa = arrow.load_pyarrow()
        batches, blocks = self._take()
        decoded = list(self._apply(batches.decode, blocks))
        kinds = batches.settle(_join_found(map(batches.kinds_in, decoded)))
        schema = batches.schema(kinds)
        return pa.Table.from_batches([batches.assemble(one, kinds, schema) for one in decoded], schema)

    def open(self) -> tuple[Any, Iterator[Any]]:
        """Return the schema, and an iterator of batches.

        Where only the records say which columns there are, or of what type,
        they are gone through twice.
        """
        batches, blocks = self._take()
        kinds = batches.known
        if kinds is None:
            kinds = _join_found(self._apply(batches.find_kinds, blocks))
            batches, blocks = self._open()
        settled = batches.settle(kinds)
        schema = batches.schema(settled)
        return schema, self._apply(lambda block: batches.assemble(batches.decode(block), settled, schema), blocks)

    def _take(self) -> tuple[Batches, Iterator[Block]]:
        """Take what was opened first; open it again the next time."""
        opened, self._first = self._first or self._open(), None
        return opened

    def _open(self) -> tuple[Batches, Iterator[Block]]:
        """Open the records of the regions, from the first one on."""
        name = self._file.format.name
        opening, runs = self._file.select(self._region) if name in slicing.FORMATS else _select_decoded(self._file, self._region)
        batches: Batches
        if self._file.format.kind == "reads":
            batches = ReadBatches(opening.header.contigs, self._columns)
        else:
            declared = Declarations.from_header(header_text(opening, self._file.format))
            if name == "BCF":
                read: Any = partial(BcfRecords, declared=declared, contigs=opening.header.target_ids)
            else:
                read = partial(VcfRecords, samples=len(declared.samples))
            batches = VariantBatches(read, declared, self._file.name, self._columns, self._samples, self._sample_rows)
        layout = layout_of(self._file.format if name in slicing.FORMATS else _BAM, opening)
        return batches, _join_runs(runs, batches.run_bytes, layout.starts)

    def _apply(self, work: Callable[[Block], Any], blocks: Iterator[Block]) -> Iterator[Any]:
        def apply(block: Block, _: threading.Event) -> Any:
            with self._named():
                return work(block)

        return fetch_ahead(apply, blocks, _WORKERS, _DEPTH)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in what is said of its records."""
        try:
            yield
        except IntegrityError as error:
            raise type(error)(f"{self._file.name}: {error.message}", error.hint) from None


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


def _join_runs(runs: Iterable[Run], size: int, find_starts: Callable[[bytes], list[int]]) -> Iterator[Block]:
    """Join runs of records up to a size."""
    held: list[memoryview | bytes] = []
    starts: list[Ints] = []
    length = 0
    for run in runs:
        is_small = len(run.data) * 8 < memoryview(run.data.obj).nbytes  # what it is part of would be kept with it
        held.append(run.data.tobytes() if is_small else run.data)
        known = run.starts or find_starts(run.data.tobytes())[:-1]
        starts.append(np.array(known, np.int64) + (length - run.origin))
        length += len(run.data)
        if length >= size:
            yield Block(b"".join([*held, bytes(PADDING)]), np.append(np.concatenate(starts), length))
            held, starts, length = [], [], 0
    if length:
        yield Block(b"".join([*held, bytes(PADDING)]), np.append(np.concatenate(starts), length))


def _select_decoded(file: GenomicFile, region: RegionsLike) -> tuple[Opening, Iterator[Run]]:
    """Select the records of a CRAM as those of a BAM, which htslib makes of them in memory."""
    records, header = file.fetch(region), file.header
    with open_memory() as memory:
        opening = _write_bam(header, (), memory)
    return opening, _iter_decoded(records, header)


def _iter_decoded(records: Iterator[Any], header: Any) -> Iterator[Run]:
    """Yield runs of records, some at a time; pysam closes a file only once all is written, and lets no thread read meanwhile."""
    count = _FIRST_RECORDS
    with open_memory() as memory:
        while some := list(islice(records, count)):
            size = 0
            for run in slicing.select(_write_bam(header, some, memory), _BAM, None):
                size += len(run.data)
                yield run
            count = min(max(count * _DECODED // max(size, 1), 1), _MOST_RECORDS)


def _write_bam(header: Any, records: Iterable[Any], memory: int) -> Opening:
    """Write records into a file in memory, and read the header back."""
    os.ftruncate(memory, 0)
    os.lseek(memory, 0, os.SEEK_SET)
    writer = RecordWriter(header, OutputFormat("BAM", compressed=False), memory)
    writer.write(records)
    writer.close()
    return open_stream(_BAM, iter([os.pread(memory, os.fstat(memory).st_size, 0)]))
