"""Tell which object and samples a file is about, by the metadata that were read last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modos.catalog.catalog import Catalog
from modos.errors import ModosError
from modos.formats import ZARR

_MOST_KNOWN = 4096  # files of which the samples are remembered

Metadata = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Concerned:
    """Object and samples that a file is about.

    Parameters
    ----------
    object
        Key of the object; None where that is not known.
    samples
        Ids of the samples, in their order; None where they are not known.
    names
        Names of the same samples.
    is_sure
        Whether the file is linked to these; where it is linked to none, they are all of the object.
    """

    object: str | None
    samples: tuple[str, ...] | None
    names: tuple[str, ...] = ()
    is_sure: bool = True

    def choose(self, names: Iterable[str]) -> Concerned:
        """Choose the samples that a file names so: by their names or ids; all stay if one is not among them."""
        wanted, own = sorted(names), dict.fromkeys(self.samples or ())
        named = dict(zip(self.samples or (), self.names))
        found = {name: [id for id in own if name in (id, id.partition("/")[2], named.get(id))] for name in wanted}
        if not all(found.values()):
            return replace(self, samples=tuple(dict.fromkeys((*own, *wanted))), is_sure=False)
        chosen = tuple(id for id in own if any(id in ids for ids in found.values()))
        return replace(self, samples=chosen, names=tuple(named.get(id, "") for id in chosen))


NOBODY = Concerned(None, None, is_sure=False)


class Concerns:
    """Objects and samples that files are about; remembered as long as the metadata are the same."""

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._known: dict[str, tuple[Any, Concerned]] = {}

    def find(self, key: str) -> Concerned:
        """Find what a file, an object or something in one is about."""
        try:
            object_key, metadata = self._catalog.find_read(key)
        except ModosError:
            return NOBODY
        known = self._known.get(key)
        if known is None or known[0] is not metadata:
            path = key[len(object_key) :].lstrip("/")
            self._known[key] = known = metadata, _describe(object_key, metadata, path)
            while len(self._known) > _MOST_KNOWN:
                self._known.pop(next(iter(self._known)), None)
        return known[1]


def _describe(object_key: str, metadata: Metadata, path: str) -> Concerned:
    every = [name for name, attributes in metadata.items() if attributes.get("@type") == "Sample"]
    element = _find_element(metadata, path)
    if element is not None and element.startswith(("reference/", "sequence/")):
        return Concerned(object_key, ())
    linked = set(_iter_linked(metadata, element, set())) if element is not None else set()
    chosen = [name for name in every if name in linked] if linked else every
    names = tuple(str(metadata[name].get("name") or "") for name in chosen)
    return Concerned(object_key, tuple(chosen), names, is_sure=bool(linked) or not path)


def _find_element(metadata: Metadata, path: str) -> str | None:
    """Find the element that a path is of: its file, its index, what lies in its tree, or its array."""
    parts = path.split("/")
    if parts[0] == ZARR and "/".join(parts[1:3]) in metadata:
        return "/".join(parts[1:3])
    found = None
    for name, attributes in metadata.items():
        data_path = attributes.get("data_path") or ""
        if data_path and path.startswith(data_path) and path[len(data_path) :][:1] in ("", ".", "/"):
            longest = metadata[found].get("data_path") or "" if found else ""
            found = name if len(data_path) > len(longest) else found
    if found is None and path:  # an id, which has no ending
        stems = [name for name, attributes in metadata.items() if (attributes.get("data_path") or "").startswith(f"{path}.")]
        return stems[0] if len(stems) == 1 else None
    return found


def _iter_linked(metadata: Metadata, element: str, seen: set[str]) -> Iterator[str]:
    """Iterate over the samples of an element: its own, those of its assays, and those of what it is derived from."""
    if element in seen or element not in metadata:
        return
    seen.add(element)
    attributes = metadata[element]
    yield from _names(attributes.get("has_sample"))
    for other in metadata.values():
        if element in _names(other.get("has_data")):
            yield from _names(other.get("has_sample"))
    for source in _names(attributes.get("derived_from")):
        yield from _iter_linked(metadata, source, seen)


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [name for name in value or () if isinstance(name, str)]
