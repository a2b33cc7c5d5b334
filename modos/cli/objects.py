"""`modos create`, `add` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.output import options, progress, say, show_json

if TYPE_CHECKING:
    from modos.modo import MODO

ObjectPath = Annotated[str, typer.Argument(metavar="OBJECT", help="A folder, or s3://bucket/object.")]


def open_object(path: str) -> MODO:
    """Open an object that exists, with the global options."""
    from modos.modo import MODO

    return MODO.open(path, endpoint=options.endpoint, s3_kwargs=options.s3_kwargs)


def create(
    path: ObjectPath,
    file: Annotated[Path, typer.Option("--file", "-f", help="A YAML or JSON file that describes it.")] = None,
    meta: Annotated[str, typer.Option("--meta", "-m", metavar="JSON", help="Its attributes as JSON.")] = None,
) -> None:
    """Create an object, empty or from a description.

    modos create data/ex -f modo.yaml

    modos create data/ex -m '{"name": "Example"}'
    """
    from modos.errors import InvalidInputError
    from modos.modo import MODO

    where = {"endpoint": options.endpoint, "s3_kwargs": options.s3_kwargs}
    if file and meta:
        raise InvalidInputError("--file and --meta exclude each other")
    if file:
        with progress("copying files") as advance:
            modo = MODO.from_file(file, path, progress=advance, **where)
    else:
        attributes = _parse_json(meta or "{}", "--meta")
        attributes.pop("@type", None)
        modo = MODO.create(path, **where, **attributes)
    say(f"created {modo.storage.url} with {len(modo.metadata) - 1} elements")


def add(
    path: ObjectPath,
    type: Annotated[str, typer.Argument(metavar="TYPE", help="assay, data, reference, sample or sequence.")],
    element: Annotated[str, typer.Option("--element", "-e", metavar="JSON", help="Its attributes as JSON.")] = None,
    file: Annotated[Path, typer.Option("--file", "-f", help="Its attributes as a YAML or JSON file.")] = None,
    source: Annotated[Path, typer.Option("--source", "-s", help="The file that becomes its data.")] = None,
    parent: Annotated[str, typer.Option("--parent", "-p", metavar="ID", help="The element it is part of.")] = None,
) -> None:
    """Add an element, with its file and index.

    modos add data/ex sample -e '{"id": "sample2", "sex": "Female"}'

    modos add data/ex data -e '{"id": "demo3"}' -s demo3.bam -p assay/assay1
    """
    from modos import model
    from modos.description import load_yaml
    from modos.errors import InvalidInputError

    if (element is None) == (file is None):
        raise InvalidInputError("give the element with either --element or --file")
    attributes = _parse_json(element, "--element") if element is not None else load_yaml(file)
    if not isinstance(attributes, dict):
        raise InvalidInputError("the element is not a mapping of attributes")
    attributes.setdefault("@type", model.default_class(type))
    modo = open_object(path)
    with progress("copying files") as advance:
        element_id = modo.add_element(attributes, source, parent, progress=advance)
    say(f"added {element_id} to {modo.storage.url}")


def show(
    path: ObjectPath,
    element: Annotated[str, typer.Argument(metavar="[ELEMENT]", help="Only this element.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    files: Annotated[bool, typer.Option("--files", help="Only the files.")] = False,
) -> None:
    """Show an object's metadata, or its files.

    modos show data/ex

    modos show s3://modos-demo/ex data/demo1 --json
    """
    from modos.cli import output

    modo = open_object(path)
    if files:
        listed = [str(file) for file in modo.list_files()]
        show_json(listed) if json else output.show("\n".join(listed))
    elif json:
        metadata = modo.metadata
        show_json(metadata if element is None else {i: metadata[i] for i in [modo.find_element(element)]})
    else:
        output.show(modo.show_contents(element))


def _parse_json(text: str, option: str) -> dict[str, Any]:
    import json

    from modos.errors import InvalidInputError

    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"{option} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInputError(f"{option} is not a JSON object", """write it like '{"id": "sample1"}'""")
    return value
