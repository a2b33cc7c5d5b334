"""Changes to metadata, and the rules that metadata must keep after them.

A change says what it is about (add this element, set these slots), so that it
can be made again on what others committed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

from modos.errors import AlreadyExistsError, ConflictError, InvalidInputError, NotFoundError, SchemaError, did_you_mean, listing
from modos.formats import PARTS_SUFFIX, ZARR, companion_names, is_array_path, name_of, plain_name
from modos.metadata import model
from modos.object.document import Document
from modos.object.record import FOLDER
from modos.storage import check_key

_MAX_SHOWN = 20  # links that lead nowhere
_MAX_GUESSED = 3


class Change(Protocol):
    """Change of an object, by meaning."""

    element_id: str

    def apply(self, document: Document) -> None:
        """Apply the change to a document; raise ConflictError if others have changed the same since."""


@dataclass
class Add:
    """Addition of an element."""

    element_id: str
    attributes: dict[str, Any]

    def apply(self, document: Document) -> None:
        """Add the element; raise AlreadyExistsError if its id is taken."""
        document.add(self.element_id, self.attributes)


@dataclass
class Update:
    """New values for slots of an element; a value that is None or empty unsets its slot.

    Parameters
    ----------
    base
        The element as it was when the change was made.
    """

    element_id: str
    attributes: dict[str, Any]
    base: dict[str, Any]

    def apply(self, document: Document) -> None:
        """Set the slots; raise ConflictError if others have changed the element since."""
        current = _require_unchanged(document, self.element_id, self.base, self.attributes)
        document.set(self.element_id, merge(current, self.attributes))


@dataclass
class Rename:
    """Replacement for an id of an element or of the object that could not be given today."""

    element_id: str
    old_id: str
    base: dict[str, Any]
    attributes: dict[str, Any] = field(default_factory=dict)

    def apply(self, document: Document) -> None:
        """Change the id and every link to it; raise ConflictError if others have changed the element since."""
        _require_unchanged(document, self.old_id, self.base, {})
        document.rename(self.old_id, self.element_id)


@dataclass
class Remove:
    """Removal of an element with every link to it."""

    element_id: str
    base: dict[str, Any]

    def apply(self, document: Document) -> None:
        """Remove the element; raise ConflictError if others have changed it since."""
        _require_unchanged(document, self.element_id, self.base, {})
        document.remove(self.element_id)


@dataclass
class SetArrays:
    """Arrays below an element that replace others, or are new.

    Parameters
    ----------
    base
        Paths of those that are replaced.
    nodes
        The new ones by path, as Zarr describes them; known when they are
        written.
    is_whole
        Whether those that are replaced are all that the element has.
    """

    element_id: str
    base: frozenset[str]
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_whole: bool = False

    def apply(self, document: Document) -> None:
        """Replace the arrays; raise ConflictError if others have replaced them since."""
        if self.element_id not in document:
            raise ConflictError(f"{self.element_id} was removed by somebody else meanwhile", "nothing was changed")
        more = document.arrays_of(self.element_id).keys() - self.base if self.is_whole else ()
        if more or self.base - document.nodes.keys():
            raise ConflictError(
                f"the arrays of {self.element_id} were changed by somebody else meanwhile",
                "nothing was changed: look at it again, and repeat what still holds",
            )
        document.set_nodes(self.base, self.nodes)


@dataclass
class Extend(Update):
    """Addition to data of an element, which is made anew on what others have added to them meanwhile.

    Parameters
    ----------
    make
        Makes it: writes what is missing, and changes the document.
    """

    make: Callable[[Document], None]

    def apply(self, document: Document) -> None:
        """Make the addition; raise ConflictError where what others did leaves no place for it."""
        self.make(document)


def merge(attributes: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge attributes with new values, and leave out those that are None."""
    return {slot: value for slot, value in (dict(attributes) | dict(changes)).items() if value is not None}


def _require_unchanged(
    document: Document, element_id: str, base: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the element as it is; raise ConflictError if it differs from what it was, other than by links that others added."""
    if element_id not in document:
        raise ConflictError(f"{element_id} was removed by somebody else meanwhile", "nothing was changed")
    current = document.element(element_id)
    ignored = (set(model.link_slots(base["@type"])) - changes.keys()) | {"last_update_date"}
    if any(current.get(slot) != base.get(slot) for slot in (current.keys() | base.keys()) - ignored):
        raise ConflictError(
            f"{element_id} was changed by somebody else meanwhile",
            "nothing was changed: look at it again, and repeat what still holds",
        )
    return (
        current
        if element_id != document.object_id
        else current | {slot: value for slot, value in document.attributes.items() if slot.startswith("_")}
    )


def check_files(document: Document, touched: set[str]) -> None:
    """Check that no two elements share a file, and that each file lies where it may."""
    if not any(document.nodes[i]["attributes"].get("data_path") for i in touched if i in document.nodes):
        return
    owners: dict[str, str] = {}
    for element_id in document.ids():
        data_path = document.nodes[element_id]["attributes"].get("data_path")
        if not data_path:
            continue
        other = owners.setdefault(data_path, element_id)
        if other != element_id and {other, element_id} & touched:
            raise AlreadyExistsError(
                f"{element_id}: the file {data_path} belongs to {other} already", "give the element another data_path"
            )
    for element_id in touched & set(owners.values()):
        _refuse_taken_by_index(element_id, document.nodes[element_id]["attributes"]["data_path"], owners)


def check_data_path(element_id: str, data_path: str) -> None:
    """Refuse a path outside the object, or in its metadata."""
    if not isinstance(data_path, str):
        raise SchemaError(
            f"{element_id}: data_path {data_path!r} does not fit",
            path=f"{element_id}.data_path",
            expected="a path",
            got=str(data_path),
        )
    check_key(data_path)
    if data_path.split("/")[0] in (ZARR, FOLDER):
        raise InvalidInputError(f"{element_id}: data_path {data_path} lies in the metadata", "choose another name")
    if name_of(data_path) != plain_name(data_path):
        raise InvalidInputError(
            f"{element_id}: data_path {data_path} has the mark of a file that replaced another",
            f"call it {name_of(data_path)}: the mark comes by itself when a file is replaced",
        )


def check_names(document: Document, named: set[str]) -> None:
    """Check that no file of some elements has the name of another file, of its index, or of the folder that it lies in."""
    if not named:
        return
    owners: dict[str, list[str]] = {}
    for path, element_id in document.data_paths().items():
        owners.setdefault(name_of(path), []).append(element_id)
    for name, ids in owners.items():
        if len(ids) > 1 and named & set(ids):
            one, other = sorted(ids, key=lambda element_id: element_id in named)[:2]
            raise AlreadyExistsError(
                f"{other}: {one} has a file that is called {name} already", "give the element another data_path"
            )
    _refuse_index_or_folder({name: ids[0] for name, ids in owners.items()}, named)


def _refuse_index_or_folder(owners: Mapping[str, str], named: set[str]) -> None:
    names = [name for name in owners if not is_array_path(name)]
    files = {index: name for name in names for index in companion_names(name)} | {name: name for name in names}
    for name in names:
        for index in companion_names(name):
            if index in owners and named & {owners[name], owners[index]}:
                raise AlreadyExistsError(
                    f"{owners[index]}: its file {index} has the name of {_describe(index)} of {name}, the file of {owners[name]}",
                    "give the element another data_path",
                )
        for folder in map(str, PurePosixPath(name).parents):
            if folder in files and named & {owners[name], owners[files[folder]]}:
                raise AlreadyExistsError(
                    f"{owners[name]}: {name} lies in a folder of the name of {folder}, a file of {owners[files[folder]]}",
                    "give the element another data_path",
                )


def _describe(companion: str) -> str:
    return "the list of digests" if companion.endswith(PARTS_SUFFIX) else "an index"


def _refuse_taken_by_index(element_id: str, data_path: str, owners: Mapping[str, str]) -> None:
    for index in companion_names(data_path):
        if index in owners:
            raise AlreadyExistsError(
                f"{element_id}: {_describe(index)} of its file, {index}, has the name of the file of {owners[index]}",
                "give the element another data_path",
            )


def check_links(document: Document, touched: set[str]) -> None:
    """Check that every link of the changed elements leads to an element of the object; the error names all that do not."""
    missing: list[tuple[str, str, str]] = []
    for element_id in sorted(touched):
        if element_id not in document:
            continue
        attributes = document.element(element_id)
        for slot, group in model.link_slots(attributes["@type"]).items():
            for link in attributes.get(slot, ()):
                if link not in document:
                    missing.append((element_id, slot, link))
                elif link.partition("/")[0] != group:
                    raise SchemaError(
                        f"{element_id}: {slot} cannot link to {link}",
                        f"it links to a {group}",
                        path=f"{element_id}.{slot}",
                        expected=f"{group}/...",
                        got=link,
                    )
    if missing:
        raise _broken_links_error(document, missing)


def _broken_links_error(document: Document, missing: list[tuple[str, str, str]]) -> NotFoundError:
    links = list(dict.fromkeys(link for _, _, link in missing))
    near = [guess for link in links[:_MAX_GUESSED] if (guess := did_you_mean(link, document.ids()))]
    hint = (
        f"did you mean {listing(near)}?" if near else "add that element first" if len(links) == 1 else "add these elements first"
    )
    if len(missing) == 1:
        return NotFoundError("{}: {} links to {}, which is not in the object".format(*missing[0]), hint)
    shown = [f"{element_id}: {slot} to {link}" for element_id, slot, link in missing]
    return NotFoundError(f"{len(missing):,} links lead to what is not in the object: {listing(shown, _MAX_SHOWN)}", hint)
