"""The commands `modos stream` and `modos coverage`."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.completion import complete_file, complete_region
from modos.cli.output import options, progress, show, show_json, show_rows, text_file, translate_closed_pipe
from modos.cli.pictures import (
    ColoursOption,
    DpiOption,
    FontOption,
    LabelOption,
    LimitsOption,
    OverlayOption,
    PictureOption,
    ScaleOption,
    SizeOption,
    TitleOption,
    UnitsOption,
    WithOption,
    check_appearance,
    draw_picture,
)
from modos.cli.secrets import PassphraseOption, SecretKeyOption, load_optional_secret

if TYPE_CHECKING:
    from modos.encryption.keys import PublicKey, SecretKey
    from modos.genomics import GenomicFile
    from modos.genomics.coverage import Coverage
    from modos.genomics.htsget.query import Query
    from modos.genomics.region import RegionLike
    from modos.genomics.writer import OutputFormat

_COLUMNS = ("#rname", "startpos", "endpos", "numreads", "covbases", "coverage", "meandepth", "meanbaseq", "meanmapq")
_FORMS = ("%s", "%d", "%d", "%d", "%d", "%g", "%g", "%.3g", "%.3g")
_TICKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60  # columns of a picture

FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="OBJECT/FILE",
        autocompletion=complete_file,
        help="A file of an object, by its name or its element's id, or its URL on an htsget server (http://server/htsget/reads/ID).",
    ),
]
OptionalFile = Annotated[
    str | None,
    typer.Argument(metavar="OBJECT/FILE", autocompletion=complete_file, help="As for `modos stream`; none with --cohort."),
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        "-r",
        autocompletion=complete_region,
        help="Only the records that overlap it, 1-based inclusive: chr1:1,000-2,000; or a gene, if there is an annotation. "
        "Can be given several times.",
    ),
]
RegionsOption = Annotated[
    str | None,
    typer.Option(
        "--regions-file",
        "-R",
        metavar="FILE",
        help="Regions, one per line: BED, or a table of contig, start and end (1-based); - is stdin, bed:- is BED from stdin.",
    ),
]
ReferenceOption = Annotated[Path | None, typer.Option("--reference", "-T", help="FASTA to decode a CRAM with.")]
SenderOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--sender", metavar="FILE", help="Public key of the sender that must have encrypted it; with several, one of them must."
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option("--threads", "-@", min=1, max=64, metavar="N", help="The number of connections, and of threads that compress."),
]


def stream(
    file: FileArgument,
    region: RegionOption = None,
    regions_file: RegionsOption = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of stdout.")] = "-",
    output_format: Annotated[
        str | None,
        typer.Option(
            "--output-format",
            "-O",
            metavar="FORMAT",
            help="sam, bam, cram, vcf or bcf, or a table: arrow, parquet or tsv; by default from the ending of FILE, or the "
            "file's own; vcf for a VCF Zarr.",
        ),
    ] = None,
    reference: ReferenceOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    sender: SenderOption = None,
    samples: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these samples of a VCF or BCF, separated by commas.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", "-c", help="Print the number of records instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result of --count as JSON.")] = False,
    header: Annotated[bool, typer.Option("--header-only", "-H", help="Only the header, as text.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="The server's bytes unchanged: all records of the regions, and neighbours.")
    ] = False,
    threads: WorkersOption = 8,
    fields: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Only these fields of reads (QNAME,FLAG,RNAME,POS,MAPQ,CIGAR,RNEXT,"
            "PNEXT,TLEN,SEQ,QUAL), the others get the values that SAM has for unknown ones.",
        ),
    ] = None,
    tags: Annotated[str | None, typer.Option(metavar="NAMES", help="Only these tags of reads; '' for none.")] = None,
    notags: Annotated[str | None, typer.Option(metavar="NAMES", help="All tags of reads but these.")] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Only these columns of a table: fields (qname,pos or chrom,pos), tags (NM), INFO/KEY, FORMAT/KEY.",
        ),
    ] = None,
    sample_rows: Annotated[bool, typer.Option("--sample-rows", help="A row of a table for each sample of a variant.")] = False,
) -> None:
    """Stream a file, or exactly the records of some regions, ready for samtools and bcftools.

    modos stream data/ex/demo1.cram > copy.cram

    modos --endpoint http://localhost stream -r chr1:1-1000 s3://modos-demo/ex/demo1.cram | samtools view
    """
    from modos.cli.table_formats import format_of_table
    from modos.errors import InvalidInputError
    from modos.formats import is_tree_path

    if as_json and not count:
        raise InvalidInputError("--json goes with --count", "records are text with -O sam or -O vcf")
    _check_together(count=count, header_only=header, raw=raw)
    _check_together(raw=raw, output_format=output_format)
    _check_together(raw=raw, count=count, samples=samples)
    for name, names in (("fields", fields), ("tags", tags), ("notags", notags)):
        _check_together(raw=raw, **{name: names is not None})
    table = None if count or header or raw else format_of_table(output_format, output)
    if table is None and (columns is not None or sample_rows):
        raise InvalidInputError("--columns and --sample-rows are for tables", "write one with -O arrow, -O parquet or -O tsv")
    regions, wanted = _regions(region, regions_file), samples.split(",") if samples is not None else None
    genomic = _open(file, reference, secret_key, passphrase_file, sender, threads, _hints(fields, tags, notags))
    if count:
        with progress("counting", None if regions else genomic.size) as advance:
            number = genomic.report_to(advance).count(regions)
        show_json({"file": genomic.name, "records": number}) if as_json else show(str(number))
        return
    if table:
        with progress("streaming", None if regions else genomic.size) as advance:
            _write_table(genomic.report_to(advance), table, output, regions, columns, wanted, sample_rows)
        return
    text = ("sam" if genomic.format.kind == "reads" else "vcf") if header or is_tree_path(genomic.name) else None
    target = None if raw else _output_format(genomic, output, output_format, text)
    with _open_output(output, binary=target is None or not target.is_text) as descriptor, translate_closed_pipe():
        if header and target:
            genomic.write_header(descriptor, target)
            return
        with progress("streaming", None if regions else genomic.size) as advance:
            if target is None:
                genomic.report_to(advance).write_raw(descriptor, regions)
            else:
                genomic.report_to(advance).write(descriptor, regions, target, wanted, threads=threads)


def _write_table(
    genomic: GenomicFile,
    format: str,
    output: str,
    regions: list[RegionLike] | None,
    columns: str | None,
    samples: list[str] | None,
    sample_rows: bool,
) -> None:
    from modos.cli.table_formats import is_stream
    from modos.tables.record_tables import RecordTable
    from modos.tables.table_writing import write_table

    table = RecordTable(genomic, regions, columns, samples=samples, sample_rows=sample_rows)
    with _open_output(output, binary=format != "tsv") as descriptor, translate_closed_pipe():
        if output == "-" and format == "tsv":
            write_table(table, format, text_file())
            return
        with open(descriptor, "wb", closefd=False) as file:
            write_table(table, format, file, is_stream=is_stream(output))


def coverage(
    file: OptionalFile = None,
    region: RegionOption = None,
    regions_file: RegionsOption = None,
    reference: ReferenceOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    sender: SenderOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: WorkersOption = 8,
    output: PictureOption = None,
    with_: WithOption = None,
    overlay: OverlayOption = False,
    title: TitleOption = None,
    size: SizeOption = None,
    dpi: DpiOption = None,
    font_size: FontOption = None,
    units: UnitsOption = None,
    y_label: LabelOption = None,
    scale: ScaleOption = None,
    limits: LimitsOption = None,
    colours: ColoursOption = None,
    cohort: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="All objects of a folder, s3://BUCKET[/PREFIX] or a modos server, in place of a file."
        ),
    ] = None,
    genes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="With --cohort: the exons of these genes, in place of regions; with -o: only these are drawn, '' for none.",
        ),
    ] = None,
    annotation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --genes: the annotation of the reference store that has the exons; with -o: that has the genes.",
        ),
    ] = None,
    min_depth: Annotated[
        int, typer.Option("--min-depth", min=1, metavar="N", help="With --cohort: what each base should have.")
    ] = 20,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="SQL", help="With --cohort: only files that fulfil this, as for `modos find`."),
    ] = None,
) -> None:
    """Show the coverage of regions, or of all contigs, by the reads of a BAM or CRAM: a table, and on a terminal a picture.

    The columns are those of samtools coverage. With --cohort: which exons of
    genes, or regions, have bases below a depth, for each file of reads. With
    -o: a picture of a region, with the genes below that the reference has.

    modos coverage data/ex/demo1.cram

    modos coverage -r chr1:1-20,000 -r chr2 --json data/ex/demo1.cram

    modos coverage --cohort s3://my-bucket --genes BRCA1,BRCA2 --annotation gencode.v47 --min-depth 20

    modos coverage data/ex/demo1.cram -r chr1:1-20,000 --with data/ex/data/calls -o depth.svg --size 180x80mm
    """
    looks = check_appearance(
        output,
        **{"with": with_},
        overlay=overlay,
        title=title,
        size=size,
        dpi=dpi,
        font_size=font_size,
        units=units,
        y_label=y_label,
        scale=scale,
        limits=limits,
        colours=colours,
    )
    if cohort is not None:
        from modos.cli.cohorts import show_panel

        _check_together(cohort=True, file=file)
        _check_together(cohort=True, output=output)
        _check_together(cohort=True, sender=sender)
        _check_together(cohort=True, reference=reference)
        _check_together(cohort=True, passphrase_file=passphrase_file)
        _check_together(genes=genes, region=region or regions_file)
        show_panel(cohort, genes, _regions(region, regions_file), annotation, min_depth, where, secret_key, as_json, threads)
        return
    _check_only_with_cohort(
        genes=genes if output is None else None, annotation=annotation if output is None else None, where=where
    )
    if file is None:
        from modos.errors import InvalidInputError

        raise InvalidInputError(
            "neither a file nor a cohort is named", "write OBJECT/FILE, such as data/ex/demo1.cram, or --cohort PLACE"
        )
    genomic = _open(file, reference, secret_key, passphrase_file, sender, threads, _hints(None, None, None))
    if output is not None:
        _check_together(json=as_json, output=output)
        _check_together(regions_file=regions_file, output=output)
        secret = load_optional_secret(secret_key, passphrase_file)
        drawn = _as_plotted(file, genomic, secret)
        draw_picture(
            [drawn],
            _choose_one(region),
            output,
            looks,
            annotation=annotation,
            genes=genes,
            with_=with_ or (),
            secret_key=secret,
            reference=reference,
        )
        return
    rows, with_picture = [], sys.stdout.isatty() and not as_json
    if not as_json:
        show("\t".join(_COLUMNS))
    for one in _regions(region, regions_file) or genomic.whole_contigs():
        with progress("measuring") as advance:
            measured = genomic.report_to(advance).measure(one, _WIDTH if with_picture else 1)
        rows.append(_figures(measured))
        if not as_json:
            show_rows([[form % figure for form, figure in zip(_FORMS, rows[-1])]])
        if with_picture and measured.bases:
            show(_picture(measured))
    if as_json:
        show_json([dict(zip((name.lstrip("#") for name in _COLUMNS), row)) for row in rows])


def _choose_one(regions: list[str] | None) -> str:
    """Return the region of a picture, which has one."""
    from modos.errors import InvalidInputError

    if not regions or len(regions) > 1:
        given = f"{len(regions)} regions are given" if regions else "no region is given"
        raise InvalidInputError(f"a picture shows one region, and {given}", "give one with -r: chr1:1,000-2,000")
    return regions[0]


def _as_plotted(file: str, genomic: GenomicFile, secret: SecretKey | None) -> Any:
    """Return a file as it is drawn: one of an object by the name of its element, with the genes of its reference."""
    from dataclasses import replace

    from modos.errors import NotFoundError
    from modos.figures.plotted import Plotted
    from modos.object.address import is_remote

    if file.startswith(("http://", "https://")) and not is_remote(file):
        return Plotted(genomic.name.rsplit("/", 1)[-1], genomic)
    from modos.object.modo import MODO

    modo, key = MODO.locate(file, **options.where)
    try:
        element = next(modo[id] for id, attributes in modo.metadata.items() if attributes.get("data_path") == key)
    except StopIteration:
        raise NotFoundError(f"no element has the file {key}") from None
    return replace(element.open_plotted(secret_key=secret)[0], content=genomic)


def _figures(measured: Coverage) -> tuple[str | int | float, ...]:
    region = measured.region
    return (
        region.contig,
        region.start + 1,
        region.limit,
        measured.reads,
        measured.covered,
        100 * measured.covered / measured.length,
        measured.mean_depth,
        measured.mean_base_quality,
        measured.mean_mapping_quality,
    )


def _picture(measured: Coverage) -> str:
    highest = measured.depth.max()
    steps = (measured.depth / highest * (len(_TICKS) - 1)).round().astype(int)
    line = "".join(_TICKS[max(step, depth > 0)] for step, depth in zip(steps, measured.depth))
    return f"  │{line}│ up to {highest:.1f} deep, {measured.length / len(measured.depth):,.0f} bases a column"


def _check_together(**given: object) -> None:
    """Refuse options that exclude each other."""
    from modos.errors import InvalidInputError

    names = [f"--{name.replace('_', '-').removesuffix('-only')}" for name, value in given.items() if value]
    if len(names) > 1:
        raise InvalidInputError(f"{' and '.join(names)} do not go together", "give one of them")


def _check_only_with_cohort(**given: object) -> None:
    """Refuse options that say something of a cohort where none is named."""
    from modos.errors import InvalidInputError

    names = [f"--{name}" for name, value in given.items() if value is not None]
    if names:
        raise InvalidInputError(f"{' and '.join(names)} goes with --cohort", "name a place with --cohort, or give -r")


def _regions(texts: list[str] | None, path: str | None) -> list[RegionLike] | None:
    """Return the regions that are given in either way; None for the whole file."""
    from modos.genomics.region import read_regions

    if not texts and path is None:
        return None
    return [*(texts or ()), *(read_regions(path) if path is not None else ())]


def _hints(fields: str | None, tags: str | None, notags: str | None) -> Query:
    """Return the fields and tags of reads that are wanted."""
    from modos.errors import InvalidInputError
    from modos.genomics.htsget.query import FIELDS, Query

    if fields is not None and not fields.strip(", "):
        raise InvalidInputError("--fields names no field", f"give some of {', '.join(FIELDS)}")
    return Query(fields=_words(fields), tags=None if tags is None else _words(tags), notags=_words(notags))


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _open(
    file: str,
    reference: Path | None,
    secret_key: Path | None,
    passphrase_file: Path | None,
    sender: list[Path] | None,
    workers: int,
    hints: Query,
) -> GenomicFile:
    from modos.object.address import is_remote

    secret, senders = load_optional_secret(secret_key, passphrase_file), _load_senders(sender)
    if file.startswith(("http://", "https://")) and not is_remote(file):
        from modos.object.finding import open_served_file

        return open_served_file(file, options.endpoint, reference, hints=hints, secret=secret, workers=workers, senders=senders)
    from modos.object.modo import MODO

    modo, key = MODO.locate(file, **options.where)
    return modo.file(key, reference, secret_key=secret, hints=hints, workers=workers, sender_pubkey=senders)


def _load_senders(files: list[Path] | None) -> list[PublicKey] | None:
    if not files:
        return None
    from modos.encryption.keys import as_public_keys

    return as_public_keys(files)


def _output_format(genomic: GenomicFile, output: str, name: str | None, default: str | None) -> OutputFormat:
    """Return the format to write: the one that is named, else what the file's name says, else the file's own."""
    from modos.cli.table_formats import FORMATS
    from modos.errors import InvalidInputError
    from modos.genomics.writer import RECORD_FORMATS, OutputFormat

    if name is not None and name.upper() not in RECORD_FORMATS:
        known = ", ".join((*RECORD_FORMATS, *FORMATS)).lower()
        raise InvalidInputError(f"{name} is not a format to write", f"choose {known}")
    by_name = OutputFormat.from_path(output)
    if name is None and by_name:
        return by_name
    is_pipe = output == "-" and stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    chosen = name or default or genomic.format.name
    if chosen.upper() != "VCF":
        return OutputFormat.from_name(chosen, compressed=not is_pipe)
    if name or default:
        return OutputFormat.from_name(chosen, compressed=bool(by_name and by_name.compressed))
    return OutputFormat(chosen, compressed=not is_pipe, blocks=True)


@contextmanager
def _open_output(output: str, *, binary: bool) -> Iterator[int]:
    """Open stdout, or a file that appears only when it is complete; gives the descriptor."""
    from modos.errors import AccessError, InvalidInputError
    from modos.storage.modes import replace_output

    if output == "-":
        if binary and sys.stdout.isatty():
            raise InvalidInputError(
                "these are binary data, not for a terminal",
                "pipe them into samtools or bcftools, write a file with -o, or text with -O sam, -O vcf or -O tsv",
            )
        with _tell_failures("stdout"):
            yield sys.stdout.fileno()
        return
    with ExitStack() as stack, _tell_failures(output):
        try:
            descriptor = stack.enter_context(replace_output(Path(output)))
        except OSError as error:
            raise AccessError(f"cannot write {output}: {error.strerror}", "choose another place with -o") from None
        yield descriptor
        stack.close()


@contextmanager
def _tell_failures(target: str) -> Iterator[None]:
    """Report that the system does not take what is written, as when a disk is full."""
    from modos.errors import ModosError

    try:
        yield
    except OSError as error:
        if isinstance(error, (ModosError, BrokenPipeError)):
            raise
        raise ModosError(f"cannot write {target}: {error.strerror or error}", "what was written of it is not whole") from error
