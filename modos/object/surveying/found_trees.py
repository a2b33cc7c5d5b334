"""Tell Zarr trees from files, and describe them by their metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError
from modos.object.incoming import may_be_tree
from modos.storage import Storage

if TYPE_CHECKING:
    from modos.trees.tree_sources import TreeSource

CLASSES = (
    "DataEntity",
    "VariantSet",
    "MassSpectrometryResults",
    "Array",
)  # a tree is the first, where it does not say what it is


@dataclass(frozen=True)
class FoundTree:
    """Zarr tree among the files that are given.

    Parameters
    ----------
    place
        As it was given.
    path
        What it would be called beside the other files: its name ends with `.zarr`.
    """

    place: str
    path: Path
    source: TreeSource

    def describe(self) -> tuple[str, dict[str, Any], list[str]]:
        """Describe it by its metadata: its class, its slots, and words on what it is."""
        from modos.trees.tree_description import describe_tree

        told = describe_tree(self.source.open_metadata(self.source.list_files()))
        kind = told.get("zarr_kind")
        words = [kind or "Zarr"]
        if "axes" in told:
            words.append(" x ".join(f"{length:,} {axis}" for axis, length in zip(told["axes"], told["shape"], strict=True)))
        if kind == "VCF-Zarr":
            words.append("its samples come with `modos enrich`")
        return "VariantSet" if kind == "VCF-Zarr" else CLASSES[0], told, words


def split_trees(
    places: Iterable[str | Path], open_remote: Callable[[str], Storage]
) -> tuple[list[FoundTree], list[Path], list[str]]:
    """Split what is given into trees, each once, and files; and say what was given twice.

    Raises
    ------
    InvalidInputError
        Two trees would have one name.
    """
    trees: dict[Path, FoundTree] = {}
    files, told = [], []
    for place in places:
        source = _find_source(place, open_remote) if may_be_tree(place) else None
        if source is None:
            files.append(Path(place))
            continue
        path = Path(source.place).with_name(source.name)
        before = trees.setdefault(path, FoundTree(str(place), path, source))
        if before.source.place != source.place:
            raise InvalidInputError(f"{before.place} and {place} would both be {path.name}", "add one after the other")
        if before.source is not source:
            told.append(f"{place} is given twice, and taken once")
    return list(trees.values()), files, told


def _find_source(place: str | Path, open_remote: Callable[[str], Storage]) -> TreeSource | None:
    from modos.trees.tree_sources import find_source, is_tree_source

    return find_source(place, open_remote) if is_tree_source(place) else None
