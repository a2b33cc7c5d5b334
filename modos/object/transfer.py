"""Transfer files into objects and out of them, with their indexes and checksums."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modos.encryption.keys import SecretKey
from modos.encryption.stored import read_stored_header
from modos.encryption.structure import check_encrypted_source
from modos.errors import (
    AlreadyExistsError,
    ConflictError,
    DecryptError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    StorageFullError,
)
from modos.formats import (
    FILES_SUFFIX,
    PARTS_SUFFIX,
    ZARR,
    format_of,
    index_names,
    is_compressed,
    is_encrypted,
    is_list,
)
from modos.formats.crypt4gh import is_crypt4gh, part_size, refuse_crypt4gh
from modos.object import commits, encrypted_index, journal, part_lists
from modos.object.announcing import announce
from modos.object.document import ROOT_KEY, Document
from modos.object.record import FOLDER, entries
from modos.reference.fai import check_fai
from modos.storage import Storage
from modos.storage.base import Progress, report
from modos.storage.given import refuse_pipe
from modos.storage.hashing import ThreadedHash
from modos.storage.local import LocalStorage
from modos.storage.part_digests import DigestList, PartHasher
from modos.storage.write_log import WriteLog

IndexPlan = list[tuple[Path | None, str]]  # files and their keys; None for one that is to be built

_PIECE = 1 << 20  # bytes that are read at once
_TREE = re.compile(r"(.+?\.zarr(?:\.c4gh)?)/", re.IGNORECASE)  # the folder of a tree
_ADDRESS = re.compile("([a-z][a-z0-9+.-]+):/+(.+)", re.IGNORECASE | re.DOTALL)  # a Path has one slash of the two


@dataclass(frozen=True)
class StagedFile:
    """Data file in place.

    Parameters
    ----------
    size
        Bytes of it.
    checksum
        BLAKE2b-512 of it, if that was computed.
    digest
        Root of the list of its digests.
    index_digests
        The roots of its indexes.
    sealed
        What the element records of it as an encrypted one.
    """

    size: int
    checksum: str | None
    digest: str
    index_digests: tuple[str, ...] = ()
    sealed: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return what the element says of it."""
        return {
            "data_size": self.size,
            "data_checksum": self.checksum,
            "data_digest": self.digest,
            "index_digests": list(self.index_digests) or None,
        } | self.sealed


def check_present(source: Path) -> None:
    """Refuse a pipe, and what is no file of this machine."""
    refuse_pipe(source, "a data file is looked at as a whole before it is copied", "write it to a file first, and give that")
    if os.path.isdir(source):
        raise InvalidInputError(
            f"{source} is a folder, and a data file is wanted", f"give the files in it: {str(source).rstrip('/')}/*"
        )
    if not os.path.isfile(source):
        if address := _ADDRESS.match(str(source)):
            raise NotFoundError(f"{address[1]}://{address[2]} is no file of this machine", "download it first, and give the copy")
        raise NotFoundError(f"no source file {source}", "check the path")
    if not os.access(source, os.R_OK):
        raise InvalidInputError(f"no permission to read {source}", "have its owner permit it (chmod), or copy it")


def check_source(source: Path, key: str) -> None:
    """Check a file of this machine before it is brought into an object.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It is a pipe, or Crypt4GH under a key that does not say so.
    TruncatedStream
        It lacks the end marker of its format.
    DecryptError
        Its key ends with `.c4gh`, and it is no whole Crypt4GH file.
    """
    check_present(source)
    (check_encrypted_source if is_encrypted(key) else refuse_crypt4gh)(source, key)
    format = format_of(key)
    if format:
        from modos.genomics import indexer

        indexer.check_complete(source, format)


def stage_file(
    log: WriteLog,
    source: Path,
    key: str,
    indexes: IndexPlan,
    progress: Progress | None,
    replaced: str | None = None,
    secret: SecretKey | None = None,
    checksum: bool = True,
) -> StagedFile:
    """Copy a file of this machine, with its index, to a key that is free, and write the list of its digests.

    Parameters
    ----------
    indexes
        As `plan_indexes` gives them.
    replaced
        The file that it replaces; see `Storage.write_stream`. Its index is
        replaced by the new index.
    secret
        The key to encrypt a plain index with, where the source is encrypted.
    checksum
        Whether its BLAKE2b-512 is computed, on a core of its own.

    Raises
    ------
    AlreadyExistsError
        A key that is taken.
    InvalidInputError
        A source that cannot be indexed.
    """
    with tempfile.TemporaryDirectory(prefix="modos-") as folder:
        index = build_indexes(source, key, indexes, Path(folder), secret)
        sealed = encrypted_index.describe(source, [path for path, _ in index]) if is_encrypted(key) else {}
        blake2b = ThreadedHash() if checksum else None
        digests = _put(log.storage, source, key, progress, replaced, blake2b)
        log.wrote(key)
        root = part_lists.stage_list(log, key, digests, replaced)
        old_index, of_indexes = index_of(log.storage, replaced) if index else None, []
        for path, index_key in index:
            of_indexes.append(_put(log.storage, path, index_key, progress, old_index or replaced).root)
            log.wrote(index_key)
    return StagedFile(source.stat().st_size, blake2b.hexdigest() if blake2b else None, root, tuple(of_indexes), sealed)


def size_with_indexes(source: Path, indexes: IndexPlan) -> int:
    """Return the bytes of a file and of its existing indexes; those that are yet to be built are small beside it."""
    return sum(path.stat().st_size for path in (source, *(path for path, _ in indexes if path is not None)))


def build_indexes(
    source: Path, key: str, indexes: IndexPlan, folder: Path, secret: SecretKey | None = None
) -> list[tuple[Path, str]]:
    """Return the index files of a plan and their keys: as they are, or made in a folder if to be built or encrypted."""
    return [(_index_file(source, key, path, folder, secret), index_key) for path, index_key in indexes]


def _index_file(source: Path, key: str, path: Path | None, folder: Path, secret: SecretKey | None) -> Path:
    if path is None:
        format = format_of(key)
        assert format is not None  # no index is planned of what has no format
        from modos.genomics import indexer

        return indexer.build_index(source, format, folder)
    if is_encrypted(key) and not is_crypt4gh(path):
        return encrypted_index.encrypt(source, path, folder, secret)
    return path


def index_of(storage: Storage, key: str | None) -> str | None:
    """Find the index of a file that is replaced, where it has a mode to keep."""
    with suppress(InvalidInputError):
        if key and not storage.is_remote:
            return next((name for name in index_names(key) if storage.exists(name)), None)
    return None


def plan_indexes(source: Path, key: str, secret: SecretKey | None = None) -> IndexPlan:
    """Plan the index files to bring with a file, and their keys.

    The index beside the source comes along under its canonical name; where
    there is none, it is built.

    Parameters
    ----------
    secret
        Decrypts an encrypted source, so that a plain index can be encrypted for
        the same recipients.

    Raises
    ------
    IntegrityError
        There are some, and none is of the file; or one is not encrypted as its
        name says.
    AccessError
        The source is encrypted, its index is plain, and there is no key.
    """
    if is_encrypted(key):
        return encrypted_index.plan(source, key, secret)
    plan = _plain_index_plan(source, key)
    for path, index_key in plan:
        if path is not None:
            refuse_crypt4gh(path, index_key)
    return plan


def _plain_index_plan(source: Path, key: str) -> IndexPlan:
    format = format_of(key)
    if format is None or not format.index_suffixes:
        return []
    beside = [Path(name) for name in index_names(source) if os.path.isfile(name)]
    if format.name == "FASTA":
        if not beside and not str(source).endswith(".gz"):
            return [(None, key + ".fai")]
        _check_fai(source, beside)
    if format.name in ("FASTA", "FASTQ"):  # whose indexes go together, of which others have one of several
        return [(path, key + path.suffix) for path in beside]
    if not beside and format.streamable:
        return [(None, key + format.index_suffixes[0])]
    if beside and format.streamable:
        from modos.genomics import indexer

        beside = [indexer.choose_index(source, beside, format)]
    return [(path, key + path.suffix) for path in beside[:1]]


def _check_fai(source: Path, beside: list[Path]) -> None:
    fai = next((path for path in beside if path.suffix == ".fai"), None)
    if fai is None or is_compressed(str(source)):
        return
    with open(source, "rb") as file:
        try:
            check_fai(lambda start, end: os.pread(file.fileno(), end - start, start), source.stat().st_size, fai.read_bytes())
        except IntegrityError as error:
            raise IntegrityError(
                f"{fai.name} does not fit {source.name}: {error.message}",
                f"make the index again (`samtools faidx {source}`), or remove it: one is made then",
            ) from None


def checksum(source: Path, key: str) -> str:
    """Compute the BLAKE2b-512 of a file of this machine, as it will have it under a key; see `find_checksum_start`."""
    with open(source, "rb") as file:
        file.seek(_find_checksum_start(source, key))
        return hashlib.file_digest(file, hashlib.blake2b).hexdigest()


def find_checksum_start(storage: Storage, key: str, *, whole: bool = False) -> int:
    """Find the byte from which on a file counts for its checksum: the body alone, if it is encrypted.

    So the checksum stays when a file is encrypted for others, which changes the
    header and nothing else. The header has digests of its own in the metadata.

    Parameters
    ----------
    whole
        All of it counts; see `counts_whole`.
    """
    return _header_size(storage, key) if is_encrypted(key) and not whole else 0


def counts_whole(attributes: Mapping[str, Any]) -> bool:
    """Return whether the checksum of an encrypted file covers its header, too: another program wrote it, and recorded no size."""
    return "data_size" not in attributes


def _find_checksum_start(source: Path, key: str) -> int:
    real = source.resolve()
    return _header_size(LocalStorage(real.parent), real.name) if is_encrypted(key) else 0


def _header_size(storage: Storage, key: str) -> int:
    try:
        return read_stored_header(storage, key)[0].size
    except DecryptError:
        return 0


def measure(storage: Storage, key: str, progress: Progress | None = None, *, whole: bool = False) -> tuple[int, str]:
    """Measure the size in bytes and the BLAKE2b-512 of a file in a storage; see `find_checksum_start`."""
    size, digest = storage.stat(key).size, hashlib.blake2b()
    for piece in report(storage.iter_range(key, find_checksum_start(storage, key, whole=whole), size), progress):
        digest.update(piece)
    return size, digest.hexdigest()


def _put(
    storage: Storage,
    source: Path,
    key: str,
    progress: Progress | None,
    like: str | None = None,
    blake2b: ThreadedHash | None = None,
) -> DigestList:
    """Copy a file; returns the digests of its parts, or of its segments if it is encrypted."""
    digests, skip = PartHasher(part_size(key)), _find_checksum_start(source, key)

    def pieces() -> Iterator[bytes]:
        with open(source, "rb") as file:
            while piece := file.read(_PIECE):
                counted = piece[max(skip - file.tell() + len(piece), 0) :]
                if blake2b:
                    blake2b.update(counted)
                digests.update(counted)
                yield piece

    try:
        size = source.stat().st_size
        storage.write_stream(key, report(pieces(), progress), size=size, like=like)
    except ConflictError:
        if sum(entry.covers(key) for entry in entries(storage)) > 1:
            raise ConflictError(
                f"somebody else is writing a file {key} to {storage.url}", "try again when that has ended"
            ) from None
        raise AlreadyExistsError(
            f"there is a file {key} in {storage.url} already", "give the element another data_path, or remove the file"
        ) from None
    except PermissionError as error:
        if isinstance(error, ModosError):
            raise
        raise InvalidInputError(f"no permission to read {source}") from None
    return digests.finish()


def remove_object(storage: Storage) -> list[str]:
    """Remove an object, its root first, and nothing else; returns the keys that stay as they belong to no element.

    Raises
    ------
    NotFoundError
        There is no object, nor the rest of one whose removal was interrupted.
    """
    try:
        document = commits.load(storage)
    except NotFoundError:
        if not journal.recover(storage):
            journal.refuse_busy(storage, entries(storage))
            raise
        storage.tidy()
        return []
    present = [info.key for info in storage.iter_files()]
    is_owned = journal.ownership_of(document)
    inner = [key for key in present if key.startswith((f"{ZARR}/", f"{FOLDER}/"))]
    metadata = [key for key in inner if key.startswith(f"{ZARR}/")]
    superfluous = [*metadata, *(key for key in present if key not in inner and is_owned(key))]
    try:
        _remove(storage, superfluous)
    except StorageFullError:
        commits.drop_mirrors(storage, document)  # they go anyway, and make room for the record
        _remove(storage, superfluous)
    storage.tidy()
    return [key for key in present if key not in inner and not is_owned(key)]


def measure_object(storage: Storage, document: Document) -> tuple[int, int]:
    """Count the files of an object, and their bytes with its metadata, arrays, and lists of digests."""
    owned, trees = set(journal.files_of(document)), document.tree_folders()
    files, within = 0, 0
    for info in storage.iter_files():
        is_inner = info.key.startswith(f"{ZARR}/") or journal.is_below(info.key, trees)
        if is_inner or info.key in owned:
            within += info.size
            files += not is_inner and not is_list(info.key)
    return files + len(trees), within


def _remove(storage: Storage, superfluous: list[str]) -> None:
    with journal.keep_record(storage, (), superfluous):
        storage.delete(ROOT_KEY)
        storage.delete(f"{ZARR}/.zmetadata")
        announce(storage)


def object_files(storage: Storage) -> list[tuple[str, int]]:
    """List keys and sizes of the files and trees in an object, without its metadata, records of changes, and lists."""
    inner = (ZARR + "/", FOLDER + "/")
    found = {info.key: info.size for info in storage.iter_files() if not info.key.startswith(inner)}
    trees = {key.removesuffix(FILES_SUFFIX) for key in found if is_list(key) and key.endswith(FILES_SUFFIX)}
    listed: dict[str, int] = {}
    for key, size in found.items():
        folder = _TREE.match(key)
        place = folder[1] if folder and folder[1] in trees else key
        if place != key or not _lies_beside(key, found, trees):
            listed[place] = listed.get(place, 0) + size
    return list(listed.items())


def _lies_beside(key: str, found: Container[str], trees: Container[str]) -> bool:
    """Return whether a file is a list of digests of another one, or what lies beside a tree."""
    if not is_list(key):
        return False
    return key.removesuffix(PARTS_SUFFIX) in found or key.rpartition(".")[0] in trees
