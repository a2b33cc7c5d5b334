"""Plan which bytes of a storage's files some regions are made of.

Headers and indexes are read at the same time, parsed once per content, and
remembered within limits.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from modos.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from modos.formats import FileFormat, index_names, streamable_format
from modos.genomics.index import (
    BinningIndex,
    Chunk,
    Header,
    Index,
    Read,
    Segment,
    cut,
    find_chunks,
    parse_index,
    plan_regions,
    read_header,
    split_chunks,
)
from modos.genomics.index.crai import SEVERAL, Crai
from modos.genomics.index.fit import check_contigs, check_contigs_covered, is_empty
from modos.genomics.index.parse import MAX_INDEX
from modos.genomics.index.plan import find_containers
from modos.genomics.region import MAX_POSITION, UNMAPPED, Region, RegionLike, Regions, settle
from modos.storage import ByteRange, ObjectInfo, Readable
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking

WORKERS = 8
PART = 4 << 20  # bytes that a worker fetches at once
LOCAL_WORKERS, LOCAL_PART = 2, 1 << 20  # for a local file
_FIRST = 1 << 16  # bytes read of a file, most often with all of its header
_REMEMBERED = 256 << 20  # bytes of indexes, as they are stored
_MAX_FILES = 64

Other = TypeVar("Other")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Plan:
    """Parts of a stream of some regions, in order: header, body, end marker.

    Parameters
    ----------
    info
        The file, as it was planned for.
    regions
        None for the whole file.
    body
        To be gone through once; parts of the file may be read for it.
    """

    format: FileFormat
    info: ObjectInfo
    regions: Regions | None
    header: tuple[Segment, ...]
    body: Iterable[Segment]
    eof: bytes

    @property
    def segments(self) -> Iterator[Segment]:
        """Yield all of the stream, in order."""
        return chain(self.header, self.body, (self.eof,) if self.eof else ())


@dataclass(frozen=True)
class _File:
    """Facts of a file: its header, and its index where that was needed."""

    info: ObjectInfo
    header: Header
    index: Index | None = None
    index_info: ObjectInfo | None = None
    is_covered: threading.Event = field(default_factory=threading.Event, compare=False)  # by the index, as was looked at

    @property
    def contigs(self) -> tuple[str, ...]:
        """Contigs of the header, and those that only the index of a VCF has."""
        return tuple(dict.fromkeys([*self.header.contigs, *(getattr(self.index, "names", None) or ())]))

    @property
    def cost(self) -> int:
        return _FIRST + (self.index_info.size if self.index_info else 0)


class Planner:
    """Plans for the files of one storage; safe to use from several threads.

    Parameters
    ----------
    storage
        Where the files are.
    revalidate
        Look at the file and its index each time whether they have changed.
        Without it that is noticed when the file's bytes are read.
    """

    def __init__(self, storage: Readable, *, revalidate: bool = False):
        self.storage = storage
        self._revalidate = revalidate or not storage.is_remote
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._contents: dict[str, Hashable] = {}
        forking.begin(self, Planner._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._looked = threading.local()  # at files, in a thread that looks once
        self._turns = [threading.Lock() for _ in range(_MAX_FILES)]  # so that nothing is read twice at a time

    def plan(self, key: str, regions: Iterable[RegionLike] | None, *, inline: int = 0, workers: int = WORKERS) -> Plan:
        """Plan some regions of a file, or the whole of it.

        Parameters
        ----------
        regions
            Regions, or text that is resolved against the file's header; None
            for the whole file.
        inline
            Bytes of the file that may come as bytes instead of ranges.
        workers
            Stretches of the file that are looked at at once.

        Raises
        ------
        NotFoundError
            No such file, no index, or no such contig.
        InvalidInputError
            A file without records, or a malformed region.
        IntegrityError
            A damaged file or index.
        ConflictError
            The file is not any more what it was; also while the body is
            gone through. Planning anew helps.
        """
        format = streamable_format(key)
        if regions is None:
            return self._plan_all(format, key, inline)
        file, index = self._find_indexed(format, key)
        meant = settle(regions, file.contigs)
        body = plan_regions(
            format,
            self._reader(file.info),
            file.info.size,
            file.header,
            index,
            meant,
            inline=inline,
            workers=workers if self.storage.is_remote else 1,
        )
        self._check_nothing_missed(format, file, index, meant)
        return Plan(format, file.info, meant, file.header.segments, body, file.header.eof)

    def _check_nothing_missed(self, format: FileFormat, file: _File, index: Index, regions: Regions) -> None:
        """Check, if there is nothing for a region, that it is the file that has nothing, and not its index."""
        if not file.is_covered.is_set() and any(
            region.contig != UNMAPPED and is_empty(format, file.header, index, region) for region in regions
        ):
            check_contigs_covered(format, self._reader(file.info), file.info.size, file.header, index)
            file.is_covered.set()

    def _plan_all(self, format: FileFormat, key: str, inline: int) -> Plan:
        info = self.storage.stat(key)
        whole = ByteRange(0, info.size)
        return Plan(format, info, None, (), (self._reader(info)(*whole) if info.size <= inline else whole,), b"")

    def plan_header(self, key: str) -> Plan:
        """Plan a file's header alone; such a stream has no end marker."""
        format = streamable_format(key)
        file = self._file(format, key, with_index=False)
        return Plan(format, file.info, (), file.header.segments, (), b"")

    def contigs(self, key: str) -> tuple[str, ...]:
        """Return the contigs that a file's header has, and its index if there is one."""
        format = streamable_format(key)
        try:
            return self._file(format, key, with_index=True).contigs
        except NotFoundError:
            return self._file(format, key, with_index=False).contigs

    def reference_spans(self, key: str, regions: Iterable[RegionLike]) -> dict[str, tuple[int, int]]:
        """Return the spans of contigs that a CRAM is decoded with where regions are read, also those of other records there.

        The errors are those of `plan`.
        """
        file, index = self._find_indexed(streamable_format(key), key)
        if not isinstance(index, Crai):
            return {}
        spans = index.spans_in(find_containers(file.header, index, settle(regions, file.contigs)))
        target_ids = file.header.target_ids
        if SEVERAL in spans:
            return dict.fromkeys(target_ids, (0, MAX_POSITION))
        return {name: spans[number] for name, number in target_ids.items() if number in spans}

    def find_index(self, key: str) -> tuple[Header, Index]:
        """Return the header and the index of a file; the errors are those of `plan`."""
        file, index = self._find_indexed(streamable_format(key), key)
        return file.header, index

    def measure(self, key: str, regions: Iterable[Region]) -> int:
        """Return the bytes of a file that its index names for some regions. The errors are those of `plan`."""
        format = streamable_format(key)
        file, index = self._find_indexed(format, key)
        if isinstance(index, Crai):
            starts = find_containers(file.header, index, regions)
            return sum((index.end_of(start) or file.info.size) - start for start in starts)
        chunks = find_chunks(format, self._reader(file.info), file.info.size, file.header, index, regions)
        return sum((end >> 16) - (start >> 16) for start, end in chunks)

    def find_chunks(self, key: str, regions: Iterable[RegionLike] | None, size: int) -> tuple[ObjectInfo, list[Chunk]]:
        """Find the file, and where it has the records of some regions, or all; for a BAM. The errors are those of `plan`.

        Parameters
        ----------
        size
            Bytes of the file above which a chunk is split, where an index
            tells how.
        """
        format = streamable_format(key)
        file = self._file(format, key, with_index=regions is not None)
        meant = None if regions is None else settle(regions, list(file.header.contigs))
        index = file.index if isinstance(file.index, BinningIndex) else None
        chunks = find_chunks(format, self._reader(file.info), file.info.size, file.header, index, meant)
        if meant is not None and index is not None:
            self._check_nothing_missed(format, file, index, meant)
        return file.info, self.split_chunks(key, chunks, size)

    def split_chunks(self, key: str, chunks: list[Chunk], size: int) -> list[Chunk]:
        """Split the chunks of a file of more than some bytes, where it has an index that tells how."""
        if any((end >> 16) - (start >> 16) > size for start, end in chunks):
            with suppress(NotFoundError):
                file = self._file(streamable_format(key), key, with_index=True)
                chunks = list(split_chunks(chunks, file.index.starts() if isinstance(file.index, BinningIndex) else (), size))
        return chunks

    def plan_chunks(self, key: str, chunks: Sequence[Chunk], tag: str) -> tuple[Plan, Header]:
        """Plan the records between virtual offsets of a BAM, without header and end marker; and its header.

        Raises
        ------
        ConflictError
            The file has not that tag any more.
        InvalidInputError
            The offsets are not apart and in order, or are before the records.
        """
        format = streamable_format(key)
        file = self._file(format, key, with_index=False)
        if file.info.etag != tag:
            raise ConflictError(f"{key} was changed since it was planned for", "plan anew")
        last = file.header.end
        for start, end in chunks:
            if not last <= start < end:
                raise InvalidInputError(f"there are no records from {start:x} to {end:x}")
            last = end
        body = cut(self._reader(file.info), file.info.size, chunks)
        return Plan(format, file.info, None, (), body, b""), file.header

    @contextmanager
    def looking_once(self) -> Iterator[None]:
        """Look once whether each file has changed, for as long as this lasts in a thread; its bytes are compared all the same."""
        before, self._looked.files = getattr(self._looked, "files", None), {}
        try:
            yield
        finally:
            self._looked.files = before

    def forget(self, key: str) -> None:
        """Read header and index again the next time."""
        with self._lock:
            self._files.pop(key, None)

    def expect(self, key: str, content: Hashable) -> None:
        """Say what is known of a file's content; what is remembered of another content under its key is forgotten."""
        with self._lock:
            if self._contents.setdefault(key, content) != content:
                self._contents[key] = content
                self._files.pop(key, None)

    def _file(self, format: FileFormat, key: str, *, with_index: bool) -> _File:
        with self._turns[hash(key) % len(self._turns)]:
            known, content = self._find_known(key, with_index), self._contents.get(key)
            return known or self._remember(key, self._read(format, key, with_index), content)

    def _find_indexed(self, format: FileFormat, key: str) -> tuple[_File, Index]:
        file = self._file(format, key, with_index=True)
        assert file.index is not None
        return file, file.index

    def _find_known(self, key: str, with_index: bool) -> _File | None:
        with self._lock:
            known = self._files.get(key)
        if known is None or (with_index and known.index is None):
            return None
        looked = getattr(self._looked, "files", None)
        if self._revalidate and (looked is None or looked.get(key) is not known):
            expected = [info for info in (known.info, known.index_info) if info]
            looks = [partial(self.storage.stat, info.key) for info in expected]
            if (_call_at_once(looks) if self.storage.is_remote else [look() for look in looks]) != expected:
                return None
        if looked is not None:
            looked[key] = known
        return known

    def _remember(self, key: str, file: _File, content: Hashable) -> _File:
        with self._lock:
            if self._contents.get(key) != content:  # it was replaced meanwhile
                return file
            self._files[key] = file
            self._files.move_to_end(key)
            while len(self._files) > _MAX_FILES or sum(f.cost for f in self._files.values()) > _REMEMBERED:
                self._files.popitem(last=False)
        return file

    def _read(self, format: FileFormat, key: str, with_index: bool) -> _File:
        if not with_index:
            return _File(*self._read_header(format, key))
        known = None if self._revalidate else self._files.get(key)
        if known:
            (info, header), (index, index_info) = (known.info, known.header), self._read_index(key)
        else:
            (info, header), (index, index_info) = _call_both(
                lambda: self._read_header(format, key), lambda: self._read_index(key)
            )
        check_contigs(format, header, index)
        return _File(info, header, index, index_info)

    def _read_header(self, format: FileFormat, key: str) -> tuple[ObjectInfo, Header]:
        first, info = self.storage.read_part(key, 0, _FIRST)
        read_on = self._reader(info)

        def read(start: int, end: int) -> bytes:
            return first[start:end] if end <= len(first) else read_on(start, end)

        header = read_header(format, read, info.size)
        segments = tuple(
            first[s.start : s.end] if isinstance(s, ByteRange) and s.end <= len(first) else s for s in header.segments
        )
        return info, Header(header.contigs, segments, header.eof, header.end, header.target_ids)

    def _read_index(self, key: str) -> tuple[Index, ObjectInfo]:
        for name in index_names(key):
            try:
                data, info = self.storage.read_part(name, 0, MAX_INDEX + 1)
            except NotFoundError:
                continue
            if len(data) > MAX_INDEX:
                raise InvalidInputError(f"the index {name} is larger than {MAX_INDEX >> 20} MiB")
            return parse_index(data), info
        raise NotFoundError(
            f"{key} has no index", f"a region needs one: {index_names(key)[0]}, made by samtools or bcftools index"
        )

    def _reader(self, info: ObjectInfo) -> Read:
        return lambda start, end: self.storage.read_part(info.key, start, end, if_match=info.etag)[0]


def _call_at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Make calls that wait for the network at once; returns their results, or raises the first error in their order."""
    return list(fetch_ahead(lambda call, _: call(), calls, len(calls)))


def _call_both(first: Callable[[], Result], second: Callable[[], Other]) -> tuple[Result, Other]:
    """Make two calls at once and return their results, as `_call_at_once`."""
    results: list[Any] = _call_at_once([first, second])
    return results[0], results[1]


def iter_plan(storage: Readable, plan: Plan, workers: int = WORKERS) -> Iterator[bytes]:
    """Iterate over the bytes of a plan, in pieces and in order.

    Raises
    ------
    ConflictError
        The file is not any more what was planned for.
    """
    info = plan.info

    def fetch(segment: Segment, _: threading.Event) -> bytes:
        if isinstance(segment, bytes):
            return segment
        data, _info = storage.read_part(info.key, *segment, if_match=info.etag)
        if len(data) != segment.size:
            raise IntegrityError(f"{storage.url}/{info.key} ends before byte {segment.end:,}")
        return data

    if storage.local_path(info.key) is not None:
        yield from fetch_ahead(fetch, _parts(plan.segments, LOCAL_PART), LOCAL_WORKERS)
    else:
        yield from fetch_ahead(fetch, _parts(plan.segments, PART), workers)


def _parts(segments: Iterable[Segment], size: int) -> Iterator[Segment]:
    """Split ranges at multiples of `size` bytes of the file, so that those that are compared begin and end with parts."""
    for segment in segments:
        if isinstance(segment, bytes):
            yield segment
        else:
            start = segment.start
            while start < segment.end:
                end = min((start // size + 1) * size, segment.end)
                yield ByteRange(start, end)
                start = end
