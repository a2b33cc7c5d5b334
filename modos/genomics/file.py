"""A genomic file, wherever it is, read by region."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError, RegionError
from modos.formats import BGZF_EOF, FileFormat
from modos.genomics import slicing
from modos.genomics.blanking import Blanking
from modos.genomics.htsget.query import Query
from modos.genomics.index import Opening, open_stream
from modos.genomics.index.vcf_header import header_text, sample_names, with_contigs
from modos.genomics.pipes import widen, write_all, write_parts
from modos.genomics.reader import (
    RecordReader,
    check_end,
    check_header,
    check_samples,
    contig_lines,
    header_lines,
    translate_text_errors,
    without_end,
)
from modos.genomics.region import UNMAPPED, Region, RegionLike, Regions, as_regions, settle, unknown_contig_error
from modos.genomics.slicing import Parts, Run
from modos.genomics.sources import Source, Stream
from modos.genomics.verification import check_blocks
from modos.genomics.writer import OutputFormat, RecordWriter
from modos.storage.base import Progress, report
from modos.storage.processes.forking import cached_property

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from modos.genomics.coverage import Coverage

RegionsLike = RegionLike | Iterable[RegionLike] | None

FindAliases = Callable[[], Mapping[str, Collection[str]]]
FindReference = Callable[["tuple[RegionLike, ...] | None", "Progress | None"], "str | None"]
FindGene = Callable[[str, "Mapping[str, tuple[int | None, str | None]]"], "Region | None"]
Result = TypeVar("Result")


class GenomicFile:
    """A BAM, CRAM, VCF or BCF that is streamed.

    Regions are text as samtools takes it (1-based inclusive), a Region
    (0-based half-open), or several of them; None is all of the file.

    Parameters
    ----------
    source
        Where its bytes come from.
    find_reference
        Gives the FASTA to decode regions of a CRAM with, or None; a progress is told of what it fetches for that.
    find_aliases
        Gives all names of each contig, by each of them, where the genome is known.
    hints
        The fields and tags of reads that are wanted; the others are left out,
        whether the source sends them or not.
    find_gene
        Gives the region of a gene, by its name, on contigs of which length
        and MD5 are given; None where no genes are known. It is asked for what
        is no contig of the file.

    Raises
    ------
    InvalidInputError
        Fields or tags of variants.

    Attributes
    ----------
    progress
        Is called with the numbers of bytes that arrive; None for nobody.
    size
        Bytes of the whole file, where they are recorded.
    reopen
        Opens the same again in another process, which pickling takes.
    """

    def __init__(
        self,
        source: Source,
        find_reference: FindReference = lambda regions, progress: None,
        find_aliases: FindAliases | None = None,
        hints: Query = Query(),
        find_gene: FindGene | None = None,
    ):
        self._blanking = Blanking.from_query(hints, source.format, source.name)
        self._source = source
        self._find_reference = find_reference
        self._find_aliases = find_aliases
        self._find_gene = find_gene
        self.progress: Progress | None = None
        self.size: int | None = None
        self.reopen: Callable[[], GenomicFile] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self.reopen is None:
            raise InvalidInputError(f"{self.name} cannot be pickled", "open it in each process")
        return self.reopen, ()

    def __repr__(self) -> str:
        return f"<{self.format.name} {self.name}>"

    def report_to(self, progress: Progress | None) -> GenomicFile:
        """Return the same file, whose streams call a progress with the numbers of bytes that arrive."""
        other = object.__new__(type(self))
        other.__dict__ |= {**vars(self), "progress": progress}
        return other

    @property
    def name(self) -> str:
        """Address of the file."""
        return self._source.name

    @property
    def format(self) -> FileFormat:
        """Format of the file."""
        return self._source.format

    @cached_property
    def header(self) -> Any:
        """Pysam's header object."""
        pieces = check_header(self._source.open_header(), self.format, self.name)
        with RecordReader(pieces, without_end(self.format), name=self.name) as reader:
            return reader.header.copy()

    def fetch(self, region: RegionsLike = None, samples: Iterable[str] | None = None) -> Iterator[Any]:
        """Fetch the records that overlap some regions, each once and in the file's order.

        Parameters
        ----------
        samples
            The samples of a VCF or BCF to decode; all where it is None. INFO
            stays as it is, also AC and AN, which are of all samples.

        Returns
        -------
        iterator of pysam.AlignedSegment or pysam.VariantRecord

        Raises
        ------
        NotFoundError
            No such contig or sample; by the call, not by the first record.
        RegionError, RemoteError, IntegrityError
            Also while iterating: a stream is complete, or it fails.
        """
        records = self._iter_records(self._resolve_regions(region), samples)
        next(records, None)
        return records

    def _iter_records(self, regions: tuple[RegionLike, ...] | None, samples: Iterable[str] | None) -> Iterator[Any]:
        """Yield None once the first record is known, then the records."""
        for number, (reader, records) in enumerate(self._readers(regions, samples)):
            with reader:
                if not number:
                    first = next(records, None)
                    yield None
                    if first is not None:
                        yield first
                yield from records

    def iter_bytes(self, region: RegionsLike = None, *, verify: bool = True) -> Iterator[bytes]:
        """Iterate over the bytes as served: whole records, with neighbours of the regions; complete, or an error.

        Parameters
        ----------
        verify
            Whether the checksums within the file are compared, if none is
            recorded of all of it; its readers compare them, too.

        Raises
        ------
        InvalidInputError
            The server has no single stream of several regions; or some fields
            or tags are not wanted.
        """
        if self._blanking:
            raise InvalidInputError(f"the bytes of {self.name} have all fields and tags", "ask for records (without --raw)")
        streams = self._open_streams(self._resolve_regions(region))
        first = next(streams)
        if next(streams, None) is not None:
            raise InvalidInputError(
                f"{self.name} is not served with several regions as one stream",
                "ask for one region at a time, or for exact records (without --raw)",
            )
        pieces = check_blocks(first.pieces, self.format, self.name) if verify and not first.is_verified else first.pieces
        return check_end(report(pieces, self.progress), self.format, self.name)

    def count(self, region: RegionsLike = None) -> int:
        """Count the records that overlap some regions."""
        if self.format.name in slicing.FORMATS:
            return sum(run.records for run in self._select(self._resolve_regions(region))[1])
        return sum(1 for _ in self.fetch(region))

    def resolve(self, region: RegionsLike) -> Regions | None:
        """Resolve regions, also names of genes, to places of the file: in its order, those that meet united; None for all of it.

        Raises
        ------
        NotFoundError
            Neither the header nor the index has the contig, and no annotation has such a gene.
        """
        regions = self._resolve_regions(region)
        return None if regions is None else self._attempt(regions, partial(_settle_known, self._source.contigs()))

    def find_contigs(self) -> list[Region]:
        """Find all that the file can have records on: the contigs of header and index and, of reads, `*`."""
        found = [Region(name) for name in self._source.contigs()]
        return [*found, Region(UNMAPPED)] if self.format.kind == "reads" else found

    def find_size(self, regions: Regions) -> int | None:
        """Find how many bytes of the file its index names for some regions; None where the index is not to be read."""
        return self._source.measure(regions)

    def select(self, region: RegionsLike = None) -> tuple[Opening, Iterator[Run]]:
        """Select exactly the records of some regions, as they are stored: the header, and runs of whole records.

        Raises
        ------
        InvalidInputError
            A CRAM, whose records have no bytes of their own.
        RegionError, RemoteError, IntegrityError
            Also while iterating: all records come, or it fails.
        """
        if self.format.name not in slicing.FORMATS:
            raise InvalidInputError(f"the records of {self.name} cannot be had as they are stored", "fetch or write them")
        opening, runs, _ = self._select(self._resolve_regions(region))
        return opening, runs

    def _resolve_regions(self, region: RegionsLike) -> tuple[RegionLike, ...] | None:
        """Resolve regions to the names that the file has for their contigs."""
        regions = as_regions(region)
        if regions is None or self._find_aliases is None:
            return regions
        return tuple(map(self._resolve_contig, regions))

    def _resolve_contig(self, region: RegionLike) -> RegionLike:
        names = self._names
        try:
            given = Region.parse(region) if isinstance(region, str) else region
        except RegionError:
            return region
        if given.contig in names or region in names or self._find_aliases is None:
            return region
        known = [name for name in self._find_aliases().get(given.contig, ()) if name in names]
        return Region(known[0], given.start, given.end) if known else region

    def _open_streams(self, regions: tuple[RegionLike, ...] | None) -> Iterator[Stream]:
        """Open streams of some regions, the first of which has begun."""

        def begin(regions: tuple[RegionLike, ...] | None) -> Iterator[Stream]:
            streams = self._source.open(regions)
            return chain((next(streams),), streams)

        return self._attempt(regions, begin)

    def _attempt(
        self, regions: tuple[RegionLike, ...] | None, attempt: Callable[[tuple[RegionLike, ...] | None], Result]
    ) -> Result:
        """Try some regions; where one is not known, try those of the genes of these names."""
        try:
            return attempt(regions)
        except NotFoundError:
            meant = self._replace_genes(regions)
            if meant is None:
                raise
        return attempt(meant)

    def _replace_genes(self, regions: tuple[RegionLike, ...] | None) -> tuple[RegionLike, ...] | None:
        """Replace the genes among some regions by their regions; return None if there are none."""
        if self._find_gene is None or regions is None:
            return None
        try:
            genes = dict.fromkeys(text for text in regions if isinstance(text, str) and self._is_unknown(text))
        except ModosError:
            return None
        found: dict[RegionLike, Region] = {}
        for text in genes:
            gene = self._find_gene(text.strip(), self.contig_facts)
            if gene is None:
                return None
            found[text] = gene
        return tuple(found.get(region, region) for region in regions) if found else None

    def _is_unknown(self, text: str) -> bool:
        """Return whether neither the header nor, for a VCF, the index has a contig that a region names."""
        try:
            if self.format.name == "VCF":
                next(self._source.open((text,)))
            else:
                Region.parse(text, self._names)
        except NotFoundError:
            return True
        except RegionError:
            pass
        return False

    @property
    def contig_facts(self) -> dict[str, tuple[int | None, str | None]]:
        """Length and MD5 of the contigs, where the header has them."""
        if self.format.kind == "variants":
            return {name: (_length(line), None) for name, line in contig_lines(self.header, self.name).items()}
        digests = {line.get("SN"): line.get("M5") for line in header_lines(self.header, "SQ", self.name)}
        return {name: (length, digests.get(name)) for name, length in self._lengths.items()}

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(contig_lines(self.header, self.name) if self.format.kind == "variants" else self._lengths)

    @property
    def contigs(self) -> list[str]:
        """The names of the contigs, as the header has them."""
        return list(self.contig_facts)

    def whole_contigs(self) -> list[Region]:
        """Return a region for each contig of the header of a BAM or CRAM."""
        return [Region(name, 0, length) for name, length in self._lengths.items() if length]

    def coverage(self, region: RegionLike, bins: int | None = None) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """Compute the depth of reads over a region.

        Reads that are unmapped, secondary, duplicates or failed a check do
        not count, nor do deleted and skipped bases, as in `samtools depth`.

        Parameters
        ----------
        bins
            Number of equal parts of the region; None for single bases.

        Returns
        -------
        array of float64, shape (bins,)
            The mean depth of each part; or of int64, shape (bases,), the
            depth of each base.

        Raises
        ------
        InvalidInputError
            Variants have no depth; or a number of bins that cannot be.
        """
        return self.measure(region, bins).depth

    def measure(self, region: RegionLike, bins: int | None = 1) -> Coverage:
        """Measure the depth of a region, with the figures of `samtools coverage`; see `coverage`."""
        from modos.genomics.coverage import measure

        if self._blanking:
            raise InvalidInputError(f"the depth of {self.name} takes all fields", "open it without fields and tags")
        lengths = self._lengths
        (meant,) = self._attempt(self._resolve_regions(region), lambda regions: settle(regions or (), tuple(lengths)))
        if meant.contig not in lengths:
            raise InvalidInputError(f"the region {meant} has no depth", "it is for reads without a position")
        length = lengths[meant.contig]
        if meant.start >= length:
            raise RegionError(f"the region {meant} is beyond the {length:,} bases of {meant.contig}")
        meant = Region(meant.contig, meant.start, min(meant.limit, length))
        bins = bins and min(bins, meant.limit - meant.start)
        return measure(self.fetch(meant), meant, bins)

    def write(
        self,
        descriptor: int,
        region: RegionsLike = None,
        output: OutputFormat | None = None,
        samples: Iterable[str] | None = None,
        *,
        threads: int = 0,
    ) -> None:
        """Write the file, or exactly the records of some regions.

        Where anything fails no end marker is written, so that the output
        cannot pass for a complete file.

        Parameters
        ----------
        descriptor
            An open file or pipe; it stays open.
        output
            The format. Its own takes the bytes of header and records as they
            are; another one makes variants what `bcftools view` makes them.
        samples
            The samples of a VCF or BCF to keep, in this order; all where it
            is None. INFO stays as it is.
        threads
            How many threads compress, beside this one.

        Raises
        ------
        InvalidInputError
            Reads cannot be written as variants, nor variants as reads, nor
            reads without some fields as CRAM; or bcftools refuses, as the
            header leaves something out.
        BrokenPipeError
            Nobody reads the pipe any more.
        """
        regions, output = self._resolve_regions(region), output or OutputFormat(self.format.name)
        if output.kind != self.format.kind:
            raise InvalidInputError(f"{self.name} has {self.format.kind}: they cannot be written as {output.name}")
        if self._blanking and not self._blanking.has_all_fields and output.name == "CRAM":
            raise InvalidInputError(
                "a CRAM has no room for reads without some of their fields", "write BAM or SAM (-O bam, -O sam)"
            )
        is_own = output.name == self.format.name and samples is None
        if is_own and regions is None and not self._blanking and (output.compressed or output.name != "VCF"):
            self._pass_on(descriptor, self.iter_bytes())
        elif is_own and output.name in slicing.FORMATS:
            widen(descriptor)
            for parts in self._iter_selected(regions, output, threads):
                write_parts(descriptor, parts)
        elif output.kind == "variants":
            self._convert(descriptor, regions, output, samples, threads)
        else:
            self._write_decoded(descriptor, regions, output, samples, threads)

    def write_raw(self, descriptor: int, region: RegionsLike = None) -> None:
        """Write the bytes as they are served, for a reader that looks at their checksums; see `iter_bytes`."""
        self._pass_on(descriptor, self.iter_bytes(region, verify=False))

    def _write_decoded(
        self,
        descriptor: int,
        regions: tuple[RegionLike, ...] | None,
        output: OutputFormat,
        samples: Iterable[str] | None,
        threads: int,
    ) -> None:
        readers = self._readers(regions, samples)
        reader, records = next(readers)
        with reader:
            writer = RecordWriter(reader.header, output, descriptor, threads)
            writer.write(records)
        for reader, records in readers:
            with reader:
                writer.write(records)
        writer.close()

    @staticmethod
    def _pass_on(descriptor: int, pieces: Iterator[bytes]) -> None:
        widen(descriptor)
        for piece in pieces:
            write_all(descriptor, piece)

    def write_header(self, descriptor: int, output: OutputFormat) -> None:
        """Write the header alone."""
        if output.kind == "reads":
            RecordWriter(self.header, output, descriptor).close()
            return
        opening = open_stream(self.format, self._source.open_header())
        if output.name != self.format.name:
            from modos.genomics.bcftools import write_variants

            write_variants([opening.header_bytes], descriptor, output, name=self.name)
        elif output.is_text:
            write_all(descriptor, header_text(opening, self.format))
        else:
            write_all(descriptor, opening.header_bytes + BGZF_EOF)

    @property
    def _lengths(self) -> dict[str, int]:
        if self.format.kind != "reads":
            raise InvalidInputError(f"{self.name} has variants: they have no depth", "give a BAM or CRAM")
        with translate_text_errors(self.name):
            return dict(zip(self.header.references, self.header.lengths))

    def _readers(
        self, regions: tuple[RegionLike, ...] | None, samples: Iterable[str] | None
    ) -> Iterator[tuple[RecordReader, Iterator[Any]]]:
        """Yield for each stream its reader, and the records to take."""
        wanted = self._check_samples(samples)
        regions, reference = self._attempt(regions, lambda meant: (meant, self._find_reference(meant, self.progress)))

        def read(pieces: Iterator[bytes], format: FileFormat) -> RecordReader:
            return RecordReader(pieces, format, reference, self.name, wanted)

        if (regions is not None or self._blanking) and self.format.name in slicing.FORMATS:
            parts = self._iter_selected(regions, OutputFormat(self.format.name, compressed=False))
            reader = read(map(b"".join, parts), without_end(self.format) if self.format.name == "VCF" else self.format)
            yield reader, iter(reader)
            return
        for stream in self._open_streams(regions):
            pieces = check_header(report(stream.pieces, self.progress), self.format, self.name)
            reader = read(check_blocks(pieces, self.format, self.name) if self.format.name == "CRAM" else pieces, self.format)
            records = reader.iter_overlapping(stream.regions, stream.after)
            yield reader, map(self._blanking.apply_to_record, records) if self._blanking else records

    def _check_samples(self, samples: Iterable[str] | None) -> tuple[str, ...] | None:
        if samples is not None and self.format.kind != "variants":
            raise InvalidInputError(f"{self.name} has reads: samples are for VCF and BCF")
        return None if samples is None else tuple(samples)

    def _convert(
        self,
        descriptor: int,
        regions: tuple[RegionLike, ...] | None,
        output: OutputFormat,
        samples: Iterable[str] | None,
        threads: int,
    ) -> None:
        """Write variants as `bcftools view` does."""
        from modos.genomics.bcftools import write_variants

        wanted = self._check_samples(samples)
        opening, runs, settled = self._select(regions)
        header, text = opening.header_bytes, header_text(opening, self.format)
        if wanted is not None:
            check_samples(wanted, sample_names(text), self.name)
        if self.format.name == "VCF":
            used = [*self._source.contigs(), *(region.contig for region in settled)]
            header = with_contigs(text, opening.header.contigs, used)
        pieces = chain((header,), map(b"".join, _encode(runs, OutputFormat(self.format.name, compressed=False))))
        write_variants(pieces, descriptor, output, wanted, name=self.name, threads=threads)

    def _iter_selected(self, regions: tuple[RegionLike, ...] | None, output: OutputFormat, threads: int = 0) -> Iterator[Parts]:
        """Yield exactly the records of some regions as a file of their own format, without decoding them."""
        opening, runs, _ = self._select(regions)
        header = header_text(opening, self.format) if output.is_text else opening.header_bytes
        return chain(([header],), _encode(runs, output, threads))

    def _select(self, regions: tuple[RegionLike, ...] | None) -> tuple[Opening, Iterator[Run], Regions]:
        """Return the header of a BAM, BCF or VCF, the records of some regions, and those of the first stream."""
        streams = self._open_streams(regions)
        first = next(streams)
        opening = self._open_records(first)
        later = (slicing.select(self._open_records(stream), self.format, stream.regions, stream.after) for stream in streams)
        runs = chain(slicing.select(opening, self.format, first.regions), chain.from_iterable(later))
        return opening, self._name_file(runs), first.regions or ()

    def _open_records(self, stream: Stream) -> Opening:
        return open_stream(self.format, check_end(report(stream.pieces, self.progress), self.format, self.name))

    def _name_file(self, runs: Iterator[Run]) -> Iterator[Run]:
        try:
            yield from self._blanking.apply_to_runs(runs) if self._blanking else runs
        except IntegrityError as error:
            if self.name in error.message:
                raise
            raise type(error)(f"{self.name}: {error.message}", error.hint) from None


def _settle_known(contigs: tuple[str, ...], regions: tuple[RegionLike, ...] | None) -> Regions:
    """Settle regions on some contigs; raise NotFoundError for one of another contig, if any is known."""
    settled = settle(regions or (), contigs or None)
    unknown = [region.contig for region in settled if contigs and region.contig not in (*contigs, UNMAPPED)]
    if unknown:
        raise unknown_contig_error(unknown[0], contigs)
    return settled


def _length(contig: Mapping[str, str]) -> int | None:
    """Return the length of a contig of a VCF or BCF, where its header has it."""
    text = contig.get("length", "")
    return int(text) or None if text.isascii() and text.isdigit() and len(text) < 20 else None


def _encode(runs: Iterator[Run], output: OutputFormat, threads: int = 0) -> Iterator[Parts]:
    """Encode records of a BAM, BCF or VCF in their own format."""
    if output.is_text:
        return slicing.to_text(runs)
    return slicing.to_compressed_blocks(runs, threads) if output.compressed else slicing.to_stored_blocks(runs)
