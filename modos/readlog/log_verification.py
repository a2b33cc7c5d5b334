"""Verify that nothing of a log was changed, swapped, cut off or taken away, as far as what is left can tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from heapq import heappop, heappush
from typing import Any

from modos.encryption.keys import SecretKey
from modos.errors import NotFoundError
from modos.readlog.heads import Head
from modos.readlog.log_places import BUCKET
from modos.readlog.read_entries import Entry, iter_entries_of
from modos.readlog.sealed_frames import NOTHING, Kind
from modos.readlog.segment_reader import Listed, SegmentReader, list_chains, read_all_heads, read_first
from modos.storage import Storage

Located = tuple[str, int, Entry | None]  # chain, number of the frame, and the entry; None for a line that is none
_AGAIN = 3  # times that a log is read where segments are deleted meanwhile


@dataclass
class Chain:
    """Findings on one chain.

    Parameters
    ----------
    name
        When it was begun, and random digits.
    frames, entries
        How many it has; those that were deleted for their age are counted in the first, and in `deleted`.
    begun
        When, and by what.
    state
        `closed`, or `open`: it is written still, or its writer was killed.
    torn
        Bytes at its end that are no whole frame, of a write that was broken off; no entry that somebody relies on is in it.
    head
        To be noted elsewhere.
    locked
        Segments that are sealed for other keys than the one given.
    problems
        What is wrong, in words.
    """

    name: str
    frames: int = 0
    entries: int = 0
    deleted: int = 0
    begun: str = ""
    writer: str = ""
    state: str = "open"
    torn: int = 0
    head: Head | None = None
    locked: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Verification:
    """Findings on a log.

    Parameters
    ----------
    chains
        Those that are there.
    gone
        Those that were deleted for their age, each with when and by which chain that was told.
    problems
        What is wrong, in words, of the chains as well.
    has_contents
        Whether seals were looked at, with the officer's key.
    """

    chains: list[Chain] = field(default_factory=list)
    gone: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    has_contents: bool = False

    @property
    def entries(self) -> int:
        """Entries of all chains; 0 without a key."""
        return sum(chain.entries for chain in self.chains)

    @property
    def frames(self) -> int:
        """Frames that are there."""
        return sum(chain.frames - chain.deleted for chain in self.chains)


@dataclass
class _Told:
    """Heads of other chains that chains tell of, and deletions."""

    heads: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)  # count, digest, and who says so
    deleted: dict[str, tuple[Mapping[str, Any], str]] = field(default_factory=dict)
    own: dict[str, list[Head]] = field(default_factory=dict)

    def add(self, teller: str, first: Mapping[str, Any]) -> None:
        """Take in what a first frame tells."""
        anchors, deleted = first.get("anchors"), first.get("deleted")
        for name, text in anchors.items() if isinstance(anchors, dict) else ():
            count, _, digest = str(text).partition(":")
            if count.isdecimal() and len(count) < 20:
                self.heads.setdefault(name, []).append((int(count), digest, f"chain {teller}"))
        for one in deleted if isinstance(deleted, list) else ():
            if isinstance(one, dict) and isinstance(one.get("frames"), int) and isinstance(one.get("chain"), str):
                known = self.deleted.get(one["chain"])
                if known is None or known[0]["frames"] < one["frames"]:
                    self.deleted[one["chain"]] = one, teller


def verify(storage: Storage, secret: SecretKey | None = None, noted: Iterable[Head] = ()) -> Verification:
    """Verify a log.

    Parameters
    ----------
    storage
        The place.
    secret
        The officer's key: with it the seals are looked at; without it the chain of digests alone, which who can write
        the place can make anew.
    noted
        Heads that were noted elsewhere.
    """
    noted = list(noted)
    for attempt in range(_AGAIN):
        reading = LogReader(storage, secret, noted)
        try:
            for _ in reading:
                pass
        except NotFoundError:  # deleted just now
            if attempt == _AGAIN - 1:
                raise
            continue
        break
    return reading.found


class LogReader:
    """One pass over a log: iterating gives the entries that the key opens, each with its chain and frame; see `verify`.

    Entries come chain by chain, as they were written; None stands for a line that is no entry. `found` is complete at
    the end.
    """

    def __init__(self, storage: Storage, secret: SecretKey | None = None, noted: Iterable[Head] = ()):
        self._storage, self._secret, self._noted = storage, secret, list(noted)
        self.found = Verification(has_contents=secret is not None)

    def __iter__(self) -> Iterator[tuple[str, int, bytes]]:
        chains, told = self._list()
        for name in sorted(chains):
            check = _ChainCheck(self._storage, self._secret, chains[name], told)
            for number, content in check:
                yield name, number, content
            self._finish(check)
        self._look_for_missing(chains, told)

    def entries(self) -> Iterator[Located]:
        """Iterate over the entries in the order of their times, as far as those of each chain are in it; see the class.

        No more chains are open at once than were written at once.
        """
        chains, told = self._list()
        left = deque(sorted(chains))  # by when they were begun
        running: list[tuple[str, str, Located, Iterator[Located]]] = []

        def advance(name: str, found: Iterator[Located]) -> None:
            if (entry := next(found, None)) is not None:
                heappush(running, (str((entry[2] or {}).get("time", "")), name, entry, found))

        while left or running:
            while left and (not running or _begun_in_text(left[0]) <= running[0][0]):
                name = left.popleft()
                advance(name, self._iter_chain(chains[name], told))
            if running:
                _, name, entry, found = heappop(running)
                yield entry
                advance(name, found)
        self._look_for_missing(chains, told)

    def _iter_chain(self, chain: Listed, told: _Told) -> Iterator[Located]:
        check = _ChainCheck(self._storage, self._secret, chain, told)
        for number, content in check:
            for entry in iter_entries_of(content):
                yield chain.name, number, entry
        self._finish(check)

    def _list(self) -> tuple[dict[str, Listed], _Told]:
        """List the chains, and what they tell of each other; heads come before the frames they are of."""
        chains, told = list_chains(self._storage), _Told()
        told.own = {name: read_all_heads(self._storage, chain) for name, chain in chains.items()}
        for chain in chains.values():
            for info in chain.segments.values():
                told.add(chain.name, read_first(self._storage, info))
        for head in self._noted:
            told.heads.setdefault(head.chain, []).append((head.count, head.digest, "a head that was noted"))
        return chains, told

    def _finish(self, check: _ChainCheck) -> None:
        self.found.chains.append(check.found)
        self.found.problems += [f"chain {check.found.name}: {problem}" for problem in check.found.problems]

    def _look_for_missing(self, chains: Mapping[str, Listed], told: _Told) -> None:
        for name, (word, teller) in told.deleted.items():
            if name not in chains:
                self.found.gone[name] = f"{word['frames']:,} frames, deleted at {word.get('time')} by chain {teller}"
            if problem := _find_haste(name, word):
                self.found.problems.append(f"chain {name}: {problem}, as chain {teller} tells")
        for name in sorted(told.heads.keys() - chains.keys()):
            word = told.deleted.get(name, ({"frames": -1}, ""))[0]
            if late := [one for one in told.heads[name] if one[0] > word["frames"]]:
                self.found.problems.append(f"chain {name} is gone: {late[0][2]} tells that it had {late[0][0]:,} frames")


class _ChainCheck:
    """One pass over a chain."""

    def __init__(self, storage: Storage, secret: SecretKey | None, chain: Listed, told: _Told):
        self._storage, self._secret, self._chain = storage, secret, chain
        self._heads = list(told.own[chain.name])
        self._told = told.heads.get(chain.name, [])
        self._deleted = told.deleted.get(chain.name, (None, ""))[0]
        self._marks: dict[int, tuple[str, Any]] = {}
        self.found = Chain(chain.name)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        wanted = {head.count for head in self._heads} | {count for count, _, _ in self._told}
        before: SegmentReader | None = None
        last = next(reversed(self._chain.segments), -1)
        for number, info in self._chain.segments.items():
            reader = SegmentReader(self._storage, info, self._secret, wanted)
            yield from reader
            self._check_segment(number, reader, before, is_last=number == last)
            if reader.is_newer:
                return
            self._marks |= reader.marks
            before = reader if reader.count or before is None else before
        self._check_end(before)

    def _report(self, problem: str) -> None:
        self.found.problems.append(problem)

    def _check_segment(self, number: int, reader: SegmentReader, before: SegmentReader | None, *, is_last: bool) -> None:
        found = self.found
        self.found.problems += reader.problems
        found.locked += reader.is_locked
        if not reader.count:
            if not is_last or not before or reader.is_newer:
                self._report(f"the segment of frame {number:,} cannot be read: {reader.reason}")
            found.torn += 0 if reader.is_newer else reader.left
            return
        if reader.first != number or reader.begun.get("chain") != self._chain.name:
            self._report(f"the segment of frame {number:,} is frame {reader.first:,} of chain {reader.begun.get('chain')}")
        if before is None:
            self._check_beginning(reader)
            found.begun, found.writer = str(reader.begun.get("time", "")), str(reader.begun.get("writer", ""))
        elif reader.first != found.frames or reader.before != before.digest:
            self._report(f"between frames {found.frames - 1:,} and {reader.first:,} something is missing or was replaced")
        elif (before.ended or {}).get("next") != sha256(reader.packet).hexdigest():
            self._report(f"the segment of frame {number:,} has another key than the one before tells")
        found.frames = reader.first + reader.count
        found.entries += reader.entries
        found.state = "closed" if is_last and reader.last_kind == Kind.CLOSED else "open"
        if reader.left or reader.stopped is not None:
            found.torn = reader.left
            acknowledged = max((head.count for head in self._heads), default=0)
            if not is_last or reader.last_kind > Kind.ENTRIES or (reader.stopped or acknowledged) < acknowledged:
                self._report(reader.reason)
        if reader.begun.get("place") == BUCKET and reader.head is None:
            self._report(f"the segment of frame {number:,} has no head behind it: its end was cut off")
        if reader.head and reader.head.chain == self._chain.name:
            self._heads.append(reader.head)
            self._marks[found.frames] = reader.digest.hex(), reader.ratchet

    def _check_beginning(self, reader: SegmentReader) -> None:
        """Check that a chain begins at its beginning, or behind what was deleted for its age."""
        if reader.first == 0 and reader.before == NOTHING:
            return
        word = self._deleted
        if word is None or word["frames"] != reader.first or word.get("digest") != reader.before.hex():
            self._report(f"the frames before {reader.first:,} are missing")
        elif word.get("next") != reader.first_digest:
            self._report(f"frame {reader.first:,} is not the one that followed what was deleted for its age")
        else:
            self.found.deleted = reader.first

    def _check_end(self, last: SegmentReader | None) -> None:
        """Compare the chain with its heads, and with what others tell of it."""
        found = self.found
        if last is not None and last.count and last.marks.get(found.frames) is None:
            self._marks[found.frames] = last.digest.hex(), last.ratchet
        own = [head for head in self._heads if head.chain == self._chain.name]
        if len(own) < len(self._heads):
            self._report("a head of it is that of another chain, or none")
        begun_just_now = len(self._chain.segments) == 1 and last is not None and last.last_kind != Kind.ROTATED and own
        if not self._chain.has_head and not begun_just_now:
            self._report("it has no head, so that nothing tells whether its end was cut off")
        for head in own:
            self._check_mark(head.count, head.digest, "its head")
            mark = self._marks.get(head.count)
            if mark and mark[1] and not head.is_signed_by(mark[1]):
                self._report(f"its head at {head.count:,} frames is not signed by its key")
        for count, digest, teller in self._told:
            if count > found.deleted:
                self._check_mark(count, digest, teller)
        if last is not None and last.count:
            found.head = Head(self._chain.name, found.frames, last.digest.hex())

    def _check_mark(self, count: int, digest: str, teller: str) -> None:
        if count > self.found.frames:
            self._report(f"it ends after {self.found.frames:,} frames, and {teller} tells of {count:,}: its end was cut off")
        elif self._marks.get(count, ("",))[0] != digest:
            self._report(f"frame {count - 1:,} is not the one that {teller} tells of")


def _begun_in_text(name: str) -> str:
    """Return when a chain was begun, in the form of the times of entries."""
    return f"{name[:4]}-{name[4:6]}-{name[6:11]}:{name[11:13]}:{name[13:15]}"


def _find_haste(name: str, word: Mapping[str, Any]) -> str | None:
    """Describe a deletion that came before its time, by the names of chains, which tell when they were begun."""
    try:
        begun = datetime.strptime(name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        age = (datetime.fromisoformat(str(word.get("time"))) - begun).total_seconds()
        keep = float(word.get("keep") or 0)
    except (ValueError, TypeError):
        return "it is told to be deleted, and not when"
    return f"it was deleted after {age:,.0f} seconds, before {keep:,.0f} were over" if age < keep - 1 else None
