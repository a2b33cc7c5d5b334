"""Store collections of terms in one memory-mapped file.

The file: a line that says what it is; the length of the head and its CRC-32,
4 bytes each, little-endian; the head, JSON; then the arrays, each at a
multiple of 64 bytes. The head says where they are, and has the CRC-32 of each.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from isal.isal_zlib import crc32

from modos.codes.packed import SECTIONS, Arrays
from modos.errors import (
    AccessError,
    ChecksumMismatch,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    TruncatedStream,
    refuse_newer,
)
from modos.metadata.model.schema import ONTOLOGIES
from modos.storage.system import sync_file

_MAGIC = b"modos codes 1\n\0\0"
_MAGIC_OF_ANY = re.compile(rb"modos codes ([0-9]{1,4})\n")
_FORMAT = 1
_ALIGNED = 64
_MAX_HEAD = 1 << 20  # bytes
_ENDS = {
    "first": "kinds",
    "uri_ends": "uris",
    "name_ends": "names",
    "word_ends": "words",
    "posting_ends": "postings",
    "gram_ends": "gram_words",
}
_FACTS = {"sources": list, "slots": dict}
_AGAIN = "build it again: modos codes build"


def write(path: Path, collections: Mapping[str, Arrays], facts: Mapping[str, Any]) -> None:
    """Write collections by slot, in the place of what is there; whole, or not at all.

    Raises
    ------
    AccessError
        It cannot be written there.
    """
    slots = {slot: _places(arrays) for slot, arrays in collections.items()}
    begin = _align(len(_MAGIC) + 8 + len(json.dumps({"facts": facts, "slots": slots, "size": 1 << 62})) + 64 * 32 * len(slots))
    at = begin
    for places in slots.values():
        for place in places.values():
            place["at"] = at
            at = _align(at + place["size"])
    head = json.dumps({"facts": facts, "slots": slots, "size": at}).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(_MAGIC + len(head).to_bytes(4, "little") + crc32(head).to_bytes(4, "little") + head)
                for slot, places in slots.items():
                    for name, place in places.items():
                        file.seek(place["at"])
                        file.write(memoryview(collections[slot][name]).cast("B") if place["size"] else b"")
                file.truncate(at)
                file.flush()
                sync_file(file.fileno())
                os.chmod(file.name, 0o666 & ~_umask())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise AccessError(f"cannot write {path}: {error.strerror}", "choose another place with --output") from None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _places(arrays: Arrays) -> dict[str, dict[str, int]]:
    return {
        name: {"at": 0, "size": array.nbytes, "crc32": crc32(memoryview(array).cast("B")) if array.nbytes else 0}
        for name, array in arrays.items()
    }


def _align(at: int) -> int:
    return -(-at // _ALIGNED) * _ALIGNED


class Stored:
    """A file with collections.

    Parameters
    ----------
    path
        Of the file.
    mapped
        Whether it stays on disk; else it is read, and whatever happens to
        the file (one that is written over, in place of being replaced, ends
        a process that has it mapped) is no matter.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It is something else; NewerFormatError if a newer modos wrote it.
    IntegrityError
        It is damaged.
    """

    def __init__(self, path: Path, mapped: bool = True):
        self.path = path
        try:
            size = path.stat().st_size
            self._bytes = (
                np.empty(0, np.uint8) if not size else np.memmap(path, np.uint8, "r") if mapped else np.fromfile(path, np.uint8)
            )
        except OSError as error:
            raise NotFoundError(
                f"there is no index of codes {path}: {error.strerror}", "build one: modos codes build FILE..."
            ) from None
        if version := _MAGIC_OF_ANY.match(self._bytes[: 2 * len(_MAGIC)].tobytes()):
            refuse_newer(f"the index of codes {path}", int(version[1]), _FORMAT)
        if self._bytes[: len(_MAGIC)].tobytes() != _MAGIC:
            raise InvalidInputError(f"{path} is no index of codes", "build one: modos codes build FILE...")
        head = self._head()
        if head.get("size") != len(self._bytes):
            raise TruncatedStream(f"{path} does not have its {head.get('size')} bytes", _AGAIN)
        self.facts, self.slots = head["facts"], head["slots"]

    def _head(self) -> dict[str, Any]:
        begin = len(_MAGIC) + 8
        size, checksum = (int.from_bytes(self._bytes[at : at + 4].tobytes(), "little") for at in (len(_MAGIC), len(_MAGIC) + 4))
        data = self._bytes[begin : begin + size].tobytes() if size <= _MAX_HEAD else b""
        try:
            head: Any = json.loads(data) if crc32(data) == checksum else None
        except (ValueError, RecursionError):
            head = None
        if not _is_head(head):
            raise IntegrityError(f"{self.path} is damaged: its head is no good", _AGAIN)
        facts: dict[str, Any] = head
        return facts

    def arrays(self, slot: str) -> Arrays:
        """Read the arrays of a slot, shape (n,) and integer dtypes, each compared with its checksum."""
        found: Arrays = {}
        for name, kind in SECTIONS.items():
            try:
                place = self.slots[slot][name]
                at, size, expected = int(place["at"]), int(place["size"]), int(place["crc32"])
                if at < 0 or size < 0 or at + size > len(self._bytes):
                    raise ValueError
                part = self._bytes[at : at + size]
                found[name] = np.frombuffer(part, kind) if size else np.empty(0, kind)
            except (KeyError, TypeError, ValueError, OverflowError):
                raise IntegrityError(f"{self.path} is damaged: its head is no good", _AGAIN) from None
            if size and crc32(part) != expected:
                raise ChecksumMismatch(f"{self.path} is damaged: {slot} is not what was written", _AGAIN)
        if not _are_consistent(found):
            raise IntegrityError(f"{self.path} is damaged: {slot} is not whole", _AGAIN)
        return found


def _is_head(head: Any) -> bool:
    """Return whether it says where the arrays of slots are, how many terms those have, and of which files."""
    facts, slots = (head.get(name) for name in ("facts", "slots")) if isinstance(head, dict) else (None, None)
    if (
        not isinstance(facts, dict)
        or not isinstance(slots, dict)
        or not all(isinstance(facts.get(name), kind) for name, kind in _FACTS.items())
    ):
        return False
    return (
        slots.keys() == facts["slots"].keys()
        and slots.keys() <= ONTOLOGIES.keys()
        and all(isinstance(counts, dict) and isinstance(counts.get("terms"), int) for counts in facts["slots"].values())
        and all(isinstance(source, dict) and isinstance(source.get("name"), str) for source in facts["sources"])
    )


def _are_consistent(arrays: Arrays) -> bool:
    """Return whether what the arrays say of each other is so: nothing leads outside."""
    for name, what in _ENDS.items():
        ends = arrays[name]
        if not len(ends) or ends[0] or ends[-1] != len(arrays[what]) or (len(ends) > 1 and np.any(ends[1:] < ends[:-1])):
            return False
    names, words = len(arrays["kinds"]), len(arrays["word_ends"]) - 1
    return (
        len(arrays["first"]) == len(arrays["uri_ends"])
        and len(arrays["sizes"]) == len(arrays["name_ends"]) - 1 == names
        and len(arrays["posting_ends"]) == words + 1
        and len(arrays["gram_ends"]) == len(arrays["grams"]) + 1
        and _are_below(arrays["postings"], names)
        and _are_below(arrays["gram_words"], words)
    )


def _are_below(numbers: npt.NDArray[np.integer], limit: int) -> bool:
    return not len(numbers) or bool(numbers.min() >= 0 and numbers.max() < limit)
