"""The commands `modos find`, and `modos catalog refresh`."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.output import count, count_progress, options, say, show, show_json, show_rows

if TYPE_CHECKING:
    from modos.catalog.element_catalog import ElementCatalog

app = typer.Typer()
_COLUMNS = ("object", "element", "class", "data_format", "data_path")

Place = Annotated[
    str | None,
    typer.Argument(
        metavar="PLACE", help="A folder, s3://BUCKET[/PREFIX], or the URL of a modos server; by default the endpoint."
    ),
]
ClassOption = Annotated[
    str | None, typer.Option("--class", metavar="CLASS", help="Only elements of this class; DataEntity is any kind of data.")
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="SQL",
        help="Only elements that fulfil this: \"sex = 'Female' and data_size > 1000\"; "
        "slots that they do not have are those of what they are linked to.",
    ),
]


def find(
    place: Place = None,
    class_name: ClassOption = None,
    where: WhereOption = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="A,B,...", help="The columns to print; by default what names the elements.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: all that is known of each.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write all columns to a Parquet file.")
    ] = None,
) -> None:
    """Find elements of all objects of a place, by what is known of them.

    modos find data --class AlignmentSet --where "sex = 'Female' and taxon_id = '9606'"

    modos find s3://my-bucket --where "data_format = 'CRAM' and data_size > 1e9" --json
    """
    from modos.errors import InvalidInputError

    if sum((json, as_csv, parquet is not None)) > 1:
        raise InvalidInputError("--json, --csv and --parquet exclude each other", "give one of them")
    catalog = open_place(place)
    names = columns.split(",") if columns else None if json or parquet else list(_COLUMNS)
    rows = catalog.select(class_name, where, columns=names)
    if parquet is not None:
        _write_parquet(rows, parquet)
    elif json:
        from modos.catalog.row_pages import to_plain

        show_json([_with_url(catalog, to_plain(row)) for row in rows.iter_rows(named=True)])
    elif as_csv:
        show(_write_csv(rows))
    else:
        show_rows([rows.columns, *(map(_cell, row) for row in rows.iter_rows())])
    objects = f" in {count(rows['object'].n_unique(), 'object')}" if "object" in rows.columns else ""
    say(f"found {count(rows.height, 'element')}{objects}")


def open_place(place: str | None) -> ElementCatalog:
    """Open the catalogue of a place, or of the endpoint where none is named; says so where none is kept there."""
    from modos.catalog import open_catalog
    from modos.errors import InvalidInputError
    from modos.remote.services import endpoint_from_environment

    where = place or options.endpoint or endpoint_from_environment()
    if where is None:
        raise InvalidInputError(
            "where? Neither a place nor an endpoint is given", "name a folder, or s3://BUCKET, or use --endpoint URL"
        )
    with count_progress("reading objects", "objects") as advance:
        catalog = open_catalog(where, **options.where, progress=advance)
    if not catalog.is_made:
        say(f"read all objects: no catalogue is kept in {where} (`modos catalog refresh {where}` makes one)")
    problems = catalog.problems()
    if problems:
        from modos.errors import listing

        say(f"warning: {count(len(problems), 'object')} cannot be read: {listing(problems)}")
    return catalog


def _with_url(catalog: ElementCatalog, row: dict[str, Any]) -> dict[str, Any]:
    return {"url": str(catalog.address_of(row["object"]).path), **row} if "object" in row else row


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _write_csv(rows: Any) -> str:
    from modos.errors.escaping import escape_line

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows(map(escape_line, map(_cell, row)) for row in rows.iter_rows())  # a cell stays in its line
    return text.getvalue()


def _write_parquet(rows: Any, target: Path) -> None:
    from modos.catalog.snapshots import to_parquet
    from modos.errors import AccessError
    from modos.storage import open_storage

    if not os.path.isdir(target.parent):
        raise AccessError(f"cannot write {target}: there is no folder {target.parent}", "choose another place with --parquet")
    open_storage(target.parent).write(target.name, to_parquet(rows.lazy()))
    say(f"wrote {target}")


@app.command()
def refresh(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A folder, or s3://BUCKET[/PREFIX].")],
    full: Annotated[
        bool, typer.Option("--full", help="Look at every object, also for changes that nobody has announced.")
    ] = False,
) -> None:
    """Write the catalogue of a place: what has changed since, or all where there is none.

    modos catalog refresh data

    modos catalog refresh s3://my-bucket --full
    """
    from modos.catalog.element_catalog import refresh_catalog

    with count_progress("reading objects", "objects") as advance:
        done = refresh_catalog(place, **options.where, full=full, progress=advance)
    rows = done.view.count_objects()
    unreadable = f", {count(done.unreadable, 'object')} of which cannot be read" if done.unreadable else ""
    read = f"{done.changed:,} {'was' if done.changed == 1 else 'were'} read anew"
    say(f"the catalogue of {place} has {count(rows, 'object')}: {read}{unreadable}")
