"""A track as it is loaded: blocks of data become arrays, in the way that takes least room.

The first blocks are tried both ways. Values per base go to chunks as they
come; runs are kept compressed until the end, as contigs may come in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from modos.errors import InvalidInputError
from modos.storage import Storage
from modos.tracks import zooms
from modos.tracks.arrays import MAX_ATTEMPTS, ArrayWriter, Names, choose_codec
from modos.tracks.contigs import CHUNK, Contigs
from modos.tracks.data import Block, Floats, Places, Runs, Values, extent
from modos.tracks.packing import Packing, find_packing
from modos.tracks.runs import as_runs, expand, join_runs, to_runs
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, ArraySpec, Codec, blosc, encoder

RUN_CHUNK = 1 << 15  # runs
_TRIAL_RUNS = 1 << 20
_TRIAL_BYTES = 16 << 20
_TRIED_CHUNKS = 8
_MAX_RUNS = 64 << 20  # so many are kept until the end; more are values per base
_WINDOW = 32 * CHUNK  # bases that are expanded at once
_LONGEST_GAP = 2**32 - 1


class TrackBuilder:
    """Takes the data of a track, and writes its arrays.

    Parameters
    ----------
    storage
        Holds the object.
    names
        Of the arrays.
    written
        Gets the keys of the files, as they are written.
    """

    def __init__(self, storage: Storage, contigs: Contigs, names: Names, written: list[str]):
        self._storage, self._contigs, self._names, self._written = storage, contigs, names, written
        self._summary = zooms.Accumulator(contigs)
        self._reached: dict[str, int] = {}
        self._first: list[Values | Runs] = []
        self._size = 0
        self._target: _Dense | _Collected | None = None

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
        self._summarise(data)
        if self._target is None:
            self._first.append(data)
            self._size += data.values.nbytes * (1 if isinstance(data, Values) else 5)
            if self._size > _TRIAL_BYTES:
                self._decide()
        else:
            self._pass_on(self._target, data)

    def finish(self) -> list[ArraySpec]:
        """Write what is left; returns the track's arrays: its data, zoom levels and statistics."""
        target = self._target or self._decide()
        data = target.finish()
        runs = data.length if isinstance(target, _Collected) else None
        return [data, *self._summary.write(self._storage, self._names, self._written, runs)]

    def drop(self) -> None:
        """Stop."""
        if isinstance(self._target, _Dense):
            self._target.drop()

    def _summarise(self, data: Values | Runs) -> None:
        contig = self._contigs[data.contig]
        number = self._contigs.number(data.contig)
        if isinstance(data, Values):
            self._summary.add_values(number, contig.offset + data.start, data.values)
        else:
            runs = join_runs(data)
            self._summary.add_runs(number, runs.starts + contig.offset, runs.ends + contig.offset, runs.values)

    def _decide(self) -> _Dense | _Collected:
        runs = [join_runs(as_runs(data)) for data in self._first]
        target: _Dense | _Collected = _Collected(self._storage, self._contigs, self._names.path("runs"), self._written)
        sample = _sample_chunks(self._first, self._contigs)
        if sum(len(part.starts) for part in runs) and _size_as_runs(runs) > _size_as_chunks(*sample):
            target = self._dense(sample[0])
        self._target = target
        for data in self._first:
            target = self._pass_on(target, data)
        self._first = []
        return target

    def _dense(self, sample: list[Floats]) -> _Dense:
        return _Dense(self._storage, self._contigs, self._names, self._written, sample)

    def _pass_on(self, target: _Dense | _Collected, data: Values | Runs) -> _Dense | _Collected:
        """Add data to what takes them; returns what takes the next."""
        target.add(data)
        if not isinstance(target, _Collected) or target.count <= _MAX_RUNS:
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
        _triplets(
            largest.starts[at : at + RUN_CHUNK],
            largest.ends[at : at + RUN_CHUNK],
            packing.pack_fitting(largest.values[at : at + RUN_CHUNK]),
            int(largest.starts[at]),
        )
        for at in range(0, len(values), RUN_CHUNK)
    ]
    encode = encoder(choose_codec(sample))
    return sum(len(encode(chunk)) for chunk in sample) / len(values) * total


def _triplets(starts: Places, ends: Places, packed: np.ndarray, origin: int) -> np.ndarray:
    """Return runs as stored: gap, length and packed value, (3, n) uint32."""
    gaps = starts - np.concatenate(([origin], ends[:-1]))
    return np.stack([gaps.astype(np.uint32), (ends - starts).astype(np.uint32), packed.view(np.uint32)])


class _Dense:
    """Values per base, chunk by chunk."""

    def __init__(self, storage: Storage, contigs: Contigs, names: Names, written: list[str], sample: list[Floats]):
        self._storage, self._contigs, self._names, self._written = storage, contigs, names, written
        self._attempt = 0
        self._packing = find_packing(np.concatenate(sample))
        self._writer = self._new_writer([self._packing.pack_fitting(chunk) for chunk in sample])
        self._number = -1  # of the chunk that is being filled
        self._chunk = np.empty(0, np.float32)

    def _new_writer(self, sample: list[Floats]) -> ArrayWriter:
        path = self._names.path("values", self._attempt)
        spec = ArraySpec(path, (self._contigs.size,), CHUNK, self._packing.dtype, self._packing.missing, choose_codec(sample))
        return ArrayWriter(self._storage, spec, self._written)

    def add(self, data: Values | Runs) -> None:
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
            self._writer = self._new_writer([self._packing.pack_fitting(values[:CHUNK])])
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
        self._close()
        return self._writer.finish(self._packing.to_attributes())

    def drop(self) -> None:
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


class _Collected:
    """Runs, kept compressed by contig until the end."""

    def __init__(self, storage: Storage, contigs: Contigs, path: str, written: list[str]):
        self._storage, self._contigs, self._path, self._written = storage, contigs, path, written
        self._pieces: dict[str, list[tuple[int, bytes]]] = {}
        self._packing: Packing | None = None
        self._encode = encoder(blosc("lz4", "shuffle", 5, 4))
        self.count = 0

    def add(self, data: Values | Runs) -> None:
        runs = join_runs(data) if isinstance(data, Runs) else to_runs(data)
        if not len(runs.starts):
            return
        self._packing = find_packing(runs.values, self._packing, widths=("int32",))
        for at in range(0, len(runs.starts), _TRIAL_RUNS):
            part = slice(at, at + _TRIAL_RUNS)
            origin = int(runs.starts[at])
            packed = _triplets(runs.starts[part], runs.ends[part], Packing("float32").pack_fitting(runs.values[part]), origin)
            self._pieces.setdefault(runs.contig, []).append((origin, self._encode(packed)))
            self.count += packed.shape[1]

    def pieces(self) -> Iterator[Runs]:
        """Yield the runs that were added, in the order of the genome."""
        from numcodecs import blosc as codec

        for contig in sorted(self._pieces, key=self._contigs.number):
            for origin, data in self._pieces[contig]:
                gaps, lengths, values = np.frombuffer(codec.decompress(data[:-4]), np.uint32).reshape(3, -1)
                ends: Places = np.cumsum(np.add(gaps, lengths, dtype=np.int64)) + origin
                yield Runs(contig, ends - lengths, ends, values.view(np.float32))

    def finish(self) -> ArraySpec:
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
            packed = _triplets(starts, ends, numbers, origin)
            writer = writer or self._writer(choose_codec([packed]))
            count += packed.shape[1]
            origins.append(origin)
            writer.put(number, np.pad(packed, ((0, 0), (0, RUN_CHUNK - packed.shape[1]))))
            writer.flush(keep=(number // CHUNKS_IN_SHARD,))
        writer = writer or self._writer(blosc("zstd", "shuffle", 3, 4))
        writer.spec = replace(writer.spec, shape=(3, count))
        return writer.finish(packing.to_attributes() | {"rows": ["gap", "length", "value"], "origins": origins})

    def _writer(self, codec: Codec) -> ArrayWriter:
        return ArrayWriter(self._storage, ArraySpec(self._path, (3, 0), RUN_CHUNK, "uint32", 0, codec), self._written)

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
