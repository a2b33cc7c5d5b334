"""Compute the digests of a store's sequences, and compare them with what its assemblies say."""

from __future__ import annotations

import threading
from collections import defaultdict

from modos.errors import ChecksumMismatch, IntegrityError
from modos.reference.assembly import StoredContig, sequence_key
from modos.reference.digests import Digests, SequenceHash
from modos.reference.proofs import digests_of
from modos.storage import Storage


class ComputedDigests:
    """Digests of each sequence, computed once for each state of its file."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._known: dict[str, tuple[str, Digests]] = {}  # of sequences that are elsewhere: their file's tag, and its digests

    def check(self, contig: StoredContig) -> str:
        """Return the tag of a sequence's file, once its digests were found right.

        Raises
        ------
        NotFoundError, IntegrityError
            It is missing, or does not have the length and the digests that the contig has.
        """
        key = sequence_key(contig.md5)
        info = self._storage.stat(key)
        if info.size != contig.length:
            raise IntegrityError(f"{key} of the store has {info.size:,} bytes, and {contig.name} has {contig.length:,} bases")
        found = self.find(key, info.size, info.etag)._asdict()
        wrong = next((kind for kind, digest in contig.digests.items() if found[kind] != digest), None)
        if wrong:
            raise ChecksumMismatch(f"{key} of the store does not have the {wrong.upper()} that {contig.name} is said to have")
        return info.etag

    def find(self, key: str, size: int, tag: str) -> Digests:
        """Find the digests of a sequence's file as it is now."""
        with self._locks[key]:  # one reads it, the others wait
            path = self._storage.local_path(key)
            if path is not None:
                return Digests(**digests_of(path, "md5"))
            if self._known.get(key, ("",))[0] != tag:
                self._known[key] = tag, self._compute(key, size)
            return self._known[key][1]

    def _compute(self, key: str, size: int) -> Digests:
        found = SequenceHash()
        for piece in self._storage.iter_range(key, 0, size):
            found.update(piece)
        return found.digests()
