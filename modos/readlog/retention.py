"""Delete whole segments of a log that are old, and leave word of them, so that a deletion is told from a theft."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modos.readlog.log_places import HEAD
from modos.readlog.sealed_frames import Kind
from modos.readlog.segment_reader import Listed, SegmentReader
from modos.storage import ObjectInfo, Storage

_SLACK = 2  # of the age of a segment: for how much longer than `keep` word of a deletion is passed on


@dataclass(frozen=True)
class Expired:
    """Files of a chain that are to be deleted, and the word that is left of them.

    Parameters
    ----------
    keys
        Of the files; none where only the word of an earlier deletion is passed on.
    tombstone
        The chain, how many frames are gone, the digest of the last of them, that of the frame that is the first from
        now on, if there is one, and when that was.
    """

    keys: tuple[str, ...]
    tombstone: dict[str, Any]


def find_expired(storage: Storage, chains: Mapping[str, Listed], keep: float, age: float) -> list[Expired]:
    """Find the segments whose last frame is older than `keep` seconds, by the storage's clock and by their own word.

    The segment at the end of a chain stays while its chain may go on, for twice `age`.
    """
    now = storage.now() if storage.is_remote else time.time()
    found = list[Expired]()
    for chain in chains.values():
        found += _expired_of(storage, chain, now, keep, age)
    return found


def _expired_of(storage: Storage, chain: Listed, now: float, keep: float, age: float) -> list[Expired]:
    segments, gone, carried = list(chain.segments.values()), list[ObjectInfo](), list[Expired]()
    last: SegmentReader | None = None
    for number, info in enumerate(segments):
        is_last = number == len(segments) - 1
        if info.modified is None or now - info.modified < max(keep, _SLACK * age if is_last else 0):
            break
        reader = _read(storage, info)
        if reader.is_newer or now - _seconds(reader.begun.get("time")) < keep:
            break
        gone.append(info)
        carried += _carry(reader, now, keep + _SLACK * age)
        last = reader if reader.count or last is None else last
    if last is None:
        return []
    following = segments[len(gone)] if len(gone) < len(segments) else None
    first = _read(storage, following).first_digest if following else None
    keys = [info.key for info in gone] + ([f"{chain.name}/{HEAD}"] if following is None and chain.has_head else [])
    tombstone = {
        "chain": chain.name,
        "frames": max(last.first, 0) + last.count,
        "digest": last.digest.hex(),
        "next": first,
        "ended": last.last_kind in (Kind.ROTATED, Kind.CLOSED),
        "time": _format(now),
    }
    return [Expired(tuple(keys), tombstone), *carried]


def _read(storage: Storage, info: ObjectInfo) -> SegmentReader:
    reader = SegmentReader(storage, info)
    for _ in reader:
        pass
    return reader


def _carry(reader: SegmentReader, now: float, most: float) -> list[Expired]:
    """Return the words of earlier deletions in a segment that is deleted, as long as others may tell of what is gone."""
    told = reader.begun.get("deleted")
    return [
        Expired((), one)
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, dict) and now - _seconds(one.get("time")) < most
    ]


def delete_expired(storage: Storage, expired: list[Expired]) -> None:
    """Delete the files, the oldest first, and the folders that are empty then."""
    for one in expired:
        for key in one.keys:
            storage.delete(key)


def _seconds(text: Any) -> float:
    """Return a time as seconds since 1970; 0 for what is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _format(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
