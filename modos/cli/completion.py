"""Shell completion for objects, their files and elements, and contigs.

It is asked at each press of a key, so it imports little, reads one file, has
no network but for what is written as remote, and then for two seconds at most.
On any failure it offers nothing and prints nothing.

Names come from other people's objects, and an offer becomes part of a command:
no shell may find more than a word in it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from typing import TYPE_CHECKING, Any

import typer

from modos.formats import ROOT_KEYS

if TYPE_CHECKING:
    from modos.cli.output import Where

_DEADLINE = 2.0  # seconds for all of an offer, the loading of the S3 client among them
_MAX_ROOT = 16 << 20  # bytes of a root document that is read
_OBJECTS = ("path", "place", "file", "other")  # how commands call the argument that is an object, or in one
_SCHEMES = ("s3", "http", "https")
_PLAIN = r"[\w@%+=:,./-]"  # what is itself in every shell
_UNFIT = {
    "fish": r"(?!)",
    "bash": r"(?!)",
    "zsh": r"[\\'\"]",
}  # what a word must not have; fish quotes by itself, bash is given quoted words, Typer quotes for zsh all but these


@contextmanager
def join_words() -> Iterator[None]:
    """Adapt to bash, which breaks words at colons, and wants of a completion what comes after the last colon of the word."""
    if os.environ.get("_MODOS_COMPLETE") != "complete_bash":
        yield
        return
    broken, current = os.environ.get("COMP_WORDS", "").split("\n"), int(os.environ.get("COMP_CWORD") or 0)
    words, at = _join(broken, current)
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(at)
    word = words[at] if at < len(words) else ""
    prefix = word.rpartition(":")[0] + ":" if len(words) < len(broken) and word and word not in broken else ""
    offered = StringIO()
    try:
        with redirect_stdout(offered):
            yield
    finally:
        lines = [line.removeprefix(prefix) for line in offered.getvalue().splitlines()]
        sys.stdout.write("".join(f"{line}\n" for line in _quote_for_bash(lines, word)))


def _quote_for_bash(lines: list[str], word: str) -> Iterator[str]:
    """Quote words for bash, which puts them into the line as they are; after an opened quote none is needed."""
    for line in lines:
        home, name = ("~/", line[2:]) if line.startswith("~/") else ("", line)
        quoted = home + re.sub(rf"(?!{_PLAIN}).", r"\\\g<0>", name)
        if quoted == line or not {"'", '"'} & set(word):
            yield quoted


def _join(broken: list[str], current: int) -> tuple[list[str], int]:
    """Join the words of a line that were broken at colons; returns them, and which of them is the current one."""
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
    """List objects, and the folders on the way to them."""

    def find_offers() -> Iterable[str]:
        if _is_remote(incomplete):
            return _remote_objects(ctx, incomplete)
        return [path if _is_object(path) else path + "/" for path in _list_ways(incomplete)]

    return _offer(incomplete, find_offers)


def complete_file(ctx: typer.Context, incomplete: str) -> list[str]:
    """List files of objects, by name and by element; objects, and the folders on the way to them."""

    def find_offers() -> list[str]:
        if _is_remote(incomplete):
            places = _remote_objects(ctx, incomplete)
            within = [place for place in places if incomplete.startswith(place + "/")]
        else:
            within = [place for place in (_object_of(incomplete.rpartition("/")[0]),) if place]
            places = [] if within else list(_list_ways(incomplete))
        ways = [place + "/" for place in places if place not in within]
        if len(ways) == 1 and _is_object(places[0]):
            within = places
        return ways + [file for place in within for file in _files(ctx, place)]

    return _offer(incomplete, find_offers)


def complete_element(ctx: typer.Context, incomplete: str) -> list[str]:
    """List ids of elements of the object that is named before."""
    return _offer(incomplete, lambda: sorted(_elements(ctx, _find_object(ctx))))


def complete_region(ctx: typer.Context, incomplete: str) -> list[str]:
    """List contigs of the file or the object that is named before."""
    return _offer(incomplete, lambda: _contigs(ctx, _find_object(ctx)))


def _offer(incomplete: str, find_offers: Callable[[], Iterable[str]]) -> list[str]:
    """Return the offers, as far as they come in time, that begin with the word and are a single word to the shell."""
    shell = os.environ.get("_MODOS_COMPLETE", "").removeprefix("complete_")
    unfit = re.compile(_UNFIT.get(shell, rf"(?!{_PLAIN})."))
    words = _ask_within_deadline(lambda: list(dict.fromkeys(find_offers()))) or []
    return [word for word in words if word.startswith(incomplete) and word.isprintable() and not unfit.search(word)]


def _is_remote(place: str) -> bool:
    return place.startswith(("s3://", "http://", "https://"))


def _is_object(place: str) -> bool:
    place = os.path.expanduser(place)
    return any(os.path.isfile(os.path.join(place, root)) for root in ROOT_KEYS)


def _list_ways(incomplete: str) -> list[str]:
    """List the folders whose paths begin so; a single one with its content, as shells take a single offer as final."""
    found = list(_folders(incomplete))
    return found + list(_folders(found[0] + "/")) if len(found) == 1 and not _is_object(found[0]) else found


def _folders(incomplete: str) -> Iterator[str]:
    """Iterate over the folders whose paths begin so, except those within an object."""
    parent, slash, start = incomplete.rpartition("/")
    folder = parent + slash or "."
    if _is_object(folder):
        return
    with os.scandir(os.path.expanduser(folder)) as found:
        names = sorted(
            one.name for one in found if one.name.startswith(start) and one.is_dir() and (start or one.name[0] not in ".-")
        )
    yield from (parent + slash + name for name in names)


def _find_object(ctx: typer.Context) -> str:
    """Find the object that is named before; where an option waits for its value, in the unparsed line."""
    parsed = next((str(ctx.params[name]) for name in _OBJECTS if ctx.params.get(name)), None)
    line = shlex.split(os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "") if parsed is None else ()
    return parsed or next(word for word in line if word.startswith("s3://") or _object_of(word))


def _object_of(place: str) -> str:
    """Return a folder that is an object: this one, or the nearest above; empty if there is none."""
    while place and not _is_object(place):
        place = place.rpartition("/")[0]
    return place


def _elements(ctx: typer.Context, place: str) -> dict[str, dict[str, Any]]:
    """Return the elements of an object, or of the one that a file is in, by id."""
    if _is_remote(place):
        from modos.object.modo import MODO

        return {key: attributes for key, attributes in MODO.open(place, **_read_where(ctx)).metadata.items() if "/" in key}
    place = os.path.expanduser(_object_of(place))
    path = os.path.join(place, ROOT_KEYS[0])
    if not place or os.path.getsize(path) > _MAX_ROOT:
        return {}
    with open(path, "rb") as file:
        nodes = json.load(file)["consolidated_metadata"]["metadata"]
    return {
        key: node["attributes"] for key, node in nodes.items() if key.count("/") == 1 and "@type" in node.get("attributes", {})
    }


def _files(ctx: typer.Context, place: str) -> Iterator[str]:
    """Iterate over the files of an object by name, then by the ids of their elements."""
    named = {
        element: path
        for element, attributes in _elements(ctx, place).items()
        if isinstance(path := attributes.get("data_path"), str) and not (path + "/").startswith("data.zarr/")
        if not path.endswith((".zarr", ".zarr.c4gh"))  # a tree is not streamed
    }
    yield from (f"{place}/{name}" for name in [*sorted(named.values()), *sorted(named)])


def _contigs(ctx: typer.Context, place: str) -> Iterable[str]:
    """List the contigs of a file, by its header; of an object, or without a readable header, its sequences or its genome's."""
    if _is_object(place) and (names := _sequences(_elements(ctx, place))):
        return names
    from modos.errors import InvalidInputError, ModosError
    from modos.object.modo import MODO

    try:
        modo, key = MODO.locate(os.path.expanduser(place), **_read_where(ctx))
        return modo.file(key).contigs
    except InvalidInputError:
        modo = MODO.open(place, **_read_where(ctx))
    except ModosError:
        modo = MODO.open(_object_of(place), **_read_where(ctx))
    return _sequences(modo.metadata) or modo.open_genome().contigs


def _sequences(metadata: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        str(attributes.get("name") or element.partition("/")[2])
        for element, attributes in metadata.items()
        if element.startswith("sequence/")
    ]


def _remote_objects(ctx: typer.Context, incomplete: str) -> list[str]:
    from modos.catalog.catalog import list_remote

    bucket = "/".join(incomplete.split("/")[:3]) if incomplete.count("/") > 2 else None
    where = _read_where(ctx)
    return list_remote(None if where["endpoint"] else bucket, where["endpoint"], where["s3_kwargs"])


def _read_where(ctx: typer.Context) -> Where:
    given = ctx.find_root().params
    return {
        "endpoint": given.get("endpoint") or os.environ.get("MODOS_ENDPOINT"),
        "s3_kwargs": {"anon": True} if given.get("anon") else None,
    }


def _ask_within_deadline(ask: Callable[[], Any]) -> Any:
    """Return an answer that comes in time, else None. The program ends without waiting for the rest."""
    answers: list[Any] = []

    def run() -> None:
        with suppress(Exception):
            answers.append(ask())

    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    asking.join(_DEADLINE)
    return answers[0] if answers else None
