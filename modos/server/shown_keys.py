"""Mark which of many objects somebody may know of, and read the metadata of.

It is what Access says of each, for all at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from modos.formats import ENCRYPTED_SUFFIX, name_of
from modos.server.auth import Access
from modos.server.rules import Caller, covers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def mark_shown(access: Access, caller: Caller, keys: Sequence[str]) -> npt.NDArray[np.bool]:
    """Mark the objects of which something is shown, see `Access.shows`; shape (keys,), bool, for keys that are sorted."""
    bounded = (place for rule in access.bounded_places(caller) for place in rule["read"])
    return _mark({*access.places(caller, "read"), *bounded}, keys)


def mark_readable(access: Access, caller: Caller, keys: Sequence[str]) -> npt.NDArray[np.bool]:
    """Mark the objects whose metadata are shown, see `Access.shows_metadata`; shape (keys,), bool, for keys that are sorted."""
    bounded = (place for rule in access.bounded_places(caller) if rule["metadata"] for place in rule["read"])
    return _mark({*access.places(caller, "read"), *bounded}, keys)


def _mark(places: Iterable[str], keys: Sequence[str]) -> npt.NDArray[np.bool]:
    """Mark the keys that one of some places covers: in order, what is below one lies together."""
    import numpy as np

    marked = np.zeros(len(keys), bool)
    for place in places:
        if not place:
            return np.ones(len(keys), bool)
        marked[bisect_left(keys, f"{place}/") : bisect_left(keys, f"{place}0")] = True  # 0 is next to /
        at = bisect_left(keys, place)
        if keys[at : at + 1] == [place]:
            marked[at] = True
    for at, key in enumerate(keys):
        if ("~" in key or key.endswith(ENCRYPTED_SUFFIX)) and name_of(key) != key and any(covers(place, key) for place in places):
            marked[at] = True
    return marked
