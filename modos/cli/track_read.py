"""The commands of `modos track` that read: `list`, `info`, `query`, `stats`, `plot` and `export`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.completion import complete_region
from modos.cli.genome import GenomeOption, open_genome
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import (
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
from modos.cli.pictures import (
    AnnotationOption,
    ColoursOption,
    DpiOption,
    FontOption,
    GenesOption,
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
from modos.errors.escaping import escape_line

if TYPE_CHECKING:
    import numpy as np

    from modos.genomics.region import Region
    from modos.tracks.genome import Genome
    from modos.tracks.track import Track
    from modos.tracks.zooms import Summary

NamesArgument = Annotated[list[str] | None, typer.Argument(metavar="TRACK", help="Tracks; by default all.")]
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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ROWS = 1 << 16  # rows of a table that are written at once


def list_(
    place: ObjectPath,
    genome: GenomeOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """List the tracks; encrypted ones by their names alone, if there is no key.

    modos track list data/ex

    modos track list data/ex --json
    """
    from modos.tracks.damaged import DamagedTrack, LockedTrack

    found = open_genome(place, genome, secret_key, passphrase_file)
    locked = [track for track in found.tracks.values() if isinstance(track, LockedTrack)]
    damaged = [track for track in found.tracks.values() if isinstance(track, DamagedTrack) and track not in locked]
    sound = found.check_tracks([name for name, track in found.tracks.items() if not isinstance(track, DamagedTrack)])
    rows = list(map(_describe, sound))
    names = [{"name": track.name, "id": track.element_id, "encrypted": True} for track in locked]
    if json:
        wrong = [{"name": track.name, "id": track.element_id, "error": track.error.message} for track in damaged]
        show_json([*rows, *names, *wrong])
    elif not found.tracks:
        say(f"{place} has no tracks")
    elif rows or names:
        show_table([["name", "id", "values", "mean", "bytes", "mask"], *map(_list_row, [*rows, *names])])


def _list_row(row: dict[str, Any]) -> list[str]:
    if "n" not in row:
        return [row["name"], row["id"], "encrypted", "", "", ""]
    masked = "yes" if row["masked"] else ""
    return [row["name"], row["id"], f"{row['n']:,}", _number(row["mean"]), size(row["bytes"]), masked]


def info(
    place: ObjectPath,
    name: Annotated[str, typer.Argument(metavar="TRACK")],
    genome: GenomeOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Show how a track is stored, and its statistics.

    modos track info data/ex coverage

    modos track info data/ex coverage --json
    """
    facts = _describe(open_genome(place, genome, secret_key, passphrase_file).track(name))
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
    return genome.check_tracks(names or None)


def _regions(genome: Genome, texts: Iterable[str] | None, file: str | None) -> list[Region]:
    from modos.genomics.region import Region, read_regions

    regions = [Region.parse(text, genome.contigs.names) for text in texts or ()] + (list(read_regions(file)) if file else [])
    for region in regions:
        genome.contigs.place(region)
    return regions


def query(
    place: ObjectPath,
    names: NamesArgument = None,
    region: RegionOption = None,
    regions_file: RegionsOption = None,
    genome: GenomeOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
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

    found = open_genome(place, genome, secret_key, passphrase_file)
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


def stats(
    place: ObjectPath,
    names: NamesArgument = None,
    region: RegionOption = None,
    regions_file: RegionsOption = None,
    genome: GenomeOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
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
    found = open_genome(place, genome, secret_key, passphrase_file)
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


def plot(
    place: ObjectPath,
    region: Annotated[
        str | None, typer.Argument(metavar="REGION", help="1-based inclusive: chr1:1,000-2,000. A track, where -r is given.")
    ] = None,
    names: NamesArgument = None,
    output: PictureOption = None,
    region_option: Annotated[
        str | None, typer.Option("--region", "-r", metavar="REGION", autocompletion=complete_region, help="In place of REGION.")
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", "-w", min=1, max=10_000, metavar="N", help="Columns in the terminal.")
    ] = None,
    genome: GenomeOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    with_: WithOption = None,
    annotation: AnnotationOption = None,
    genes: GenesOption = None,
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
) -> None:
    """Draw a region of tracks, with genes below where the reference has some: in the terminal, or as a picture.

    modos track plot data/ex chr1:1-1,000,000

    modos track plot data/ex chr1 coverage signal -o chr1.svg --size 180x60mm --overlay
    """
    from modos.tracks.sparkline import sparkline

    looks = check_appearance(
        output,
        **{"with": with_},
        annotation=annotation,
        genes=genes,
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
    region, names = _choose_region(region, region_option, names)
    found = open_genome(place, genome, secret_key, passphrase_file)
    chosen = _choose_tracks(found, names)
    if output:
        _draw(place, chosen, region, output, looks, annotation, genes, with_, secret_key, passphrase_file)
        return
    label = max([len(track.name) for track in chosen], default=0)
    columns = width or max(shutil.get_terminal_size().columns - label - 24, 20)
    for track in chosen:
        line, low, high = sparkline(track, region, columns)
        show_lines([f"{track.name:<{label}}  {line}  {low:.4g} to {high:.4g}"])


def _choose_region(region: str | None, option: str | None, names: list[str] | None) -> tuple[str, list[str] | None]:
    """Return the region and the tracks: where the region is given by -r, the first argument is a track."""
    from modos.errors import InvalidInputError

    if option is not None:
        return option, [region, *(names or ())] if region is not None else names
    if region is None:
        raise InvalidInputError("no region is given", "write one after the object, or with -r: chr1:1,000-2,000")
    return region, names


def _draw(
    place: str,
    tracks: list[Track],
    region: str,
    output: Path,
    looks: dict[str, Any],
    annotation: str | None,
    genes: str | None,
    with_: list[str] | None,
    secret_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Draw tracks; those of an object as its elements, whose reference may have genes."""
    from modos.errors import InvalidInputError

    if not tracks and not with_:
        raise InvalidInputError("there is no track to draw")
    ids = [getattr(track, "element_id", None) for track in tracks]
    modo = open_object(place) if any(ids) else None
    things = [modo[id] if modo and id else track for id, track in zip(ids, tracks)]
    secret = load_optional_secret(secret_key, passphrase_file)
    draw_picture(things, region, output, looks, annotation=annotation, genes=genes, with_=with_ or (), secret_key=secret)


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
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
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
    found = open_genome(place, genome, secret_key, passphrase_file)
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
