"""Find an object that a page is about, with what its caller may know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastapi import Request

from modos.catalog.catalog import Catalog
from modos.errors import IntegrityError, InvalidInputError, ModosError, NewerFormatError, NotFoundError
from modos.formats import Metadata, is_array_path, is_encrypted
from modos.object.document import Document
from modos.object.tracks import tracks_of
from modos.server.auth import Access, caller_of
from modos.server.known_objects import KnownObjects
from modos.server.pages.own_object import OpenedData, OwnObject
from modos.server.rules import Caller, covers
from modos.storage import Storage, check_key

BROWSED = ("BAM", "CRAM", "VCF", "BCF")


@dataclass(frozen=True)
class ServedObject:
    """Object that a caller may know of.

    Parameters
    ----------
    key
        Below what is served.
    metadata
        By element id, the object's own by its id.
    own_object
        Where somebody looks at it with their own key.
    """

    key: str
    document: Document
    storage: Storage
    metadata: Metadata
    access: Access
    caller: Caller
    own_object: OwnObject | None = None

    @property
    def id(self) -> str:
        """Its own id."""
        return self.document.object_id

    @cached_property
    def own(self) -> Mapping[str, Any]:
        """Attributes of the object itself."""
        return self.metadata.get(self.id, {})

    @cached_property
    def elements(self) -> dict[str, Mapping[str, Any]]:
        """Attributes of the elements by their ids."""
        return {i: attributes for i, attributes in self.metadata.items() if i != self.id}

    @cached_property
    def tracks(self) -> frozenset[str]:
        """Ids of the elements that are tracks; none where the arrays do not fit the elements, which a check reports."""
        try:
            return frozenset(tracks_of(self.document).values())
        except IntegrityError:
            return frozenset()

    @cached_property
    def opened(self) -> OpenedData:
        """Data of it that are encrypted, and what a key opens of them here; nothing on a server for others."""
        return self.own_object.find_opened() if self.own_object else OpenedData()

    def is_sealed(self, element_id: str) -> bool:
        """Return whether the data of an element are stored encrypted, though they may be shown."""
        return element_id in self.opened.sealed or is_encrypted(text_of(self.elements[element_id], "data_path"))

    def stored_key(self, path: str) -> str:
        """Return the key of a path in the object, below what is served."""
        return f"{self.key}/{path}".lstrip("/")

    def may_read(self, path: str) -> bool:
        """Return whether the caller may read all of a file or tree of the object."""
        return self.access.allows(self.caller, "read", self.stored_key(path))

    def is_browsable(self, element_id: str) -> bool:
        """Return whether the genome browser shows an element: plain reads, variants and tracks."""
        attributes = self.elements[element_id]
        path = text_of(attributes, "data_path")
        if is_encrypted(path):
            return False
        if is_array_path(path):
            return element_id in self.tracks
        return attributes.get("data_format") in BROWSED and bool(path)

    def bounds(self) -> list[dict[str, Any]]:
        """Describe within what the caller may read data of it; none where they may read all."""
        if self.access.allows(self.caller, "read", self.key):
            return []
        return [one for one in self.access.bounded_places(self.caller) if any(covers(place, self.key) for place in one["read"])]


class ServedObjects:
    """Objects of a catalogue, for those who may know of them."""

    def __init__(self, catalog: Catalog, known: KnownObjects, access: Access, own_object: OwnObject | None = None):
        self.catalog = catalog
        self.access = access
        self.own_object = own_object
        self._known = known

    def check_shown(self, request: Request, key: str) -> Caller:
        """Return the caller; HtsgetError if they may not know of an object at a key, whether it is there or not."""
        caller = caller_of(request)
        try:
            sound = check_key(key) if key else ""
        except (InvalidInputError, UnicodeError):
            raise NotFoundError("there is no such object") from None
        if not self.access.shows(caller, sound):
            self.access.check(caller, "read", sound)
        return caller

    def open(self, request: Request, key: str) -> ServedObject | None:
        """Open an object; None if the caller may know of it, and not read its metadata.

        Raises
        ------
        HtsgetError
            They may not know of it.
        NotFoundError
            There is none.
        IntegrityError
            It is damaged.
        """
        caller = self.check_shown(request, key)
        if not self.access.shows_metadata(caller, key):
            if not self.catalog.is_object(key):
                raise NotFoundError(f"there is no object {key}")
            return None
        try:
            known = self._known.open(key)
        except NotFoundError:
            raise NotFoundError(f"there is no object {key}" if key else "there is no object here") from None
        return ServedObject(key, known.document, known.storage, known.metadata, self.access, caller, self.own_object)


def text_of(attributes: Mapping[str, Any], slot: str) -> str:
    """Return the text of a slot; empty where there is none, or it is none."""
    value = attributes.get(slot)
    return value if isinstance(value, str) else ""


def texts_of(attributes: Mapping[str, Any], slot: str) -> list[str]:
    """Return the texts of a slot, one or several."""
    value = attributes.get(slot)
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def describe_problem(error: ModosError, *places: str) -> str:
    """Describe why data cannot be shown, without where they lie: what is of the server's own machine is in no answer.

    Parameters
    ----------
    places
        URLs of what they may lie in, which messages may have; one without a slash tells nothing.
    """
    hidden = [place.rstrip("/") for place in places if place.rstrip("/") and "/" in place]
    if isinstance(error, NewerFormatError):
        return "a newer modos wrote it"
    if isinstance(error, (InvalidInputError, NotFoundError)) and not any(place in error.message for place in hidden):
        return error.message
    return "it is damaged" if isinstance(error, IntegrityError) else "the server cannot read it"
