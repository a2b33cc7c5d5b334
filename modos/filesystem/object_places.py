"""Find the object that an address lies in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from modos.errors import AccessError, BucketNotFoundError, IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.object.address import ObjectAddress
from modos.object.open_object import OpenObject
from modos.storage.base import check_key
from modos.storage.processes import forking

PROTOCOL = "modos"
_SERVERS = ("http://", "https://")
Folder = TypeVar("Folder")
_FORMS = "write modos://bucket/OBJECT/FILE for S3, modos:///absolute/path/OBJECT/FILE for a folder of this machine"


def strip_protocol(address: str) -> str:
    """Return an address without `modos://` and without a slash at its end: `bucket/ex/a.bam`, or `/path/ex/a.bam`."""
    place = address.removeprefix(f"{PROTOCOL}://")
    return place.rstrip("/") or place[:1]


def _check_place(place: str) -> tuple[str, str]:
    """Return what stands before the parts of a place, and the parts; InvalidInputError for what could lead elsewhere."""
    start = next((server for server in _SERVERS if place.startswith(server)), "/" if place.startswith("/") else "")
    parts = place.removeprefix(start)
    if not parts:
        raise InvalidInputError(f"{PROTOCOL}://{place} names no object", _FORMS)
    try:
        check_key(parts)
    except InvalidInputError:
        raise InvalidInputError(f"{PROTOCOL}://{place} is not the address of a file or a folder of an object", _FORMS) from None
    return start, parts


def iter_places(place: str) -> Iterator[tuple[str, str]]:
    """Iterate over the addresses that the object may have, the outermost first, each with the path of the rest within it.

    Raises
    ------
    InvalidInputError
        The place has an empty part, `.`, `..`, a backslash or a control character.
    """
    start, path = _check_place(place)
    parts = path.split("/")
    least = 1 if start not in _SERVERS else 2
    for count in range(least, len(parts) + 1):
        head, rest = "/".join(parts[:count]), "/".join(parts[count:])
        yield f"{start or 's3://'}{head}", rest


@dataclass(frozen=True)
class Reach:
    """The services by which objects are reached; see `modos.object.address.ObjectAddress`."""

    endpoint: str | None = None
    services: Mapping[str, str] | None = None
    s3_kwargs: dict[str, Any] | None = None

    def open(self, address: str) -> OpenObject:
        """Open an object, which has to be there."""
        opened = OpenObject(ObjectAddress(address, self.endpoint, self.services, self.s3_kwargs))
        opened.newest.look()
        return opened


class Places(Generic[Folder]):
    """Objects that were found, by their addresses, as folders; safe to use from several threads.

    Of objects within another one only the outermost is found, whatever was
    asked for before.

    Parameters
    ----------
    make_folder
        Makes the folder of an object.
    """

    def __init__(self, reach: Reach, make_folder: Callable[[OpenObject], Folder]):
        self._reach = reach
        self._make_folder = make_folder
        self._known: dict[str, Folder] = {}
        forking.begin(self, Places._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def list_known(self) -> list[Folder]:
        """List the objects that were found."""
        with self._lock:
            return list(self._known.values())

    def forget(self, folder: Folder) -> None:
        """Look anew for an object that is not there any more."""
        with self._lock:
            self._known = {address: one for address, one in self._known.items() if one is not folder}

    def find(self, place: str) -> tuple[Folder, str, str]:
        """Find the object that a place lies in.

        Returns
        -------
        tuple
            The object as a folder, its own place, and the path within it.

        Raises
        ------
        NotFoundError
            It lies in none.
        AccessError, IntegrityError
            It lies in none as far as may be looked; or what it may lie in is damaged.
        """
        candidates = list(iter_places(place))
        known = self._known
        for address, path in candidates:
            if address in known:
                return known[address], _cut(place, path), path
        refused: ModosError | None = None
        for address, path in candidates:
            try:
                opened = self._reach.open(address)
            except BucketNotFoundError:
                raise
            except NotFoundError:
                continue
            except (AccessError, IntegrityError) as error:  # of a folder above the object: another's, or with a Zarr of this name
                refused = refused or error
                continue
            with self._lock:
                return self._known.setdefault(address, self._make_folder(opened)), _cut(place, path), path
        if refused is not None:
            raise refused
        raise NotFoundError(f"{PROTOCOL}://{place} lies in no MODO", _FORMS)


def _cut(place: str, path: str) -> str:
    """Return a place without the path at its end."""
    return place[: -len(path) - 1] if path else place
