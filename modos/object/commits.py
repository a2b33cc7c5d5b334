"""Read, create and replace the root document of an object by compare-and-swap."""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from modos.errors import (
    AlreadyExistsError,
    BucketNotFoundError,
    ConflictError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    TransportError,
    listing,
)
from modos.formats import ZARR
from modos.metadata import model
from modos.object import marks, old_layout
from modos.object.announcing import announce
from modos.object.document import ROOT_KEY, Document, check_ids, damage_error, group_node, refuse_newer_root
from modos.object.marks import OWN_NODE, STATE
from modos.object.shape import MAX_ROOT, Malformed, check_node, check_parts, read_json
from modos.storage import Storage, check_key

_ATTEMPTS = 20
MANY_ATTEMPTS = 1000  # where each that fails is somebody else's success
_MIRROR_WORKERS = 16


class Outdated(Exception):
    """A change found that the document it is applied to is not the newest any more."""


class Converter(Protocol):
    """Converter of chunks from Zarr v2 to Zarr v3; see `modos.object.old_chunks`."""

    def explain_unreadable(self, meta: Mapping[str, Any]) -> str | None:
        """Say what keeps an array's chunks from being decoded; None if nothing does."""

    def convert_chunk(self, meta: Mapping[str, Any], place: tuple[int, ...], data: bytes, name: str) -> bytes:
        """Convert a chunk to the form of Zarr v3."""


logger = logging.getLogger(__name__)


def load(storage: Storage, known: Document | None = None) -> Document:
    """Read the whole metadata of an object: one request.

    An object in the old layout (Zarr v2) takes one for each of its groups.

    Parameters
    ----------
    known
        The document that was read before; it is returned where nothing has changed.

    Raises
    ------
    NotFoundError
        There is no MODO at the storage's root.
    IntegrityError
        The root document is damaged.
    NewerFormatError
        A newer modos wrote it, in a format that this one does not know.
    """
    try:
        read = _read_newest(storage, known)
    except BucketNotFoundError:
        raise
    except NotFoundError:
        return _load_zarr2(storage, known)
    if isinstance(read, Document):
        return read
    document = Document.from_bytes(*read, storage.url)
    return document if document.nodes else _load_nodes(storage, document)


def _read_newest(storage: Storage, known: Document | None) -> tuple[bytes, str] | Document:
    """Read the root and its tag; the known document where that is the newest."""
    if known is None or not known.tag or known.zarr_format != 3:
        return storage.read(ROOT_KEY)
    return storage.read_changed(ROOT_KEY, known.tag) or known


def _load_zarr2(storage: Storage, known: Document | None) -> Document:
    """Load an object in the old layout. Each group is read, as the file that lists them may be older than they are."""
    infos = old_layout.find_own_files(storage)
    if known is not None and known.zarr_format == 2 and infos and known.tag == old_layout.tag_of(infos):
        return known
    try:
        return Document.from_zarr2(storage, infos)
    except NotFoundError:
        if infos:
            raise NotFoundError(
                f"{storage.url} has groups of Zarr v2, and not the list of them ({old_layout.OLD_ROOT_KEY})",
                "restore it, or write it anew: zarr.consolidate_metadata",
            ) from None
        hint = (
            "check the path; `modos remote list` shows those of a server"
            if storage.is_remote
            else "check the path, or make one with `modos create`"
        )
        raise NotFoundError(f"no MODO at {storage.url}", hint) from None


def _load_nodes(storage: Storage, document: Document) -> Document:
    """Add the groups of a root that other Zarr tools wrote without consolidated metadata; they are read one by one."""
    for info in storage.iter_files(ZARR):
        path = info.key.removeprefix(f"{ZARR}/").removesuffix("/zarr.json")
        if info.key.endswith("/zarr.json") and info.key != ROOT_KEY:
            try:
                node = read_json(storage.read(info.key)[0])
                if path == OWN_NODE:
                    refuse_newer_root({"consolidated_metadata": {"metadata": {path: node}}}, storage.url)
                check_node(path, node)
            except Malformed as error:
                logger.warning("%s is damaged and left out: %s", info.key, error)
            else:
                document.nodes[path] = node
    try:
        marks.join(document.attributes, document.nodes)
        check_parts(document.attributes, document.nodes, document.state)
    except Malformed as error:
        raise damage_error(f"{storage.url}/{ROOT_KEY}", error) from None
    return document


def create(storage: Storage, document: Document, check: Callable[[Document], object] | None = None) -> Document:
    """Write a new object's metadata; raise AlreadyExistsError if there is one.

    Parameters
    ----------
    check
        Called right before the root is written; what it raises ends it.
    """
    document = document.copy()
    for group in model.GROUPS:
        document.nodes.setdefault(group, group_node({}))
    document.stamp(uuid.uuid4().hex)
    if check:
        check(document)
    try:
        document.tag = storage.write(ROOT_KEY, _serialise(storage, document), if_absent=True)
    except ConflictError:
        raise AlreadyExistsError(f"there is a MODO at {storage.url} already", "open it, or choose another path") from None
    write_mirrors(storage, document, document.nodes)
    announce(storage)
    return document


def commit(
    storage: Storage,
    change: Callable[[Document], None],
    start: Document | None = None,
    check: Callable[[Document], object] | None = None,
    attempts: int = _ATTEMPTS,
) -> Document:
    """Apply a change to the newest document and replace it, or fail and change nothing.

    Parameters
    ----------
    change
        Edits the document by meaning; it runs again on a newer one where
        somebody else committed in between, or where it raises Outdated.
    start
        A document that is probably the newest.
    check
        Called right before each attempt to replace the root, and after that
        was read; what it raises ends it.
    attempts
        How often it is tried.

    Returns
    -------
    Document
        As committed.

    Raises
    ------
    ConflictError
        Others kept committing in between, or changed the same.
    """
    commit_id, failures = uuid.uuid4().hex, 0
    for attempt in range(attempts):
        if attempt:
            time.sleep(random.uniform(0, min(0.02 * 2 ** min(attempt, 10), 2)))
        base = start if start is not None and not attempt else load(storage)
        if commit_id in base.state.get("commits", ()):
            return base  # the answer was lost, the commit was not
        document = base.copy()
        try:
            change(document)
        except Outdated:
            continue
        refuse_old_layout(storage, document)
        document.stamp(commit_id)
        if check:
            check(document)
        try:
            document.tag = storage.write(ROOT_KEY, _serialise(storage, document), if_match=document.tag)
        except ConflictError:
            continue
        except TransportError:
            failures += 1
            if failures == _ATTEMPTS:
                raise
            continue
        update_mirrors(storage, document, document.changed)
        announce(storage)
        return document
    raise ConflictError(f"{storage.url} is changed by others all the time: gave up after {attempts} attempts", "try again later")


def fence(storage: Storage) -> Document:
    """Write the root anew, as it is, so that no commit that began before can still be made; returns it.

    A writer that waits for the answer to its commit reads the root again, and
    the record of its change.
    """
    for _ in range(_ATTEMPTS):
        document = load(storage).copy()
        refuse_old_layout(storage, document)
        document.keep_apart()
        document.attributes[STATE] = document.state | {"fence": uuid.uuid4().hex}
        try:
            document.tag = storage.write(ROOT_KEY, _serialise(storage, document), if_match=document.tag)
        except ConflictError:
            continue
        return document
    raise ConflictError(f"{storage.url} is changed by others all the time", "try again later")


def _serialise(storage: Storage, document: Document) -> bytes:
    data = document.to_bytes()
    if len(data) > MAX_ROOT:
        raise InvalidInputError(
            f"the metadata of {storage.url} would have more than {MAX_ROOT >> 20} MiB, which nothing reads",
            "make several objects of it",
        )
    return data


def refuse_old_layout(storage: Storage, document: Document) -> None:
    """Raise InvalidInputError for an object in a layout that is not written."""
    if document.zarr_format == 2:
        raise InvalidInputError(
            f"{storage.url} is in the old layout (Zarr v2) and can only be read", "bring it up to date with `modos upgrade`"
        )


def update_mirrors(storage: Storage, document: Document, changed: Set[str]) -> None:
    """Write the mirrors of groups and arrays that were changed, and remove those of what is gone."""
    with_apart = changed | {OWN_NODE} if changed else changed
    write_mirrors(storage, document, [path for path in with_apart if path in document.nodes])
    for path in filter(has_mirror, changed - document.nodes.keys()):
        _attempt(f"the mirror of {path} was not removed", partial(storage.delete, mirror_key(path)))


def upgrade(storage: Storage, converter: Converter) -> Document:
    """Write an object in the old layout anew as Zarr v3, then remove the old metadata; nothing for a new one.

    The chunks of arrays are written first, beside the old ones. Until the root
    is there, the object is the old one for all readers, and an upgrade that
    was interrupted is begun again; what it left of the old layout goes with
    the next.

    Raises
    ------
    InvalidInputError
        It has arrays that Zarr v3 does not have, or ids that an element cannot have.
    ConflictError
        Somebody changed it meanwhile.
    IntegrityError
        A chunk is damaged, or holds other than texts where it should.
    """
    document = load(storage)
    if document.zarr_format == 2:
        check_ids(document)
        before = document.tag
        _convert_arrays(storage, document, converter)

        def check(_: Document) -> None:
            if load(storage).tag != before:
                raise ConflictError(f"{storage.url} was changed by somebody else", "try again")

        document = document.copy()
        for element_id in document.ids():
            document.set(element_id, {key: value for key, value in document.raw(element_id).items() if key != "id"})
        document.zarr_format = 3
        document = create(storage, document, check)
    if storage.exists(old_layout.OLD_ROOT_KEY):  # it goes last: while it is there, there may be others
        for info in list(storage.iter_files(ZARR)):
            if old_layout.is_old_file(info.key.removeprefix(f"{ZARR}/"), document.nodes):
                storage.delete(info.key)
        storage.delete(old_layout.OLD_ROOT_KEY)
    return document


def _convert_arrays(storage: Storage, document: Document, converter: Converter) -> None:
    """Write the chunks of an old object's arrays as Zarr v3 has them; nothing if one of the arrays cannot be converted."""
    _refuse_missing(storage, document)
    metas = {}
    for path, node in document.nodes.items():
        if node["node_type"] == "array":
            meta = metas[path] = read_json(storage.read(f"{ZARR}/{path}/.zarray")[0])
            reason = old_layout.explain_unknown(meta) or converter.explain_unreadable(meta)
            if reason:
                raise InvalidInputError(
                    f"{storage.url} has an array {path} of {reason}, which cannot be converted",
                    "nothing was changed: write the array anew by the program that made it, or take it out",
                )
    for path, meta in metas.items():
        folder = f"{ZARR}/{path}"
        for info in list(
            storage.iter_files(f"{folder}/c")
        ):  # of an upgrade that was interrupted; the array may be another one since
            storage.delete(info.key)
        names = [info.key.removeprefix(f"{folder}/") for info in storage.iter_files(folder)]
        for name, place in old_layout.iter_chunks(meta, names):
            data = converter.convert_chunk(meta, place, storage.read(f"{folder}/{name}")[0], f"{storage.url}/{folder}/{name}")
            storage.write("/".join((folder, "c", *map(str, place))), data)


def _refuse_missing(storage: Storage, document: Document) -> None:
    """Refuse an old object that lists arrays which are not there; its upgrade would drop them."""
    listed = read_json(storage.read(old_layout.OLD_ROOT_KEY)[0])["metadata"]
    missing = sorted(
        path for path, _, name in (key.rpartition("/") for key in listed) if name == ".zarray" and path not in document.nodes
    )
    if missing:
        raise InvalidInputError(
            f"{storage.url} lists arrays that are not there, or lie outside of it: {listing(missing)}",
            "nothing was changed: bring them back or, where they were removed, write the list anew (zarr.consolidate_metadata)",
        )


def write_mirrors(storage: Storage, document: Document, paths: Iterable[str], *, strict: bool = False) -> None:
    """Write the zarr.json of each group and array, for readers that do not use consolidated metadata.

    The object is whole without them: a failure is logged, or with `strict` raised.
    """

    def write(path: str) -> None:
        data = json.dumps(document.mirror(path), ensure_ascii=False).encode()
        if strict:
            storage.write(mirror_key(path), data, durable=False)
            return
        _attempt(
            f"the mirror of {path} for other Zarr tools was not written",
            lambda: storage.write(mirror_key(path), data, durable=False),
        )

    paths = list(filter(has_mirror, paths))
    if len(paths) < 2 or not storage.is_remote:
        for path in paths:
            write(path)
        return
    with ThreadPoolExecutor(_MIRROR_WORKERS) as pool:
        list(pool.map(write, paths))


def drop_mirrors(storage: Storage, document: Document) -> None:
    """Remove the mirrors to free their space; `write_mirrors` writes them again."""
    for path in filter(has_mirror, document.nodes):
        storage.delete(mirror_key(path))


def has_mirror(path: str) -> bool:
    """Return whether a group or array has a zarr.json of its own: not where others gave it an id that cannot be part of a key."""
    try:
        check_key(path)
    except InvalidInputError:
        return False
    return True


def mirror_key(path: str) -> str:
    """Return the key of a group's or an array's own zarr.json."""
    return f"{ZARR}/{path}/zarr.json"


def _attempt(what: str, work: Callable[[], object]) -> None:
    try:
        work()
    except ModosError as error:
        logger.warning("%s: %s", what, error)
