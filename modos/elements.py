"""Typed elements in the Zarr group tree, and commits.

The root document `data.zarr/zarr.json` holds, inline, the metadata of every
group. It is all a reader needs and the one thing a commit replaces, with a
compare-and-swap. Each element's own `zarr.json` is a mirror for plain Zarr
tools, written afterwards.
"""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from modos import model
from modos.errors import (
    AlreadyExistsError, ConflictError, IntegrityError, InvalidInputError, ModosError, NotFoundError, TransportError,
    did_you_mean, listing,
)
from modos.storage import Storage, check_key

ZARR = "data.zarr"
ROOT_KEY = f"{ZARR}/zarr.json"
STATE = "_modos"  # root attribute: format version, revision, the ids of recent commits
FORMAT_VERSION = 1
_REMEMBERED_COMMITS = 100
_ATTEMPTS = 20
_MAX_ID = 200

logger = logging.getLogger(__name__)


def format_id(group: str, name: str) -> str:
    """`data` and `demo1` -> `data/demo1`; a name that has its group already keeps it.

    Raises
    ------
    InvalidInputError
        The name cannot be the name of a group: a slash, `..`, control
        characters, more than 200 characters, or `zarr.json`.
    """
    name = str(name)
    bare = name.removeprefix(f"{group}/")
    try:
        check_key(bare)
        valid = "/" not in bare and len(bare) <= _MAX_ID and bare != "zarr.json" and not bare.startswith(("__", "."))
    except InvalidInputError:
        valid = False
    if not valid:
        raise InvalidInputError(
            f"{name!r} cannot be an id in the group {group}",
            f"an id is a name of up to {_MAX_ID} characters without slashes, not starting with a dot",
        )
    return f"{group}/{bare}"


@dataclass
class Document:
    """The root document: the object's own attributes and the nodes below it.

    Parameters
    ----------
    attributes
        Attributes of the object itself.
    nodes
        Zarr metadata of every group and array by path, as consolidated.
    tag
        The storage's tag of the bytes it was read from.
    """

    attributes: dict[str, Any]
    nodes: dict[str, dict] = field(default_factory=dict)
    tag: str | None = None

    @classmethod
    def from_bytes(cls, data: bytes, tag: str, where: str) -> Document:
        """Read it; IntegrityError where it is no root of a MODO."""
        try:
            root = json.loads(data)
            attributes = root["attributes"]
            nodes = (root.get("consolidated_metadata") or {}).get("metadata", {})
            valid = root["node_type"] == "group" and attributes.get("@type") == "MODO" and isinstance(nodes, dict)
        except (ValueError, KeyError, TypeError, AttributeError):
            valid = False
        if not valid:
            raise IntegrityError(f"{where}/{ROOT_KEY} is damaged: it is not the root of a MODO",
                                 "restore it from a copy of the object")
        return cls(attributes, nodes, tag)

    def to_bytes(self) -> bytes:
        """The document as zarr-python writes a consolidated root group."""
        root = _group(self.attributes) | {"consolidated_metadata": _consolidated(dict(sorted(
            self.nodes.items(), key=lambda item: (item[0].count("/"), item[0])
        )))}
        return json.dumps(root, indent=2, ensure_ascii=False).encode()

    @property
    def object_id(self) -> str:
        """The id of the object itself."""
        return str(self.attributes.get("id", ""))

    @property
    def state(self) -> dict[str, Any]:
        """What commits record about themselves."""
        return self.attributes.get(STATE) or {}

    def metadata(self) -> dict[str, dict]:
        """Attributes by id, of the object and of every element, links in full form."""
        elements = {self.object_id: model.normalise(self.attributes)}
        for path, node in self.nodes.items():
            group, _, name = path.partition("/")
            if group in model.GROUPS and name and "/" not in name and "@type" in node.get("attributes", {}):
                elements[path] = model.normalise(node["attributes"])
        return elements

    def find(self, element_id: str) -> str:
        """The full id of an element that is there, given its full id or an unambiguous name.

        Raises
        ------
        NotFoundError, InvalidInputError
            No such element; a name that several groups have.
        """
        ids = list(self.metadata())
        if element_id in ids:
            return element_id
        named = [known for known in ids if known.partition("/")[2] == element_id]
        if len(named) > 1:
            raise InvalidInputError(f"{element_id} could be {' or '.join(named)}", "write the full id")
        if named:
            return named[0]
        near = did_you_mean(element_id, ids) or did_you_mean(element_id, [i.partition("/")[2] for i in ids])
        raise NotFoundError(f"no element {element_id} in {self.object_id}",
                            f"did you mean {near}?" if near else f"there are {listing(ids)}")

    def add(self, element_id: str, attributes: dict[str, Any]) -> None:
        """Add an element; AlreadyExistsError where its id is taken."""
        if element_id in self.nodes:
            raise AlreadyExistsError(f"{element_id} exists already in {self.object_id}",
                                     "choose another id, or update the element")
        self.nodes[element_id] = _group({key: value for key, value in attributes.items() if key != "id"})

    def link(self, parent_id: str, child_id: str) -> None:
        """Link an element from its parent by the slot the schema has for it.

        Raises
        ------
        InvalidInputError
            The schema has no link from the one to the other.
        """
        is_root = parent_id == self.object_id
        attributes = self.attributes if is_root else self.nodes[parent_id]["attributes"]
        group = child_id.partition("/")[0]
        slot = model.link_slot(attributes["@type"], group)
        if slot is None:
            raise InvalidInputError(f"{child_id} cannot be part of {parent_id}: the class {attributes['@type']} has no "
                                    f"link to a {group}")
        links = model.normalise(attributes).get(slot, [])
        if child_id in links:
            return
        linked = attributes | {slot: [*links, child_id]}
        if is_root:
            self.attributes = linked
        else:
            self.nodes[parent_id] = self.nodes[parent_id] | {"attributes": linked}


def load(storage: Storage) -> Document:
    """Read the whole metadata of an object: one request.

    Raises
    ------
    NotFoundError
        There is no MODO at the storage's root.
    IntegrityError
        The root document is damaged.
    """
    try:
        data, tag = storage.read(ROOT_KEY)
    except NotFoundError as error:
        if error.hint:  # the bucket itself is missing
            raise
        raise NotFoundError(f"no MODO at {storage.url}", "check the path; `modos remote list` shows those of a server"
                            if storage.is_remote else "check the path, or make one with `modos create`") from None
    return Document.from_bytes(data, tag, storage.url)


def create(storage: Storage, document: Document) -> None:
    """Write a new object's metadata; AlreadyExistsError where there is one."""
    document = deepcopy(document)
    for group in model.GROUPS:
        document.nodes.setdefault(group, _group({}))
    _stamp(document, uuid.uuid4().hex)
    try:
        storage.write(ROOT_KEY, document.to_bytes(), if_absent=True)
    except ConflictError:
        raise AlreadyExistsError(f"there is a MODO at {storage.url} already", "open it, or choose another path") from None
    write_mirrors(storage, document, document.nodes)


def commit(storage: Storage, change: Callable[[Document], None]) -> Document:
    """Apply a change to the newest document and replace it, or fail and change nothing.

    Parameters
    ----------
    change
        Edits the document by meaning; it runs again on a newer one where
        somebody else committed in between.

    Returns
    -------
    Document
        As committed.

    Raises
    ------
    ConflictError
        Others kept committing in between.
    """
    commit_id = uuid.uuid4().hex
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0, min(0.02 * 2**attempt, 2)))
        document = load(storage)
        if commit_id in document.state.get("commits", ()):
            return document  # the answer was lost, the commit was not
        before = dict(document.nodes)
        change(document)
        _stamp(document, commit_id)
        try:
            document.tag = storage.write(ROOT_KEY, document.to_bytes(), if_match=document.tag)
        except ConflictError:
            continue
        except TransportError:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        write_mirrors(storage, document, [path for path, node in document.nodes.items() if before.get(path) is not node])
        return document
    raise ConflictError(f"{storage.url} is changed by others all the time: gave up after {_ATTEMPTS} attempts",
                        "try again later")


def write_mirrors(storage: Storage, document: Document, paths: Iterable[str]) -> None:
    """Write the groups' own zarr.json; the object is whole without them."""

    def write(path: str) -> None:
        try:
            node = document.nodes[path]
            storage.write(f"{ZARR}/{path}/zarr.json", json.dumps(node, indent=2, ensure_ascii=False).encode())
        except ModosError as error:
            logger.warning("the mirror of %s for other Zarr tools was not written: %s", path, error)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [path for path in paths if document.nodes[path].get("node_type") == "group"]))


def _stamp(document: Document, commit_id: str) -> None:
    state = document.state
    document.attributes[STATE] = {
        "format_version": state.get("format_version", FORMAT_VERSION),
        "revision": state.get("revision", 0) + 1,
        "commits": [*state.get("commits", ()), commit_id][-_REMEMBERED_COMMITS:],
    }


def _group(attributes: dict[str, Any]) -> dict[str, Any]:
    """A Zarr v3 group without children of its own in the consolidated form."""
    return {"attributes": attributes, "zarr_format": 3, "consolidated_metadata": _consolidated({}),
            "node_type": "group"}


def _consolidated(metadata: dict[str, dict]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": metadata}
