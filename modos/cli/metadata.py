"""The commands `modos publish`, `query` and `diff`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.completion import complete_object
from modos.cli.find import WhereOption, open_place
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import options, say, show, show_json, show_rows

BaseUri = Annotated[
    str | None,
    typer.Option(
        "--base-uri",
        metavar="URI",
        help="Prefix of the elements' URIs, such as https://example.org/ex; by default the object's location.",
    ),
]
if TYPE_CHECKING:
    from modos.object.modo import MODO

_MAX_QUERY = 1 << 20  # bytes


def publish(
    path: ObjectPath,
    format: Annotated[str, typer.Option("--format", "-O", help="turtle, xml, json-ld, nt or ro-crate.")] = "turtle",
    base_uri: BaseUri = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here instead of stdout; for an RO-Crate also a folder."),
    ] = None,
) -> None:
    """Publish the metadata as linked data.

    modos publish data/ex --base-uri https://example.org/ex

    modos publish data/ex --format ro-crate -o data/ex
    """
    import json

    from modos.errors import InvalidInputError
    from modos.errors.escaping import escape_xml
    from modos.metadata import graph, ro_crate

    formats = [*graph.FORMATS, "ro-crate"]
    if format not in formats:
        raise InvalidInputError(f"{format} is not a format of linked data", f"there are {', '.join(formats)}")
    modo = open_object(path)
    if format == "ro-crate":
        text = json.dumps(modo.ro_crate(), indent=2, ensure_ascii=False)
        output = output / ro_crate.FILE_NAME if output and os.path.isdir(output) else output
    else:
        text = graph.serialize(modo.knowledge_graph(base_uri), format)
    if output:
        _write(output, text)
        say(f"wrote {output}")
    else:
        show(escape_xml(text) if format == "xml" else text)


def query(
    path: ObjectPath,
    sparql: Annotated[str, typer.Argument(metavar="SPARQL", help="The query, or @FILE; @- is stdin.")],
    format: Annotated[str, typer.Option("--format", "-O", help="tsv or json.")] = "tsv",
    base_uri: BaseUri = None,
    where: WhereOption = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Query the metadata of an object, or of all objects of a place, with SPARQL.

    modos query data/ex 'SELECT ?s WHERE { ?s a modos:Sample }'

    modos query s3://my-bucket @query.rq --where "data_format = 'CRAM'" --format json
    """
    from modos.errors import InvalidInputError
    from modos.metadata.graph import select

    if format not in ("tsv", "json"):
        raise InvalidInputError(f"{format} is not a format of results", "there are tsv and json")
    if sparql.startswith("@"):
        sparql = _query_in(sparql[1:])
    modo = None if where is not None else _open_if_object(path)
    if modo is not None:
        columns, rows = select(modo.knowledge_graph(base_uri), sparql)
    elif base_uri is not None:
        raise InvalidInputError(f"--base-uri is for one object, and {path} has several or none", "leave it out")
    else:
        columns, rows = open_place(path).answer(sparql, where)
    if json or format == "json":
        show_json(rows)
    else:
        show_rows([columns, *([_cell(row.get(c)) for c in columns] for row in rows)])


def _open_if_object(path: str) -> MODO | None:
    """Open an object; None for a folder, a bucket or a server, which has several."""
    from modos.catalog.element_catalog import has_objects
    from modos.catalog.served_tables import is_server
    from modos.errors import NotFoundError

    try:
        return None if is_server(path) else open_object(path)
    except NotFoundError:
        if has_objects(path, **options.where):
            return None
        raise


def _query_in(path: str) -> str:
    from modos.errors import InvalidInputError
    from modos.storage.given import read_given, show_path

    try:
        return read_given(path, _MAX_QUERY).decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{show_path(path)} is not text in UTF-8") from None


def diff(
    path: ObjectPath,
    other: Annotated[str, typer.Argument(metavar="OTHER", autocompletion=complete_object, help="Another object.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how the metadata of two objects differs, files by their checksums; exit code 1 if it does.

    modos diff data/ex copy/ex

    modos --endpoint http://localhost diff data/ex s3://modos-demo/ex
    """
    from modos.metadata.diff import compare, replace_keys_by_names

    differences = compare(
        replace_keys_by_names(open_object(path).metadata),
        replace_keys_by_names(open_object(other).metadata),
        ignore=frozenset({"id", "creation_date", "last_update_date"}),
    )
    if json:
        show_json([vars(difference) for difference in differences])
    elif differences:
        show("\n".join(map(str, differences)))
    if differences:
        raise typer.Exit(1)


def _cell(value: str | None) -> str:
    return "" if value is None else value.replace("\t", " ").replace("\n", " ")


def _write(path: Path, text: str) -> None:
    from modos.errors import AccessError
    from modos.storage import open_storage

    if not os.path.isdir(path.parent):
        raise AccessError(f"cannot write {path}: there is no folder {path.parent}", "choose another place with -o")
    open_storage(path.parent).write(path.name, (text.rstrip("\n") + "\n").encode())
