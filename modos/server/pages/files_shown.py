"""Describe the files of elements for pages: sizes, checksums, and for whom they are encrypted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modos.encryption.keys import PublicKey
from modos.errors import InvalidInputError
from modos.formats import is_array_path, is_encrypted, is_tree_path, name_of
from modos.server.pages.served_objects import ServedObject, text_of, texts_of

_CHECKSUMS = {
    "data_checksum": "BLAKE2b-512",
    "data_digest": "BLAKE3 of its parts",
    "plain_checksum": "BLAKE2b-512 of the plain file",
    "plain_digest": "BLAKE3 of the parts of the plain file",
    "seal_digest": "BLAKE2b-512 of nonces and tags",
}
_MOST_RECIPIENTS = 50


@dataclass(frozen=True)
class ShownFile:
    """File, Zarr tree or arrays of an element.

    Parameters
    ----------
    kind
        `file`, `tree` or `arrays`.
    size
        In bytes, as it is stored; None where it is not recorded.
    checksums
        By what they are called.
    recipients, servers
        Fingerprints of the keys that it is encrypted for; servers find regions and read no data.
    address
        Key below what is served, where the caller may fetch it.
    """

    element_id: str
    name: str
    kind: str
    format: str
    size: Any
    plain_size: Any
    checksums: Sequence[tuple[str, str]]
    is_encrypted: bool
    recipients: Sequence[str]
    servers: Sequence[str]
    indexes: int
    address: str | None


def describe_file(found: ServedObject, element_id: str) -> ShownFile | None:
    """Describe the data of an element; None if it has none."""
    attributes = found.elements[element_id]
    path = text_of(attributes, "data_path")
    if not path:
        return None
    kind = "arrays" if is_array_path(path) else "tree" if is_tree_path(path) else "file"
    return ShownFile(
        element_id,
        name_of(path),
        kind,
        text_of(attributes, "data_format"),
        attributes.get("data_size"),
        attributes.get("plain_size"),
        [(title, text) for slot, title in _CHECKSUMS.items() if (text := text_of(attributes, slot))],
        is_encrypted(path),
        _fingerprints(attributes, "recipients"),
        _fingerprints(attributes, "index_recipients"),
        len(texts_of(attributes, "index_digests")),
        found.stored_key(path) if kind == "file" and found.may_read(path) else None,
    )


def _fingerprints(attributes: Mapping[str, Any], slot: str) -> list[str]:
    found = texts_of(attributes, slot)
    return [_fingerprint(key) for key in found[:_MOST_RECIPIENTS]] + (
        [f"and {len(found) - _MOST_RECIPIENTS:,} more"] if len(found) > _MOST_RECIPIENTS else []
    )


def _fingerprint(key: str) -> str:
    try:
        return PublicKey.parse(key).fingerprint
    except InvalidInputError:
        return f"not a key: {key[:60]}"
