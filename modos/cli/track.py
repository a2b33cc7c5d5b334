"""The commands of `modos track`, for numbers along the genome of an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli import masks, track_read
from modos.cli.completion import complete_element
from modos.cli.genome import GenomeOption
from modos.cli.input import confirm, parse_json
from modos.cli.objects import ObjectPath, amount_of, open_object
from modos.cli.output import (
    count,
    progress,
    say,
)

if TYPE_CHECKING:
    from modos.tracks.fitting import LoadReport

app = typer.Typer()

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=FILE",
        help="Wiggle, bedGraph, BED with a score, or bigWig; - is stdin; files of the same NAME are one track.",
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
    append: Annotated[
        bool,
        typer.Option("--append", help="Add contigs to tracks that exist; several writers may do so at the same time."),
    ] = False,
) -> None:
    """Add tracks to an object, or contigs to its tracks, in one commit.

    modos track add data/ex coverage=coverage.bw signal=signal.bedGraph.gz

    zcat dense.wigFix.gz | modos track add data/ex dense=- -p assay/assay1

    modos track add data/ex signal=chr2.wig --append
    """
    files = _group_by_name(sources)
    if append:
        _refuse_of_new({"--genome": genome, "--parent": parent, "--element": element})
        _append(place, files, mask, keep, strict, clip)
        return
    attributes = parse_json(element, "--element") if element else None
    modo = open_object(place)
    with _keep_files(mask, keep) as places, progress("loading", _size(files)) as advance, modo.track_changes(advance) as tracks:
        for name, paths in files.items():
            tracks.add(name, paths, genome, part_of=parent, attributes=attributes, strict=strict, clip=clip, **places)
    _tell(tracks.reports, f"added to {modo.storage.url}")


def _refuse_of_new(options: dict[str, str | None]) -> None:
    from modos.errors import InvalidInputError

    for name, given in options.items():
        if given is not None:
            raise InvalidInputError(f"{name} is said of a track that is made", "leave it out with --append")


def _append(place: str, files: dict[str, list[str]], mask: str | None, keep: str | None, strict: bool, clip: bool) -> None:
    modo = open_object(place)
    with _keep_files(mask, keep) as places, progress("loading", _size(files)) as advance, modo.track_changes(advance) as tracks:
        for name, paths in files.items():
            tracks.append(name, paths, strict=strict, clip=clip, **places)
    _tell(tracks.reports, f"extended in {modo.storage.url}")


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


app.command("list")(track_read.list_)
app.command()(track_read.info)
app.command()(track_read.query)
app.command()(track_read.stats)
app.command()(masks.mask)
app.command()(masks.unmask)
app.command()(track_read.plot)
app.command()(track_read.export)


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
