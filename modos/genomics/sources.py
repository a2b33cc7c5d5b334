"""Stream the bytes of a file, or of regions of it, from wherever they are served.

A source is a file straight in a storage, or behind an htsget server
(`modos.genomics.htsget.streams`). Both give the same: the regions that were
meant, and complete streams of the file's format that hold all of their
records, and neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple, Protocol

from modos.errors import AccessError, ConflictError, ModosError, RemoteError, TruncatedStream
from modos.formats import FileFormat, streamable_format
from modos.genomics.planning import WORKERS, Plan, Planner, iter_plan
from modos.genomics.region import Region, RegionLike, Regions
from modos.genomics.verification import Recorded, verify
from modos.storage import Readable

_INLINE = 8 << 20  # bytes of small stretches of a file, each read at once with its edges

logger = logging.getLogger(__name__)


class Stream(NamedTuple):
    """A stream under way.

    Parameters
    ----------
    regions
        What of the file it is for, in the file's order; None for all of it.
    after
        The region before these, whose records are in another stream; None
        where there is none.
    pieces
        The bytes of a file of the source's format.
    is_verified
        They end in an error where they are not those that the object's
        metadata tell of.
    """

    regions: Regions | None
    after: Region | None
    pieces: Iterator[bytes]
    is_verified: bool = False


class Source(Protocol):
    """A genomic file that can be streamed."""

    name: str
    format: FileFormat

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open streams of some regions, or of the whole file: one, or several in the file's order."""

    def open_header(self) -> Iterator[bytes]:
        """Open the file's header, without an end marker."""

    def contigs(self) -> tuple[str, ...]:
        """Return the contigs of the header and, if it is known, of the index; none if there is no such file."""

    def measure(self, regions: Sequence[Region]) -> int | None:
        """Return the bytes of the file that its index names for some regions; None where the index cannot be read."""


class ConfirmedSource:
    """A source that is asked only as long as its file is the one that is meant.

    Parameters
    ----------
    confirm
        Raises ConflictError where it is not any more.
    """

    def __init__(self, source: Source, confirm: Callable[[], object]):
        self._source = source
        self._confirm = confirm
        self.format = source.format
        self.name = source.name

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open its streams; each is there before it is decided which of the two sources the file is."""
        self._confirm()
        for stream in self._source.open(regions):
            self._confirm()
            yield stream

    def open_header(self) -> Iterator[bytes]:
        """Open the stream of its header."""
        self._confirm()
        return self._source.open_header()

    def contigs(self) -> tuple[str, ...]:
        """List its contigs."""
        self._confirm()
        return self._source.contigs()

    def measure(self, regions: Sequence[Region]) -> int | None:
        """Return the bytes that its index names."""
        self._confirm()
        return self._source.measure(regions)


class StorageSource:
    """A file read straight from its storage, by ranges.

    Parameters
    ----------
    recorded
        What is known of the whole file, to compare it with.
    is_verified
        Whether the storage compares what is read of it.
    """

    def __init__(
        self,
        storage: Readable,
        key: str,
        planner: Planner | None = None,
        workers: int = WORKERS,
        recorded: Recorded = Recorded(),
        *,
        is_verified: bool = False,
    ):
        self._storage = storage
        self._key = key
        self._planner = planner or Planner(storage)
        self._workers = workers
        self._recorded = recorded
        self.is_verified = is_verified
        self.format = streamable_format(key)
        self.name = f"{storage.url}/{key}"

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open one stream."""
        try:
            stream = self._start(regions)
        except ConflictError:
            self._planner.forget(self._key)
            stream = self._start(regions)
        yield stream

    def _start(self, regions: Sequence[RegionLike] | None) -> Stream:
        """Start a stream up to its first bytes, to know that what was remembered of the file holds."""
        plan = self._plan(regions)
        if self._recorded.size not in (None, plan.info.size):
            raise TruncatedStream(
                f"{self.name} has {plan.info.size:,} bytes, recorded are {self._recorded.size:,}: it is damaged, or was replaced",
                "`modos check` says more; open the object again where somebody else has changed it",
            )
        pieces = self._iter(plan)
        started = chain(list(islice(pieces, len(plan.header) + 1)), pieces)
        if regions is not None or self.is_verified:
            return Stream(plan.regions, None, started, self.is_verified)
        return whole_stream(started, self._recorded, self.name)

    def _plan(self, regions: Sequence[RegionLike] | None) -> Plan:
        return self._planner.plan(self._key, regions, inline=_INLINE, workers=self._workers)

    def open_header(self) -> Iterator[bytes]:
        """Open the header, read by range."""
        return self._iter(self._planner.plan_header(self._key))

    def contigs(self) -> tuple[str, ...]:
        """List the contigs of the header and the index."""
        return self._planner.contigs(self._key)

    def measure(self, regions: Sequence[Region]) -> int | None:
        """Return the bytes that the index names."""
        return self._planner.measure(self._key, regions)

    def _iter(self, plan: Plan) -> Iterator[bytes]:
        return iter_plan(self._storage, plan, self._workers)


def whole_stream(pieces: Iterator[bytes], recorded: Recorded, name: str) -> Stream:
    """Return a stream of a whole file, which ends in an error where it is not the recorded one."""
    known = any(recorded)
    return Stream(None, None, verify(pieces, recorded, name) if known else pieces, recorded.checksum is not None)


class FallbackSource:
    """A file at one of two places: it is read at the other where the first is away, or not to be read.

    Where the first fails after its first stream has begun, that is an error:
    what has been handed out cannot be taken back.

    Parameters
    ----------
    first, other
        An htsget server and the storage behind it, in either order.
    """

    def __init__(self, first: Source, other: Source):
        self._first = first
        self._other = other
        self._away = (AccessError, RemoteError) if isinstance(first, StorageSource) else (RemoteError,)
        self.format = first.format
        self.name = first.name

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open the streams of the first, or else of the other."""
        streams = self._first.open(regions)
        try:
            first = next(streams)
        except self._away as error:
            yield from self._fall_back(error).open(regions)
            return
        yield first
        yield from streams

    def open_header(self) -> Iterator[bytes]:
        """Open the header at the first, or else at the other."""
        try:
            return self._first.open_header()
        except self._away as error:
            return self._fall_back(error).open_header()

    def contigs(self) -> tuple[str, ...]:
        """List the contigs of the stored file, or else those that the server names."""
        stored, served = self._sort()
        try:
            return stored.contigs()
        except (AccessError, RemoteError):
            return served.contigs()

    def measure(self, regions: Sequence[Region]) -> int | None:
        """Return the bytes that the index of the stored file names; None where that is not to be read."""
        try:
            return self._sort()[0].measure(regions)
        except (AccessError, RemoteError):
            return None

    def _sort(self) -> tuple[Source, Source]:
        """Return the storage, then the server."""
        return (self._first, self._other) if isinstance(self._first, StorageSource) else (self._other, self._first)

    def _fall_back(self, error: ModosError) -> Source:
        logger.info("%s is read from %s: %s", self._first.name, self._other.name, error)
        return self._other
