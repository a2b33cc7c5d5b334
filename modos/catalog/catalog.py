"""A catalog of the objects below one root."""

from __future__ import annotations

import difflib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from modos.catalog.kept_catalog import KeptCatalog, iter_metadata, list_objects
from modos.catalog.searching import Term, parse_search
from modos.catalog.served_trees import ServedTrees, find_named_tree, find_tree
from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError, ProtocolError, listing
from modos.errors.escaping import escape_line, hide_secrets, is_plain
from modos.formats import ROOT_KEYS, ZARR, companion_names, find_keys, is_file_path, object_of
from modos.object import commits, old_layout
from modos.object.document import ROOT_KEY
from modos.object.part_lists import list_part_records
from modos.remote.access import open_remote
from modos.remote.services import get_json, is_texts, resolve_services
from modos.remote.urls import served_url
from modos.storage import Storage, check_key
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking
from modos.storage.verified import PartRecord, VerifiedFiles

if TYPE_CHECKING:
    from modos.catalog.catalog_view import View
    from modos.trees.manifest import Manifest

_WORKERS = 16
_MAX_RECORDS = 256  # objects whose records of parts are kept
_UNTOLD = ""  # the tag of an object in the layout of Zarr v2, until its files are listed: no one of them tells of a change
_DEPTH = 8  # parts of a key up to which each may be looked at for an object

logger = logging.getLogger(__name__)


class Catalog:
    """The objects below the root of a storage.

    What was read of an object is kept and used for as long as its root
    document has the same tag. A listing tells the tags of all objects at
    once, so that unchanged objects cost no request of their own.

    Parameters
    ----------
    max_age
        Seconds for which a listing is good. One that is half as old is made
        anew beside the work.

    Attributes
    ----------
    max_age
        As it was given.
    files
        The files of the objects, read by ranges that are compared with the digests of their parts.
    """

    def __init__(self, storage: Storage, *, max_age: float = 0):
        self.storage = storage
        self.files = VerifiedFiles(storage, self.find_part_record)
        self._known: dict[str, tuple[str, dict[str, Any]]] = {}
        self._records: dict[str, tuple[dict[str, Any], dict[str, PartRecord]]] = {}
        self._trees = ServedTrees(storage)
        self._kept = KeptCatalog(storage, max_age)
        self.max_age = max_age
        self._listing: tuple[float, list[tuple[str, str]]] | None = None
        forking.begin(self, Catalog._start)

    def _start(self) -> None:
        self._lock, self._renewal = threading.Lock(), threading.Lock()

    def __repr__(self) -> str:
        return escape_line(hide_secrets(f"<Catalog {self.storage.url}>"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the storage: unpickling reads and lists the objects anew."""
        return partial(Catalog, self.storage, max_age=self.max_age), ()

    def iter_objects(self) -> Iterator[str]:
        """Iterate over the keys of the objects, sorted; the empty key if the root itself is one."""
        view = self._kept.get()
        return iter(list_objects(view)) if view else (key for key, _ in self._roots())

    def iter_metadata(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Iterate over every object's key and metadata; a damaged object is skipped, with a warning."""
        yield from self.find("", lambda _: True)

    def find(
        self, words: str, wanted: Callable[[str], bool], left_out: Callable[[str, ModosError], object] = lambda key, error: None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Find keys and metadata of the wanted objects whose metadata have some words.

        Parameters
        ----------
        words
            All of them have to be there, in upper or lower case; SLOT=VALUE
            and SLOT~PART look in one slot alone.
        wanted
            Called with a key; of the others nothing is read.
        left_out
            Called, in turn, with the key of an object that cannot be read, and why.

        Raises
        ------
        InvalidInputError
            The words ask for a slot that there is not, or cannot be read.
        """
        terms = parse_search(words)
        if view := self._kept.get():
            yield from _find_kept(view, terms, wanted, left_out)
            return
        for key, found in self.iter_stored(wanted, left_out):
            if all(term.is_in(found) for term in terms):
                yield key, found

    def iter_stored(
        self, wanted: Callable[[str], bool], left_out: Callable[[str, ModosError], object]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Iterate over keys and metadata of the wanted objects, as `find` does, by the objects and no kept catalogue."""
        roots = self._roots()
        present = {key for key, _ in roots}
        self._known = {key: known for key, known in list(self._known.items()) if key in present}
        chosen = ((key, tag) for key, tag in roots if wanted(key))
        for key, found in fetch_ahead(lambda root, _: (root[0], self._read(*root)), chosen, _WORKERS):
            if isinstance(found, ModosError):
                logger.warning("%s is left out: %s", key, found)
                if not isinstance(found, NotFoundError):  # removed just now
                    left_out(key, found)
            else:
                yield key, found

    def rows(self) -> View:
        """Return the newest rows of all elements."""
        return self._kept.get_rows()

    def metadata(self, key: str) -> dict[str, Any]:
        """Return the metadata of one object, from the cache if its root has not changed."""
        try:
            tag = self.storage.stat(f"{key}/{ROOT_KEY}".lstrip("/")).etag
        except NotFoundError:
            tag = _UNTOLD
        return self._load(key, tag)

    def know(self, key: str, tag: str, metadata: dict[str, Any]) -> None:
        """Keep what was just read of an object, and use it for as long as its root document has that tag."""
        known = self._known.get(key)
        if known is None or known[0] != tag:
            self._known[key] = tag, metadata

    def data_paths(self, key: str) -> set[str]:
        """Return the paths within an object of its data files."""
        paths = {a["data_path"] for a in self.metadata(key).values() if a.get("data_path")}
        return {path for path in paths if is_file_path(path)}

    def find_part_record(self, key: str) -> PartRecord | None:
        """Find what an object records of the parts of one of its files, as it was last read; None if nothing is."""
        object_key, path = self.find_object(key)
        metadata = self._known[object_key][1] if object_key in self._known else self.metadata(object_key)
        known = self._records.get(object_key)
        if known is None or known[0] is not metadata:
            known = self._records[object_key] = metadata, list_part_records(metadata.values())
            while len(self._records) > _MAX_RECORDS:
                self._records.pop(next(iter(self._records)))
        record = known[1].get(path)
        return record and replace(record, list_key=f"{object_key}/{record.list_key}".lstrip("/"))

    def find_file(self, key: str, *, exact: bool = False, indexes: bool = False) -> str:
        """Find the key of a data file of an object, given that key or one with the file's name in its place.

        Parameters
        ----------
        exact
            Only that key, and no other of its name.
        indexes
            Whether an index, a list of digests or a file of a Zarr tree is meant as well.

        Raises
        ------
        NotFoundError
            No object has it.
        InvalidInputError
            Several files of the object are called so.
        """
        object_key, path = self.find_object(key)
        known = self.data_paths(object_key)
        if indexes and path not in known:
            known |= {index for data_path in known for index in companion_names(data_path)}
            known |= set(self._trees.find(object_key, path, self.metadata(object_key)))
        found = [path] if path in known else [] if exact else find_keys(known, path)
        if len(found) > 1:
            raise InvalidInputError(f"{path} could be {' or '.join(found)}", "write it as it is stored")
        if not found:
            raise NotFoundError(f"there is no file {key}")
        return f"{object_key}/{found[0]}" if object_key else found[0]

    def find_in_tree(self, key: str) -> tuple[str, Mapping[str, Any], str]:
        """Find the Zarr tree that a key, or one with the name of a tree in its place, is in.

        Returns
        -------
        tuple
            Key of the object, attributes of the element, and the path in the tree; empty for the tree itself.

        Raises
        ------
        NotFoundError
            It is in none.
        """
        object_key, path = self.find_object(key)
        found = find_named_tree(self.metadata(object_key), path)
        if found is None:
            raise NotFoundError(f"there is no Zarr tree at {key}")
        return object_key, *found

    def load_tree(self, object_key: str, attributes: Mapping[str, Any]) -> Manifest:
        """Read the names and digests of the files of an element's tree."""
        return self._trees.load(object_key, attributes)

    def _roots(self) -> list[tuple[str, str]]:
        """Find the keys of the objects, and the tags of their roots."""
        with self._lock:
            listing = self._listing
            age = time.monotonic() - listing[0] if listing else 0.0
            if listing is None or age >= self.max_age:
                return self._list()
        if age >= self.max_age / 2 and self._renewal.acquire(blocking=False):
            threading.Thread(target=self._renew, name="modos-catalog", daemon=True).start()
        return listing[1]

    def _renew(self) -> None:
        try:
            self._list()
        except ModosError as error:
            logger.warning("the objects cannot be listed: %s", error)
        finally:
            self._renewal.release()

    def _list(self) -> list[tuple[str, str]]:
        begin = time.monotonic()
        roots: dict[str, str] = {}
        for info in self.storage.find(*ROOT_KEYS):
            if info.key.endswith(ROOT_KEY):
                roots[object_of(info.key)] = info.etag
            else:
                roots.setdefault(object_of(info.key), _UNTOLD)
        found = sorted(root for root in roots.items() if _has_sound_name(root[0]))
        self._listing = begin, found
        return found

    def _read(self, key: str, tag: str) -> dict[str, Any] | ModosError:
        try:
            return self._load(key, tag)
        except ModosError as error:
            return error

    def _load(self, key: str, tag: str) -> dict[str, Any]:
        """Read the metadata of an object, or give what is known with the same tag; a newer one is read once more later."""
        storage = self.storage.child(key) if key else self.storage
        if tag == _UNTOLD and (infos := old_layout.find_own_files(storage)):
            tag = old_layout.tag_of(infos)
        known = self._known.get(key)
        if known is None or known[0] != tag or tag == _UNTOLD:
            self._known[key] = known = tag, commits.load(storage).metadata()
        return known[1]

    def url(self, key: str) -> str:
        """Return the address of an object for clients: its s3:// URL, or its path below the folder that is served."""
        if self.storage.is_remote:
            return f"{self.storage.url}/{key}".rstrip("/")
        return key or "."

    def find_object(self, key: str) -> tuple[str, str]:
        """Split a file's key into its object's key and the path in the object.

        Raises
        ------
        NotFoundError
            The file lies in no object.
        """
        parts = check_key(key).split("/")
        if found := self._find_known_tree(parts):
            return found
        if len(parts) > _DEPTH and next(iter(self.storage.iter_files("/".join(parts[:-1]))), None) is None:
            raise NotFoundError(f"{key} lies in no object")
        deepest = parts.index(ZARR) if ZARR in parts else len(parts) - 1  # no object lies in the arrays of one
        for depth in range(deepest, -1, -1):
            prefix = "/".join(parts[:depth])
            if prefix in self._known or self.is_object(prefix):
                return prefix, "/".join(parts[depth:])
        raise NotFoundError(f"{key} lies in no object")

    def find_read(self, key: str) -> tuple[str, dict[str, Any]]:
        """Find the object that a file lies in, and its metadata as they were last read; see `find_object` for errors."""
        parts = key.split("/")
        for depth in range(len(parts), -1, -1):
            prefix = "/".join(parts[:depth])
            if known := self._known.get(prefix):
                return prefix, known[1]
        object_key = key if self.is_object(key) else self.find_object(key)[0]
        return object_key, self.metadata(object_key)

    def _find_known_tree(self, parts: list[str]) -> tuple[str, str] | None:
        """Find the object that was read before and has a Zarr tree with a file: no object lies in the tree of another."""
        for depth in range(len(parts)):
            prefix, path = "/".join(parts[:depth]), "/".join(parts[depth:])
            known = self._known.get(prefix)
            if known and find_tree(known[1], path):
                return prefix, path
        return None

    def is_object(self, prefix: str) -> bool:
        """Return whether there is an object at a key."""
        return any(self.storage.exists(f"{prefix}/{root}".lstrip("/")) for root in ROOT_KEYS)

    def search(self, query: str, fuzzy: bool = False) -> list[str]:
        """Find the keys of the objects whose name is the query; with `fuzzy`, those that contain or resemble it."""
        keys = list(self.iter_objects())
        if not fuzzy:
            return [key for key in keys if query in (key, key.rpartition("/")[2])]
        near = difflib.get_close_matches(query.lower(), [key.lower() for key in keys], n=20, cutoff=0.5)
        return [key for key in keys if query.lower() in key.lower() or key.lower() in near]


def _find_kept(
    view: View, terms: list[Term], wanted: Callable[[str], bool], left_out: Callable[[str, ModosError], object]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Find objects as `Catalog.find` does, by what a kept catalogue has of them."""

    def note(key: str, problem: str) -> None:
        left_out(key, (IntegrityError if problem.startswith("damaged") else ModosError)(problem))

    keys = [key for key in list_objects(view) if wanted(key)]
    for key, metadata in iter_metadata(view, keys, note):
        if all(term.is_in(metadata) for term in terms):
            yield key, metadata


def _has_sound_name(key: str) -> bool:
    """Return whether a key is plain text; an object is left out, with a warning, where it is not."""
    if not is_plain(key):
        logger.warning("%s is left out: its name has control characters", escape_line(key))
    return is_plain(key)


def list_remote(place: str | None, endpoint: str | None, s3_kwargs: dict[str, Any] | None, search: str = "") -> list[str]:
    """List the URLs of the objects of a bucket or an endpoint, or of those that a search finds.

    Raises
    ------
    InvalidInputError
        Neither is given, or what is searched for cannot be read; see `parse_search`.
    """
    parse_search(search)
    services = resolve_services(endpoint, None)
    if place is None:
        from modos.remote.services import endpoint_from_environment

        url = endpoint or endpoint_from_environment()
        if url is None:
            raise InvalidInputError("where? Neither an endpoint nor a bucket is given", "use --endpoint URL, or name s3://BUCKET")
        answer = get_json(url.rstrip("/") + "/list", {"search": search} if search else None)
        if not isinstance(answer, dict) or not is_texts(answer.get("data")):
            raise ProtocolError(f"{url} is not a modos server: it does not list objects")
        left = answer.get("left_out")
        if isinstance(left, list) and left:
            logger.warning(
                "left out, as the server cannot read them: %s",
                listing(str(one.get("path") if isinstance(one, dict) else one)[:200] for one in left),
            )
        return [path if path.startswith("s3://") else served_url(url, path) for path in answer["data"]]
    if not place.startswith("s3://"):
        raise InvalidInputError(f"{place} is not an s3:// URL", "write s3://bucket")
    catalog = Catalog(open_remote(place, services, s3_kwargs))
    return (
        [catalog.url(key) for key, _ in catalog.find(search, lambda _: True)]
        if search
        else [catalog.url(key) for key in catalog.iter_objects()]
    )
