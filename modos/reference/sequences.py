"""Sequences of an object's FASTA in a local cache, by MD5.

The cache has the layout that htslib's REF_PATH understands, `%2s/%2s/%s`, one
upper-case sequence per file (samtools, "Reference sequences" of the CRAM
format), so a CRAM is decoded from a remote object without its FASTA.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from modos.errors import IntegrityError, NotFoundError
from modos.storage import Storage
from modos.storage.local import LocalStorage

CACHE_VARIABLE = "MODOS_CACHE_DIR"
_MAX_FAI = 64 << 20


class FaiEntry(NamedTuple):
    """A row of a .fai index (samtools faidx): lengths in bases, offset and widths in bytes."""

    length: int
    offset: int
    line_bases: int
    line_width: int

    @property
    def end(self) -> int:
        """The byte after the sequence's last base."""
        if not self.length:
            return self.offset
        full, rest = divmod(self.length - 1, self.line_bases)
        return self.offset + full * self.line_width + rest + 1


def parse_fai(text: bytes) -> dict[str, FaiEntry]:
    """Sequences of a FASTA by name; IntegrityError for what is no .fai."""
    entries = {}
    try:
        for line in text.decode().splitlines():
            name, *numbers = line.split("\t")
            entry = FaiEntry(*map(int, numbers[:4]))
            if min(entry) < 0 or (entry.length and not 0 < entry.line_bases <= entry.line_width):
                raise ValueError
            entries[name] = entry
    except (ValueError, TypeError):
        raise IntegrityError("the FASTA's .fai index is damaged", "make it again with samtools faidx") from None
    return entries


def cache_folder() -> Path:
    """Where sequences are kept: MODOS_CACHE_DIR, else below the user's cache folder."""
    base = os.environ.get(CACHE_VARIABLE)
    if base:
        return Path(base) / "sequences"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modos" / "sequences"


def cache_sequences(storage: Storage, fasta: str, wanted: dict[str, str]) -> Path:
    """Have sequences of a FASTA in the cache, fetching those that are not.

    Parameters
    ----------
    fasta
        Key of a plain FASTA with a .fai beside it.
    wanted
        MD5 of the upper-case sequence by name, as in @SQ M5.

    Returns
    -------
    Path
        The cache folder.

    Raises
    ------
    NotFoundError
        The FASTA or its .fai is missing.
    IntegrityError
        A sequence that does not have its MD5.
    """
    folder = cache_folder()
    missing = {name: md5 for name, md5 in wanted.items() if not _path(folder, md5).is_file()}
    if not missing:
        return folder
    try:
        entries = parse_fai(storage.read(f"{fasta}.fai")[0])
    except NotFoundError:
        raise NotFoundError(f"the reference {fasta} in {storage.url} has no .fai index",
                            "give a local FASTA (-T, reference_filename)") from None
    for name, md5 in missing.items():
        if name in entries:
            _fetch(storage, fasta, name, entries[name], md5, folder)
    return folder


def _path(folder: Path, md5: str) -> Path:
    return folder / md5[:2] / md5[2:4] / md5[4:]


def _fetch(storage: Storage, fasta: str, name: str, entry: FaiEntry, md5: str, folder: Path) -> None:
    digest, written = hashlib.md5(usedforsecurity=False), []
    for piece in storage.iter_range(fasta, entry.offset, entry.end):
        bases = piece.upper().translate(None, b" \t\r\n")
        digest.update(bases)
        written.append(bases)
    if digest.hexdigest() != md5:
        raise IntegrityError(f"sequence {name} of {fasta} in {storage.url} is not the one the CRAM was made with "
                             f"(MD5 {digest.hexdigest()}, wanted {md5})", "give the right FASTA (-T, reference_filename)")
    path = _path(folder, md5)
    LocalStorage(folder).write(path.relative_to(folder).as_posix(), b"".join(written))


def search_in(folder: Path) -> None:
    """Let htslib look for sequences in a cache folder, before the places of REF_PATH."""
    pattern = f"{folder}/%2s/%2s/%s"
    places = os.environ.get("REF_PATH", "")
    if pattern not in places.split(":"):
        os.environ["REF_PATH"] = f"{pattern}:{places}" if places else pattern
