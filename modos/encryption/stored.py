"""Read the header of an encrypted file from a storage, usually in one request."""

from __future__ import annotations

from modos.encryption.header import MAX_HEADER, Header, read_header
from modos.storage import ObjectInfo, Readable

_FIRST = 4 << 10  # bytes: the header for some thirty recipients


def read_stored_header(
    storage: Readable, key: str, ahead: int = 0, if_match: str | None = None
) -> tuple[Header, bytes, ObjectInfo]:
    """Read a file's header; returns with it the file's first bytes and what is known of the file.

    Parameters
    ----------
    ahead
        Bytes beyond the header that are worth reading at the same time.

    Raises
    ------
    DecryptError
        The file is not Crypt4GH version 1, or ends within its header.
    """
    first, info = storage.read_part(key, 0, _FIRST + ahead, if_match=if_match)

    held_at, held = 0, first

    def read(start: int, end: int) -> bytes:
        nonlocal held_at, held
        if held_at + len(held) < min(end, info.size):
            held_at, held = start, storage.read_part(key, start, max(end, min(2 * start, MAX_HEADER)), if_match=info.etag)[0]
        return held[start - held_at : end - held_at]

    return read_header(read), first, info
