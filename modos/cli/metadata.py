"""The commands `modos publish`, `query`, `check`, `diff` and `upgrade`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.completion import complete_object
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import count, options, progress, say, show, show_json, show_lines, show_rows
from modos.cli.secrets import PassphraseOption, load_optional_secret

if TYPE_CHECKING:
    from modos.errors import NotFoundError

BaseUri = Annotated[
    str | None,
    typer.Option(
        "--base-uri",
        metavar="URI",
        help="Prefix of the elements' URIs, such as https://example.org/ex; by default the object's location.",
    ),
]
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
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Query the metadata with SPARQL.

    modos query data/ex 'SELECT ?s WHERE { ?s a modos:Sample }'

    modos query data/ex @query.rq --format json
    """
    from modos.errors import InvalidInputError
    from modos.metadata.graph import select

    if format not in ("tsv", "json"):
        raise InvalidInputError(f"{format} is not a format of results", "there are tsv and json")
    if sparql.startswith("@"):
        sparql = _query_in(sparql[1:])
    columns, rows = select(open_object(path).knowledge_graph(base_uri), sparql)
    if json or format == "json":
        show_json(rows)
    else:
        show_rows([columns, *([_cell(row.get(c)) for c in columns] for row in rows)])


def _query_in(path: str) -> str:
    from modos.errors import InvalidInputError
    from modos.storage.given import read_given, show_path

    try:
        return read_given(path, _MAX_QUERY).decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{show_path(path)} is not text in UTF-8") from None


def check(
    path: ObjectPath,
    fix: Annotated[bool, typer.Option("--fix", help="Remove what interrupted changes left; nothing else.")] = False,
    checksums: Annotated[bool, typer.Option("--checksums/--quick", help="Read every file and compare its checksum.")] = True,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Read all records, and verify that the indexes find each.")
    ] = False,
    secret_key: Annotated[
        Path | None,
        typer.Option("--secret-key", metavar="FILE", help="Secret key to check the indexes of encrypted files with."),
    ] = None,
    passphrase_file: PassphraseOption = None,
    hours: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="HOURS",
            min=0,
            help="Count changes of other machines and containers as interrupted after so many hours without a sign.",
        ),
    ] = 24.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check an object: its metadata, files and checksums, and what interrupted changes left.

    modos check data/ex

    modos check s3://my-bucket/ex --quick --fix

    modos check data/ex --thorough
    """
    from modos.errors import IntegrityError, NotFoundError
    from modos.object import checking

    limit = hours * 3600
    try:
        modo = open_object(path)
    except NotFoundError as error:
        _check_rest(path, fix, hours, json, error)
        return
    secret = load_optional_secret(secret_key, passphrase_file)
    with progress("reading files") as advance:
        findings = list(
            checking.find_problems(
                modo.storage,
                checksums=checksums,
                thorough=thorough,
                limit=limit,
                progress=advance,
                endpoint=modo.services.endpoint,
                secret=secret,
            )
        )
    if json:
        show_json([vars(finding) for finding in findings])
    elif findings:
        show_lines(findings)
    fixable = [finding for finding in findings if finding.fixable]
    if fix and fixable:
        checking.fix(modo.storage, fixable, limit)
        say(f"mended {count(len(fixable), 'finding')}")
    damaged = [finding for finding in findings if not finding.harmless]
    if damaged:
        raise IntegrityError(
            f"{modo.storage.url} is not what its metadata say: {count(len(damaged), 'problem')}",
            "restore the files, or correct the elements with `modos update`",
        )
    if fixable and not fix:
        say("the object is whole; --fix removes what interrupted changes left")
    elif not findings:
        say(f"{modo.storage.url} is whole: {count(len(modo.metadata) - 1, 'element')}, {count(len(modo.list_files()), 'file')}")


def _check_rest(path: str, fix: bool, hours: float, json: bool, missing: NotFoundError) -> None:
    """Show, and remove, what was left if there is no object."""
    from modos.object.modo import MODO

    findings = MODO.find_rest(path, options.endpoint, None, options.s3_kwargs, older_than=hours, fix=fix)
    if not findings:
        raise missing
    if json:
        show_json([vars(finding) for finding in findings])
    else:
        show_lines(findings)
    if not fix:
        missing.hint = "making, copying or removing it was interrupted: do that again, or remove what was left with --fix"
        raise missing
    say(f"removed what was left of an object at {path}")


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


def upgrade(path: ObjectPath) -> None:
    """Upgrade an object from the layout of Zarr v2 to that of this version.

    Programs that read only Zarr v2, such as sdsc-ordes modos 0.3.4, can no longer read it.

    modos upgrade data/old

    modos --endpoint http://localhost upgrade s3://modos-demo/old
    """
    modo = open_object(path)
    modo.upgrade()
    say(f"{modo.storage.url} has the layout of this version")


def _cell(value: str | None) -> str:
    return "" if value is None else value.replace("\t", " ").replace("\n", " ")


def _write(path: Path, text: str) -> None:
    from modos.errors import AccessError
    from modos.storage import open_storage

    if not os.path.isdir(path.parent):
        raise AccessError(f"cannot write {path}: there is no folder {path.parent}", "choose another place with -o")
    open_storage(path.parent).write(path.name, (text.rstrip("\n") + "\n").encode())
