"""Bring a catalogue up to date: follow what was announced, or look at every object.

Writing never loses or doubles a row, whoever writes at the same time: the head
is replaced by compare-and-swap, and an announcement is removed only after the
object that it names was read, later than the announcement was listed, and the
head that has its rows is there. Whoever loses begins anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from modos.catalog.catalog_view import Frames, View, load_view
from modos.catalog.element_rows import Rows
from modos.catalog.first_parts import Building
from modos.catalog.reading_objects import Found, read_everything, read_objects
from modos.catalog.snapshots import Head, drop_orphans, drop_tables, forget, replace_head, write_snapshot
from modos.errors import ConflictError, IntegrityError, InvalidInputError
from modos.errors.escaping import is_plain
from modos.object.announcing import CATALOG_FOLDER, list_announcements
from modos.storage import Storage, check_key
from modos.storage.base import Progress

_ATTEMPTS = 20
_MOST_CHANGED = 1 << 14  # rows of what changed, above which they become part of the base, unless that is far larger
_BASE_SHARE = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refreshed:
    """Result of a refresh: the newest version, and how many objects were read anew, of which so many cannot be read."""

    view: View
    changed: int = 0
    unreadable: int = 0


def look(storage: Storage, known: View | None = None) -> Refreshed:
    """Read the newest version, and the objects that were announced since; nothing is written.

    Announcements are listed before the head is read: one that somebody has
    followed in between is in the head then.

    Parameters
    ----------
    known
        What was read before.
    """
    announced = list_announcements(storage)
    view = load_view(storage, known)
    new = {key: names for key, names in announced.items() if not view.seen.issuperset(names)}
    if not new:
        return Refreshed(view)
    found = list(read_objects(storage, filter(_is_sound, new), {}))
    seen = frozenset(name for names in new.values() for name in names)
    return Refreshed(view.updated(_frames_of(found, view), seen), len(found), sum(bool(one.problem) for one in found))


def _is_sound(key: str) -> bool:
    """Return whether an object can have a key: somebody may have announced anything."""
    try:
        return is_plain(key) and CATALOG_FOLDER not in check_key(key).split("/")
    except (InvalidInputError, UnicodeError):
        return False


def fold(storage: Storage) -> Refreshed:
    """Write what was announced into the catalogue, and remove the announcements.

    Raises
    ------
    ConflictError
        Others write all the time.
    """
    for _ in range(_ATTEMPTS):
        done = look(storage)
        view = done.view
        if not view.seen or not view.is_made:
            return done
        try:
            return replace(done, view=_write(view))
        except ConflictError:
            continue
    raise _busy_error(storage)


def rebuild(storage: Storage, progress: Progress | None = None) -> Refreshed:
    """Look at every object, and write the catalogue anew, or for the first time.

    A first one that was interrupted goes on where it stopped; one that is
    damaged is made for the first time again.

    Parameters
    ----------
    progress
        Is told of each object that was looked at.

    Raises
    ------
    ConflictError
        Others write all the time.
    """
    try:
        start = load_view(storage)
    except IntegrityError as error:
        logger.warning("%s; it is made anew", error.message)
        forget(storage)
        start = load_view(storage)
    if not start.is_made:
        return _build_first(storage, start, progress)
    tally = _Tally()
    frames = _frames_of(tally.count(_read_changed(start, progress)), start)
    return Refreshed(_commit(start, frames), tally.changed, tally.unreadable)


def _read_changed(known: View, progress: Progress | None) -> Iterator[Found]:
    """Look at every object; yields those that have changed, and those that are gone.

    What is not found any more is asked for: it may be in a folder that cannot be listed.
    """
    looked = set[str]()
    for one in read_everything(known.storage, known.tags, progress=progress):
        looked.add(one.key)
        if not one.is_same:
            yield one
    missed = sorted(known.tags.keys() - looked)
    yield from (one for one in read_objects(known.storage, missed, known.tags) if not one.is_same)


class _Tally:
    """Numbers of objects that pass, and of those that cannot be read."""

    changed = unreadable = 0

    def count(self, found: Iterable[Found]) -> Iterator[Found]:
        """Pass objects on."""
        for one in found:
            self.changed += 1
            self.unreadable += bool(one.problem)
            yield one


def _build_first(storage: Storage, start: View, progress: Progress | None) -> Refreshed:
    """Make the first base; the head that is put before it has commits announced from now on."""
    if start.head is None:
        replace_head(storage, None, Head())
        start = load_view(storage)
    building = Building(storage)
    known = building.objects()
    if progress:
        progress(len(known))
    tally = _Tally()
    for one in tally.count(one for one in read_everything(storage, {}, known, progress) if not one.is_gone):
        building.add(one)
    view = _commit(start, building.frames())
    building.remove()
    return Refreshed(view, len(known) + tally.changed, tally.unreadable)


def gather(storage: Storage, known: View | None = None, progress: Progress | None = None) -> View:
    """Look at every object where there is no catalogue; nothing is written.

    Parameters
    ----------
    known
        What was gathered before; what has not changed is not read again.
    """
    view = known or View(storage, None, b"", Frames.none().elements, Frames.none())
    changed = (one for one in _read_changed(view, progress) if one.key in view.tags or not one.is_gone)
    return view.updated(_frames_of(changed, view))


def _commit(start: View, frames: Frames) -> View:
    """Write a base of the rows that a rebuild found, over the version that it began with.

    What others have written meanwhile, and we have otherwise, is read once more.
    """
    storage, mine = start.storage, frames.tags
    for _ in range(_ATTEMPTS):
        view = look(storage).view  # what is announced is read later than what we have
        redo = set[str]()
        if view.head != start.head:
            now, before = view.tags, start.tags
            redo = {key for key in {**now, **before} if now.get(key) != before.get(key) and now.get(key) != mine.get(key)}
        redo.difference_update(view.since.objects)
        again = _frames_of(read_objects(storage, redo, {}), view)
        view = view.updated(frames.without([*redo, *view.since.objects])).updated(again)
        if view.is_made and view.since.elements.is_empty() and not (view.head and view.head.delta):
            return view
        try:
            view = _write(view, anew=True)
        except ConflictError:
            continue
        drop_orphans(storage, view.head)
        return view
    raise _busy_error(storage)


def _write(view: View, *, anew: bool = False) -> View:
    """Write a version's changes as a delta, or all of it as a base, and remove the announcements that it has followed."""
    storage, head, changes = view.storage, view.head, view.changes
    rows = view.count_base_rows()
    if anew or changes.elements.height > max(_MOST_CHANGED, rows // _BASE_SHARE):
        made = write_snapshot(storage, *view.merge())
        new = Head(made)
    else:
        made = write_snapshot(storage, changes.elements.lazy(), changes.digests.lazy())
        new = Head(head.base if head else None, made)
    try:
        head = replace_head(storage, head, new)
    except ConflictError:
        drop_tables(storage, [made.id])
        raise
    storage.delete_all(sorted(view.seen))
    if new.delta is None:
        return load_view(storage, replace(view, head=None))
    return View(storage, head, view.base, changes.elements, Frames.none())


def _frames_of(found: Iterable[Found], view: View) -> Frames:
    """Make rows of what was found; an object that cannot be read any more keeps those that it had, unless it is a newer one."""
    rows, failed = Rows(), dict[str, str]()
    for one in found:
        if one.problem and not one.is_newer:
            failed[one.key] = one.problem
        else:
            one.add_to(rows)
    made = Frames(*rows.to_frames())
    return made.updated(view.keep_failed(failed)) if failed else made


def _busy_error(storage: Storage) -> ConflictError:
    return ConflictError(f"the catalogue of {storage.url} is changed by others all the time", "try again later")
