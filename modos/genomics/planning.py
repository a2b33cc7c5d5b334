"""Plan which bytes of a storage's files some regions are made of.

What the files are is found by `modos.genomics.indexed_files`.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import chain

from modos.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from modos.formats import FileFormat, streamable_format
from modos.genomics.index import (
    BinningIndex,
    Chunk,
    Header,
    Index,
    Segment,
    cut,
    find_chunks,
    plan_regions,
    split_chunks,
)
from modos.genomics.index.crai import SEVERAL, Crai
from modos.genomics.index.fit import check_contigs_covered, is_empty
from modos.genomics.index.plan import find_containers
from modos.genomics.indexed_files import IndexedFile, IndexedFiles, read_by_tag
from modos.genomics.region import MAX_POSITION, UNMAPPED, Region, RegionLike, Regions, settle
from modos.storage import ByteRange, ObjectInfo, Readable
from modos.storage.prefetch import fetch_ahead

WORKERS = 8
PART = 4 << 20  # bytes that a worker fetches at once
LOCAL_WORKERS, LOCAL_PART = 2, 1 << 20  # for a local file


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
        self._files = IndexedFiles(storage, revalidate=revalidate or not storage.is_remote)

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
        file, index = self._files.find_indexed(format, key)
        meant = settle(regions, file.contigs)
        body = plan_regions(
            format,
            read_by_tag(self.storage, file.info),
            file.info.size,
            file.header,
            index,
            meant,
            inline=inline,
            workers=workers if self.storage.is_remote else 1,
        )
        self._check_nothing_missed(format, file, index, meant)
        return Plan(format, file.info, meant, file.header.segments, body, file.header.eof)

    def _check_nothing_missed(self, format: FileFormat, file: IndexedFile, index: Index, regions: Regions) -> None:
        """Check, if there is nothing for a region, that it is the file that has nothing, and not its index."""
        if not file.is_covered.is_set() and any(
            region.contig != UNMAPPED and is_empty(format, file.header, index, region) for region in regions
        ):
            check_contigs_covered(format, read_by_tag(self.storage, file.info), file.info.size, file.header, index)
            file.is_covered.set()

    def _plan_all(self, format: FileFormat, key: str, inline: int) -> Plan:
        info = self.storage.stat(key)
        whole = ByteRange(0, info.size)
        return Plan(format, info, None, (), (read_by_tag(self.storage, info)(*whole) if info.size <= inline else whole,), b"")

    def plan_header(self, key: str) -> Plan:
        """Plan a file's header alone; such a stream has no end marker."""
        format = streamable_format(key)
        file = self._files.find(format, key, with_index=False)
        return Plan(format, file.info, (), file.header.segments, (), b"")

    def contigs(self, key: str) -> tuple[str, ...]:
        """Return the contigs that a file's header has, and its index if there is one."""
        return self._files.find_any(streamable_format(key), key).contigs

    def identify(self, key: str) -> tuple[ObjectInfo, ...]:
        """Return size and tag of a file, and of its index if there is one: what `contigs` follow from."""
        return self._files.find_any(streamable_format(key), key).infos

    def reference_spans(self, key: str, regions: Iterable[RegionLike]) -> dict[str, tuple[int, int]]:
        """Return the spans of contigs that a CRAM is decoded with where regions are read, also those of other records there.

        The errors are those of `plan`.
        """
        file, index = self._files.find_indexed(streamable_format(key), key)
        if not isinstance(index, Crai):
            return {}
        spans = index.spans_in(find_containers(file.header, index, settle(regions, file.contigs)))
        target_ids = file.header.target_ids
        if SEVERAL in spans:
            return dict.fromkeys(target_ids, (0, MAX_POSITION))
        return {name: spans[number] for name, number in target_ids.items() if number in spans}

    def find_index(self, key: str) -> tuple[Header, Index]:
        """Return the header and the index of a file; the errors are those of `plan`."""
        file, index = self._files.find_indexed(streamable_format(key), key)
        return file.header, index

    def measure(self, key: str, regions: Iterable[Region]) -> int:
        """Return the bytes of a file that its index names for some regions. The errors are those of `plan`."""
        format = streamable_format(key)
        file, index = self._files.find_indexed(format, key)
        if isinstance(index, Crai):
            starts = find_containers(file.header, index, regions)
            return sum((index.end_of(start) or file.info.size) - start for start in starts)
        chunks = find_chunks(format, read_by_tag(self.storage, file.info), file.info.size, file.header, index, regions)
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
        file = self._files.find(format, key, with_index=regions is not None)
        meant = None if regions is None else settle(regions, list(file.header.contigs))
        index = file.index if isinstance(file.index, BinningIndex) else None
        chunks = find_chunks(format, read_by_tag(self.storage, file.info), file.info.size, file.header, index, meant)
        if meant is not None and index is not None:
            self._check_nothing_missed(format, file, index, meant)
        return file.info, self.split_chunks(key, chunks, size, file.info.etag)

    def split_chunks(self, key: str, chunks: list[Chunk], size: int, tag: str) -> list[Chunk]:
        """Split the chunks of a file of a tag that have more than some bytes, where it has an index that tells how."""
        if any((end >> 16) - (start >> 16) > size for start, end in chunks):
            with suppress(NotFoundError):
                file = self._files.find_tagged(streamable_format(key), key, tag, with_index=True)
                chunks = list(split_chunks(chunks, file.index.starts() if isinstance(file.index, BinningIndex) else (), size))
        return chunks

    def plan_chunks(
        self, key: str, chunks: Sequence[Chunk], tag: str, *, inline: int = 0, workers: int = 1
    ) -> tuple[Plan, Header]:
        """Plan the records between virtual offsets of a BAM, without header and end marker; and its header.

        Parameters
        ----------
        inline, workers
            As `plan` has them.

        Raises
        ------
        ConflictError
            The file has not that tag any more; also when the body is gone through.
        InvalidInputError
            The offsets are not apart and in order, or are before the records.
        """
        format = streamable_format(key)
        file = self._files.find_tagged(format, key, tag)
        if file.info.etag != tag:
            raise ConflictError(f"{key} was changed since it was planned for", "plan anew")
        last = file.header.end
        for start, end in chunks:
            if not last <= start < end:
                raise InvalidInputError(f"there are no records from {start:x} to {end:x}")
            last = end
        workers = workers if self.storage.is_remote else 1
        body = cut(read_by_tag(self.storage, file.info), file.info.size, chunks, inline=inline, workers=workers)
        return Plan(format, file.info, None, (), body, b""), file.header

    def looking_once(self) -> AbstractContextManager[None]:
        """Look once whether each file has changed, for as long as this lasts in a thread; its bytes are compared all the same."""
        return self._files.looking_once()

    def forget(self, key: str) -> None:
        """Read header and index again the next time."""
        self._files.forget(key)

    def expect(self, key: str, content: Hashable) -> None:
        """Say what is known of a file's content; what is remembered of another content under its key is forgotten."""
        self._files.expect(key, content)


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
