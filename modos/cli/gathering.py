"""Report, show and add the files that are given to `modos create` and `add`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.cli.input import choose, is_terminal
from modos.cli.output import count, defer_progress, options, progress, say, show, show_json

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.metadata.description import Matcher
    from modos.metadata.diff import Difference
    from modos.object.modo import MODO


def matcher(map: list[str] | None) -> Matcher:
    """Make the rules for reading sheets and files: `--map`, and questions on a terminal."""
    from modos.metadata.description import Matcher, parse_mapping

    return Matcher(parse_mapping(map or ()), choose if is_terminal() else None, say, progress)


def gather(
    path: str,
    files: list[str],
    references: Sequence[str] | None,
    descriptions: Sequence[Path] | None,
    type: str | None,
    attributes: dict[str, Any],
    map: list[str] | None,
    worksheet: str | None,
    secret: SecretKey | None,
) -> dict[str, Any]:
    """Return the arguments of `MODO.create_from_files` and `MODO.compare_with_files`."""
    from modos.metadata.description import read_descriptions

    how = matcher(map)
    entries = read_descriptions(list(descriptions or ()), type, matcher=how, worksheet=worksheet)
    return {
        "object_path": path,
        "files": files,
        "reference": references or (),
        "endpoint": options.endpoint,
        "s3_kwargs": options.s3_kwargs,
        "descriptions": entries,
        "matcher": how,
        "secret_key": secret,
    } | attributes


def are_files(what: list[str], has_options: bool) -> bool:
    """Return whether the arguments of `add` are files, and not one type of element."""
    from modos.errors import InvalidInputError
    from modos.formats import format_of
    from modos.metadata import model
    from modos.storage.given import is_pipe

    if len(what) == 1 and (what[0] in model.GROUPS or has_options):
        return False
    if has_options:
        raise InvalidInputError(
            "--element, --file and --source are of one element of a type", "give the type alone, or files without them"
        )
    if len(what) > 1 and what[0] in model.GROUPS and not Path(what[0]).exists():
        raise InvalidInputError(
            f"{what[0]} is a type of element, and {what[1]} stands after it",
            f"leave the type out: `modos add OBJECT {what[1]}`, or give the file with --source",
        )
    return (
        len(what) > 1
        or Path(what[0]).exists()
        or is_pipe(what[0])
        or "/" in what[0]
        or format_of(what[0].removesuffix(".c4gh")) is not None
    )


def add_files(
    modo: MODO,
    files: list[str],
    references: Sequence[str],
    parent: str | None,
    map: list[str] | None,
    secret: SecretKey | None,
    dry_run: bool,
    json: bool,
    data_checksum: bool,
) -> None:
    """Add files to an object, or show what that would do."""
    how = matcher(map)
    if dry_run:
        show_plan(modo.compare_with_added(files, references, parent, matcher=how, secret_key=secret), json)
        return
    with defer_progress("copying files") as advance:
        added = modo.add_files(files, references, parent, advance, matcher=how, secret_key=secret, data_checksum=data_checksum)
    say(f"added {count(len(added), 'element')} to {modo.storage.url}")


def show_plan(changes: list[Difference], json: bool, new: str | None = None) -> None:
    """Show the changes of `--dry-run`, or the new object."""
    if json:
        show_json([vars(change) for change in changes])
        return
    for change in changes:
        show(str(change))
    if new is not None:
        say(f"would create {new} with {count(sum(bool(change.element_id) for change in changes), 'element')}")
        return
    say(f"would change {count(len(changes), 'element')}" if changes else "nothing to change")
