"""Plans for files in a storage: which bytes a region of a file is made of.

Headers and indexes are parsed once per content and remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from modos.errors import NotFoundError
from modos.formats import FileFormat, index_names, streamable_format
from modos.index import Header, Index, Segment, parse_index, plan_region, read_header
from modos.region import Region
from modos.storage import ByteRange, ObjectInfo, Storage

_REMEMBERED = 64  # headers and indexes


@dataclass(frozen=True)
class Plan:
    """What a stream of a region is made of, in order: header, body, end marker."""

    format: FileFormat
    header: tuple[Segment, ...]
    body: tuple[Segment, ...]
    eof: bytes
    region: Region | None


class Planner:
    """Plans for the files of one storage; safe to use from several threads."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._parsed: dict[tuple[str, str], Any] = {}
        self._lock = Lock()

    def plan(self, key: str, region: Region | str | None) -> Plan:
        """Plan a region of a file, or the whole of it.

        Parameters
        ----------
        region
            A region, or text that is resolved against the file's header.

        Raises
        ------
        NotFoundError
            No such file, no index, or no such contig.
        InvalidInputError
            A file without records, or a malformed region.
        IntegrityError
            A damaged file or index.
        """
        format = streamable_format(key)
        info = self._storage.stat(key)
        if region is None:
            return Plan(format, (), (ByteRange(0, info.size),), b"", None)
        header = self._header(format, info)
        index = self._index(key)
        if isinstance(region, str):
            region = Region.parse(region, {**header.contigs, **dict.fromkeys(getattr(index, "names", None) or ())})
        body = plan_region(format, partial(self._storage.read_range, key), info.size, header, index, region)
        return Plan(format, header.segments, tuple(body), header.eof, region)

    def header_segments(self, key: str) -> tuple[FileFormat, tuple[Segment, ...]]:
        """A file's format and its header, as the first bytes of a stream."""
        format = streamable_format(key)
        return format, self._header(format, self._storage.stat(key)).segments

    def _header(self, format: FileFormat, info: ObjectInfo) -> Header:
        return self._once(info, lambda: read_header(format, partial(self._storage.read_range, info.key), info.size))

    def _index(self, key: str) -> Index:
        for name in index_names(key):
            try:
                info = self._storage.stat(name)
            except NotFoundError:
                continue
            return self._once(info, lambda: parse_index(self._storage.read(name)[0]))
        raise NotFoundError(f"{key} has no index", f"a region needs one: {index_names(key)[0]}, made by samtools or "
                            "bcftools index")

    def _once(self, info: ObjectInfo, make: Any) -> Any:
        name = (info.key, info.etag)
        with self._lock:
            if name in self._parsed:
                return self._parsed[name]
        made = make()
        with self._lock:
            while len(self._parsed) >= _REMEMBERED:
                del self._parsed[next(iter(self._parsed))]
            self._parsed[name] = made
        return made


def iter_segments(storage: Storage, key: str, segments: tuple[Segment, ...]) -> Iterator[bytes]:
    """The bytes of segments of a file, in pieces."""
    for segment in segments:
        if isinstance(segment, bytes):
            yield segment
        else:
            yield from storage.iter_range(key, segment.start, segment.end)
