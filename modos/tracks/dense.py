"""Write the array of a track with a value per base, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from modos.storage.write_log import WriteLog
from modos.tracks.arrays import MAX_ATTEMPTS, ArrayWriter, Names, choose_codec
from modos.tracks.contigs import CHUNK, Contigs
from modos.tracks.data import Floats, Runs, Values
from modos.tracks.packing import Packing, find_packing
from modos.tracks.runs import expand
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, ArraySpec, Codec
from modos.tracks.zooms import Accumulator

_WINDOW = 32 * CHUNK  # bases that are expanded at once


class DenseWriter:
    """Writes values per base, chunk by chunk, in the narrowest type that holds them.

    Parameters
    ----------
    log
        Has the storage of the object, and gets the keys of the files.
    summary
        Is told the values of each chunk that is written.
    sample
        Some of the values, which choose the first type and codec; or an array
        whose type and codec come first.
    """

    def __init__(self, log: WriteLog, contigs: Contigs, names: Names, summary: Accumulator, sample: list[Floats] | ArraySpec):
        self._log, self._contigs, self._names, self._summary = log, contigs, names, summary
        self._attempt = 0
        if isinstance(sample, ArraySpec):
            self._packing = Packing.from_attributes(sample.dtype, sample.attributes)
            self._writer = self._new_writer(sample.codec)
        else:
            self._packing = find_packing(np.concatenate(sample))
            self._writer = self._new_writer(choose_codec([self._packing.pack_fitting(chunk) for chunk in sample]))
        self._number = -1  # of the chunk that is being filled
        self._chunk = np.empty(0, np.float32)

    def _new_writer(self, codec: Codec) -> ArrayWriter:
        path = self._names.path("values", self._attempt)
        spec = ArraySpec(path, (self._contigs.size,), CHUNK, self._packing.dtype, self._packing.missing, codec)
        return ArrayWriter(self._log, spec)

    def add(self, data: Values | Runs) -> None:
        """Write data of a contig; what is NaN leaves what is there."""
        offset = self._contigs[data.contig].offset
        if isinstance(data, Values):
            self._put(offset + data.start, data.values)
            return
        for start, end, values in iter_windows(data, offset):
            self._put(start + offset, values[: end - start])

    def _put(self, at: int, values: Floats) -> None:
        done = 0
        while done < len(values):
            number, lead = divmod(at + done, CHUNK)
            whole = (len(values) - done) // CHUNK if not lead and number != self._number else 0
            if whole:
                self._close()
                self._write(number, values[done : done + whole * CHUNK])
                done += whole * CHUNK
                continue
            if number != self._number:
                self._close()
                known = self._writer.get(number)
                self._chunk = np.full(CHUNK, np.nan, np.float32) if known is None else self._packing.unpack(known)
                self._number = number
            count = min(CHUNK - lead, len(values) - done)
            part, target = values[done : done + count], self._chunk[lead : lead + count]
            target[...] = np.where(np.isnan(part), target, part)
            done += count

    def _close(self) -> None:
        if self._number >= 0:
            number, self._number = self._number, -1
            self._write(number, self._chunk)

    def _write(self, number: int, values: Floats) -> None:
        packed = self._packing.pack(values)
        if packed is None:
            self._repack(values)
            packed = self._packing.pack_fitting(values)
        self._summary.set_values(number * CHUNK, values)
        for place in range(len(values) // CHUNK):
            self._writer.put(number + place, packed[place * CHUNK : (place + 1) * CHUNK])
        self._writer.flush(keep=((number + len(values) // CHUNK - 1) // CHUNKS_IN_SHARD,))

    def _repack(self, values: Floats) -> None:
        """Change to a packing that fits new values and all before them."""
        old, before = self._writer, self._packing
        fits = find_packing(values, before)
        while True:
            self._attempt += 1
            self._packing = fits if self._attempt < MAX_ATTEMPTS else Packing("float32")
            self._writer = self._new_writer(choose_codec([self._packing.pack_fitting(values[:CHUNK])]))
            if self._copy_packed(old, before):
                break
            self._writer.drop()
            fits = Packing("float32")
        old.drop()

    def _copy_packed(self, old: ArrayWriter, before: Packing) -> bool:
        """Write the chunks of another array in the present packing; whether they fit in it."""
        for number in old.numbers():
            chunk = old.get(number)
            old.flush(keep=(number // CHUNKS_IN_SHARD,))
            if chunk is None:
                continue
            packed = self._packing.pack(before.unpack(chunk))
            if packed is None:
                return False
            self._writer.put(number, packed)
            self._writer.flush(keep=(number // CHUNKS_IN_SHARD,))
        return True

    def finish(self) -> ArraySpec:
        """Write what is left; returns the array."""
        self._close()
        return self._writer.finish(self._packing.to_attributes())

    def drop(self) -> None:
        """Stop."""
        self._writer.drop()


def iter_windows(runs: Runs, offset: int = 0) -> Iterator[tuple[int, int, Floats]]:
    """Expand runs to values per base, some million at a time: start, end, float32 values (n,) of a reused buffer."""
    out, at = np.empty(_WINDOW, np.float32), 0
    start = int(runs.starts[0]) if len(runs.starts) else 0
    while at < len(runs.starts):
        start = max(start, int(runs.starts[at]))
        end = min((start + offset) // CHUNK * CHUNK + _WINDOW - offset, int(runs.ends[-1]))
        stop = int(np.searchsorted(runs.starts, end, "left"))
        expand(runs.starts[at:stop], runs.ends[at:stop], runs.values[at:stop], start, end, out[: end - start])
        yield start, end, out
        at = int(np.searchsorted(runs.ends, end, "right"))
        start = end
