"""Facts of the one object that somebody looks at with their own key, which the pages of `modos view` tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modos.trees.tree_files import TreeFiles


@dataclass(frozen=True)
class OpenedData:
    """Data of an object that are stored encrypted, by the ids of their elements.

    Parameters
    ----------
    sealed
        Whose data are stored encrypted, whether the key opens them or not.
    trees
        The files of the Zarr trees that the key opens.
    closed
        Why the others stay closed.
    """

    sealed: frozenset[str] = frozenset()
    trees: Mapping[str, TreeFiles] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnObject:
    """Object as its user reaches it, and what their key opens of it.

    Parameters
    ----------
    place
        Path or URL, as the user gave it.
    endpoint
        URL of the modos server by which it is reached, if there is one.
    is_remote
        Whether it is not on this machine.
    find_opened
        Tells what is encrypted, as the newest document has it.
    """

    place: str
    endpoint: str | None
    is_remote: bool
    find_opened: Callable[[], OpenedData]
