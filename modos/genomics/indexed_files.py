"""Find out what indexed files are, by their headers and indexes.

Both are read at the same time, parsed once per content, and remembered within limits; they are looked at for changes as
often as is asked for.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from modos.errors import InvalidInputError, NotFoundError
from modos.formats import FileFormat, index_names
from modos.genomics.index import Header, Index, Read, parse_index, read_header
from modos.genomics.index.fit import check_contigs
from modos.genomics.index.parse import MAX_INDEX
from modos.storage import ByteRange, ObjectInfo, Readable
from modos.storage.prefetch import call_at_once, call_both
from modos.storage.processes import forking

_FIRST = 1 << 16  # bytes read of a file, most often with all of its header
_REMEMBERED = 256 << 20  # bytes of indexes, as they are stored
_MAX_FILES = 64


@dataclass(eq=False)
class IndexedFile:
    """Facts of a file: its header, and its index where that was needed.

    Parameters
    ----------
    looked
        When the last look at it was begun which found it as it is, by the monotonic clock.
    """

    info: ObjectInfo
    header: Header
    index: Index | None = None
    index_info: ObjectInfo | None = None
    looked: float = 0.0
    is_covered: threading.Event = field(default_factory=threading.Event)  # by the index, as was looked at

    @property
    def contigs(self) -> tuple[str, ...]:
        """Contigs of the header, and those that only the index of a VCF has."""
        return tuple(dict.fromkeys([*self.header.contigs, *(getattr(self.index, "names", None) or ())]))

    @property
    def infos(self) -> tuple[ObjectInfo, ...]:
        """The file and its index, as far as that was read."""
        return (self.info,) if self.index_info is None else (self.info, self.index_info)

    @property
    def cost(self) -> int:
        """Bytes that are counted for remembering it."""
        return _FIRST + (self.index_info.size if self.index_info else 0)


class IndexedFiles:
    """Facts of the files of one storage; safe to use from several threads.

    Parameters
    ----------
    storage
        Where the files are.
    revalidate
        Look at the file and its index each time whether they have changed.
    """

    def __init__(self, storage: Readable, *, revalidate: bool):
        self.storage = storage
        self._revalidate = revalidate
        self._files: OrderedDict[str, IndexedFile] = OrderedDict()
        self._contents: dict[str, Hashable] = {}
        forking.begin(self, IndexedFiles._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._looked = threading.local()  # at files, in a thread that looks once
        self._turns = [threading.Lock() for _ in range(_MAX_FILES)]  # so that nothing is read twice at a time

    def find(self, format: FileFormat, key: str, *, with_index: bool) -> IndexedFile:
        """Find the facts of a file.

        Raises
        ------
        NotFoundError
            There is no such file, or no index where that is wanted.
        IntegrityError
            Its header or index is damaged.
        """
        asked = time.monotonic()
        if known := self._find_known(key, with_index, asked):  # those who ask at the same time look at the same time
            return known
        with self._turns[hash(key) % len(self._turns)]:
            known, content = self._find_known(key, with_index, asked), self._contents.get(key)
            return known or self._remember(key, self._note_look(key, self._read(format, key, with_index)), content)

    def find_indexed(self, format: FileFormat, key: str) -> tuple[IndexedFile, Index]:
        """Find the facts of a file and its index; the errors are those of `find`."""
        file = self.find(format, key, with_index=True)
        assert file.index is not None
        return file, file.index

    def find_any(self, format: FileFormat, key: str) -> IndexedFile:
        """Find the facts of a file, with its index if there is one; the errors are those of `find`."""
        try:
            return self.find(format, key, with_index=True)
        except NotFoundError:
            return self.find(format, key, with_index=False)

    def find_tagged(self, format: FileFormat, key: str, tag: str, *, with_index: bool = False) -> IndexedFile:
        """Find the facts of a file whose bytes are then read by a tag; one that is remembered with it is not looked at again."""
        with self._lock:
            known = self._files.get(key)
        if known is None or known.info.etag != tag or (with_index and known.index is None):
            return self.find(format, key, with_index=with_index)
        return known

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

    def _find_known(self, key: str, with_index: bool, asked: float) -> IndexedFile | None:
        with self._lock:
            known = self._files.get(key)
        if known is None or (with_index and known.index is None):
            return None
        looked = getattr(self._looked, "files", None)
        if self._revalidate and known.looked < asked and (looked is None or looked.get(key) is not known):
            begin = time.monotonic()
            looks = [partial(self.storage.stat, info.key) for info in known.infos]
            if tuple(call_at_once(looks) if self.storage.is_remote else [look() for look in looks]) != known.infos:
                return None
            known.looked = max(known.looked, begin)
        return self._note_look(key, known)

    def _note_look(self, key: str, file: IndexedFile) -> IndexedFile:
        looked = getattr(self._looked, "files", None)
        if looked is not None:
            looked[key] = file
        return file

    def _remember(self, key: str, file: IndexedFile, content: Hashable) -> IndexedFile:
        with self._lock:
            if self._contents.get(key) != content:  # it was replaced meanwhile
                return file
            self._files[key] = file
            self._files.move_to_end(key)
            while len(self._files) > _MAX_FILES or sum(f.cost for f in self._files.values()) > _REMEMBERED:
                self._files.popitem(last=False)
        return file

    def _read(self, format: FileFormat, key: str, with_index: bool) -> IndexedFile:
        begin = time.monotonic()
        if not with_index:
            return IndexedFile(*self._read_header(format, key), looked=begin)
        known = None if self._revalidate else self._files.get(key)
        if known:
            (info, header), (index, index_info) = (known.info, known.header), self._read_index(key)
        else:
            (info, header), (index, index_info) = call_both(lambda: self._read_header(format, key), lambda: self._read_index(key))
        check_contigs(format, header, index)
        return IndexedFile(info, header, index, index_info, begin)

    def _read_header(self, format: FileFormat, key: str) -> tuple[ObjectInfo, Header]:
        first, info = self.storage.read_part(key, 0, _FIRST)
        read_on = read_by_tag(self.storage, info)

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


def read_by_tag(storage: Readable, info: ObjectInfo) -> Read:
    """Return what reads bytes [start, end) of a file, and raises ConflictError where it has another tag meanwhile."""
    return lambda start, end: storage.read_part(info.key, start, end, if_match=info.etag)[0]
