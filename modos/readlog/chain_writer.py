"""Write one chain of frames in segments, each begun with a key that the officer alone can open."""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modos import __version__
from modos.encryption.header import encrypt_header
from modos.encryption.keys import PublicKey
from modos.errors import ConflictError, ModosError
from modos.readlog.heads import Head
from modos.readlog.log_places import BUCKET, FOLDER, LOCAL_SEGMENT, REMOTE_SEGMENT, Tail, open_tail
from modos.readlog.ratchet import KEY, Ratchet
from modos.readlog.retention import Expired, delete_expired, find_expired
from modos.readlog.sealed_frames import FORMAT, NOTHING, Kind, digest_of_frame, seal_frame
from modos.readlog.segment_reader import list_chains, read_heads
from modos.storage import Storage

DAY = 24 * 3600.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """When a segment ends, and for how long it stays.

    Parameters
    ----------
    size
        Bytes; None for what suits the place.
    age
        Seconds.
    keep
        Seconds after which a whole segment is deleted; None for never.
    """

    size: int | None = None
    age: float = DAY
    keep: float | None = None


@dataclass
class _Segment:
    """Segment that is being written."""

    tail: Tail
    begun: float
    size: int = 0


class ChainWriter:
    """Writes a chain, for one thread at a time; the chain is begun with the first frame.

    Parameters
    ----------
    storage
        The place.
    officer
        Who can open it.
    is_required
        Is noted in the log: that what cannot be logged is refused.
    writer
        What writes, such as `server`; is noted, too.
    shows_later
        Whether the head is replaced by `show_head`, and not with each frame of entries; in a bucket it always comes with them.

    Raises
    ------
    ModosError
        From `append` and `rotate`: nothing of it is in the log.
    """

    def __init__(
        self,
        storage: Storage,
        officer: PublicKey,
        limits: Limits = Limits(),
        *,
        is_required: bool = False,
        writer: str = "server",
        shows_later: bool = False,
    ):
        self._storage, self._officer, self._limits = storage, officer, limits
        self._size = limits.size or (REMOTE_SEGMENT if storage.is_remote else LOCAL_SEGMENT)
        self._noted = {"place": BUCKET if storage.is_remote else FOLDER, "required": is_required, "writer": writer}
        self._shows_later = shows_later and not storage.is_remote
        self._forget()

    def _forget(self) -> None:
        """Be ready to begin a chain."""
        self.chain = datetime.now(UTC).strftime("%Y%m%dT%H%M%S-") + os.urandom(8).hex()
        self._number, self._before, self._attempts = 0, NOTHING, 0
        self._segment: _Segment | None = None
        self._ratchet = Ratchet(bytes(KEY))
        self._next: tuple[bytes, bytes] | None = None  # key of the segment to come and the packet that has it
        self._anchored: float | None = None
        self.is_ahead = False  # of its head

    def append(self, lines: Sequence[bytes]) -> None:
        """Add entries, each a line of JSON, in one frame that is durable afterwards."""
        try:
            self._append(lines)
        except ConflictError as error:  # what was written of this chain is lost or unsure
            logger.error("the read log goes on in a chain of its own: %s", error)
            self.abandon()
            self._append(lines)

    def _append(self, lines: Sequence[bytes]) -> None:
        segment = self._begun()
        self._put(segment, Kind.ENTRIES, b"", b"".join(line + b"\n" for line in lines))

    def rotate(self) -> None:
        """End the segment and begin another, if one was begun that is old; what is to be deleted is then."""
        if self._segment and time.monotonic() - self._segment.begun >= self._limits.age:
            self._end_segment(self._segment)
            self._begun()

    def show_head(self) -> None:
        """Replace the head by that of the last frame, if it is behind."""
        if self._segment and self.is_ahead:
            self._segment.tail.show(Head.sign(self.chain, self._number, self._before, self._ratchet))
            self.is_ahead = False

    def begin(self) -> None:
        """Begin the chain now, and not with the first entries."""
        self._begun()

    def close(self) -> None:
        """End the chain in order."""
        if self._segment:
            self._put(self._segment, Kind.CLOSED, _to_json({"time": _now()}))
        self.abandon()

    def abandon(self) -> None:
        """Leave the chain as it is."""
        if self._segment:
            self._segment.tail.close()
        self._forget()

    def _begun(self) -> _Segment:
        """Return the segment that the next frame goes into."""
        segment = self._segment
        if segment and self._next is None:
            if segment.size < self._size and time.monotonic() - segment.begun < self._limits.age:
                return segment
            self._end_segment(segment)
        return self._begin_segment(segment)

    def _end_segment(self, segment: _Segment) -> None:
        """Write the last frame of a segment, which tells of the key of the next one."""
        if self._next is None:
            key, packet = self._make_key()
            self._put(segment, Kind.ROTATED, _to_json({"time": _now(), "next": digest_of_frame(packet).hex()}))
            self._next = key, packet

    def _make_key(self) -> tuple[bytes, bytes]:
        key = os.urandom(KEY)
        return key, encrypt_header(key, [self._officer])

    def _begin_segment(self, before: _Segment | None) -> _Segment:
        key, packet = self._next or self._make_key()
        told, expired = self._describe(packet)
        ratchet = Ratchet(key)
        data = seal_frame(Kind.BEGIN, self._number, self._before, _to_json(told), b"", ratchet.step(), self._count())
        digest = digest_of_frame(data)
        tail = before.tail if before else open_tail(self._storage, self.chain)
        try:
            tail.begin(self._number, data, Head.sign(self.chain, self._number + 1, digest, ratchet))
        except BaseException:
            if before is None:  # nothing relies on this chain
                tail.close()
                self._forget()
            raise
        self._segment = segment = _Segment(tail, time.monotonic(), len(data))
        self._number, self._before, self._ratchet, self._next = self._number + 1, digest, ratchet, None
        if "anchors" in told:
            self._anchored = segment.begun
        try:
            delete_expired(self._storage, expired)
        except ModosError as error:
            logger.error("what is old in the read log cannot be deleted: %s", error)
        return segment

    def _describe(self, packet: bytes) -> tuple[dict[str, Any], list[Expired]]:
        """Describe a new segment, for everybody to read; with it comes what is to be deleted then."""
        told: dict[str, Any] = {
            "log": FORMAT,
            "chain": self.chain,
            "time": _now(),
            "packet": base64.b64encode(packet).decode(),
            "officer": self._officer.fingerprint,
            "software": f"modos {__version__}",
            **self._noted,
        }
        expired: list[Expired] = []
        if self._anchored is None or time.monotonic() - self._anchored >= self._limits.age:
            chains = list_chains(self._storage)
            heads = read_heads(self._storage, chains)
            told["anchors"] = {head.chain: f"{head.count}:{head.digest}" for head in heads if head.chain != self.chain}
            if self._limits.keep is not None:
                expired = find_expired(self._storage, chains, self._limits.keep, self._limits.age)
                told["deleted"] = [{"keep": self._limits.keep} | one.tombstone for one in expired]
        return told, expired

    def _count(self) -> int:
        """Count the attempts to seal a frame: one that failed is tried again with the same key."""
        self._attempts += 1
        return self._attempts

    def _put(self, segment: _Segment, kind: Kind, plain: bytes, content: bytes = b"") -> None:
        ratchet = self._ratchet.copy()
        data = seal_frame(kind, self._number, self._before, plain, content, ratchet.step(), self._count())
        digest = digest_of_frame(data)
        later = self._shows_later and kind == Kind.ENTRIES
        segment.tail.append(data, None if later else Head.sign(self.chain, self._number + 1, digest, ratchet))
        self._number, self._before, self._ratchet, self.is_ahead = self._number + 1, digest, ratchet, later
        segment.size += len(data)


def _to_json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
