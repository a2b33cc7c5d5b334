"""Choose unique names for elements and their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from modos.formats import plain_name, stem_of
from modos.object.enrichment import plain_id


def ids_of(paths: Iterable[Path]) -> dict[Path, str]:
    """Return ids for files: without the ending, or with it, or with as many folders as it takes to be unique."""
    plain = {path: plain_name(path.name) for path in paths}
    ids = {path: plain_id(stem_of(name)) or "file" for path, name in plain.items()}
    ids = {path: plain_id(plain[path]) if count > 1 else id for path, (id, count) in _count(ids).items()}
    return _add_folders(ids, lambda path, folders: plain_id("_".join([*folders, plain[path]])))


def places_of(paths: Iterable[Path], taken: Collection[str] = ()) -> dict[Path, str]:
    """Return names in the object for files: their own, with as many folders as it takes to be unique.

    Parameters
    ----------
    taken
        The names that files of the object have.
    """
    return _add_folders({path: path.name for path in paths}, lambda path, folders: "/".join([*folders, path.name]), taken)


def replace_stem(path: Path, stem: str) -> str:
    """Return the name of a file with another stem: `old.vcf.gz` and `new` -> `new.vcf.gz`."""
    return stem + path.name[len(stem_of(plain_name(path.name))) :]


def name_files(paths: Sequence[Path]) -> dict[Path, tuple[str, str]]:
    """Return ids and names in the object for files; see `ids_of` and `places_of`."""
    ids, places = ids_of(paths), places_of(paths)
    return {path: (ids[path], places[path]) for path in paths}


def _add_folders(
    names: dict[Path, str], name: Callable[[Path, tuple[str, ...]], str], taken: Collection[str] = ()
) -> dict[Path, str]:
    """Add to the names of files that are not unique the last folders of their paths."""
    folders = {path: path.resolve().parent.parts[1:] for path in names}
    for depth in range(1, max(map(len, folders.values()), default=0) + 1):
        counts = Counter(plain_name(one) for one in names.values())
        again = [path for path, one in names.items() if counts[plain_name(one)] > 1 or plain_name(one) in taken]
        if not again:
            break
        names = names | {path: name(path, folders[path][-depth:]) for path in again}
    return names


def _count(ids: dict[Path, str]) -> dict[Path, tuple[str, int]]:
    counts = Counter(ids.values())
    return {path: (id, counts[id]) for path, id in ids.items()}
