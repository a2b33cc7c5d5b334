"""Turn the data of a track into arrays, stored in the way that takes least room.

The first blocks are tried both ways. Values per base go to chunks as they
come; runs are kept compressed until the end, as contigs may come in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from modos.errors import InvalidInputError
from modos.storage.write_log import WriteLog
from modos.tracks import zooms
from modos.tracks.arrays import Names, choose_codec
from modos.tracks.contigs import CHUNK, Contigs
from modos.tracks.data import Block, Floats, Runs, Values, extent
from modos.tracks.dense import DenseWriter
from modos.tracks.packing import find_packing
from modos.tracks.runs import Spans, as_runs, expand, join_runs
from modos.tracks.runs_writer import RUN_CHUNK, RunsWriter, as_triplets
from modos.tracks.zarr_layout import EMPTY_SLOT, ArraySpec, encoder

_TRIAL_BYTES = 16 << 20
_TRIED_CHUNKS = 8
_MAX_RUNS = 64 << 20  # so many are kept until the end; more are values per base


class TrackBuilder:
    """Takes the data of a track, and writes its arrays.

    Parameters
    ----------
    log
        Has the storage of the object, and gets the keys of the files.
    names
        Of the arrays.
    like
        An array with a value per base: these are kept so, too, in its type and
        codec if they fit.
    masked
        Spans on the axis whose values are kept, and do not count.
    """

    def __init__(self, log: WriteLog, contigs: Contigs, names: Names, like: ArraySpec | None = None, masked: Spans | None = None):
        self._log, self._contigs, self._names = log, contigs, names
        self.summary = zooms.Accumulator(contigs, masked)
        self._reached: dict[str, int] = {}
        self._first: list[Values | Runs] = []
        self._size = 0
        self._target: DenseWriter | RunsWriter | None = self._dense(like) if like else None

    def check(self, block: Block) -> None:
        """Look at data of a contig that the genome has, before they are added.

        Raises
        ------
        InvalidInputError
            They overlap what came before.
        """
        data, contig = block.data, self._contigs[block.data.contig]
        start, end = extent(data)
        if start < self._reached.get(contig.name, 0):
            raise InvalidInputError(
                f"{block.where(0)}: data of {contig.name} overlap what is before them, or are not in order",
                "sort the file by contig and position",
            )
        self._reached[contig.name] = end

    def add(self, block: Block) -> None:
        """Add data of a contig after those of the same contig that were added before; see `check`."""
        data, contig = block.data, self._contigs[block.data.contig]
        data = data._replace(contig=contig.name)
        if self._target is None:
            self._first.append(data)
            self._size += data.values.nbytes * (1 if isinstance(data, Values) else 5)
            if self._size > _TRIAL_BYTES:
                self._decide()
        else:
            self._pass_on(self._target, data)

    def finish(self, empty: Iterable[str] = ()) -> list[ArraySpec]:
        """Write what is left; returns the track's arrays: its data, zoom levels and statistics.

        Parameters
        ----------
        empty
            Contigs that the track has, and may have no value of.
        """
        target = self._target or self._decide()
        data = target.finish()
        if isinstance(target, RunsWriter):
            for part in target.pieces():
                self.summary.add_runs(part)
        n = self.summary.statistics()[0]
        known = {self._contigs[name].name for name in (*self._reached, *empty)}
        without = [name for number, name in enumerate(self._contigs) if not n[number] and name in known]
        data = replace(data, attributes={**data.attributes, **({EMPTY_SLOT: without} if without else {})})
        return [data, *self.summary.write(self._log, self._names, data.length if isinstance(target, RunsWriter) else None)]

    def drop(self) -> None:
        """Stop."""
        if isinstance(self._target, DenseWriter):
            self._target.drop()

    def _decide(self) -> DenseWriter | RunsWriter:
        runs = [join_runs(as_runs(data)) for data in self._first]
        target: DenseWriter | RunsWriter = RunsWriter(self._log, self._contigs, self._names.path("runs"))
        sample = _sample_chunks(self._first, self._contigs)
        if sum(len(part.starts) for part in runs) and _size_as_runs(runs) > _size_as_chunks(*sample):
            target = self._dense(sample[0])
        self._target = target
        for data in self._first:
            target = self._pass_on(target, data)
        self._first = []
        return target

    def _dense(self, sample: list[Floats] | ArraySpec) -> DenseWriter:
        return DenseWriter(self._log, self._contigs, self._names, self.summary, sample)

    def _pass_on(self, target: DenseWriter | RunsWriter, data: Values | Runs) -> DenseWriter | RunsWriter:
        """Add data to what takes them; returns what takes the next."""
        target.add(data)
        if not isinstance(target, RunsWriter) or target.count <= _MAX_RUNS:
            return target
        self._target = dense = self._dense(_sample_chunks(list(target.pieces())[:4], self._contigs)[0])
        for runs in target.pieces():
            dense.add(runs)
        return dense


def _sample_chunks(blocks: Sequence[Values | Runs], contigs: Contigs) -> tuple[list[Floats], int]:
    """Sample a few of the chunks that blocks lie in, and count these."""
    touched: dict[int, Values | Runs] = {}
    for data in blocks:
        offset = contigs[data.contig].offset
        if isinstance(data, Values):
            first, last = (offset + data.start) // CHUNK, (offset + data.start + len(data.values) - 1) // CHUNK
            touched.update(dict.fromkeys(range(first, last + 1), data))
        else:
            firsts, lasts = (offset + data.starts) // CHUNK, (offset + data.ends - 1) // CHUNK
            long = lasts > firsts + 1
            within = [np.arange(a, b) for a, b in zip(firsts[long].tolist(), lasts[long].tolist())]
            touched.update(dict.fromkeys(np.unique(np.concatenate([firsts, lasts, *within])).tolist(), data))
    numbers = list(touched)[:: max(len(touched) // _TRIED_CHUNKS, 1)]
    chunks = []
    for number in numbers:
        data, out = touched[number], np.full(CHUNK, np.nan, np.float32)
        start = number * CHUNK - contigs[data.contig].offset
        if isinstance(data, Values):
            low, high = max(data.start, start), min(data.start + len(data.values), start + CHUNK)
            out[low - start : high - start] = data.values[low - data.start : high - data.start]
        else:
            low = int(np.searchsorted(data.ends, start, "right"))
            high = int(np.searchsorted(data.starts, start + CHUNK, "left"))
            expand(data.starts[low:high], data.ends[low:high], data.values[low:high], start, start + CHUNK, out)
        chunks.append(out)
    return chunks, len(touched)


def _size_as_chunks(sample: list[Floats], count: int) -> float:
    packing = find_packing(np.concatenate(sample))
    chunks = [packing.pack_fitting(chunk) for chunk in sample]
    encode = encoder(choose_codec(chunks))
    return sum(len(encode(chunk)) for chunk in chunks) / len(chunks) * count


def _size_as_runs(blocks: list[Runs]) -> float:
    runs = [part for part in blocks if len(part.starts)]
    total = sum(len(part.starts) for part in runs)
    largest = max(runs, key=lambda part: len(part.starts))
    values = largest.values[: RUN_CHUNK * _TRIED_CHUNKS]
    packing = find_packing(values, widths=("int32",))
    sample = [
        as_triplets(
            largest.starts[at : at + RUN_CHUNK],
            largest.ends[at : at + RUN_CHUNK],
            packing.pack_fitting(largest.values[at : at + RUN_CHUNK]),
            int(largest.starts[at]),
        )
        for at in range(0, len(values), RUN_CHUNK)
    ]
    encode = encoder(choose_codec(sample))
    return sum(len(encode(chunk)) for chunk in sample) / len(values) * total
