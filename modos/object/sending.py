"""Read the files of a copy, compared on their way with what the metadata record of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import ChecksumMismatch, DecryptError
from modos.formats import PARTS_SUFFIX, index_names, is_encrypted, is_file_path, parts_name, read_roots
from modos.formats.crypt4gh import part_size
from modos.object import part_lists, transfer
from modos.object.document import Document
from modos.object.part_lists import body_start
from modos.object.stored_trees import TreeRecords
from modos.storage import Storage
from modos.storage.base import Progress, report
from modos.storage.hashing import ThreadedHash
from modos.storage.local import LocalStorage
from modos.storage.part_digests import Layout, ListHasher, PartHasher
from modos.storage.stored_digests import StoredDigests
from modos.storage.verified import PartRecord, VerifiedFiles

_NOT_SEALED = SealRecord()


@dataclass(frozen=True)
class Expected:
    """Record of a file's content in the metadata.

    Parameters
    ----------
    roots
        Root of the list of its digests; of an index, those of all indexes of its file.
    checksum
        BLAKE2b-512, which is compared if there is no root.
    whole
        Whether the checksum covers all bytes of an encrypted file.
    seal
        Record of the header, if it is encrypted.
    is_listed
        Whether there is a list of digests beside it.
    listed_size
        Bytes of the file that it is the list of, if it is one.
    list_layout
        Layout of the list of an array, if it is one.
    record
        Record of a shard of an array.
    """

    roots: tuple[str, ...] = ()
    checksum: str | None = None
    whole: bool = False
    seal: SealRecord = _NOT_SEALED
    is_listed: bool = False
    listed_size: int | None = None
    list_layout: Layout | None = None
    record: PartRecord | None = None

    @property
    def is_known(self) -> bool:
        """Return whether there is something to compare with."""
        return bool(self.roots or self.checksum)

    def is_same(self, other: Expected) -> bool:
        """Return whether both are known to be of the same content, and not of another header."""
        if self.seal.headers and other.seal.headers and self.seal.headers != other.seal.headers:
            return False
        if self.roots and other.roots:
            return self.roots == other.roots
        return self.checksum is not None and self.checksum == other.checksum


@dataclass(frozen=True)
class FileToSend:
    """File of the source: its key, its size in bytes, and what is recorded of it."""

    key: str
    size: int
    expected: Expected


def find_expected(document: Document) -> dict[str, Expected]:
    """Find what an object records of its data files and of their indexes, by their keys."""
    found = {}
    for path, element_id in document.data_paths().items():
        attributes = document.element(element_id)
        roots = read_roots(attributes, "data_digest")
        found[path] = Expected(
            roots,
            attributes.get("data_checksum"),
            transfer.counts_whole(attributes),
            SealRecord.from_attributes(attributes) if is_encrypted(path) else _NOT_SEALED,
        )
        indexes = read_roots(attributes, "index_digests")
        of_index = Expected(indexes, seal=SealRecord.from_index_attributes(attributes) if is_encrypted(path) else _NOT_SEALED)
        found |= dict.fromkeys(index_names(path), of_index)
        if roots and is_file_path(path):
            found[parts_name(path)] = Expected(roots, listed_size=attributes.get("data_size"))
    return found


def expected_of_arrays(document: Document) -> Callable[[str], Expected]:
    """Return what finds what is recorded of the shards of arrays and of their lists of digests."""
    if not document.array_folders():
        return lambda key: Expected()
    from modos.tracks.shard_records import records_of_nodes
    from modos.tracks.zarr_layout import DIGEST_SLOT

    records = records_of_nodes(document.nodes)

    def find(key: str) -> Expected:
        if record := records.find(key):
            return Expected(record.roots, record=record)
        if spec := records.find_list(key):
            return Expected((spec.attributes[DIGEST_SLOT],), list_layout=spec.layout)
        return Expected()

    return find


def expect_in_tree(trees: TreeRecords, path: str, key: str) -> Expected:
    """Return what is recorded of a file of a tree, or of one of its lists."""
    if digest := trees.header_digest(path, key):
        return Expected(checksum=digest)
    manifest = trees.manifest(path)
    if key == parts_name(path):
        return Expected((manifest.root,), list_layout=manifest.digests.layout)
    record = manifest.find_record(key)
    return Expected(record.roots, record=record) if record else Expected()


def iter_checked(
    source: Storage, target: Storage, file: FileToSend, shards: VerifiedFiles, progress: Progress | None
) -> Iterator[bytes]:
    """Iterate over the bytes of a file that follow those that the target has kept of it, which are compared, too.

    Parameters
    ----------
    shards
        The source, read by the records of shards.

    Raises
    ------
    ChecksumMismatch
        The file is not what its metadata say, or what was kept is not.
    """
    if file.expected.record:
        target.drop_kept(file.key)
        return report(shards.iter_range(file.key, 0, file.size), progress)
    header = _read_header(source, file)
    start = len(header)
    if file.expected.is_listed and source.is_remote:
        record = _record_of(file, start)
        view = VerifiedFiles(source, {file.key: record}.get)
        kept = _mend_kept(view, StoredDigests(source, record.list_key, _layout_of(record), record.root), target, file, start)
        if progress and kept:
            progress(kept)
        return report(view.iter_range(file.key, kept, file.size), progress)
    return _Hashed(source, file, header, progress).check_after(target.read_kept(file.key))


def is_whole(source: Storage, target: Storage, file: FileToSend) -> bool:
    """Return whether the target has a file already, as far as can be told without reading it from afar."""
    if target.stat(file.key).size != file.size:
        return False
    if target.local_path(file.key) is None:
        return target.matches(file.key, source.iter_range(file.key, 0, file.size))
    if file.expected.listed_size is not None or file.expected.list_layout or file.expected.record:
        return False  # it is small
    header = _read_header(source, file)
    if target.read_part(file.key, 0, len(header))[0] != header:
        return False
    if file.expected.roots:
        return part_lists.digest_stored(target, file.key).root in file.expected.roots
    checksum = file.expected.checksum
    return checksum is not None and transfer.measure(target, file.key, whole=file.expected.whole)[1] == checksum


def _read_header(source: Storage, file: FileToSend) -> bytes:
    """Read the header of an encrypted file, and compare it with the recorded one; a plain file has none."""
    if not is_encrypted(file.key):
        return b""
    try:
        header = read_stored_header(source, file.key)[0]
    except DecryptError:
        return b""  # it is no Crypt4GH, and its checksum covers all bytes
    file.expected.seal.check_header(header, f"{source.url}/{file.key}")
    return header.to_bytes()


def _record_of(file: FileToSend, start: int) -> PartRecord:
    layout = Layout((file.size - start,), part_size(file.key))
    return PartRecord(file.expected.roots, layout, parts_name(file.key), start=start)


def _layout_of(record: PartRecord) -> Layout:
    assert record.layout is not None
    return record.layout


def _mend_kept(view: VerifiedFiles, digests: StoredDigests, target: Storage, file: FileToSend, start: int) -> int:
    """Compare what an interrupted copy has left with the list, and fetch the parts that do not fit; returns its bytes."""
    kept, part = target.kept_size(file.key), part_size(file.key)
    if not kept:
        return 0
    if kept > file.size or not isinstance(target, LocalStorage):
        target.drop_kept(file.key)
        return 0
    at, number, rest = 0, 0, b""
    for piece in target.read_kept(file.key):
        data = rest + piece[max(start - at, 0) :]
        at += len(piece)
        whole = len(data) - len(data) % part
        for wrong in digests.find_differing(number, data[:whole]) if whole else ():
            _mend(view, target, file, start + wrong * part, start + (wrong + 1) * part)
        number, rest = number + whole // part, data[whole:]
    _mend(view, target, file, 0, min(start, kept))
    _mend(view, target, file, start + number * part, kept)  # a part that is cut has no digest
    return kept


def _mend(view: VerifiedFiles, target: LocalStorage, file: FileToSend, start: int, end: int) -> None:
    if start < end:
        target.mend_kept(file.key, start, view.read_part(file.key, start, end)[0])


class _Hashed:
    """Bytes of a file on their way, compared as a whole at their end, with the header that it has to begin with."""

    def __init__(self, source: Storage, file: FileToSend, header: bytes, progress: Progress | None):
        self._source = source
        self._file = file
        self._progress = progress
        self._at, self._start = 0, 0 if file.expected.whole and not file.expected.roots else len(header)
        self._header, self._head = header, b""
        self._digest: Any = None
        if file.expected.list_layout is not None:
            self._digest = ListHasher(file.expected.list_layout)
        elif file.expected.listed_size is not None:
            of = file.key.removesuffix(PARTS_SUFFIX)
            layout = Layout((file.expected.listed_size - body_start(source, of),), part_size(of))
            self._digest = ListHasher(layout)
        elif file.expected.roots:
            self._digest = PartHasher(part_size(file.key))
        elif file.expected.checksum:
            self._digest = ThreadedHash()

    def check_after(self, kept: Iterable[bytes]) -> Iterator[bytes]:
        """Read the bytes that follow those at the target; these are checked now, the others as they are read."""
        for piece in kept:
            self._count(piece)
        return self._read_rest(self._at)

    def _read_rest(self, start: int) -> Iterator[bytes]:
        for piece in self._source.iter_range(self._file.key, start, self._file.size):
            self._count(piece)
            yield piece
        if not self._fits():
            raise ChecksumMismatch(
                f"{self._source.url}/{self._file.key} does not have the "
                f"{'digests' if self._file.expected.roots else 'checksum'} in its metadata",
                "the file was changed or damaged: restore it from a copy (`modos check --repair-from COPY`)",
            )

    def _fits(self) -> bool:
        expected = self._file.expected
        if self._head != self._header:
            return False
        if expected.roots:
            return (self._digest.root if isinstance(self._digest, ListHasher) else self._digest.finish().root) in expected.roots
        return expected.checksum is None or self._digest.hexdigest() == expected.checksum

    def _count(self, piece: bytes) -> None:
        self._head += piece[: len(self._header) - len(self._head)]
        if self._digest is not None:
            self._digest.update(piece[max(self._start - self._at, 0) :])
        self._at += len(piece)
        if self._progress:
            self._progress(len(piece))
