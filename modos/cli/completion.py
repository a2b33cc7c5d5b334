"""What a shell offers while somebody types: objects, their files and elements, contigs.

It is asked at each press of a key, so it imports little, reads one file, has
no network but for what is written as remote, and then for two seconds at most.
Whatever goes wrong, it offers nothing and says nothing.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

import typer

_DEADLINE = 2.0  # seconds for what is remote, the loading of the S3 client among them
_MAX_ROOT = 16 << 20  # bytes of a root document that is read
_OBJECTS = ("path", "place", "file", "other")  # how commands call the argument that is an object, or in one
_ROOT = "data.zarr/zarr.json"
_SCHEMES = ("s3", "http", "https")


@contextmanager
def words_as_typed() -> Iterator[None]:
    """Give bash what it asks for: it breaks words at colons, and wants of an offer what comes after the last one of the word."""
    if os.environ.get("_MODOS_COMPLETE") != "complete_bash":
        yield
        return
    broken, current = os.environ.get("COMP_WORDS", "").split("\n"), int(os.environ.get("COMP_CWORD") or 0)
    words, at = _join(broken, current)
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(at)
    prefix = words[at].rpartition(":")[0] + ":" if len(words) < len(broken) and at < len(words) and words[at] not in broken else ""
    offered = StringIO()
    try:
        with redirect_stdout(offered):
            yield
    finally:
        sys.stdout.write("".join(line.removeprefix(prefix) for line in offered.getvalue().splitlines(keepends=True)))


def _join(broken: list[str], current: int) -> tuple[list[str], int]:
    """The words of a line whose addresses were broken at colons, and which of them is the current one."""
    words: list[str] = []
    at, joins = current, False
    for number, piece in enumerate(broken):
        colon = piece == ":" and bool(words) and words[-1].partition(":")[0] in _SCHEMES
        if colon or joins:
            words[-1] += piece
            at -= number <= current
        else:
            words.append(piece)
        joins = colon
    return words, at


def complete_object(ctx: typer.Context, incomplete: str) -> list[str]:
    """Objects, and the folders on the way to them."""
    return _silently(lambda: _remote_objects(ctx, incomplete) if _is_remote(incomplete) else
                     [path if _is_object(path) else path + "/" for path in _folders(incomplete)])


def complete_file(ctx: typer.Context, incomplete: str) -> list[str]:
    """Files of objects; objects, and the folders on the way to them."""
    def offered() -> Iterable[str]:
        place = incomplete.rpartition("/")[0]
        if _is_remote(incomplete) or not _is_object(place):
            return [path + "/" for path in _folders(incomplete)]
        names = {attributes.get("data_path") for attributes in _elements(ctx, place).values()}
        return [f"{place}/{name}" for name in sorted(name for name in names if isinstance(name, str) and not name.startswith("data.zarr/"))]

    return _beginning(incomplete, _silently(offered))


def complete_element(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of elements of the object that is named before."""
    return _beginning(incomplete, _silently(lambda: sorted(_elements(ctx, _named(ctx)))))


def complete_region(ctx: typer.Context, incomplete: str) -> list[str]:
    """Contigs of the object that is named before, by its reference sequences."""
    return _beginning(incomplete, _silently(lambda: dict.fromkeys(
        str(attributes.get("name") or element_id.partition("/")[2]) for element_id, attributes in _elements(ctx, _named(ctx)).items()
        if element_id.startswith("sequence/"))))


def _silently(offered: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [word for word in offered() if word.isprintable()]
    except Exception:
        return []


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _is_remote(place: str) -> bool:
    return place.startswith(("s3://", "http://", "https://"))


def _is_object(place: str) -> bool:
    return any(os.path.isfile(os.path.join(place, name)) for name in (_ROOT, "data.zarr/.zmetadata", "data.zarr/.zgroup"))


def _folders(incomplete: str) -> Iterator[str]:
    """The folders whose paths begin so, but for those within an object."""
    parent, slash, start = incomplete.rpartition("/")
    folder = parent + slash or "."
    if _is_object(folder):
        return
    with os.scandir(os.path.expanduser(folder)) as found:
        names = sorted(one.name for one in found if one.name.startswith(start) and one.is_dir() and (start or one.name[0] != "."))
    yield from (parent + slash + name for name in names)


def _named(ctx: typer.Context) -> str:
    """The object that stands before; where an option waits for its value nothing is parsed, and the line itself is looked at."""
    parsed = next((str(ctx.params[name]) for name in _OBJECTS if ctx.params.get(name)), None)
    line = shlex.split(os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "") if parsed is None else ()
    return parsed or next(word for word in line if word.startswith("s3://") or _object_of(word))


def _object_of(place: str) -> str:
    """A folder that is an object: this one, or the nearest above; empty where none is."""
    while place and not _is_object(place):
        place = place.rpartition("/")[0]
    return place


def _elements(ctx: typer.Context, place: str) -> dict[str, dict[str, Any]]:
    """The elements of an object, or of the one that a file is in, by id."""
    if _is_remote(place):
        return _remote_elements(ctx, place)
    place = _object_of(place)
    path = os.path.join(place, _ROOT)
    if not place or os.path.getsize(path) > _MAX_ROOT:
        return {}
    with open(path, "rb") as file:
        nodes = json.load(file)["consolidated_metadata"]["metadata"]
    return {key: node["attributes"] for key, node in nodes.items() if key.count("/") == 1 and "@type" in node.get("attributes", {})}


def _remote_elements(ctx: typer.Context, place: str) -> dict[str, dict[str, Any]]:
    from modos.object.modo import MODO

    metadata = _within_deadline(lambda: MODO.open(place, **_where(ctx)).metadata) or {}
    return {key: attributes for key, attributes in metadata.items() if "/" in key}


def _remote_objects(ctx: typer.Context, incomplete: str) -> list[str]:
    from modos.catalog.catalog import list_remote

    bucket = "/".join(incomplete.split("/")[:3]) if incomplete.count("/") > 2 else None
    where = _where(ctx)
    found = _within_deadline(lambda: list_remote(None if where["endpoint"] else bucket, where["endpoint"], where["s3_kwargs"]))
    return _beginning(incomplete, found or [])


def _where(ctx: typer.Context) -> dict[str, Any]:
    given = ctx.find_root().params
    return {"endpoint": given.get("endpoint") or os.environ.get("MODOS_ENDPOINT"),
            "s3_kwargs": {"anon": True} if given.get("anon") else None}


def _within_deadline(ask: Callable[[], Any]) -> Any:
    """What is answered in time; None else. The program ends without waiting for the rest."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception:
            pass

    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    asking.join(_DEADLINE)
    return answers[0] if answers else None
