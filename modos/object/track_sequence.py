"""Bring the sequence and the contigs of a genome into an object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from modos.errors import InvalidInputError, NotFoundError
from modos.formats import is_array_path, is_encrypted
from modos.formats.assembly_report import read_report
from modos.formats.text import expand_paths
from modos.object.document import Document
from modos.object.part_lists import verified_files
from modos.object.sealed_files import open_files_of
from modos.reference.whole_files import bring_here
from modos.storage import Storage
from modos.storage.base import Progress, expect, report
from modos.storage.given import Name, as_file
from modos.storage.memory_files import MemoryFiles
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import ArrayWriter, Names
from modos.tracks.contig_files import measure_fasta, read_agp, read_map, read_sizes, rename_contigs
from modos.tracks.contigs import CHUNK, Contigs
from modos.tracks.loading import source_size
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, ArraySpec, blosc

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

Paths = str | Path | Sequence[str | Path]
_FILL = ord("N")


def settle_contigs(
    storage: Storage,
    document: Document,
    fasta: Paths,
    sizes: Paths,
    agp: Paths,
    reference: str | None,
    assembly_report: str | Path | None,
    style: str,
    table: str | Path | None,
    folder: MemoryFiles,
    progress: Progress | None = None,
    secret: SecretKey | None = None,
) -> tuple[Contigs, list[Name]]:
    """Determine the contigs that files describe, and the FASTA files with their sequence; see `MODO.add_genome`.

    A FASTA is read twice: what comes through a pipe is copied into `folder`,
    and a FASTA of the object that is far away is fetched into it; of an
    encrypted one the plain bytes are in its memory.
    """
    named_fasta, agp_paths, size_paths = (expand_paths(_list_paths(paths)) for paths in (fasta, agp, sizes))
    if reference is not None:
        named_fasta.append(_fasta_of(storage, document, reference, folder, progress, secret))
    if sum(map(bool, (named_fasta, agp_paths, size_paths))) != 1:
        raise InvalidInputError(
            "a genome is made from FASTA files, AGP files, a table of sizes, or a reference of the object", "give one of them"
        )
    fasta_paths = [as_file(path, folder.path) for path in named_fasta]
    if reference is None:
        expect(progress, 2 * (source_size(fasta_paths) or 0))
    contigs = (
        measure_fasta(fasta_paths, progress) if fasta_paths else read_agp(agp_paths) if agp_paths else read_sizes(size_paths)
    )
    if assembly_report and table:
        raise InvalidInputError("an assembly report and a table of names exclude each other")
    if assembly_report:
        contigs = rename_contigs(contigs, read_report(str(assembly_report), style), str(assembly_report))
    if table:
        contigs = rename_contigs(contigs, read_map(str(table)), str(table))
    return contigs, fasta_paths


def _list_paths(paths: Paths) -> list[str | Path]:
    return [paths] if isinstance(paths, (str, Path)) else list(paths or ())


def _fasta_of(
    storage: Storage,
    document: Document,
    reference: str,
    folder: MemoryFiles,
    progress: Progress | None,
    secret: SecretKey | None,
) -> str:
    element_id = document.find(reference if "/" in reference else f"reference/{reference}")
    attributes = document.element(element_id)
    key = attributes.get("data_path", "")
    if not key or is_array_path(key) or not storage.exists(key):
        raise NotFoundError(f"{element_id} has no FASTA", "give one as a file")
    size = storage.stat(key).size
    expect(progress, (2 if storage.local_path(key) and not is_encrypted(key) else 3) * size)
    if not is_encrypted(key):
        return str(bring_here(verified_files(storage, {element_id: attributes}), key, folder.path, progress))
    view, plain = open_files_of(storage, attributes, secret)
    return str(folder.put(PurePosixPath(plain).name, report(view.iter_range(plain, 0, view.stat(plain).size), progress)))


def write_sequence(log: WriteLog, contigs: Contigs, names: Names, pieces: Iterable[tuple[str, bytes]]) -> list[ArraySpec]:
    """Write the sequence of all contigs, a byte per base as it stands in the FASTA, `N` between contigs.

    Parameters
    ----------
    pieces
        As `modos.formats.fasta.iter_fasta` gives them, in the order of the
        contigs.
    """
    spec = ArraySpec(names.path("sequence"), (contigs.size,), CHUNK, "uint8", _FILL, blosc("zstd", "noshuffle", 1, 1))
    writer = ArrayWriter(log, spec)
    try:
        chunk, number, at = np.full(CHUNK, _FILL, np.uint8), 0, 0
        for name, bases in pieces:
            if not bases:
                at = contigs[name].offset
            done = 0
            while done < len(bases):
                if at // CHUNK != number:
                    writer.put(number, chunk)
                    writer.flush(keep=(at // CHUNK // CHUNKS_IN_SHARD,))
                    chunk, number = np.full(CHUNK, _FILL, np.uint8), at // CHUNK
                lead = at % CHUNK
                count = min(CHUNK - lead, len(bases) - done)
                chunk[lead : lead + count] = np.frombuffer(bases, np.uint8, count, done)
                at, done = at + count, done + count
        writer.put(number, chunk)
        return [writer.finish()]
    except BaseException:
        writer.drop()
        raise
