"""`modos track`: numbers along the genome of an object."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli import masks
from modos.cli.completion import complete_element, complete_region
from modos.cli.genome import GenomeOption, open_genome
from modos.cli.input import confirm, parse_json
from modos.cli.objects import ObjectPath, amount_of, open_object
from modos.cli.output import (
    count,
    progress,
    say,
    show,
    show_json,
    show_lines,
    show_rows,
    show_table,
    size,
    text_file,
    translate_closed_pipe,
)
from modos.escaping import escape_line

if TYPE_CHECKING:
    import numpy as np

    from modos.genomics.region import Region
    from modos.tracks.fitting import LoadReport
    from modos.tracks.genome import Genome
    from modos.tracks.track import Track
    from modos.tracks.zooms import Summary

app = typer.Typer()

NamesArgument = Annotated[list[str] | None, typer.Argument(metavar="TRACK", help="Tracks; by default all.")]
SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=FILE",
        help="Wiggle, bedGraph, BED with a score, or bigWig; - is stdin; files of the same NAME are one track.",
    ),
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        "-r",
        metavar="REGION",
        autocompletion=complete_region,
        help="1-based inclusive: chr1:1,000-2,000. Can be given several times.",
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
MaskOption = Annotated[
    str | None, typer.Option("--mask", metavar="FILE", help="Leave out values at the places in this file: BED, wiggle, bigWig.")
]
KeepOption = Annotated[str | None, typer.Option("--keep", metavar="FILE", help="Take only values at the places in this file.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Fail if the data has a contig that the genome lacks.")]
ClipOption = Annotated[
    bool,
    typer.Option(
        "--clip",
        help="Leave out values past the end of a contig or in a gap of the genome, and say how many; the default is an error.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ROWS = 1 << 16  # rows of a table that are written at once


@app.command()
def add(
    place: ObjectPath,
    sources: SourcesArgument,
    genome: GenomeOption = None,
    parent: Annotated[
        str | None,
        typer.Option("--parent", "-p", metavar="ID", autocompletion=complete_element, help="The element they are part of."),
    ] = None,
    element: Annotated[str | None, typer.Option("--element", "-e", metavar="JSON", help="Slots of the elements as JSON.")] = None,
    mask: MaskOption = None,
    keep: KeepOption = None,
    strict: StrictOption = False,
    clip: ClipOption = False,
) -> None:
    """Add tracks to an object, in one commit.

    modos track add data/ex coverage=coverage.bw signal=signal.bedGraph.gz

    zcat dense.wigFix.gz | modos track add data/ex dense=- -p assay/assay1
    """
    attributes = parse_json(element, "--element") if element else None
    files = _group_by_name(sources)
    modo = open_object(place)
    with _keep_files(mask, keep) as places, progress("loading", _size(files)) as advance, modo.track_changes(advance) as tracks:
        for name, paths in files.items():
            tracks.add(name, paths, genome, part_of=parent, attributes=attributes, strict=strict, clip=clip, **places)
    _tell(tracks.reports, f"added to {modo.storage.url}")


@app.command()
def replace(
    place: ObjectPath,
    sources: SourcesArgument,
    mask: MaskOption = None,
    keep: KeepOption = None,
    strict: StrictOption = False,
    clip: ClipOption = False,
) -> None:
    """Replace the data of tracks, in one commit; names and links stay.

    modos track replace data/ex coverage=coverage-2.bw

    modos track replace data/ex dense=chr1.wigFix.gz dense=chr2.wigFix.gz
    """
    files = _group_by_name(sources)
    modo = open_object(place)
    with _keep_files(mask, keep) as places, progress("loading", _size(files)) as advance, modo.track_changes(advance) as tracks:
        for name, paths in files.items():
            tracks.replace(name, paths, strict=strict, clip=clip, **places)
    _tell(tracks.reports, f"replaced in {modo.storage.url}")


def _group_by_name(sources: Iterable[str]) -> dict[str, list[str]]:
    from modos.errors import InvalidInputError

    files: dict[str, list[str]] = {}
    for source in sources:
        name, equals, path = source.partition("=")
        if not (name and equals and path):
            raise InvalidInputError(f"{source} does not say which file is which track", "write NAME=FILE")
        files.setdefault(name, []).append(path)
    if sum(path == "-" for paths in files.values() for path in paths) > 1:
        raise InvalidInputError("stdin (-) can be one file only")
    return files


@contextmanager
def _keep_files(mask: str | None, keep: str | None) -> Iterator[dict[str, Any]]:
    """Keep BED files that are read for each of several tracks; what comes through a pipe is copied."""
    from tempfile import TemporaryDirectory

    from modos.storage.given import as_file

    with TemporaryDirectory(prefix="modos-") as folder:
        yield {name: as_file(path, folder) if path else None for name, path in (("mask", mask), ("keep", keep))}


def _size(files: dict[str, list[str]]) -> int | None:
    from modos.tracks.loading import source_size

    return source_size([path for paths in files.values() for path in paths])


def _tell(reports: dict[str, LoadReport], what: str) -> None:
    from modos.errors import listing

    for name, report in reports.items():
        skipped = f"; not in the genome and left out: {listing(report.skipped)}" if report.skipped else ""
        skipped += f"; places on contigs that are not in it: {listing(report.unmasked)}" if report.unmasked else ""
        outside = f"; {count(report.outside, 'value')} past the end of a contig or in a gap left out" if report.outside else ""
        say(f"{name} {what}: {count(len(report.matched), 'contig')}{skipped}{outside}")


@app.command()
def remove(
    place: ObjectPath,
    names: Annotated[list[str], typer.Argument(metavar="TRACK")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove tracks, with their data, in one commit.

    modos track remove data/ex coverage

    modos track remove data/ex coverage signal --yes
    """
    modo = open_object(place)
    with modo.track_changes() as tracks:
        ids = [tracks.remove(name) for name in names]
        amount = amount_of(modo, ids)
        confirm([f"  track {name} ({element_id})" for name, element_id in zip(names, ids)], yes, f"  {amount}")
    say(f"removed {', '.join(names)} from {modo.storage.url}: {amount}")


@app.command()
def rename(place: ObjectPath, name: str, new: str) -> None:
    """Give a track another name; its id and data stay.

    modos track rename data/ex signal signal-2024

    modos track rename s3://my-bucket/ex dense phyloP
    """
    element_id = open_object(place).rename_track(name, new)
    say(f"{element_id} is named {new}")


@app.command("list")
def list_(place: ObjectPath, genome: GenomeOption = None, json: JsonOption = False) -> None:
    """List the tracks.

    modos track list data/ex

    modos track list data/ex --json
    """
    from modos.tracks.damaged import DamagedTrack

    found = open_genome(place, genome)
    damaged = [track for track in found.tracks.values() if isinstance(track, DamagedTrack)]
    rows = [_describe(track) for track in found.tracks.values() if not isinstance(track, DamagedTrack)]
    if json:
        show_json([*rows, *({"name": track.name, "id": track.element_id, "error": track.error.message} for track in damaged)])
    elif not found.tracks:
        say(f"{place} has no tracks")
    elif rows:
        show_table(
            [
                ["name", "id", "values", "mean", "bytes", "mask"],
                *(
                    [
                        row["name"],
                        row["id"],
                        f"{row['n']:,}",
                        _number(row["mean"]),
                        size(row["bytes"]),
                        "yes" if row["masked"] else "",
                    ]
                    for row in rows
                ),
            ]
        )


@app.command()
def info(
    place: ObjectPath,
    name: Annotated[str, typer.Argument(metavar="TRACK")],
    genome: GenomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show how a track is stored, and its statistics.

    modos track info data/ex coverage

    modos track info data/ex coverage --json
    """
    facts = _describe(open_genome(place, genome).track(name))
    if json:
        show_json(facts)
    else:
        show_lines(
            f"{key:<10}{_number(value) if isinstance(value, float) else f'{value:,}' if type(value) is int else value}"
            for key, value in facts.items()
        )


def _describe(track: Track) -> dict[str, Any]:
    facts = {"name": track.name, **track.describe()}
    return facts | _numbers(track.total)


def _numbers(summary: Summary) -> dict[str, Any]:
    from math import isnan, sqrt

    found = {
        "n": int(summary.n),
        "mean": summary.mean,
        "sd": sqrt(summary.var) if not isnan(summary.var) else summary.var,
        "min": summary.min,
        "max": summary.max,
        "sum": summary.sum,
    }
    return {key: None if isinstance(value, float) and isnan(value) else value for key, value in found.items()}


def _number(value: float | None) -> str:
    return "." if value is None else f"{value:.6g}"


def _choose_tracks(genome: Genome, names: list[str] | None) -> list[Track]:
    return [genome.track(name) for name in names] if names else list(genome.tracks.values())


def _regions(genome: Genome, texts: Iterable[str] | None, file: str | None) -> list[Region]:
    from modos.genomics.region import Region, read_regions

    regions = [Region.parse(text, genome.contigs.names) for text in texts or ()] + (list(read_regions(file)) if file else [])
    for region in regions:
        genome.contigs.place(region)
    return regions


@app.command()
def query(
    place: ObjectPath,
    names: NamesArgument = None,
    region: RegionOption = None,
    regions_file: RegionsOption = None,
    genome: GenomeOption = None,
    runs: Annotated[bool, typer.Option("--runs", help="Runs of equal values of one track, as bedGraph.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object per line, null where there is no value.")] = False,
) -> None:
    """Print the values of regions: contig, position (1-based) and a column per track; `nan` where there is none.

    modos track query data/ex -r chr1:1,000-1,010

    modos track query data/ex coverage -R peaks.bed --runs > peaks.bedGraph
    """
    from modos.errors import InvalidInputError
    from modos.genomics.region import Region
    from modos.tracks.export import write_text

    found = open_genome(place, genome)
    chosen = _choose_tracks(found, names)
    regions = _regions(found, region, regions_file) or list(map(Region, found.contigs))
    if not chosen:
        raise InvalidInputError(f"{place} has no tracks")
    if runs and json:
        raise InvalidInputError("--runs and --json exclude each other")
    if runs:
        if len(chosen) != 1:
            raise InvalidInputError("bedGraph has the values of one track", "name one track")
        with translate_closed_pipe():
            write_text(chosen[0], text := text_file(), "bedGraph", regions)
            text.flush()
        return
    if not json:
        show_rows([["#contig", "position", *(track.name for track in chosen)]])
    for one in regions:
        for text in (_json_rows if json else _rows)(found, chosen, one):
            show(text)


def _columns(genome: Genome, tracks: list[Track], region: Region) -> Iterator[tuple[str, int, list[np.ndarray]]]:
    """Read the values of tracks, piece by piece: the contig, the first position (0-based), and an array for each track."""
    contig, start, end = genome.contigs.place(region)
    for at in range(start, end, _ROWS):
        stop = min(at + _ROWS, end)
        yield contig.name, at, [track.values(type(region)(contig.name, at, stop)) for track in tracks]


def _json_rows(genome: Genome, tracks: list[Track], region: Region) -> Iterator[str]:
    from json import dumps
    from math import isfinite

    for contig, at, columns in _columns(genome, tracks, region):
        rows = zip(*(map(float, map(str, column)) for column in columns))  # as the table has them
        yield "\n".join(
            dumps(
                {
                    "contig": contig,
                    "position": at + number + 1,
                    "values": {track.name: value if isfinite(value) else None for track, value in zip(tracks, row)},
                },
                ensure_ascii=False,
            )
            for number, row in enumerate(rows)
        )


def _rows(genome: Genome, tracks: list[Track], region: Region) -> Iterator[str]:
    for contig, at, columns in _columns(genome, tracks, region):
        name = escape_line(contig)
        yield "\n".join(f"{name}\t{at + number + 1}\t" + "\t".join(map(str, row)) for number, row in enumerate(zip(*columns)))


@app.command()
def stats(
    place: ObjectPath,
    names: NamesArgument = None,
    region: RegionOption = None,
    regions_file: RegionsOption = None,
    genome: GenomeOption = None,
    by_contig: Annotated[bool, typer.Option("--by-contig", help="Statistics of each contig.")] = False,
    histogram: Annotated[
        int | None,
        typer.Option(
            "--histogram", min=1, max=10_000, metavar="BINS", help="Count values in this many bins from the least to the largest."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print statistics of tracks: of all values, of regions, or of each contig.

    modos track stats data/ex

    modos track stats data/ex coverage -r chr1:1-1,000,000 --histogram 10
    """
    found = open_genome(place, genome)
    regions = _regions(found, region, regions_file)
    rows: list[dict[str, Any]] = []
    for track in _choose_tracks(found, names):
        if histogram:
            rows += [
                {"track": track.name, "from": low, "to": high, "n": n}
                for low, high, n in track.histogram(histogram, regions or None)
            ]
        elif regions:
            rows += [{"track": track.name, "region": str(one), **_numbers(track.scan(one))} for one in regions]
        elif by_contig:
            rows += [{"track": track.name, "contig": name, **_numbers(found_of)} for name, found_of in track.statistics().items()]
        else:
            rows.append({"track": track.name, **_numbers(track.total)})
    if json:
        show_json(rows)
    elif rows:
        first, *others = rows[0]
        show_rows(
            [
                [f"#{first}", *others],
                *(
                    [_number(value) if isinstance(value, float) or value is None else value for value in row.values()]
                    for row in rows
                ),
            ]
        )


app.command()(masks.mask)
app.command()(masks.unmask)


@app.command()
def plot(
    place: ObjectPath,
    region: Annotated[str, typer.Argument(metavar="REGION", help="1-based inclusive: chr1:1,000-2,000.")],
    names: NamesArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A picture (.svg, .png, .pdf) instead of blocks in the terminal."),
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", "-w", min=1, max=10_000, metavar="N", help="Columns in the terminal.")
    ] = None,
    genome: GenomeOption = None,
) -> None:
    """Draw a region of tracks.

    modos track plot data/ex chr1:1-1,000,000

    modos track plot data/ex chr1 coverage signal -o chr1.svg
    """
    from modos.tracks import plotting

    found = open_genome(place, genome)
    chosen = _choose_tracks(found, names)
    if output:
        plotting.plot(chosen, region, output)
        say(f"drew {count(len(chosen), 'track')} in {output}")
        return
    label = max([len(track.name) for track in chosen], default=0)
    columns = width or max(shutil.get_terminal_size().columns - label - 24, 20)
    for track in chosen:
        line, low, high = plotting.sparkline(track, region, columns)
        show_lines([f"{track.name:<{label}}  {line}  {low:.4g} to {high:.4g}"])


@app.command()
def export(
    place: ObjectPath,
    name: Annotated[str, typer.Argument(metavar="TRACK")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The file; - is stdout.")] = "-",
    output_format: Annotated[
        str | None,
        typer.Option(
            "--output-format", "-O", metavar="FORMAT", help="bigWig, bedGraph or wig; by default from the ending of FILE."
        ),
    ] = None,
    region: RegionOption = None,
    regions_file: RegionsOption = None,
    genome: GenomeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a track as a file for other programs.

    modos track export data/ex coverage -o coverage.bw

    modos track export data/ex coverage -r chr1 -O bedGraph | head
    """
    from modos.errors import InvalidInputError, listing
    from modos.tracks import export as exporting

    formats = {known.lower(): known for known in exporting.FORMATS}
    if output_format and output_format.lower() not in formats:
        raise InvalidInputError(f"there is no format {output_format}", f"there are {listing(exporting.FORMATS)}")
    format = formats[output_format.lower()] if output_format else None
    found = open_genome(place, genome)
    track, regions = found.track(name), _regions(found, region, regions_file) or None
    if output == "-":
        if format == "bigWig":
            raise InvalidInputError("a bigWig cannot be written to a pipe", "give a file (-o)")
        with translate_closed_pipe():
            exporting.write_text(track, text := text_file(), format or "bedGraph", regions)
            text.flush()
        return
    with progress("exporting (bases)") as advance:
        exporting.export(track, output, format, regions, force, advance)
    say(f"wrote {output}")


@app.command("import-genomedata")
def import_genomedata(
    place: ObjectPath,
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="An archive of Genomedata: a file, or a folder.")],
    id: Annotated[str, typer.Option("--id", metavar="ID", help="The id of the new reference.")] = "genome",
) -> None:
    """Import an archive of Genomedata, with its sequence and all tracks, in one commit.

    modos track import-genomedata data/ex archive.genomedata

    modos track import-genomedata data/ex archive.genomedata --id hg38
    """
    modo = open_object(place)
    with progress("importing") as advance:
        names = modo.import_genomedata(archive, id, advance)
    say(f"{count(len(names), 'track')} of {archive} in {modo.storage.url}: {', '.join(names)}")
