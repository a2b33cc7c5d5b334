"""Read the segments of a log, and find all that is wrong with them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.encryption.header import read_header
from modos.encryption.keys import SecretKey
from modos.errors import DecryptError, ModosError, NotFoundError
from modos.formats.crypt4gh import MAGIC as CRYPT4GH
from modos.readlog.heads import CHAIN, Head
from modos.readlog.heads import SIZE as HEAD_SIZE
from modos.readlog.log_places import ENDING, HEAD
from modos.readlog.ratchet import KEY, Ratchet
from modos.readlog.sealed_frames import FORMAT, HEADER, Frame, Kind, open_frame, read_frame, size_of_frame
from modos.storage import ObjectInfo, Storage
from modos.storage.prefetch import fetch_ahead

_READERS = 8
_FIRST = 64 << 10  # bytes that are read of a segment to know its first frame
_NAME = re.compile(rf"(?P<chain>{CHAIN})/((?P<number>[0-9]{{12,19}}){re.escape(ENDING)}|{HEAD})")


@dataclass
class Listed:
    """A chain as a place lists it: its segments by the number of their first frame, in order."""

    name: str
    segments: dict[int, ObjectInfo] = field(default_factory=dict)
    has_head: bool = False


def list_chains(storage: Storage) -> dict[str, Listed]:
    """List the chains of a place by their names; other files are not looked at."""
    found: dict[str, Listed] = {}
    try:
        for info in storage.iter_files():
            if match := _NAME.fullmatch(info.key):
                chain = found.setdefault(match["chain"], Listed(match["chain"]))
                if match["number"]:
                    chain.segments[int(match["number"])] = info
                else:
                    chain.has_head = True
    except NotFoundError:  # no log was written yet
        return {}
    for chain in found.values():
        chain.segments = dict(sorted(chain.segments.items()))
    return found


def read_heads(storage: Storage, chains: Mapping[str, Listed]) -> list[Head]:
    """Read the heads of chains, of each the one that goes farthest; those without one are left out."""

    def read(chain: Listed, _: Any = None) -> Head | None:
        found = [head for head in read_all_heads(storage, chain) if head.chain == chain.name]
        return max(found, key=lambda head: head.count, default=None)

    workers = _READERS if storage.is_remote else 1
    every = fetch_ahead(read, chains.values(), workers) if workers > 1 else map(read, chains.values())
    return [head for head in every if head]


def read_all_heads(storage: Storage, chain: Listed) -> list[Head]:
    """Read the heads of a chain: that beside its segments, and that at the end of the last; one without a name is none."""
    found = []
    places = [(f"{chain.name}/{HEAD}", 0)] if chain.has_head else []
    if storage.is_remote and chain.segments:
        last = next(reversed(chain.segments.values()))
        places.append((last.key, max(last.size - HEAD_SIZE, 0)))
    for key, start in places:
        try:
            line = storage.read_range(key, start, start + HEAD_SIZE + (start == 0))
        except NotFoundError:
            continue
        found.append(Head.parse(line) or Head("", 0, ""))
    return found


class SegmentReader:
    """One pass over the frames of a segment; iterating gives what each frame has sealed, with its number.

    Without a key that is nothing, and only the chain of digests is compared.

    Parameters
    ----------
    secret
        The officer's.
    wanted
        Counts of frames after which the state is kept in `marks`: those of heads that somebody has noted.

    Attributes
    ----------
    first, count
        Number of the first frame, and the frames that fit.
    before, digest
        Digest that the first frame names, and that of the last frame.
    begun, ended
        What the first frame tells, and the last one, if it is one that ends a segment or chain; None otherwise.
    last_kind
        Kind of the last frame.
    left
        Bytes behind the frames that are none: of a write that was broken off, or of damage; `reason` says why they are none.
    head
        That behind the frames, in a bucket.
    problems
        What is wrong, in words.
    stopped
        Number of a whole frame that is not what it should be; None if there is none.
    is_newer
        Whether it is of a later format, and so not read.
    is_locked
        Whether it is sealed for another key than the one given.
    """

    def __init__(self, storage: Storage, info: ObjectInfo, secret: SecretKey | None = None, wanted: Iterable[int] = ()):
        self._storage, self._info, self._secret = storage, info, secret
        self._wanted = frozenset(wanted)
        self.first = -1
        self.count = self.left = self.entries = 0
        self.before = self.digest = b""
        self.begun: dict[str, Any] = {}
        self.ended: dict[str, Any] | None = None
        self.last_kind = 0
        self.reason = ""
        self.head: Head | None = None
        self.ratchet: Ratchet | None = None
        self.problems: list[str] = []
        self.marks: dict[int, tuple[str, Ratchet | None]] = {}
        self.stopped: int | None = None
        self._good = 0
        self.is_locked = self.is_newer = False
        self.packet = b""
        self.first_digest = ""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        frames = self._iter_frames()
        first = next(frames, None)
        if first is None or not self._take_first(first):
            self.reason = self.reason or "it does not begin with a first frame"
            self.left = self.left or self._info.size
            return
        for frame in frames:
            if frame.before != self.digest or frame.number != self.first + self.count or self.last_kind > Kind.ENTRIES:
                self._stop(frame, "it does not follow the one before")
                return
            content = self._open(frame)
            if content is None:
                self._stop(frame, "its seal does not hold")
                return
            self._take(frame)
            if frame.kind == Kind.ENTRIES:
                self.entries += content.count(b"\n")
                yield frame.number, content
            elif frame.kind == Kind.BEGIN:
                self.problems.append(f"frame {frame.number:,} is a first frame, and stands within a segment")
            else:
                self.ended = _read_json(frame.plain)

    def _take_first(self, frame: Frame) -> bool:
        if frame.kind != Kind.BEGIN:
            return False
        self.first, self.before, self.first_digest = frame.number, frame.before, frame.digest.hex()
        self.begun = _read_json(frame.plain) or {}
        version = self.begun.get("log")
        if isinstance(version, int) and version > FORMAT:
            self.is_newer = True
            self.reason = f"it is of format {version}, and this modos reads {FORMAT}: install a newer modos"
            return False
        if type(version) is not int or version < 1:
            self._stop(frame, "it tells no format of the log")
            return False
        try:
            self.packet = base64.b64decode(str(self.begun.get("packet", "")), validate=True)
        except (binascii.Error, ValueError):
            self.packet = b""
        if self._secret:
            self.is_locked = self.begun.get("officer") != self._secret.public.fingerprint
            self.ratchet = None if self.is_locked else self._unlock(self._secret)
            if not self.is_locked and (self.ratchet is None or self._open(frame) is None):
                self._stop(frame, "its seal does not hold")
                return False
        self._take(frame)
        return True

    def _unlock(self, secret: SecretKey) -> Ratchet | None:
        """Open the key of the first frame; None if it is not for this key, which is said."""
        packet = self.packet
        try:
            if not packet.startswith(CRYPT4GH):
                raise DecryptError("it has no sealed key")
            keys = read_header(lambda start, end: packet[start:end]).decrypt(secret).keys
        except ModosError as error:
            self.problems.append(f"the key of the segment cannot be opened: {error.message}")
            return None
        return Ratchet(keys[0]) if len(keys[0]) == KEY else None

    def _open(self, frame: Frame) -> bytes | None:
        return open_frame(self.ratchet.step(), frame) if self.ratchet else b""

    def _take(self, frame: Frame) -> None:
        self.digest, self.last_kind = frame.digest, frame.kind
        self.count += 1
        self._good += len(frame.vouched) + len(frame.sealed)
        if self._wanted and frame.number + 1 in self._wanted:
            self.marks[frame.number + 1] = frame.digest.hex(), self.ratchet and self.ratchet.copy()

    def _stop(self, frame: Frame, reason: str) -> None:
        """Note that a whole frame is not what it should be, and what follows is not looked at."""
        self.reason, self.stopped = f"frame {frame.number:,}: {reason}", frame.number
        self.left = self._info.size - self._good

    def _iter_frames(self) -> Iterator[Frame]:
        """Iterate over the frames as their headers tell; at the end may stand a head, or what is no frame."""
        pieces = self._storage.iter_range(self._info.key, 0, self._info.size) if self._info.size else iter(())
        held, at = b"", 0
        while True:
            while len(held) - at < HEADER.size and (piece := next(pieces, None)):
                held, at = held[at:] + piece, 0
            rest = len(held) - at
            size = size_of_frame(held[at : at + HEADER.size]) if rest >= HEADER.size else None
            if size is None:
                self._end(held[at:], pieces)
                return
            if size > rest:
                parts, have = [held[at:]], rest
                while have < size and (piece := next(pieces, None)):
                    parts.append(piece)
                    have += len(piece)
                held, at = b"".join(parts), 0
                if have < size:
                    self._end(held, pieces)
                    return
            yield read_frame(held[at : at + size])
            at += size

    def _end(self, rest: bytes, pieces: Iterator[bytes]) -> None:
        """Note what stands behind the last frame."""
        if len(rest) == HEAD_SIZE and (head := Head.parse(rest)) and next(pieces, None) is None:
            self.head = head
            return
        self.left = len(rest) + sum(len(piece) for piece in pieces)
        if self.left:
            self.reason = f"{self.left:,} bytes behind frame {self.first + self.count - 1:,} are no whole frame"


def read_first(storage: Storage, info: ObjectInfo) -> dict[str, Any]:
    """Read what the first frame of a segment tells; nothing where there is none, and nothing of it is proven."""
    try:
        data = storage.read_range(info.key, 0, min(_FIRST, info.size))
        size = size_of_frame(data[: HEADER.size]) if len(data) >= HEADER.size else None
        if size is None or size > info.size:
            return {}
        data += storage.read_range(info.key, len(data), size)
    except NotFoundError:
        return {}
    frame = read_frame(data[:size])
    return (_read_json(frame.plain) or {}) if frame.kind == Kind.BEGIN else {}


def _read_json(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
