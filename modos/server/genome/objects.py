"""Find elements of objects for those who may see them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import Request

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError, did_you_mean
from modos.genomics.htsget.protocol import HtsgetError
from modos.object import commits
from modos.object.document import Document
from modos.server.auth import Access, caller_of
from modos.storage import Storage, check_key

_MOST = 32  # objects whose documents are kept
_BY_ID_ALONE = (
    "it cannot be drawn for you: elements are found here by the metadata, and your right to a part of the data does not include "
    "those; htsget gives what you may read, by the ids of files"
)
TYPES = ("data", "reference", "assay", "sample", "sequence")

Metadata = Mapping[str, Mapping[str, Any]]


class OpenedObject(NamedTuple):
    """Object as it was read last: its key, storage, document and metadata."""

    key: str
    storage: Storage
    document: Document
    metadata: dict[str, Any]

    def key_of(self, path: str) -> str:
        """Return the key of a file of the object."""
        return f"{self.key}/{path}".lstrip("/")


class Element(NamedTuple):
    """Element of an object."""

    of: OpenedObject
    id: str
    attributes: Mapping[str, Any]

    @property
    def path(self) -> str:
        """The key of the object and the id of the element, as addresses have them."""
        return self.of.key_of(self.id)

    @property
    def name(self) -> str:
        """Its name, or what its id ends with."""
        return str(self.attributes.get("name") or self.id.partition("/")[2])

    @property
    def file_key(self) -> str | None:
        """The key of its data file; None if it has none."""
        path = self.attributes.get("data_path")
        return self.of.key_of(str(path)) if path else None


class Objects:
    """Objects of a catalogue, each read again where it has changed."""

    def __init__(self, catalog: Catalog, access: Access):
        self._catalog = catalog
        self._access = access
        self._known: OrderedDict[str, OpenedObject] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, key: str) -> OpenedObject:
        """Open an object; raise NotFoundError if there is none."""
        with self._lock:
            known = self._known.get(key)
        storage = known.storage if known else self._catalog.storage.child(key) if key else self._catalog.storage
        document = commits.load(storage, known.document if known else None)
        if known is None or known.document is not document:
            known = OpenedObject(key, storage, document, document.metadata())
        self._catalog.know(key, document.tag or "", known.metadata)
        with self._lock:
            self._known[key] = known
            self._known.move_to_end(key)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return known

    def find(self, request: Request, path: str) -> Element:
        """Find the element at a path: the key of its object, its type and its name.

        Raises
        ------
        HtsgetError
            The sender of the request may not read the metadata of the object; it is the same where there is none.
        NotFoundError
            There is no such object or element.
        """
        object_key, element_id = split_path(path)
        caller = caller_of(request)
        if not self._access.shows_metadata(caller, object_key):
            if self._access.shows(caller, object_key):
                raise HtsgetError("PermissionDenied", _BY_ID_ALONE)
            self._access.check(caller, "read", object_key)
        try:
            found = self.open(object_key)
        except NotFoundError:
            raise NotFoundError(f"there is no object {object_key or 'at the root'}") from None
        if element_id not in found.metadata or "/" not in element_id:
            near = did_you_mean(element_id, found.metadata)
            raise NotFoundError(
                f"there is no element {element_id} in {object_key or 'the object'}", f"did you mean {near}?" if near else None
            )
        return Element(found, element_id, found.metadata[element_id])


def split_path(path: str) -> tuple[str, str]:
    """Split the path of an element into the key of its object and its id; raise NotFoundError for what is none."""
    try:
        parts = check_key(path).split("/")
    except InvalidInputError:
        raise NotFoundError(f"there is no element {path[:200]}") from None
    if len(parts) < 2 or parts[-2] not in TYPES:
        raise NotFoundError(f"there is no element {path[:200]}", "an element is OBJECT/data/NAME or OBJECT/reference/NAME")
    return "/".join(parts[:-2]), "/".join(parts[-2:])
