"""The options of the commands that draw a region into a file, and the drawing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.completion import complete_element
from modos.cli.output import count, options, progress, say

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.figures.plotted import Plotted

_PANEL = "Picture (with -o)"

PictureOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Draw a picture into a file: .svg, .png or .pdf."),
]
TitleOption = Annotated[str | None, typer.Option("--title", metavar="TEXT", rich_help_panel=_PANEL, help="Above the picture.")]
SizeOption = Annotated[
    str | None, typer.Option("--size", metavar="SIZE", rich_help_panel=_PANEL, help="180x60mm, 18x6cm or 7x2.5in.")
]
DpiOption = Annotated[float | None, typer.Option("--dpi", metavar="N", rich_help_panel=_PANEL, help="Dots per inch of a PNG.")]
FontOption = Annotated[float | None, typer.Option("--font-size", metavar="N", rich_help_panel=_PANEL, help="In points.")]
UnitsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--units", metavar="TEXT", rich_help_panel=_PANEL, help="Of the numbers; several times: of each track, in their order."
    ),
]
LabelOption = Annotated[
    str | None, typer.Option("--y-label", metavar="TEXT", rich_help_panel=_PANEL, help="Beside the axes, in place of names.")
]
ScaleOption = Annotated[
    str | None, typer.Option("--scale", metavar="NAME", rich_help_panel=_PANEL, help="Of the numbers: linear, log or symlog.")
]
LimitsOption = Annotated[
    str | None,
    typer.Option(
        "--limits",
        metavar="LOW,HIGH",
        rich_help_panel=_PANEL,
        help="Of the numbers; either may be left out: 0, or ,50. `shared`: the same for all.",
    ),
]
OverlayOption = Annotated[bool, typer.Option("--overlay", rich_help_panel=_PANEL, help="All numbers on one axis, with a legend.")]
ColoursOption = Annotated[
    str | None,
    typer.Option("--colours", metavar="A,B,...", rich_help_panel=_PANEL, help="Names, or #rrggbb, one after the other."),
]
AnnotationOption = Annotated[
    str | None,
    typer.Option(
        "--annotation",
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="Whose genes are drawn: of the reference store, or a GFF3 of the object; by default the only one of the reference.",
    ),
]
GenesOption = Annotated[
    str | None, typer.Option("--genes", metavar="A,B,...", rich_help_panel=_PANEL, help="Draw only these; '' for none.")
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="OBJECT/ELEMENT",
        autocompletion=complete_element,
        rich_help_panel=_PANEL,
        help="Draw this, too: reads, variants or a track, also of another object. Can be given several times.",
    ),
]


def check_appearance(output: Path | None, **given: Any) -> dict[str, Any]:
    """Check the options of a picture before anything is read; return them as `modos.plot` takes them.

    Without a picture to write, raise InvalidInputError for each that is given.
    """
    from modos.errors import InvalidInputError
    from modos.figures.appearance import Appearance
    from modos.figures.saving_pictures import check_path

    if output is None:
        names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, [], False)]
        if names:
            raise InvalidInputError(f"{' and '.join(names)} goes with a picture", "name its file with -o, such as region.svg")
        return {}
    check_path(output)
    looks = {name: value for name, value in given.items() if value is not None and name not in ("annotation", "genes", "with")}
    units, limits, colours = looks.pop("units", None), looks.pop("limits", None), looks.pop("colours", None)
    if units:
        looks["units"] = units[0] if len(units) == 1 else units
    if limits is not None:
        looks["limits"] = _read_limits(limits)
    if colours is not None:
        looks["colours"] = [colour.strip() for colour in colours.split(",")]
    Appearance(**looks)
    return looks


def draw_picture(
    things: Sequence[Any],
    region: str,
    output: Path,
    looks: dict[str, Any],
    *,
    annotation: str | None = None,
    genes: str | None = None,
    with_: Sequence[str] = (),
    secret_key: SecretKey | None = None,
    reference: Path | None = None,
) -> None:
    """Draw a region of elements, tracks and files into a file, and say what was drawn, and what was left out."""
    from modos.figures import plot, save
    from modos.figures.plots import load_figure_class
    from modos.figures.plotted import collect

    load_figure_class()
    others = [open_element(text) for text in with_]
    found = collect([*things, *others], secret_key=secret_key, reference_filename=reference)
    names = None if genes is None else [name.strip() for name in genes.split(",") if name.strip()]
    with progress("reading") as advance:
        figure = plot(
            [_report_to(one, advance) for one in found],
            region,
            annotation=annotation,
            genes=None if names is None else names or False,
            **looks,
        )
    save(figure, output)
    for note in figure.notes:
        say(note)
    say(f"drew {_describe([one.kind for one in found])} in {output}")


def _report_to(one: Plotted, advance: Any) -> Plotted:
    return replace(one, content=one.content.report_to(advance)) if hasattr(one.content, "report_to") else one


def _describe(kinds: list[str]) -> str:
    tracks = kinds.count("track")
    files = len(kinds) - tracks
    return " and ".join(filter(None, (count(tracks, "track") if tracks else "", count(files, "file") if files else "")))


def open_element(text: str) -> Any:
    """Open an element that is given as OBJECT/ELEMENT, by its id or name, or as OBJECT/FILE.

    Raises
    ------
    NotFoundError
        There is no such object, or element.
    InvalidInputError
        Several elements have a file of that name.
    """
    from modos.errors import BucketNotFoundError, InvalidInputError, NotFoundError, listing
    from modos.object.modo import MODO

    place, slash, rest = text.rstrip("/").rpartition("/")
    while slash and place not in ("", "s3:", "s3:/"):
        try:
            modo = MODO.open(place, **options.where)
        except BucketNotFoundError:
            raise
        except NotFoundError:
            place, slash, part = place.rpartition("/")
            rest = f"{part}/{rest}"
            continue
        called = [id for id, one in modo.metadata.items() if one.get("data_path") and modo.file_name(id) == rest]
        if len(called) > 1:
            raise InvalidInputError(f"{rest} could be the file of {listing(called)}", "write the id of the element")
        return modo[called[0] if called else rest]
    raise NotFoundError(f"{text} lies in no MODO", "write OBJECT/ELEMENT, such as data/ex/data/demo1")


def _read_limits(text: str) -> Any:
    from modos.errors import InvalidInputError
    from modos.figures.appearance import SHARED

    if text == SHARED:
        return text
    parts = text.split(",")
    try:
        low, high = (float(part) if part.strip() else None for part in (parts if len(parts) > 1 else [*parts, ""]))
    except ValueError:
        raise InvalidInputError(f"{text} are no limits", "write LOW,HIGH such as 0,50, or `shared`") from None
    return low, high
