"""Archives of Genomedata (Hoffman et al. 2010), format 0 (a folder, a file per chromosome) and 1 (one file), read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from modos.errors import InvalidInputError, NotFoundError
from modos.given import refuse_pipe
from modos.storage.base import Progress
from modos.tracks.contigs import Contigs
from modos.tracks.parsing import Block, Values

_PIECE = 1 << 21  # bases
_SUFFIX = ".genomedata"


class Archive:
    """An archive, opened; a context manager.

    Raises
    ------
    NotFoundError, InvalidInputError
        There is none; it is something else.
    """

    def __init__(self, path: str | Path):
        try:
            import h5py
        except ImportError:
            raise InvalidInputError("h5py is not installed", "pip install 'modos[genomedata]'") from None
        refuse_pipe(path, "an archive is read at random", "write it to a file first, and give that")
        self._path, self._stack = Path(path), ExitStack()
        if not self._path.exists():
            raise NotFoundError(f"there is no archive {path}", "check the path")
        files = sorted(self._path.glob(f"*{_SUFFIX}")) if self._path.is_dir() else [self._path]
        if special := next((file for file in files if not file.is_file()), None):
            raise InvalidInputError(f"{special} is no file", "an archive of Genomedata is one file, or a folder of files")
        try:
            opened = [(file, self._stack.enter_context(h5py.File(file))) for file in files]
        except OSError as error:
            raise InvalidInputError(f"{path} is no archive of Genomedata, or damaged: {error}") from None
        if self._path.is_dir():
            self._chromosomes: dict[str, Any] = {file.name.removesuffix(_SUFFIX): group for file, group in opened}
            names = [group.attrs.get("tracknames") for group in self._chromosomes.values()]
            tracks = next((found for found in names if found is not None), [])
        else:
            self._chromosomes = dict(opened[0][1].items())
            tracks = opened[0][1].attrs.get("tracknames", [])
        if not self._chromosomes or not all("end" in group.attrs for group in self._chromosomes.values()):
            raise InvalidInputError(f"{path} is no archive of Genomedata")
        self.tracks = [name.decode() if isinstance(name, bytes) else str(name) for name in np.asarray(tracks).tolist()]

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def contigs(self) -> Contigs:
        """The chromosomes, with their supercontigs."""
        spans = {name: [(start, end) for start, end, _ in self._supercontigs(name)] for name in self._chromosomes}
        lengths = {name: max([int(group.attrs["end"]), *(end for _, end in spans[name])])
                   for name, group in self._chromosomes.items()}
        return Contigs(lengths, {name: found for name, found in spans.items() if found != [(0, lengths[name])]})

    @property
    def has_sequence(self) -> bool:
        """Whether it has the bases."""
        return any("seq" in group for name in self._chromosomes for _, _, group in self._supercontigs(name))

    def _supercontigs(self, name: str) -> list[tuple[int, int, Any]]:
        groups = [group for key, group in self._chromosomes[name].items() if key.startswith("supercontig_")]
        return sorted(((int(g.attrs["start"]), int(g.attrs["end"]), g) for g in groups), key=lambda found: found[0])

    def iter_track(self, track: str, progress: Progress | None = None) -> Iterator[Block]:
        """The values of a track; bytes of them count as progress."""
        number = self.tracks.index(track)
        for name in self._chromosomes:
            for start, end, group in self._supercontigs(name):
                if "continuous" not in group:
                    continue
                for at in range(0, end - start, _PIECE):
                    values = group["continuous"][at:at + _PIECE, number].astype(np.float32)
                    if progress:
                        progress(values.nbytes)
                    if not np.isnan(values).all():
                        yield Block(Values(name, start + at, values), lambda n, name=name: f"{self._path}, {name}, value {n}")

    def iter_sequence(self) -> Iterator[tuple[str, bytes]]:
        """The bases as `modos.tracks.assembly.iter_fasta` gives those of a FASTA; `N` between supercontigs."""
        lengths = self.contigs.lengths
        for name in self._chromosomes:
            yield name, b""
            reached = 0
            for start, end, group in self._supercontigs(name):
                yield from self._unknown(name, start - reached)
                for at in range(0, end - start, _PIECE):
                    size = min(_PIECE, end - start - at)
                    yield name, group["seq"][at:at + size].tobytes() if "seq" in group else b"N" * size
                reached = end
            yield from self._unknown(name, lengths[name] - reached)

    def _unknown(self, name: str, count: int) -> Iterator[tuple[str, bytes]]:
        for at in range(0, count, _PIECE):
            yield name, b"N" * min(_PIECE, count - at)
