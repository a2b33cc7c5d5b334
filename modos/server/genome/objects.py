"""Find elements of objects for those who may see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import Request

from modos.errors import InvalidInputError, NotFoundError, did_you_mean
from modos.genomics.htsget.protocol import HtsgetError
from modos.server.auth import Access, caller_of
from modos.server.known_objects import KnownObject, KnownObjects
from modos.storage import check_key

_BY_ID_ALONE = (
    "it cannot be drawn for you: elements are found here by the metadata, and your right to a part of the data does not include "
    "those; htsget gives what you may read, by the ids of files"
)
TYPES = ("data", "reference", "assay", "sample", "sequence")

Metadata = Mapping[str, Mapping[str, Any]]


class Element(NamedTuple):
    """Element of an object."""

    of: KnownObject
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
    """Objects of which somebody may see elements."""

    def __init__(self, known: KnownObjects, access: Access):
        self._known = known
        self._access = access

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
            found = self._known.open(object_key)
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
