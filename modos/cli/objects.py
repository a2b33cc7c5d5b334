"""The commands `modos create`, `add`, `show` and others for a whole object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.completion import complete_element, complete_object
from modos.cli.gathering import add_files, are_files, gather, matcher, show_plan
from modos.cli.input import ask_element, check_dry_run, confirm, is_terminal, parse_json
from modos.cli.output import count, defer_progress, options, progress, say, show_json, show_lines, size
from modos.cli.output import show as show_text
from modos.cli.secrets import PassphraseOption, load_optional_secret

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modos.encryption.keys import SecretKey
    from modos.object.modo import MODO

ObjectPath = Annotated[
    str,
    typer.Argument(
        metavar="OBJECT", autocompletion=complete_object, help="A folder, s3://bucket/object, or what `modos remote list` shows."
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="WHAT=MEANING",
        help="The meaning of a header or value of a sheet: "
        "'Sample ID=id', sex:F=Female, Age= (leaves it out); or a file: "
        "has_reference:FILE=ID, id:FILE=NAME, has_sample:NAME=ID. May be repeated.",
    ),
]
WorksheetOption = Annotated[str | None, typer.Option(metavar="NAME", help="The worksheet of an XLSX file to read.")]
ReferenceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        "-r",
        metavar="FASTA",
        help="The reference of the files: a FASTA, "
        "an assembly of the reference store, or for `add` a reference of the object. May be repeated.",
    ),
]
DryRunJsonOption = Annotated[bool, typer.Option("--json", help="Print the result of --dry-run as JSON.")]
SealedSourceOption = Annotated[
    Path | None,
    typer.Option(
        "--secret-key",
        metavar="FILE",
        help="Secret key of a recipient of an encrypted source with a plain index beside it.",
    ),
]


def open_object(path: str) -> MODO:
    """Open an object that exists, with the global options."""
    from modos.object.modo import MODO

    return MODO.open(path, **options.where)


def create(
    path: ObjectPath,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE", help="Files to create it from, by their headers; also Zarr trees: folders, zip files, s3://."
        ),
    ] = None,
    reference: ReferenceOption = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", help="A YAML or JSON file, or a TSV, CSV or XLSX sheet, that describes its elements; may be repeated."
        ),
    ] = None,
    type: Annotated[
        str | None, typer.Option(help="The type of a sheet's rows: a class, or assay, data, reference, sample, sequence.")
    ] = None,
    meta: Annotated[str | None, typer.Option("--meta", "-m", metavar="JSON", help="Its attributes as JSON.")] = None,
    map: MapOption = None,
    worksheet: WorksheetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be created, and create nothing.")] = False,
    json: DryRunJsonOption = False,
    secret_key: SealedSourceOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Create an object from files, descriptions or JSON, or by answering questions.

    modos create data/ex *.cram cohort.vcf.gz -r reference.fa

    modos create data/ex -f modo.yaml

    modos create s3://my-bucket/ex *.cram -f samples.tsv --type sample --map 'Sample ID=id'
    """
    from modos.errors import AlreadyExistsError, InvalidInputError
    from modos.object.modo import MODO

    where = options.where
    if file and meta and not files:
        raise InvalidInputError("--file and --meta exclude each other")
    if (files or reference) and Path(path).is_file():
        raise InvalidInputError(f"{path} is a file, and the object comes first", f"write `modos create OBJECT {path} ...`")
    _refuse_lonely(reference, "--reference", files, "FILEs")
    _refuse_lonely(map, "--map", files or file, "FILEs and sheets")
    _refuse_lonely(worksheet, "--worksheet", file, "--file")
    if (file or files) and MODO.exists(path, **where):
        raise AlreadyExistsError(
            f"{path} exists already",
            f"bring it up to date with `modos update {path} -c {file[0]}`"
            if file
            else f"add files with `modos add {path} FILE...`",
        )
    check_dry_run(json, dry_run)
    _refuse_lonely(dry_run, "--dry-run", files or file, "FILEs and sheets")
    secret = load_optional_secret(secret_key, passphrase_file)
    if files:
        given = gather(path, files, reference, file, type, _attributes(meta), map, worksheet, secret)
        if dry_run:
            show_plan(MODO.compare_with_files(**given), json, path)
            return
        with defer_progress("copying files") as advance:
            modo = MODO.create_from_files(**given, progress=advance)
    elif file and dry_run:
        show_plan(
            MODO.compare_with_file(file, path, type=type, secret_key=secret, matcher=matcher(map), worksheet=worksheet, **where),
            json,
            path,
        )
        return
    elif file:
        with defer_progress("copying files") as advance:
            modo = MODO.from_file(
                file,
                path,
                type=type,
                progress=advance,
                secret_key=secret,
                new=True,
                matcher=matcher(map),
                worksheet=worksheet,
                **where,
            )
    else:
        modo = MODO.create(path, **where, **(_attributes(meta) if meta or not is_terminal() else ask_element("MODO", {})))
    say(f"created {modo.storage.url} with {count(len(modo.metadata) - 1, 'element')}")


def _attributes(meta: str | None) -> dict[str, Any]:
    from modos.errors import InvalidInputError
    from modos.metadata import model

    attributes = {slot: value for slot, value in parse_json(meta, "--meta").items() if slot != "@type"} if meta else {}
    slots = model.describe("MODO")["slots"]
    if foreign := [slot for slot in attributes if slot not in slots]:
        raise InvalidInputError(f"--meta: {foreign[0]} is not a slot of the class MODO", f"its slots are {', '.join(slots)}")
    return attributes


def _refuse_lonely(given: Any, option: str, other: Any, what: str) -> None:
    from modos.errors import InvalidInputError

    if given and not other:
        raise InvalidInputError(f"{option} goes with {what}")


def _refuse_together(as_zarr: bool, dry_run: bool) -> None:
    from modos.errors import InvalidInputError

    if as_zarr and dry_run:
        raise InvalidInputError("--as-zarr and --dry-run do not go together", "give one of them")


def add(
    path: ObjectPath,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="TYPE|FILE...",
            help="assay, data, reference, sample or sequence; or files, to add by their headers, and Zarr trees.",
        ),
    ],
    reference: ReferenceOption = None,
    element: Annotated[str | None, typer.Option("--element", "-e", metavar="JSON", help="Its attributes as JSON.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Its attributes as a YAML or JSON file.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", "-s", metavar="FILE", help="Its data file; or a Zarr tree: a folder, a zip file or s3://."),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option("--parent", "-p", metavar="ID", autocompletion=complete_element, help="The element it is part of."),
    ] = None,
    map: MapOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be added, and add nothing.")] = False,
    json: DryRunJsonOption = False,
    secret_key: SealedSourceOption = None,
    passphrase_file: PassphraseOption = None,
    data_checksum: Annotated[
        bool,
        typer.Option(
            "--data-checksum/--no-data-checksum",
            help="Whether BLAKE2b-512 of the file is recorded for other programs; modos compares the digests of its parts.",
        ),
    ] = True,
    as_zarr: Annotated[
        bool, typer.Option("--as-zarr", help="Write the .h5ad, .h5mu or .loom of --source as a Zarr tree, and add that.")
    ] = False,
) -> None:
    """Add an element with its file and index, or add files. Without attributes you are asked for them.

    modos add data/ex sample -e '{"id": "sample2", "sex": "Female"}'

    modos add data/ex data -e '{"id": "demo3"}' -s demo3.bam -p assay/assay1

    modos add data/ex run2/*.cram -p assay/assay1

    modos add data/ex data -e '{"id": "rna"}' -s counts.zarr

    modos add data/ex data -e '{"id": "rna"}' -s rna.h5ad --as-zarr
    """
    from modos.errors import InvalidInputError
    from modos.metadata import model
    from modos.metadata.description import load_yaml

    check_dry_run(json, dry_run)
    secret = load_optional_secret(secret_key, passphrase_file)
    _refuse_lonely(as_zarr, "--as-zarr", source, "--source")
    if are_files(what, bool(element or file or source)):
        add_files(open_object(path), what, reference or (), parent, map, secret, dry_run, json, data_checksum)
        return
    for given, option in ((reference, "--reference"), (map, "--map")):
        _refuse_lonely(given, option, None, "FILEs")
    class_name = model.default_class(what[0])
    if element and file:
        raise InvalidInputError("--element and --file exclude each other")
    modo = open_object(path)
    if element:
        attributes = parse_json(element, "--element")
    elif file:
        attributes = load_yaml(file)
    elif is_terminal():
        attributes = ask_element(class_name, modo.metadata, source)
    else:
        raise InvalidInputError("the element is missing", "give it with --element or --file")
    if not isinstance(attributes, dict):
        raise InvalidInputError("the element is not a mapping of attributes")
    attributes.setdefault("@type", class_name)
    _refuse_together(as_zarr, dry_run)
    if dry_run:
        show_plan(modo.compare_with_element(attributes, source, parent, secret_key=secret), json)
        return
    with progress("copying files") as advance:
        element_id = modo.add_element(
            attributes, source, parent, progress=advance, secret_key=secret, data_checksum=data_checksum, as_zarr=as_zarr
        )
    say(f"added {element_id} to {modo.storage.url}")


def update(
    path: ObjectPath,
    element: Annotated[
        str | None,
        typer.Argument(metavar="ELEMENT", autocompletion=complete_element, help="The element to change."),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            "--file",
            "-f",
            metavar="FILE",
            help="A YAML or JSON file, or a TSV, CSV or XLSX sheet, that describes elements; may be repeated.",
        ),
    ] = None,
    type: Annotated[str | None, typer.Option(help="The type of a sheet's rows.")] = None,
    values: Annotated[
        str | None,
        typer.Option(
            "--element",
            "-e",
            metavar="JSON",
            help="Slots and their new values; null unsets one, another data_path renames the file.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "-s",
            metavar="FILE",
            help="The file or Zarr tree that replaces the element's, under its "
            "name. Where that is encrypted, "
            "it is encrypted for the same recipients.",
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Store the source plain, even if the element's file is encrypted.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove elements that the files do not name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    json: DryRunJsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing.")] = False,
    map: MapOption = None,
    worksheet: WorksheetOption = None,
    secret_key: SealedSourceOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Update an object from descriptions and sheets, or change one element, in one commit.

    modos update data/ex -c modo.yaml --dry-run

    modos update data/ex sample/sample1 -e '{"sex": "Female", "collector": null}'

    modos update data/ex demo1 -s new.cram

    modos update data/ex demo1 -e '{"data_path": "reads/patient1.cram"}'
    """
    from modos.errors import InvalidInputError
    from modos.metadata.description import read_descriptions
    from modos.object.modo import MODO

    if option := next((str(one) for one in config or () if str(one).startswith("-") and str(one) != "-"), None):
        raise InvalidInputError(
            f"-f takes a FILE, and {option} stands after it",
            f"to remove what the files do not name, write --prune; a file of that name is ./{option}",
        )
    if bool(config) == (values is not None or source is not None) or (config and element) or not (config or element):
        raise InvalidInputError("say what to change: --config FILE, or ELEMENT with --element or --source")
    check_dry_run(json, dry_run)
    if plain and source is None:
        raise InvalidInputError("--plain goes with --source")
    secret = load_optional_secret(secret_key, passphrase_file)
    if element:
        if dry_run or prune or map or worksheet:
            raise InvalidInputError("--dry-run, --prune, --map and --worksheet go with --config")
        _update_one(open_object(path), element, parse_json(values or "{}", "--element"), source, plain, secret)
        return
    modo = open_object(path)
    how = matcher(map)
    entries = read_descriptions(config or [], type, matcher=how, worksheet=worksheet)
    how.tell_unused()
    changes = MODO.compare_with_file(entries, path, no_remove=not prune, secret_key=secret, **options.where)
    removed = [change for change in changes if change.kind == "removed"]
    amount = amount_of(modo, (change.element_id for change in removed))
    if dry_run:
        show_plan(changes, json)
        if removed and not json:
            say(f"would remove {amount}")
        return
    confirm([str(change) for change in removed], yes, f"  {amount}")
    with progress("copying files") as advance:
        MODO.from_file(entries, path, progress=advance, no_remove=not prune, secret_key=secret, **options.where)
    told = f"; removed {amount}" if removed else ""
    say(f"updated {path}: {count(len(changes), 'element')} changed{told}" if changes else f"{path} is up to date")


def _tell_of_left(modo: MODO, before: str | None, element: str) -> None:
    """Say what becomes of the old file of an element, where it stays."""
    after = modo.metadata[element].get("data_path")
    if before and after != before and modo.storage.exists(before):
        say(
            f"{before} stays, and belongs to no element: {element} has {after or 'no file'} now, which was there already"
            if after
            else f"{before} stays, and belongs to no element"
        )


def _update_one(
    modo: MODO, element: str, values: dict[str, Any], source: str | None, plain: bool, secret: SecretKey | None
) -> None:
    before = modo.metadata
    with progress("copying files") as advance:
        changed = modo.update_element(element, values, source, progress=advance, plain=plain, secret_key=secret)
    now, base = modo.metadata[changed], before.get(changed, {})
    if now == base:
        say(f"nothing to change: {changed} in {modo.storage.url} is so already")
    elif source and "recipients" in now and now["data_path"] != base.get("data_path"):
        say(f"updated {changed} in {modo.storage.url}, encrypted for its {count(len(now['recipients']), 'recipient')}")
    else:
        say(f"updated {changed} in {modo.storage.url}")
    _tell_of_left(modo, base.get("data_path"), changed)


def remove(
    path: ObjectPath,
    element: Annotated[
        str | None, typer.Argument(metavar="ELEMENT", autocompletion=complete_element, help="Only this element, with its file.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    json: DryRunJsonOption = False,
) -> None:
    """Remove an element with its file and every link to it, or a whole object, after asking.

    modos remove data/ex sample/sample1

    modos remove data/old --yes
    """
    from modos.errors import NotFoundError

    check_dry_run(json, dry_run)
    try:
        modo = open_object(path)
    except NotFoundError as error:
        if element is not None or not _remove_rest(path, yes, dry_run, json):
            raise error from None
        return
    element = element and modo.find_element(element)
    elements, files, held = modo.measure(element)
    amount = tell_amount(elements, files, held)
    if element is None:
        plan = [f"- the object {modo.storage.url} with {amount}"]
    else:
        plan = [f"- {element}"] + [f"- {place}" for place in _list_places(modo, element)]
    if json and dry_run:
        show_json(
            {
                "object": modo.storage.url,
                "elements": elements,
                "files": files,
                "bytes": held,
                "removed": [line.removeprefix("- ") for line in plan] if element else [modo.storage.url],
            }
        )
        return
    if dry_run:
        show_lines(plan)
        say(f"would remove {amount}")
        return
    confirm(plan, yes, f"  {amount}" if element else None)
    if element is None:
        for left in modo.remove_object():
            say(f"left where it is, as it belongs to no element: {left}")
        say(f"removed {modo.storage.url}: {amount}")
    else:
        say(f"removed {modo.remove_element(element)} from {modo.storage.url}: {amount}")


def _list_places(modo: MODO, element: str) -> list[str]:
    """List the files of an element; of a Zarr tree, its folder."""
    from modos.formats import is_tree_path

    path = modo.metadata[element].get("data_path") or ""
    return [f"{modo.path / path}/"] if is_tree_path(path) else [str(modo.path / key) for key in modo.files_of(element)]


def tell_amount(elements: int, files: int, held: int) -> str:
    """Write what a removal takes away."""
    return f"{count(elements, 'element')}, {count(files, 'file')}, {size(held)}"


def amount_of(modo: MODO, ids: Iterable[str]) -> str:
    """Write what the removal of some elements takes away."""
    return tell_amount(*map(sum, zip((0, 0, 0), *map(modo.measure, ids))))


def _remove_rest(path: str, yes: bool, dry_run: bool, json: bool) -> bool:
    """Remove what was left if there is no object; returns whether there was anything."""
    from modos.object.modo import MODO

    where = options.where
    plan = [f"- {finding.where}" for finding in MODO.find_rest(path, **where)]
    if not plan:
        return False
    if dry_run and json:
        show_json({"object": path, "removed": [line.removeprefix("- ") for line in plan]})
    elif dry_run:
        show_lines(plan)
    else:
        confirm(plan, yes)
        MODO.find_rest(path, **where, fix=True)
        say(f"removed what was left of an object at {path}")
    return True


def enrich(
    path: ObjectPath,
    secret_key: Annotated[
        Path | None, typer.Option("--secret-key", metavar="FILE", help="Secret key to read encrypted files with.")
    ] = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Add what the headers of the data files say: reference sequences, samples, assays; of Zarr trees kind, axes and shape.

    modos enrich data/ex

    modos --endpoint http://localhost enrich s3://modos-demo/ex
    """
    from modos.metadata.diff import compare

    secret = load_optional_secret(secret_key, passphrase_file)
    modo = open_object(path)
    before = modo.metadata
    for skipped in modo.enrich_metadata(secret):
        say(f"left out, as its header cannot be read: {skipped}")
    changes = compare(before, modo.metadata, ignore=frozenset({"last_update_date"}))
    for change in changes:
        say(f"{change.kind} {change.element_id}")
    say(f"{count(len(changes), 'element')} changed in {modo.storage.url}" if changes else "nothing new")


def show(
    path: ObjectPath,
    element: Annotated[
        str | None,
        typer.Argument(
            metavar="ELEMENT",
            autocompletion=complete_element,
            help="Only this element, or all elements of a group, such as data.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    files: Annotated[bool, typer.Option("--files", help="Only the files.")] = False,
    zarr: Annotated[
        bool, typer.Option("--zarr", help="The tree of Zarr groups and arrays; with ELEMENT that of a Zarr tree, with shapes.")
    ] = False,
    secret_key: Annotated[
        Path | None, typer.Option("--secret-key", metavar="FILE", help="Secret key of a recipient of an encrypted Zarr tree.")
    ] = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Show an object's metadata, its files, or its tree of arrays.

    modos show data/ex

    modos show s3://modos-demo/ex data/demo1 --json

    modos show data/ex data/rna --zarr
    """
    from modos.errors import InvalidInputError

    if files and (zarr or element):
        raise InvalidInputError("--files goes with neither ELEMENT nor --zarr")
    if secret_key and not zarr:
        raise InvalidInputError("--secret-key goes with --zarr")
    modo = open_object(path)
    if zarr:
        _show_arrays(modo, element, json, load_optional_secret(secret_key, passphrase_file))
    elif files:
        listed = [("s3://" if modo.storage.url.startswith("s3://") else "") + _as_listed(file) for file in modo.list_files()]
        show_json(listed) if json else show_lines(map(_file_line, listed))
    elif json:
        show_json(modo.metadata if element is None else modo.metadata_of(element))
    else:
        show_text(modo.show_contents(element))


def _show_arrays(modo: MODO, element: str | None, json: bool, secret: SecretKey | None) -> None:
    from modos.errors import InvalidInputError
    from modos.formats import is_tree_path

    if json and element:
        if (nodes := modo.list_tree(element, secret_key=secret)) is None:
            raise InvalidInputError(
                "--zarr and --json go with an ELEMENT only where that is a Zarr tree", "leave out one of them"
            )
        show_json([vars(node) for node in nodes])
        return
    show_json(modo.list_nodes()) if json else show_text(str(modo.list_arrays(element, secret_key=secret)))
    if element is None:
        for tree in (i for i, attributes in modo.metadata.items() if is_tree_path(attributes.get("data_path") or "")):
            say(f"{tree} is a Zarr tree of its own: `modos show --zarr {modo.storage.url} {tree}`")


def _as_listed(file: Path) -> str:
    """Return a file as it is listed: a Zarr tree is a folder, and ends with a slash."""
    from modos.formats import is_tree_path

    return f"{file}/" if is_tree_path(file.name) else str(file)


def _file_line(path: str) -> str:
    from modos.formats import name_of, plain_name

    slash, place = ("/", path[:-1]) if path.endswith("/") else ("", path)
    name = name_of(place)
    return path if name == plain_name(place) else f"{name}{slash}  (stored as {place.rpartition('/')[2]}{slash})"
