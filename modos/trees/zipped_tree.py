"""Write the files of a tree as one zip file, whose size and places are known before."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import reduce

from isal.isal_zlib import crc32

from modos.storage import ByteRange
from modos.storage.base import Progress
from modos.storage.part_digests import DigestList, PartHasher, list_parts
from modos.storage.zip_format import Entry, place_data, write_directory, write_end, write_header
from modos.trees.tree_files import TreeFiles


class ZippedTree:
    """The files of a tree as a zip file with stored entries.

    Attributes
    ----------
    places
        Bytes of the zip file that are those of each file, by its name.
    size
        Bytes of the zip file.
    digests
        Of the parts of each file, once its bytes have passed; not of small ones that are known to be what is recorded.
    """

    def __init__(self, files: TreeFiles):
        self._files = files
        self.places: dict[str, ByteRange] = {}
        self.digests: dict[str, DigestList] = {}
        at = 0
        for name, size in files.sizes.items():
            start = place_data(name, size, at)
            self.places[name] = ByteRange(start, start + size)
            at = start + size
        self._end = at
        self.size = at + sum(map(len, self._iter_end(dict.fromkeys(files.names, 0))))

    def iter_bytes(self, progress: Progress | None = None) -> Iterator[bytes]:
        """Iterate over the bytes of the zip file; files that are large are read twice, as their CRC-32 comes before them."""
        crcs: dict[str, int] = {}
        at = 0
        for name, content in self._files.iter_contents():
            size = self._files.sizes[name]
            crc = crcs[name] = reduce(
                lambda crc, piece: crc32(piece, crc), (content,) if isinstance(content, bytes) else content, 0
            )
            header = write_header(Entry(name, size, crc, at))
            yield from self._pass_on(name, header, content if isinstance(content, bytes) else None)
            at = self.places[name].end
            if progress:
                progress(size)
        yield from self._iter_end(crcs)

    def _pass_on(self, name: str, header: bytes, content: bytes | None) -> Iterator[bytes]:
        """Pass on a header and the bytes of its file, which is read once more where it is large, and keep their digests."""
        if content is None:
            yield header
            digests = PartHasher()
            yield from digests.pass_on(self._files.iter_bytes(name))
            self.digests[name] = digests.finish()
            return
        yield header + content
        if self._files.plain_root is None:
            self.digests[name] = list_parts(content)

    def _iter_end(self, crcs: dict[str, int]) -> Iterator[bytes]:
        headers = itertools.chain((0,), (place.end for place in self.places.values()))
        sizes = self._files.sizes
        entries = (Entry(name, sizes[name], crcs[name], header) for name, header in zip(self._files.names, headers, strict=False))
        directory = b"".join(write_directory(entries))
        yield directory
        yield write_end(len(crcs), ByteRange(self._end, self._end + len(directory)))
