"""Write the array of a track with runs of equal values, which are kept compressed until the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from modos.storage.write_log import WriteLog
from modos.tracks.arrays import ArrayWriter, choose_codec
from modos.tracks.contigs import Contigs
from modos.tracks.data import Floats, Places, Runs, Values
from modos.tracks.packing import Packing, find_packing
from modos.tracks.runs import iter_joined, join_runs, to_runs
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, ArraySpec, Codec, blosc, encoder

RUN_CHUNK = 1 << 15  # runs
PIECE = 1 << 20  # runs that are compressed together until the end, and summarised together
_LONGEST_GAP = 2**32 - 1


class RunsWriter:
    """Collects runs, compressed, by contig, and writes them at the end.

    Parameters
    ----------
    log
        Has the storage of the object, and gets the keys of the files.
    """

    def __init__(self, log: WriteLog, contigs: Contigs, path: str):
        self._log, self._contigs, self._path = log, contigs, path
        self._pieces: dict[str, list[tuple[int, bytes]]] = {}
        self._packing: Packing | None = None
        self._encode = encoder(blosc("lz4", "shuffle", 5, 4))
        self.count = 0

    def add(self, data: Values | Runs) -> None:
        """Keep data of a contig."""
        runs = join_runs(data) if isinstance(data, Runs) else to_runs(data)
        if not len(runs.starts):
            return
        self._packing = find_packing(runs.values, self._packing, widths=("int32",))
        for at in range(0, len(runs.starts), PIECE):
            part = slice(at, at + PIECE)
            origin = int(runs.starts[at])
            packed = as_triplets(runs.starts[part], runs.ends[part], Packing("float32").pack_fitting(runs.values[part]), origin)
            self._pieces.setdefault(runs.contig, []).append((origin, self._encode(packed)))
            self.count += packed.shape[1]

    def pieces(self) -> Iterator[Runs]:
        """Yield the runs that were added, in the order of the genome: (n,), int64 starts and ends, float32; see `iter_joined`."""
        for contig in sorted(self._pieces, key=self._contigs.number):
            yield from iter_joined(self._unpack(contig), PIECE)

    def _unpack(self, contig: str) -> Iterator[Runs]:
        from numcodecs import blosc as codec

        for origin, data in self._pieces[contig]:
            gaps, lengths, values = np.frombuffer(codec.decompress(data[:-4]), np.uint32).reshape(3, -1)
            ends: Places = np.cumsum(np.add(gaps, lengths, dtype=np.int64)) + origin
            yield Runs(contig, ends - lengths, ends, values.view(np.float32))

    def finish(self) -> ArraySpec:
        """Write all of them; returns the array."""
        spec = self._write(self._packing or Packing("float32"))
        if spec is None:
            spec = self._write(Packing("float32"))
        assert spec is not None  # single precision has room for all
        return spec

    def _write(self, packing: Packing) -> ArraySpec | None:
        writer, origins, count = None, [], 0
        for number, (origin, starts, ends, values) in enumerate(_cut_into_chunks(self._place_on_axis())):
            numbers = packing.pack(values)
            if numbers is None:
                writer.drop() if writer else None
                return None
            packed = as_triplets(starts, ends, numbers, origin)
            writer = writer or self._writer(choose_codec([packed]))
            count += packed.shape[1]
            origins.append(origin)
            writer.put(number, np.pad(packed, ((0, 0), (0, RUN_CHUNK - packed.shape[1]))))
            writer.flush(keep=(number // CHUNKS_IN_SHARD,))
        writer = writer or self._writer(blosc("zstd", "shuffle", 3, 4))
        writer.spec = replace(writer.spec, shape=(3, count))
        return writer.finish(packing.to_attributes() | {"rows": ["gap", "length", "value"], "origins": origins})

    def _writer(self, codec: Codec) -> ArrayWriter:
        return ArrayWriter(self._log, ArraySpec(self._path, (3, 0), RUN_CHUNK, "uint32", 0, codec))

    def _place_on_axis(self) -> Iterator[tuple[Places, Places, Floats]]:
        """Place runs on the axis; if a gap is too long for its field, runs without length and value divide it."""
        reached = 0
        for runs in self.pieces():
            offset = self._contigs[runs.contig].offset
            starts = runs.starts + offset
            while starts[0] - reached > _LONGEST_GAP:
                reached += _LONGEST_GAP
                yield np.array([reached]), np.array([reached]), np.array([0], np.float32)
            yield starts, runs.ends + offset, runs.values
            reached = int(runs.ends[-1]) + offset


def _cut_into_chunks(
    parts: Iterable[tuple[Places, Places, Floats]],
) -> Iterator[tuple[int, Places, Places, Floats]]:
    """Cut runs into chunks of the array, with the place from which the first gap of each counts."""
    waiting: list[tuple[Places, Places, Floats]] = []
    count, origin = 0, 0

    def cut(everything: bool) -> Iterator[tuple[int, Places, Places, Floats]]:
        nonlocal waiting, count, origin
        starts, ends, values = (np.concatenate(column) for column in zip(*waiting))
        done = 0
        while count - done >= RUN_CHUNK or (everything and done < count):
            part = slice(done, done + RUN_CHUNK)
            yield origin, starts[part], ends[part], values[part]
            origin = int(ends[part][-1])
            done = min(done + RUN_CHUNK, count)
        waiting = [(starts[done:], ends[done:], values[done:])]
        count -= done

    for part in parts:
        waiting.append(part)
        count += len(part[0])
        if count >= RUN_CHUNK:
            yield from cut(False)
    if count:
        yield from cut(True)


def as_triplets(starts: Places, ends: Places, packed: np.ndarray, origin: int) -> np.ndarray:
    """Return runs as stored: gap, length and packed value, (3, n) uint32."""
    gaps = starts - np.concatenate(([origin], ends[:-1]))
    return np.stack([gaps.astype(np.uint32), (ends - starts).astype(np.uint32), packed.view(np.uint32)])
