"""Read archives of Genomedata (Hoffman et al. 2010) in format 0 (a folder) and 1 (one file)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.storage.base import Progress
from modos.storage.given import refuse_pipe
from modos.tracks.contigs import Contigs
from modos.tracks.data import Block, Values

_PIECE = 1 << 21  # bases
_SUFFIX = ".genomedata"
_MAX_CHUNK = 1 << 28  # bytes of numbers that are compressed as one
_FAILURES = (
    OSError,
    KeyError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
)  # of h5py with damaged files


class Archive:
    """An archive, opened; a context manager.

    Raises
    ------
    NotFoundError, InvalidInputError
        There is none; it is something else.
    IntegrityError
        From every method, too: it is damaged, or leads to other files.
    """

    def __init__(self, path: str | Path):
        try:
            import h5py
        except ImportError:
            raise InvalidInputError("h5py is not installed", "pip install 'modos-store[genomedata]'") from None
        refuse_pipe(path, "an archive is read at random", "write it to a file first, and give that")
        self._path, self._stack = Path(path), ExitStack()
        if not os.path.exists(self._path):
            raise NotFoundError(f"there is no archive {path}", "check the path")
        files = sorted(self._path.glob(f"*{_SUFFIX}")) if os.path.isdir(self._path) else [self._path]
        if special := next((file for file in files if not os.path.isfile(file)), None):
            raise InvalidInputError(f"{special} is no file", "an archive of Genomedata is one file, or a folder of files")
        try:
            opened = [(file, self._stack.enter_context(h5py.File(file))) for file in files]
        except OSError as error:
            raise InvalidInputError(f"{path} is no archive of Genomedata, or damaged: {_first_line(error)}") from None
        try:
            with self._translate_errors():
                self._open([(file.name.removesuffix(_SUFFIX), group) for file, group in opened])
        except BaseException:
            self._stack.close()
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the path: unpickling opens the archive."""
        return Archive, (os.path.abspath(self._path),)

    def _open(self, opened: list[tuple[str, Any]]) -> None:
        if os.path.isdir(self._path):
            self._chromosomes: dict[str, Any] = dict(opened)
            names: list[Any] = [group.attrs.get("tracknames") for group in self._chromosomes.values()]
            tracks: Any = next((found for found in names if found is not None), [])
        else:
            self._chromosomes = self._members(opened[0][1])
            tracks = opened[0][1].attrs.get("tracknames", [])
        if not self._chromosomes or not all("end" in group.attrs for group in self._chromosomes.values()):
            raise InvalidInputError(f"{self._path} is no archive of Genomedata")
        self.tracks = [name.decode() if isinstance(name, bytes) else str(name) for name in np.atleast_1d(tracks).tolist()]
        if len(set(self.tracks)) != len(self.tracks):
            raise ValueError("two tracks have one name")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise IntegrityError where h5py finds the file damaged, or it is not as archives are."""
        try:
            yield
        except _FAILURES as error:
            if isinstance(error, ModosError):
                raise
            raise IntegrityError(
                f"{self._path} is damaged: {_first_line(error)}", "copy it again, or make it again with genomedata"
            ) from None

    def _members(self, group: Any) -> dict[str, Any]:
        """Return what is in a group, and not elsewhere: links lead to any file of this machine."""
        import h5py

        if any(not isinstance(group.get(name, getlink=True), h5py.HardLink) for name in group):
            raise ValueError(f"{group.name} has a link")
        return dict(group.items())

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def contigs(self) -> Contigs:
        """The chromosomes, with their supercontigs."""
        with self._translate_errors():
            spans = {name: [(start, end) for start, end, _ in self._supercontigs(name)] for name in self._chromosomes}
            lengths = {
                name: max([int(group.attrs["end"]), *(end for _, end in spans[name])])
                for name, group in self._chromosomes.items()
            }
            return Contigs(lengths, {name: found for name, found in spans.items() if found != [(0, lengths[name])]})

    @property
    def has_sequence(self) -> bool:
        """Return whether the archive has the bases."""
        with self._translate_errors():
            return any("seq" in parts for name in self._chromosomes for _, _, parts in self._supercontigs(name))

    def _supercontigs(self, name: str) -> list[tuple[int, int, dict[str, Any]]]:
        """Return start, end and content of each."""
        groups = [group for key, group in self._members(self._chromosomes[name]).items() if key.startswith("supercontig_")]
        found = sorted(((int(g.attrs["start"]), int(g.attrs["end"]), self._members(g)) for g in groups), key=lambda one: one[0])
        for start, end, parts in found:
            _check_array(parts.get("seq"), (end - start,), "u")
            _check_array(parts.get("continuous"), (end - start, len(self.tracks)), "fiu")
        return found

    @property
    def values_size(self) -> int:
        """Bytes of the values of all tracks, as `iter_track` counts them."""
        with self._translate_errors():
            values = sum(
                end - start
                for name in self._chromosomes
                for start, end, parts in self._supercontigs(name)
                if "continuous" in parts
            )
        return values * len(self.tracks) * np.dtype(np.float32).itemsize

    def iter_track(self, track: str, progress: Progress | None = None) -> Iterator[Block]:
        """Iterate over the values of a track; bytes of them count as progress."""
        number = self.tracks.index(track)
        with self._translate_errors():
            for name in self._chromosomes:
                for start, end, parts in self._supercontigs(name):
                    for at in range(0, end - start if "continuous" in parts else 0, _PIECE):
                        values = parts["continuous"][at : at + _PIECE, number].astype(np.float32)
                        if progress:
                            progress(values.nbytes)
                        if not np.isnan(values).all():
                            yield Block(Values(name, start + at, values), partial(self._place, name))

    def _place(self, name: str, number: int) -> str:
        return f"{self._path}, {name}, value {number}"

    def iter_sequence(self) -> Iterator[tuple[str, bytes]]:
        """Iterate over the bases like `modos.formats.fasta.iter_fasta` for a FASTA; `N` between supercontigs."""
        lengths = self.contigs.lengths
        with self._translate_errors():
            for name in self._chromosomes:
                yield name, b""
                reached = 0
                for start, end, parts in self._supercontigs(name):
                    yield from self._iter_unknown(name, start - reached)
                    for at in range(0, end - start, _PIECE):
                        size = min(_PIECE, end - start - at)
                        yield name, parts["seq"][at : at + size].tobytes() if "seq" in parts else b"N" * size
                    reached = end
                yield from self._iter_unknown(name, lengths[name] - reached)

    def _iter_unknown(self, name: str, count: int) -> Iterator[tuple[str, bytes]]:
        for at in range(0, count, _PIECE):
            yield name, b"N" * min(_PIECE, count - at)


def _check_array(array: Any, shape: tuple[int, ...], kinds: str) -> None:
    """Raise ValueError for an array not of its supercontig, with its numbers in other files, or too large to read."""
    if array is None:
        return
    if array.shape != shape or array.dtype.kind not in kinds or (kinds == "u" and array.dtype.itemsize != 1):
        raise ValueError(f"{array.name} has not the form that its supercontig asks for")
    if array.external or array.is_virtual:
        raise ValueError(f"{array.name} is in other files")
    if array.chunks and math.prod(array.chunks) * array.dtype.itemsize > _MAX_CHUNK:
        raise ValueError(f"{array.name} is compressed in too large pieces")


def _first_line(error: BaseException) -> str:
    return (str(error).strip("'\"").splitlines() or [type(error).__name__])[0][:300]
