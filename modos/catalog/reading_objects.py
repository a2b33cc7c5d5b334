"""Read the root documents of many objects at once, as rows of a catalogue."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from modos.catalog.element_rows import Rows
from modos.errors import BucketNotFoundError, IntegrityError, ModosError, NewerFormatError, NotFoundError, TransportError
from modos.errors.escaping import escape_line, is_plain
from modos.formats import ROOT_KEYS, ZARR, object_of
from modos.object import commits
from modos.object.announcing import CATALOG_FOLDER
from modos.object.document import Document
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.prefetch import fetch_ahead

_WORKERS = 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Result of reading a key: a document, or why it cannot be read; neither where there is no object.

    Parameters
    ----------
    is_same
        Whether it still has the tag that was known.
    is_newer
        Whether a newer modos wrote it: then what was known of it before counts no more.
    """

    key: str
    document: Document | None = None
    problem: str = ""
    is_same: bool = False
    is_newer: bool = False

    @property
    def is_gone(self) -> bool:
        """Return whether there is no object."""
        return self.document is None and not self.problem and not self.is_same

    def add_to(self, rows: Rows) -> None:
        """Add it to rows, as an object, as one that cannot be read, or as one that is gone."""
        if self.document is None:
            if self.problem:
                rows.add_problem(self.key, self.problem)
            elif not self.is_same:
                rows.add_removed(self.key)
            return
        document = self.document
        try:
            revision = document.state.get("revision", 0)
            rows.add(
                self.key,
                document.object_id,
                document.metadata(),
                revision if type(revision) is int and 0 <= revision < 1 << 32 else 0,
                document.tag or "",
            )
        except IntegrityError as error:
            rows.add_problem(self.key, f"damaged: {error.message}")


def read_object(storage: Storage, key: str, tag: str = "") -> Found:
    """Read the root document of an object, if it has another tag than the known one.

    Raises
    ------
    TransportError
        The server cannot be reached: nothing is known.
    """
    known = Document({}, tag=tag) if tag else None
    try:
        document = commits.load(storage.child(key) if key else storage, known)
    except BucketNotFoundError:
        raise
    except NotFoundError:
        return Found(key)
    except TransportError:
        raise
    except ModosError as error:
        logger.warning("%s cannot be read: %s", key, error)
        kind = "damaged" if isinstance(error, IntegrityError) else "unreadable"
        message = error.message.replace(f"{storage.url.rstrip('/')}/", "")  # where it lies is no matter of whoever reads this
        return Found(key, problem=f"{kind}: {message}", is_newer=isinstance(error, NewerFormatError))
    return Found(key, is_same=True) if document is known else Found(key, document)


def read_objects(storage: Storage, keys: Iterable[str], tags: Mapping[str, str]) -> Iterator[Found]:
    """Read objects, several at once; in the order of the keys.

    Parameters
    ----------
    tags
        What is known of some of them.
    """
    return fetch_ahead(lambda key, _: read_object(storage, key, tags.get(key, "")), keys, _WORKERS)


def read_everything(
    storage: Storage, tags: Mapping[str, str], skip: Container[str] = (), progress: Progress | None = None
) -> Iterator[Found]:
    """Find and read all objects below a root.

    A folder of this machine is walked through. Elsewhere folders are listed by
    their names alone, and each is taken for an object: where it has no root
    document, the folders in it are looked at.

    Parameters
    ----------
    skip
        Keys of objects that need not be read.
    progress
        Is told of each object.
    """
    found = _read_walked(storage, tags, skip) if storage.has_paths else _read_listed(storage.for_many(), tags, skip)
    for one in found:
        if not is_plain(one.key):
            logger.warning("%s is left out: its name has control characters", escape_line(one.key))
            continue
        yield one
        if progress:
            progress(1)


def _read_walked(storage: Storage, tags: Mapping[str, str], skip: Container[str]) -> Iterator[Found]:
    keys = dict.fromkeys(object_of(info.key) for info in storage.find(*ROOT_KEYS))
    return read_objects(storage, (key for key in keys if key not in skip), tags)


def _read_listed(storage: Storage, tags: Mapping[str, str], skip: Container[str]) -> Iterator[Found]:
    folders = storage.list_folders()
    if ZARR in folders:
        root = read_object(storage, "", tags.get("", ""))
        if not root.is_gone:
            yield root
            return
    listed = iter([folders])
    while True:
        below = [key for keys in listed for key in keys if key.rpartition("/")[2] != CATALOG_FOLDER and key not in skip]
        level = list[str]()
        for one in read_objects(storage, below, tags):
            if one.is_gone:
                level.append(one.key)
            else:
                yield one
        if not level:
            return
        listed = fetch_ahead(lambda key, _: storage.list_folders(key), level, _WORKERS)
