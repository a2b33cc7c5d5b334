"""Write, make and find the lists of digests that lie beside the files of an object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from modos.errors import AlreadyExistsError, ConflictError, TruncatedStream
from modos.formats import Metadata, index_names, is_encrypted, is_file_path, parts_name, read_roots
from modos.formats.crypt4gh import part_size
from modos.object.document import Document
from modos.storage import Storage
from modos.storage.base import Progress, count_readers
from modos.storage.part_digests import PART, DigestList, Layout, begins_list, digest_parts
from modos.storage.prefetch import fetch_ahead
from modos.storage.verified import PartRecord, VerifiedFiles
from modos.storage.write_log import WriteLog

_PIECE_PARTS = 64  # parts that are read at once


def stage_list(log: WriteLog, key: str, digests: DigestList, like: str | None = None) -> str:
    """Write the list of digests beside a file of a key that is free; returns its root.

    Parameters
    ----------
    like
        The file whose mode it gets; see `Storage.write_stream`.
    """
    if digests.is_stored:
        content = digests.to_bytes()
        try:
            log.storage.write_stream(parts_name(key), [content], size=len(content), like=like)
        except ConflictError:
            raise _taken_error(log.storage, key) from None
        log.wrote(parts_name(key))
    return digests.root


def _taken_error(storage: Storage, key: str) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"there is a file {parts_name(key)} in {storage.url} already",
        f"it has the name of the list of digests of {key}: look at it, and move it away, or remove it",
    )


def put_list(storage: Storage, key: str, digests: DigestList) -> None:
    """Write the list of digests beside a file of which none is recorded; what was left of another one is replaced.

    Raises
    ------
    AlreadyExistsError
        There is a file of its name that is no list of digests, but somebody's own.
    """
    name = parts_name(key)
    if digests.is_stored and storage.exists(name) and not begins_list(storage.read_part(name, 0, PART)[0]):
        raise _taken_error(storage, key)
    write_anew(storage, name, digests, like=key)


def write_anew(storage: Storage, name: str, digests: DigestList, like: str) -> None:
    """Write a list of digests anew, or for the first time, in one step.

    Parameters
    ----------
    like
        The file whose mode it gets; see `Storage.write_stream`.
    """
    if not digests.is_stored:
        return
    content = digests.to_bytes()
    try:
        storage.write_stream(name, [content], size=len(content), like=like)
    except ConflictError:
        storage.write(name, content)


def digest_stored(storage: Storage, key: str, progress: Progress | None = None) -> DigestList:
    """Read a file of a storage on all cores; returns the digests of its parts.

    Of an encrypted file these are the segments of its body; the header is left out.

    Raises
    ------
    TruncatedStream
        It becomes shorter meanwhile.
    """
    info, part = storage.stat(key), part_size(key)
    start, step = body_start(storage, key), _PIECE_PARTS * part

    def digest_piece(at: int, _: threading.Event) -> bytes:
        end = min(at + step, info.size)
        data, _info = storage.read_part(key, at, end, if_match=info.etag)
        if len(data) != end - at:
            raise TruncatedStream(f"{storage.url}/{key} ends before byte {end:,}")
        if progress:
            progress(len(data))
        return digest_parts(data, part)

    found = b"".join(fetch_ahead(digest_piece, range(start, info.size, step), count_readers(storage)))
    return DigestList(Layout((info.size - start,), part), found)


def body_start(storage: Storage, key: str) -> int:
    """Return the bytes of the header of an encrypted file, which its digests leave out; 0 of a plain one."""
    if not is_encrypted(key):
        return 0
    from modos.encryption.stored import read_stored_header

    return read_stored_header(storage, key)[0].size


def find_part_record(metadata: Metadata, key: str) -> PartRecord | None:
    """Find what an object records of the parts of one of its plain files, or of an index; None if it records nothing."""
    return next((record for attributes in metadata.values() if (record := _records_of(attributes).get(key))), None)


def list_part_records(elements: Iterable[Mapping[str, Any]]) -> dict[str, PartRecord]:
    """List what elements record of their plain files and of the indexes of these, by the keys."""
    return {key: record for attributes in elements for key, record in _records_of(attributes).items()}


def verified_files(storage: Storage, metadata: Metadata) -> VerifiedFiles:
    """Return the storage of an object where plain files and indexes are compared with what some elements record of them."""
    return VerifiedFiles(storage, list_part_records(metadata.values()).get)


class PartRecords:
    """Records of the parts of all plain files and indexes of an object.

    Parameters
    ----------
    get_document
        Gives the object's document as it is now.
    """

    def __init__(self, get_document: Callable[[], Document]):
        self._get_document = get_document
        self._known: tuple[Document, dict[str, PartRecord]] | None = None

    def find(self, key: str) -> PartRecord | None:
        """Find what is recorded of a file or of an index; None if nothing is."""
        document, known = self._get_document(), self._known
        if known is None or known[0] is not document:
            records = list_part_records(document.nodes[element_id]["attributes"] for element_id in document.ids())
            known = self._known = document, records
        return known[1].get(key)


def _records_of(attributes: Mapping[str, Any]) -> dict[str, PartRecord]:
    """Return what an element records of its file and of its indexes, by their keys."""
    path, roots = attributes.get("data_path"), read_roots(attributes, "index_digests")
    if not isinstance(path, str) or not is_file_path(path) or is_encrypted(path):
        return {}
    record = record_of(attributes)
    found = {path: record} if record else {}
    if roots:
        found |= dict.fromkeys(index_names(path), PartRecord(roots))
    return found


def record_of(attributes: Mapping[str, Any], start: int = 0) -> PartRecord | None:
    """Return what an element records of the parts of its file.

    Parameters
    ----------
    start
        Bytes of the header, if it is encrypted.
    """
    root, size, path = attributes.get("data_digest"), attributes.get("data_size"), attributes.get("data_path")
    if not root or not path or not isinstance(size, int):
        return None
    return PartRecord((root,), Layout((size - start,), part_size(path)), parts_name(path))
