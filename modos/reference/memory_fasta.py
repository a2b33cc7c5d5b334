"""Give htslib the sequences of an encrypted FASTA by a path, without a plain file on a disk."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from modos.errors import ChecksumMismatch, NotFoundError
from modos.formats import is_compressed
from modos.genomics.region import MAX_POSITION
from modos.reference.assembly import StoredContig
from modos.reference.digests import Digests, seqcol_digest
from modos.reference.fai import FaiEntry, format_fai
from modos.reference.sequences import read_fai
from modos.storage.base import Progress, report
from modos.storage.memory_files import MemoryFiles
from modos.storage.processes import forking

if TYPE_CHECKING:
    from modos.encryption.view import DecryptedView

_INDEXES = (".fai", ".gzi")
_WHOLE = 4 << 20  # bases of a sequence that is always brought as a whole
_MD5 = re.compile("[0-9a-f]{32}")


class MemoryFasta:
    """Encrypted FASTA of which those sequences are in memory that were asked for; all of a compressed one.

    Of a long sequence the bases that are asked for are enough, if it is
    recorded that it has the MD5 that it should have.

    Parameters
    ----------
    view
        Decrypts it.
    fasta
        Its key, as a plain file has it.
    digests
        Recorded digests of its sequences, which count if they are of this FASTA.
    seqcol
        Recorded digest of all of them.
    """

    def __init__(self, view: DecryptedView, fasta: str, digests: Mapping[str, Digests], seqcol: str | None):
        self._view = view
        self._fasta = fasta
        self._name = PurePosixPath(fasta).name
        self._digests, self._seqcol = digests, seqcol
        forking.begin(self, MemoryFasta._start)

    def _start(self) -> None:
        """Begin with nothing; in a child, too, as it would write into the memory of its parent."""
        self._lock = threading.Lock()
        self._files: MemoryFiles | None = None
        self._entries: dict[str, FaiEntry] = {}
        self._brought: dict[str, list[tuple[int, int]]] = {}
        self._fai_size = 0

    def bring(
        self, wanted: Mapping[str, StoredContig], spans: Mapping[str, tuple[int, int]], progress: Progress | None = None
    ) -> Path:
        """Bring sequences into memory; returns the path of a FASTA whose index has these and those of before.

        Parameters
        ----------
        wanted
            By name, with their MD5s where they are known; names that the FASTA lacks are left out.
        spans
            Bases [start, end) of them that are enough.

        Raises
        ------
        IntegrityError
            A sequence does not have its MD5; or the key does not decrypt the
            FASTA, or it is damaged.
        """
        with self._lock:
            if self._files is None:
                self._files = self._create()
            for name in sorted(wanted.keys() & self._entries.keys()):
                self._bring(self._files, wanted[name], spans.get(name, (0, MAX_POSITION)), progress)
            return self._files.path / self._name

    def _create(self) -> MemoryFiles:
        files, size = MemoryFiles(), self._view.stat(self._fasta).size
        if not is_compressed(self._fasta):
            self._entries = read_fai(self._view, self._fasta)
            self._drop_other_digests()
            files.create(self._name, size)
            files.create(f"{self._name}.fai", 0)
            return files
        for suffix in ("", *_INDEXES):
            try:
                size = self._view.stat(self._fasta + suffix).size
            except NotFoundError:
                continue
            files.put(self._name + suffix, self._view.iter_range(self._fasta + suffix, 0, size))
        return files

    def _drop_other_digests(self) -> None:
        """Forget digests that are not of this FASTA."""
        contigs = [
            {"name": name, "length": entry.length, "ga4gh": self._digests[name].ga4gh}
            for name, entry in self._entries.items()
            if name in self._digests
        ]
        if len(contigs) < len(self._entries) or seqcol_digest(contigs) != self._seqcol:
            self._digests = {}

    def _bring(self, files: MemoryFiles, contig: StoredContig, span: tuple[int, int], progress: Progress | None) -> None:
        entry, known = self._entries[contig.name], self._brought.setdefault(contig.name, [])
        is_known = contig.name in self._digests and self._digests[contig.name].md5 == contig.md5
        start, end = (max(span[0], 0), min(span[1], entry.length)) if is_known and entry.length > _WHOLE else (0, entry.length)
        if any(first <= start and end <= last for first, last in known):
            return
        found, at = hashlib.md5(usedforsecurity=False), entry.byte_of(start)
        for piece in report(self._view.iter_range(self._fasta, at, entry.byte_of(end)), progress):
            files.write(self._name, at, piece)
            found.update(piece.upper().translate(None, b" \t\r\n"))
            at += len(piece)
        if not is_known and _MD5.fullmatch(contig.md5) and found.hexdigest() != contig.md5:
            raise ChecksumMismatch(
                f"the sequence {contig.name} of {self._view.url}/{self._fasta} has the MD5 {found.hexdigest()}, not "
                f"{contig.md5}: it is not the one the CRAM was made with",
                "give the right FASTA (-T, reference_filename)",
            )
        if not known:
            row = format_fai({contig.name: entry})  # without it htslib would take the zeros for bases
            files.write(f"{self._name}.fai", self._fai_size, row)
            self._fai_size += len(row)
        known.append((start, end))
