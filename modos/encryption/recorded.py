"""Compare an encrypted file with what the metadata of its object record of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from modos.encryption.header import Header, Opened
from modos.errors import ChecksumMismatch, DecryptError, TruncatedStream
from modos.formats import Metadata, index_names, is_file_path, parts_name, read_roots

if TYPE_CHECKING:
    from modos.encryption.body import BodyDigests, Pieces
    from modos.storage.base import Place

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
    roots
        Roots of which one is that of the segments of its body; none where that is not recorded.
    list_key
        Where the list of digests is that the root is of; an index has none.
    plain_size
        Plain bytes of it that count.
    """

    size: int | None = None
    headers: tuple[str, ...] = ()
    seal: str | None = None
    roots: tuple[str, ...] = ()
    list_key: str = ""
    plain_size: int | None = None

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> SealRecord:
        """Read what the attributes of an element record of its file."""
        sizes = (attributes.get(slot) for slot in ("data_size", "plain_size"))
        size, plain_size = (size if isinstance(size, int) else None for size in sizes)
        seal, roots = attributes.get("seal_digest"), read_roots(attributes, "data_digest")
        return cls(
            size,
            _digests(attributes)[:1],
            seal if _is_digest(seal) else None,
            roots,
            parts_name(attributes["data_path"]) if roots else "",
            plain_size,
        )

    @classmethod
    def from_index_attributes(cls, attributes: Mapping[str, Any]) -> SealRecord:
        """Read what the attributes of an element record of the indexes of its file."""
        return cls(headers=_digests(attributes)[1:], roots=read_roots(attributes, "index_digests"))

    @property
    def has_bytes(self) -> bool:
        """Return whether something is recorded of its bytes, so that no other file is taken in its place."""
        return bool(self.headers or self.roots)

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

    def check_body(self, root: str, name: str) -> None:
        """Raise ChecksumMismatch where a body is not one that is recorded, by the root of the digests of its segments."""
        if self.roots and root not in self.roots:
            raise ChecksumMismatch(
                f"{name} is not what is recorded: segments were changed, or are missing, repeated or moved", _CHANGED
            )


def has_no_index(attributes: Mapping[str, Any]) -> bool:
    """Return whether an element records a header of its file and none of an index: an index there is recorded by nobody."""
    return len(_digests(attributes)) == 1


FindRecord = Callable[[str], SealRecord]


def find_record(metadata: Metadata, key: str) -> SealRecord:
    """Find what an object records of one of its encrypted files, or of an index of one."""
    for attributes in metadata.values():
        path = attributes.get("data_path")
        if not isinstance(path, str) or not is_file_path(path):
            continue
        if path == key:
            return SealRecord.from_attributes(attributes)
        if key in index_names(path):
            return SealRecord.from_index_attributes(attributes)
    return SealRecord()


def iter_whole(
    pieces: Pieces,
    opened: Opened,
    record: SealRecord,
    name: str,
    digests: BodyDigests | None = None,
    *,
    place: Place | None = None,
) -> Iterator[bytes]:
    """Iterate over the plain bytes of a whole body; give the last piece only if the body is the recorded one.

    Parameters
    ----------
    digests
        Takes in what passes. Where it has none of sealed segments, the plain bytes are compared by the caller.
    place
        Puts all of the body in its place: see `body.decrypt`. Not if it has an edit list.

    Raises
    ------
    IntegrityError
        A segment was changed, or segments are missing, repeated or moved.
    """
    from modos.encryption import body

    found, held = digests, b""
    if found is None and (record.roots or record.seal):
        found = body.BodyDigests(of_plain=False)
    try:
        for piece in body.apply_edits(body.decrypt(pieces, opened.keys, found, place=place), opened.edits):
            if held:
                yield held
            held = piece
    except DecryptError as error:
        raise DecryptError(f"{name}: {error.message}", error.hint) from None
    if found:
        if found.of_sealed:
            record.check_body(found.sealed.finish().root, name)
        if record.seal not in (None, found.seal.hexdigest()):
            raise DecryptError(f"{name}: segments are missing, repeated or moved", "restore the file from a copy")
    if held:
        yield held


def _digests(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    digests = attributes.get("header_digests") or ()
    return tuple(digests) if isinstance(digests, (list, tuple)) and all(map(_is_digest, digests)) else ()


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{128}", value) is not None
