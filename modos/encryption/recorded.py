"""Compare an encrypted file with what the metadata of its object record of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from modos.encryption.header import Header, Opened
from modos.errors import ChecksumMismatch, DecryptError, TruncatedStream
from modos.formats import Metadata, index_names, is_array_path

_CHANGED = "`modos check` says more; open the object again where somebody else has changed it"


class SealRecord(NamedTuple):
    """Recorded facts of an encrypted file, or of an encrypted index.

    Parameters
    ----------
    size
        Bytes of the file.
    headers
        Digests of which its header has one; none where that is not recorded.
    seal
        Digest over its segments; see `modos.encryption.body.Digest`.
    """

    size: int | None = None
    headers: tuple[str, ...] = ()
    seal: str | None = None

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> SealRecord:
        """Read what the attributes of an element record of its file."""
        size, seal = attributes.get("data_size"), attributes.get("seal_digest")
        return cls(size if isinstance(size, int) else None, _digests(attributes)[:1], seal if _is_digest(seal) else None)

    @classmethod
    def from_index_attributes(cls, attributes: Mapping[str, Any]) -> SealRecord:
        """Read what the attributes of an element record of the indexes of its file."""
        return cls(headers=_digests(attributes)[1:])

    def check_header(self, header: Header, name: str) -> None:
        """Raise ChecksumMismatch where a header is not the one that is recorded."""
        if self.headers and header.digest not in self.headers:
            raise ChecksumMismatch(
                f"{name} does not have the header that is recorded: it was replaced, or sealed for others by another program",
                _CHANGED,
            )

    def check_size(self, size: int, name: str) -> None:
        """Raise TruncatedStream where a file has not the size that is recorded."""
        if self.size not in (None, size):
            raise TruncatedStream(
                f"{name} has {size:,} bytes, recorded are {self.size:,}: it is damaged, or was replaced", _CHANGED
            )


def has_no_index(attributes: Mapping[str, Any]) -> bool:
    """Return whether an element records a header of its file and none of an index: an index there is recorded by nobody."""
    return len(_digests(attributes)) == 1


FindRecord = Callable[[str], SealRecord]


def find_record(metadata: Metadata, key: str) -> SealRecord:
    """Find what an object records of one of its encrypted files, or of an index of one."""
    for attributes in metadata.values():
        path = attributes.get("data_path")
        if not isinstance(path, str) or is_array_path(path):
            continue
        if path == key:
            return SealRecord.from_attributes(attributes)
        if key in index_names(path):
            return SealRecord.from_index_attributes(attributes)
    return SealRecord()


def iter_whole(pieces: Iterable[bytes], opened: Opened, record: SealRecord, name: str) -> Iterator[bytes]:
    """Iterate over the plain bytes of a whole body; give the last piece only if the body is the recorded one.

    Raises
    ------
    DecryptError
        A segment was changed, or segments are missing, repeated or moved.
    """
    from modos.encryption import body

    digest, held = body.Digest(), b""
    try:
        for piece in body.apply_edits(body.decrypt(pieces, opened.keys, digest), opened.edits):
            if held:
                yield held
            held = piece
    except DecryptError as error:
        raise DecryptError(f"{name}: {error.message}", error.hint) from None
    if record.seal not in (None, digest.hexdigest()):
        raise DecryptError(f"{name}: segments are missing, repeated or moved", "restore the file from a copy")
    if held:
        yield held


def _digests(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    digests = attributes.get("header_digests") or ()
    return tuple(digests) if isinstance(digests, (list, tuple)) and all(map(_is_digest, digests)) else ()


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{128}", value) is not None
