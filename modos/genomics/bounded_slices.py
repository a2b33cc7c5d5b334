"""Cut a file to regions and to bounds: a complete stream of exactly the records that may be given.

Records are those that overlap the wanted regions and the allowed ones, as
samtools and bcftools select them, each once and in the file's order. **A record
is given whole**, as samtools gives it: the bases of one at the edge of an allowed
region that lie beyond the edge are given, too.

What of a record locates outside of the allowed regions is taken away
(`Bounds.is_masking`): see `exact.elsewhere` for reads, `exact.variant_places`
for variants. Other samples are cut: see `exact.read_header`,
`exact.variant_header` and `exact.variant_info`. A record that cannot be parsed
is not given out: the stream ends in an error.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from modos.errors import ConflictError, IntegrityError, InvalidInputError
from modos.formats import BGZF_EOF, FORMATS, FileFormat, streamable_format
from modos.genomics.bounding import Bounds
from modos.genomics.exact.blocks import iter_batches
from modos.genomics.exact.decoding import decode_header, decode_reads
from modos.genomics.exact.left_out import combine
from modos.genomics.exact.permitted import Places
from modos.genomics.exact.raw_parts import PART, Stretch, find_stretches
from modos.genomics.exact.read_editor import Order, ReadEditor
from modos.genomics.exact.read_header import cut_header, find_groups
from modos.genomics.exact.variant_cut import find_samples, prepare_variants
from modos.genomics.exact.weaving import Edit, Edited, weave
from modos.genomics.file import FindReference
from modos.genomics.htsget.protocol import HtsgetError
from modos.genomics.htsget.query import Query
from modos.genomics.index import Opening, open_stream
from modos.genomics.index.bgzf import compress
from modos.genomics.index.layout import Layout, layout_of
from modos.genomics.planning import WORKERS, Planner, iter_plan
from modos.genomics.region import UNMAPPED, Regions
from modos.genomics.slicing import THREADS
from modos.storage import ObjectInfo, Readable

_WHOLE = 1 << 62  # bytes of a chunk that is not split
_INLINE = 8 << 20  # bytes of small chunks, each read at once with its edges
_BAM, _CRAM = FORMATS["BAM"], FORMATS["CRAM"]


class Slice:
    """A file that is made for somebody.

    Attributes
    ----------
    format
        Name of its format: BAM, BCF or VCF (in BGZF).
    regions
        What was cut to, in the order of the file; None for all of it.
    samples
        Those whose data are given; None for all that the file has.
    records
        How many records were given out, as the pieces are gone through; None
        where parts of the file pass without being looked at.
    tag
        Tag of the file that it is cut from.
    pieces
        Its bytes, to be gone through once: header, records and end marker, or
        an error in the place of the rest. Closing it ends what is under way.
    """

    def __init__(self, format: str, regions: Regions | None):
        self.format = format
        self.regions = regions
        self.tag: str | None = None
        self.samples: frozenset[str] | None = None
        self.records: int | None = 0
        self.pieces: Generator[bytes, None, None] = _iter_nothing()

    def _count(self, records: int) -> None:
        if self.records is not None:
            self.records += records


def _iter_nothing() -> Generator[bytes, None, None]:
    yield from ()


@dataclass(frozen=True)
class _Job:
    """A file to cut, and for whom."""

    storage: Readable
    planner: Planner
    key: str
    format: FileFormat
    bounds: Bounds
    query: Query | None
    reference: FindReference
    workers: int
    threads: int

    @property
    def is_free(self) -> bool:
        """Return whether all of each record may be given, and is wanted."""
        return replace(self.bounds, is_masking=True) == Bounds() and not (self.query and self.query.is_partial)


def cut_file(
    storage: Readable,
    planner: Planner,
    key: str,
    regions: Regions | None,
    bounds: Bounds,
    *,
    format: str | None = None,
    header_only: bool = False,
    query: Query | None = None,
    reference: FindReference = lambda regions, progress: None,
    workers: int = WORKERS,
    threads: int = THREADS,
) -> Slice:
    """Cut a file to what is wanted of it and what may be given.

    Parameters
    ----------
    key
        A BAM, BCF, VCF or CRAM; a CRAM is given as BAM.
    regions
        What is wanted, 0-based half-open, by the names of contigs that the
        file has; None for all that is allowed. Contigs of the bounds that the
        file lacks have no records.
    bounds
        What may be given. `Bounds()` gives exactly the records that overlap
        the regions, unchanged.
    format
        The format that is asked for; None for that which the file is given in.
    query
        Fields and tags that are wanted: all others are left out, too.
    reference
        Finds the FASTA that a CRAM is decoded with, as `GenomicFile` takes it.
    workers
        Parts of the file that are read at once.
    threads
        How many threads decompress, edit, and compress.

    Raises
    ------
    HtsgetError
        The file is not given in that format (UnsupportedFormat), or has no
        sample that may be given (PermissionDenied).
    NotFoundError
        No such file, no index, or, without bounds on regions, no such contig.
    InvalidInputError, IntegrityError
        As `Planner.plan`; IntegrityError also from `pieces`, where records are
        damaged or not sorted.
    ConflictError
        The file is not any more what it was; also from `pieces`.
    """
    own = streamable_format(key)
    given = _BAM if own == _CRAM else own
    if format is not None and format != given.name:
        raise HtsgetError("UnsupportedFormat", f"{key} is given as {given.name}, not as {format[:50]}")
    job = _Job(storage, planner, key, own, bounds, query, reference, workers, threads)
    meant = _find_regions(job, regions)
    cut = Slice(given.name, meant)
    info, opening = _open_header(job)
    cut.tag = (info or planner.plan_header(key).info).etag
    header, edit, cut.samples = _prepare(job, given, opening, meant)
    body: Iterator[bytes] = iter(())
    if not header_only and meant != ():
        body = _decode(job, cut, opening, edit) if info is None else _cut(job, cut, info, opening, edit)
    cut.pieces = _iter_pieces(job, header, body)
    return cut


def _find_regions(job: _Job, wanted: Regions | None) -> Regions | None:
    """Find what is wanted and allowed, in the order of the file; of bounds only what is on its contigs."""
    meant = job.bounds.cut(wanted)
    if meant is None:
        return None
    names = (*job.planner.contigs(job.key), *((UNMAPPED,) if job.format.kind == "reads" else ()))
    order = {name: number for number, name in enumerate(names)}
    if job.bounds.regions is not None:
        meant = tuple(region for region in meant if region.contig in order)
    return tuple(sorted(meant, key=lambda region: (order.get(region.contig, len(order)), region.start)))


def _open_header(job: _Job) -> tuple[ObjectInfo | None, Opening]:
    if job.format == _CRAM:
        return None, open_stream(_BAM, decode_header(job.storage, job.planner, job.key))
    plan = job.planner.plan_header(job.key)
    return plan.info, open_stream(job.format, iter_plan(job.storage, plan, job.workers))


def _prepare(job: _Job, given: FileFormat, opening: Opening, meant: Regions | None) -> tuple[bytes, Edit, frozenset[str] | None]:
    """Return the header to give out, what edits the records, and the samples that are given where some are cut."""
    bounds = job.bounds
    if given != _BAM:
        if job.query and job.query.is_partial:
            raise InvalidInputError(f"{job.key} has variants: fields and tags are those of reads")
        samples = find_samples(given, opening, bounds)
        if samples is not None and not samples:
            raise no_sample_error(job.key)
        return *prepare_variants(given, opening, bounds, meant), samples
    numbers = opening.header.target_ids
    header = opening.header_bytes
    groups = None
    if bounds.samples is not None:
        plain = gzip.decompress(header)
        groups = find_groups(plain, bounds.samples)
        if not groups.names:
            raise no_sample_error(job.key)
        header = compress(cut_header(plain, groups))
    editor = ReadEditor(
        len(numbers),
        None if meant is None else Places(meant, numbers),
        Places(bounds.regions, numbers) if bounds.is_masking and bounds.regions is not None else None,
        None if groups is None else groups.names,
        gives_ungrouped=groups is not None and groups.is_all,
        blanking=combine(bounds, job.query),
        is_sorted=meant is not None and job.format != _CRAM,
        is_blind=bounds.hides_places,
    )
    return header, editor.edit, None if groups is None else groups.samples


def no_sample_error(name: str) -> HtsgetError:
    """Make the error for a file that has no sample that may be given."""
    return HtsgetError("PermissionDenied", f"no sample of {name} may be given")


def _iter_pieces(job: _Job, header: bytes, body: Iterator[bytes]) -> Generator[bytes, None, None]:
    yield header
    try:
        yield from body
    except HtsgetError:
        raise
    except (IntegrityError, InvalidInputError) as error:
        if job.key in error.message and isinstance(error, IntegrityError):
            raise
        kind = type(error) if isinstance(error, IntegrityError) else IntegrityError
        raise kind(f"{job.key}: {error.message}", error.hint) from None
    yield BGZF_EOF


def _decode(job: _Job, cut: Slice, opening: Opening, edit: Edit) -> Iterator[bytes]:
    """Return an iterator over the reads of a CRAM in BGZF blocks."""
    job.planner.plan(job.key, cut.regions)  # for its errors, before anything is given out
    layout, follow = layout_of(_BAM, opening), _follow(Order().follow, cut)

    def run() -> Iterator[bytes]:
        reads = decode_reads(job.storage, job.planner, job.key, cut.regions, job.reference)
        again = open_stream(_BAM, reads)
        if gzip.decompress(again.header_bytes) != gzip.decompress(opening.header_bytes):
            raise ConflictError(f"{job.key} was changed meanwhile", "ask anew")
        yield from _edit(job, again, layout, _BAM, edit, follow)

    return run()


def _cut(job: _Job, cut: Slice, info: ObjectInfo, opening: Opening, edit: Edit) -> Iterator[bytes]:
    """Return an iterator over the records in BGZF blocks."""
    found, chunks = job.planner.find_chunks(job.key, cut.regions, _WHOLE)
    if found.etag != info.etag:
        raise ConflictError(f"{job.key} was changed meanwhile", "ask anew")
    layout, follow = layout_of(job.format, opening), _follow(Order().follow, cut)

    def run() -> Iterator[bytes]:
        stretches = [Stretch(chunks, False)] if chunks else []
        if job.is_free:
            parts = job.planner.split_chunks(job.key, chunks, PART, info.etag)
            stretches = list(find_stretches(job.storage, info, layout, parts, cut.regions))
            if any(stretch.is_raw for stretch in stretches):
                cut.records = None
        for stretch in stretches:
            plan, header = job.planner.plan_chunks(job.key, stretch.chunks, info.etag, inline=_INLINE, workers=job.workers)
            pieces = iter_plan(job.storage, plan, job.workers)
            if stretch.is_raw:
                yield from pieces
            else:
                yield from _edit(job, Opening(replace(header, end=0), b"", pieces), layout, job.format, edit, follow)

    return run()


def _follow(order: Callable[[Edited], None], cut: Slice) -> Callable[[Edited], None]:
    def follow(edited: Edited) -> None:
        order(edited)
        cut._count(edited.records)

    return follow


def _edit(
    job: _Job, opening: Opening, layout: Layout, format: FileFormat, edit: Edit, follow: Callable[[Edited], None]
) -> Iterator[bytes]:
    return weave(iter_batches(opening, layout, format, job.threads), edit, follow, job.threads)
