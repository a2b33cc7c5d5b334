"""Lists of digests beside the files of an object: written with them, made of what is stored, found by the metadata."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from modos.encryption.recorded import body_start, part_size
from modos.errors import TruncatedStream
from modos.formats import Metadata, index_names, is_array_path, parts_name
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.part_digests import DigestList, Layout, digest_parts
from modos.storage.prefetch import fetch_ahead
from modos.storage.verified import PartRecord
from modos.storage.write_log import WriteLog

_PIECE_PARTS = 64  # parts that are read at once
_REMOTE_WORKERS = 8


def stage_list(log: WriteLog, key: str, digests: DigestList, like: str | None = None) -> str:
    """Write the list of digests beside a file of a key that is free; returns its root.

    Parameters
    ----------
    like
        The file whose mode it gets; see `Storage.write_stream`.
    """
    if digests.is_stored:
        content = digests.to_bytes()
        log.storage.write_stream(parts_name(key), [content], size=len(content), like=like)
        log.wrote(parts_name(key))
    return digests.root


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

    workers = _REMOTE_WORKERS if storage.is_remote else os.cpu_count() or 1
    found = b"".join(fetch_ahead(digest_piece, range(start, info.size, step), workers))
    return DigestList(Layout((info.size - start,), part), found)


def find_part_record(metadata: Metadata, key: str) -> PartRecord | None:
    """Find what an object records of the parts of one of its plain files, or of an index; None if it records nothing."""
    for attributes in metadata.values():
        path = attributes.get("data_path")
        if not isinstance(path, str) or is_array_path(path):
            continue
        if path == key:
            return record_of(attributes)
        if key in index_names(path):
            roots = attributes.get("index_digests")
            return PartRecord(tuple(roots)) if roots else None
    return None


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
