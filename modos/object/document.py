"""The root document of an object: its attributes, its elements, and the links between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    did_you_mean,
    listing,
    refuse_newer,
)
from modos.errors.escaping import escape_line
from modos.formats import ROOT_KEYS, ZARR, format_of, is_array_path, is_encrypted, is_tree_path
from modos.metadata import model
from modos.metadata.ids import check_object_id, format_id
from modos.object import marks, old_layout, shape
from modos.object.marks import OWN_NODE, STATE
from modos.storage import ObjectInfo, Storage

ROOT_KEY = ROOT_KEYS[0]
FORMAT_VERSION = 1
GENOME = "genome"  # group below a reference that holds its contigs
SEALED = "sealed"  # group below an element whose arrays are an encrypted tree: what they are, and a track's place among others
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_REMEMBERED_COMMITS = 100
_NO_TEXT: tuple[None, str, int, str] = (None, "", 0, "")


def check_ids(document: Document) -> None:
    """Refuse an object with ids that could not be given; see `format_id`."""
    check_object_id(document.object_id)
    for element_id in document.ids():
        format_id(*element_id.split("/", 1))


def refuse_newer_root(root: Mapping[str, Any], where: str) -> None:
    """Refuse an object that a newer modos wrote, before anything else is looked at: its root may have any shape."""
    for version in marks.iter_formats(root):
        refuse_newer(where, version, FORMAT_VERSION)


@dataclass
class Document:
    """Root document: the object's own attributes and the nodes below it.

    Nodes are never changed in place, so that a shallow copy is a copy.

    Parameters
    ----------
    attributes
        Attributes of the object itself.
    nodes
        Zarr metadata of every group and array by path, as consolidated.
    tag
        The storage's tag of the bytes it was read from.
    zarr_format
        3, or 2 for an object in the old layout, which can only be read.
    texts
        By path, a node, the JSON that was made of it, its depth, and the JSON
        of what is kept apart; shared by copies, so that a commit need not write out everything anew.
    changed
        Paths of nodes that were added, changed or removed since this copy
        was made.
    """

    attributes: dict[str, Any]
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    tag: str | None = None
    zarr_format: int = 3
    texts: dict[str, tuple[dict[str, Any], str, int, str]] = field(default_factory=dict, repr=False, compare=False)
    changed: set[str] = field(default_factory=set, repr=False, compare=False)

    def __repr__(self) -> str:
        return escape_line(f"<document of {self.attributes.get('id')}: {len(self.nodes):,} nodes>")

    @classmethod
    def from_bytes(cls, data: bytes, tag: str, where: str) -> Document:
        """Read a document; raise IntegrityError if it is not the root of a MODO, NewerFormatError if a newer modos wrote it."""
        try:
            root = shape.read_json(data)
            refuse_newer_root(root, where)
            attributes = shape.check_dict(root.get("attributes"), "what it says of the object")
            nodes = shape.check_dict(root.get("consolidated_metadata") or {}, "its consolidated metadata").get("metadata", {})
            marks.join(attributes, nodes)
            shape.check_parts(attributes, nodes, attributes.get(STATE))
            if root.get("node_type") != "group":
                raise shape.Malformed("it is not a group")
        except shape.Malformed as error:
            raise damage_error(f"{where}/{ROOT_KEY}", error) from None
        return cls(attributes, nodes, tag)

    @classmethod
    def from_zarr2(cls, storage: Storage, infos: list[ObjectInfo]) -> Document:
        """Read an object in the layout of Zarr v2.

        Parameters
        ----------
        infos
            The groups' own files, as `old_layout.find_own_files` gives them; what
            they say counts, and `.zmetadata` for what has none.
        """
        data, tag = storage.read(old_layout.OLD_ROOT_KEY)
        try:
            own = old_layout.read_own(storage, infos)
            entries = shape.check_dict(shape.read_json(data).get("metadata"), "its list of groups") | own
            refuse_newer_root({"attributes": entries.get(".zattrs")}, storage.url)
            attributes = shape.check_dict(entries.get(".zattrs"), "what it says of the object")
            nodes = {}
            for key in entries:
                path, _, name = key.rpartition("/")
                if path and (name == ".zgroup" or (name == ".zarray" and (key in own or not own))):
                    told = entries.get(f"{path}/.zattrs", {})
                    nodes[path] = group_node(told) if name == ".zgroup" else old_layout.array_node(entries[key], told)
            shape.check_parts(attributes, nodes, attributes.get(STATE))
        except shape.Malformed as error:
            raise damage_error(f"{storage.url}/{old_layout.OLD_ROOT_KEY}", error) from None
        return cls(attributes, nodes, old_layout.tag_of(infos) if infos else tag, zarr_format=2)

    def to_bytes(self) -> bytes:
        """Write the document as a consolidated Zarr v3 root group; nodes by depth and path, as zarr-python expects them."""
        shown = {name: value for name, value in self.attributes.items() if name != STATE}
        root = _dump(group_node(shown) | {"consolidated_metadata": _consolidate({"": None})})
        by_depth: dict[int, list[str]] = {0: []}
        apart = []
        for path, node in self.nodes.items():
            if path == OWN_NODE:
                continue
            known, text, depth, own = self.texts.get(path, _NO_TEXT)
            if known is not node:
                text, depth, own = self._member(path, node)
            if own:
                apart.append(own)
            if depth in by_depth:
                by_depth[depth].append(text)
            else:
                by_depth[depth] = [text]
        if apart or self.state:
            by_depth[0].append(self._dump_apart(apart))
        nodes = ",".join(member for depth in sorted(by_depth) for member in sorted(by_depth[depth]))
        head, _, tail = root.rpartition('{"":null}')
        text = f"{head}{{{nodes}}}{tail}"
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(
                f"half of a surrogate pair is no text: {text[max(error.start - 40, 0) : error.end]!r}", "write it in UTF-8"
            ) from None

    def _member(self, path: str, node: dict[str, Any]) -> tuple[str, int, str]:
        attributes, slots = marks.split(path, node)
        if slots:  # in the order in which they are read again
            node = self.nodes[path] = {**node, "attributes": marks.united(attributes, slots)}
        name, depth = _dump(path), path.count("/")
        if (
            len(node) == 4
            and "attributes" in node
            and node.get("node_type") == "group"
            and node.get("zarr_format") == 3
            and (node.get("consolidated_metadata") == _NO_CHILDREN)
        ):
            key = f',"{marks.KEY}":{name}' if slots else ""
            text = f'{name}:{{"attributes":{_dump(attributes)},{_GROUP_REST}{key}}},"node_type":"group"}}'
        else:
            shown = {**node, "attributes": attributes} if slots else node
            text = f"{name}:{_dump(marks.add_key(shown, path) if slots else shown)}"
        own = f"{name}:{_dump_flat(slots)}" if slots else ""
        self.texts[path] = node, text, depth, own
        return text, depth, own

    def _dump_apart(self, slots: list[str]) -> str:
        """Write the member for what is kept apart."""
        state = {"state": self.state} if self.state else {}
        head, _, tail = _dump(marks.add_key(group_node(state | {"slots": {"": None}}), OWN_NODE)).rpartition('{"":null}')
        return f"{_dump(OWN_NODE)}:{head}{{{','.join(sorted(slots))}}}{tail}"

    def mirror(self, path: str) -> dict[str, Any]:
        """Return the content of the zarr.json of a group or an array; the record of commits is in the root alone."""
        node = self.nodes[path]
        attributes: Mapping[str, Any]
        if path == OWN_NODE:
            slots = {one: marks.split(one, node)[1] for one, node in self.nodes.items()}
            attributes = {"slots": {one: own for one, own in sorted(slots.items()) if own}}
        else:
            attributes = marks.split(path, node)[0] if OWN_NODE in self.nodes else node.get("attributes", {})
        return {name: value for name, value in {**node, "attributes": attributes}.items() if name != "consolidated_metadata"}

    def copy(self) -> Document:
        """Copy the document, so that edits leave this one as it is."""
        return Document(dict(self.attributes), dict(self.nodes), self.tag, self.zarr_format, self.texts)

    @property
    def object_id(self) -> str:
        """Id of the object itself."""
        return str(self.attributes.get("id", ""))

    @property
    def state(self) -> dict[str, Any]:
        """Record of the commits."""
        return self.attributes.get(STATE) or {}

    def stamp(self, commit_id: str) -> None:
        """Record one more commit."""
        self.keep_apart()
        self.attributes[STATE] = {
            "format_version": self.state.get("format_version", FORMAT_VERSION),
            "revision": self.state.get("revision", 0) + 1,
            "commits": [*self.state.get("commits", ()), commit_id][-_REMEMBERED_COMMITS:],
        }

    def keep_apart(self) -> None:
        """Add the group for what modos alone records, which older objects lack; all elements concerned count as changed."""
        if OWN_NODE not in self.nodes:
            self.nodes[OWN_NODE] = group_node({})
            self.changed.update((OWN_NODE, *(path for path, node in self.nodes.items() if marks.split(path, node)[1])))

    def ids(self) -> Iterator[str]:
        """Iterate over the ids of the elements."""
        for path, node in self.nodes.items():
            group, _, name = path.partition("/")
            if group in model.GROUPS and name and "/" not in name and "@type" in node.get("attributes", {}):
                yield path

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return attributes by id, of the object and of every element, links in full form."""
        own = {self.object_id: model.normalise(self.attributes)}
        return own | {element_id: self.element(element_id) for element_id in self.ids()}

    def element(self, element_id: str) -> dict[str, Any]:
        """Return the attributes of an element, or of the object by its own id, links in full form."""
        return model.normalise(self.raw(element_id))

    def __contains__(self, element_id: str) -> bool:
        return element_id == self.object_id or "@type" in self.nodes.get(element_id, {}).get("attributes", {})

    def data_paths(self) -> dict[str, str]:
        """Return the ids of elements by the paths of their files and trees, arrays aside."""
        paths = ((self.raw(i).get("data_path"), i) for i in self.ids())
        return {path: element_id for path, element_id in paths if path and not is_array_path(path)}

    def array_folders(self) -> set[str]:
        """Return the folders that hold the arrays' files, as keys."""
        return {f"{ZARR}/{path}" for path, node in self.nodes.items() if node.get("node_type") == "array"}

    def tree_folders(self) -> set[str]:
        """Return the folders of Zarr trees that are data of elements."""
        return {path for path in self.data_paths() if is_tree_path(path)}

    def arrays_on(self, reference_id: str) -> list[str]:
        """List the elements whose arrays lie along the contigs of a reference."""
        if not any(path.startswith(f"{reference_id}/") for path in self.nodes):
            return []
        parents = {path.rpartition("/")[0] for path, node in self.nodes.items() if node.get("node_type") == "array"}
        parents.update(self.sealed_arrays())
        return [i for i in self.ids() if i in parents and reference_id in self.element(i).get("has_reference", ())]

    def arrays_of(self, element_id: str) -> dict[str, dict[str, Any]]:
        """Return the arrays and groups below an element by path, but for the contigs of a genome."""
        contigs = f"{element_id}/{GENOME}" if element_id.startswith("reference/") else ""
        return {path: node for path, node in self.nodes.items() if path.startswith(f"{element_id}/") and path != contigs}

    def sealed_arrays(self) -> dict[str, dict[str, Any]]:
        """Return what is said of arrays that are an encrypted tree, by the elements that they are of."""
        found = ((path.rpartition("/")[0], node) for path, node in self.nodes.items() if path.endswith(f"/{SEALED}"))
        return {i: node.get("attributes", {}) for i, node in found if i in self and self._is_sealed_tree(i)}

    def _is_sealed_tree(self, element_id: str) -> bool:
        path = self.nodes[element_id]["attributes"].get("data_path") or ""
        return is_encrypted(path) and is_tree_path(path)

    def set_nodes(self, old: Iterable[str], new: Mapping[str, dict[str, Any]]) -> None:
        """Replace arrays and groups below elements."""
        self.nodes = {path: node for path, node in self.nodes.items() if path not in set(old)} | dict(new)
        self.changed.update(old, new)

    def find(self, element_id: str) -> str:
        """Find the full id of an element, given that or an unambiguous name.

        Raises
        ------
        NotFoundError, InvalidInputError
            No such element; a name that several groups have.
        """
        if element_id in self:
            return element_id
        named = [known for known in (f"{group}/{element_id}" for group in model.GROUPS) if known in self]
        if len(named) > 1:
            raise InvalidInputError(f"{element_id} could be {' or '.join(named)}", "write the full id")
        if named:
            return named[0]
        ids = list(self.ids())
        near = did_you_mean(element_id, ids) or did_you_mean(element_id, [i.partition("/")[2] for i in ids])
        raise NotFoundError(
            f"no element {element_id} in {self.object_id}",
            f"did you mean {near}?" if near else f"there are {listing(ids)}" if ids else "it has none",
        )

    def add(self, element_id: str, attributes: Mapping[str, Any]) -> None:
        """Add an element; raise AlreadyExistsError if its id is taken."""
        if element_id in self.nodes:
            raise AlreadyExistsError(
                f"{element_id} exists already in {self.object_id}", "choose another id, or update the element"
            )
        self.nodes[element_id] = group_node({key: value for key, value in attributes.items() if key != "id"})
        self.changed.add(element_id)

    def set(self, element_id: str, attributes: Mapping[str, Any]) -> None:
        """Replace the attributes of an element, or of the object itself."""
        if element_id == self.object_id:
            self.attributes = dict(attributes)
        else:
            self.nodes[element_id] = self.nodes[element_id] | {"attributes": dict(attributes)}
            self.changed.add(element_id)

    def rename(self, element_id: str, new_id: str) -> None:
        """Give an element, or the object, another id, which every link to it follows.

        Raises
        ------
        AlreadyExistsError
            The new id is taken.
        InvalidInputError
            The element has arrays.
        """
        if new_id in self.nodes or new_id == self.object_id:
            raise AlreadyExistsError(f"{new_id} exists already in {self.object_id}", "choose another id")
        if element_id == self.object_id:
            self.attributes = self.attributes | {"id": new_id}
            return
        if any(path.startswith(f"{element_id}/") for path in self.nodes):
            raise InvalidInputError(f"{element_id} has arrays, which stay where they are", "add them anew under another id")
        self.nodes = {new_id if path == element_id else path: node for path, node in self.nodes.items()}
        self.changed.update((element_id, new_id))
        for other in [self.object_id, *self.ids()]:
            self._relink(other, element_id, new_id)

    def remove(self, element_id: str) -> None:
        """Remove an element with all that is below it and every link to it."""
        below = [path for path in self.nodes if path == element_id or path.startswith(f"{element_id}/")]
        self.nodes = {path: node for path, node in self.nodes.items() if path not in below}
        self.changed.update(below)
        for other in [self.object_id, *self.ids()]:
            self._relink(other, element_id, None)

    def link(self, parent_id: str, child_id: str) -> None:
        """Link an element from its parent by the slot the schema has for it.

        Raises
        ------
        InvalidInputError
            The schema has no link from the one to the other.
        """
        attributes = self.raw(parent_id)
        group = child_id.partition("/")[0]
        slot = model.link_slot(attributes["@type"], group)
        if slot is None:
            raise InvalidInputError(
                f"{child_id} cannot be part of {parent_id}: the class {attributes['@type']} has no link to a {group}"
            )
        links = model.normalise({"@type": attributes["@type"], slot: attributes.get(slot, [])})[slot]
        if child_id not in links:
            self.set(parent_id, attributes | {slot: [*links, child_id]})

    def _relink(self, parent_id: str, child_id: str, new_id: str | None) -> None:
        """Make links to an id lead to another one, or remove them."""
        attributes = self.raw(parent_id)
        slot = model.link_slot(attributes.get("@type"), child_id.partition("/")[0])
        if slot is None or slot not in attributes:
            return
        links = model.normalise({"@type": attributes["@type"], slot: attributes[slot]})[slot]
        if child_id in links:
            left = [new_id if link == child_id else link for link in links if link != child_id or new_id]
            rest = {key: value for key, value in attributes.items() if key != slot}
            self.set(parent_id, rest | {slot: left} if left else rest)

    def raw(self, element_id: str) -> dict[str, Any]:
        """Return the attributes of an element as written, except for the place of its arrays, which is as in format.md."""
        if element_id == self.object_id:
            return self.attributes
        attributes = self.nodes[element_id]["attributes"]
        return attributes if attributes.get("@type") != "Array" else self._with_array_path(element_id, attributes)

    def _with_array_path(self, element_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
        """Complete the attributes of an element whose arrays others wrote under their place in the tree: `data/rna1`."""
        path = attributes.get("data_path")
        format = format_of(path) if path else None
        if not path or is_array_path(path) or (format and format.name != "Zarr"):
            return attributes
        place = path.strip("/")
        named = element_id if place.rpartition("/")[2] == element_id.partition("/")[2] else None
        found = next((known for known in (place, named) if known and self._holds_arrays(known)), None)
        return attributes | {"data_path": f"{ZARR}/{found}"} if found else attributes

    def _holds_arrays(self, place: str) -> bool:
        return any(
            node.get("node_type") == "array" for path, node in self.nodes.items() if path == place or path.startswith(f"{place}/")
        )


def group_node(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Make a Zarr v3 group without children of its own, in the consolidated form."""
    return {"attributes": attributes, "zarr_format": 3, "consolidated_metadata": _consolidate({}), "node_type": "group"}


def damage_error(where: str, error: shape.Malformed) -> IntegrityError:
    """Make the error for something that is not a root document."""
    if isinstance(error, shape.TooLarge):
        return IntegrityError(f"{where} cannot be read: {error}", "make several objects of it where it was made")
    return IntegrityError(f"{where} is damaged: it is not the root of a MODO ({error})", "restore it from a copy of the object")


def _consolidate(metadata: Mapping[str, dict[str, Any] | None]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": metadata}


def _dump(value: Any) -> str:
    return _ENCODER.encode(value)


def _dump_flat(slots: Mapping[str, Any]) -> str:
    """Write a few slots as JSON; quicker than `_dump`, as nearly every element has some."""
    return "{" + ",".join([f'"{name}":{value if type(value) is int else _dump(value)}' for name, value in slots.items()]) + "}"


_NO_CHILDREN = _consolidate({})
_GROUP_REST = '"zarr_format":3,"consolidated_metadata":{"kind":"inline","must_understand":false,"metadata":{}'
