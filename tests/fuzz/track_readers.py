"""Readers of assemblies, tracks, masks and tables: 2bit, bigWig, Parquet, archives of Genomedata, Zarr arrays of an object."""

from __future__ import annotations

import atexit
import functools
import gzip
import itertools
import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import polars as pl

from modos.errors import ConflictError
from modos.genomics.region import Region
from modos.storage import open_storage
from modos.tracks import zarr_layout
from modos.tracks.genome import Genome
from modos.tracks.sharded import Reader, ShardedArray
from modos.tracks.zarr_layout import ArraySpec, crc32c, shard_bytes

from .bundles import Steps, bundled, unbundled
from .oracles import bigwig_values, zarr_values
from .trying import Target

if TYPE_CHECKING:
    from modos.api import MODO


def read_twobit(path: Path) -> None:
    """All bases, as another way through the bytes finds them."""
    from modos.formats.twobit import iter_twobit

    found: dict[str, bytearray] = {}
    for name, bases in iter_twobit(path):
        if not bases:
            assert name not in found or not found[name], "a name twice"
        found.setdefault(name, bytearray()).extend(bases)
    theirs = dict(_plain_twobit(path.read_bytes()))
    assert {name: bytes(bases) for name, bases in found.items()} == theirs


def _plain_twobit(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bases of each sequence, base by base (UCSC, "twoBit sequence archives")."""
    order = "<" if data[:4] == b"\x43\x27\x41\x1a" else ">"
    at, number = 16, lambda at: struct.unpack_from(order + "I", data, at)[0]
    for _ in range(number(8)):
        size = data[at]
        name, start = data[at + 1 : at + 1 + size].decode(), number(at + 1 + size)
        at += size + 5
        length, place, spans = number(start), start + 4, []
        for _ in range(2):
            count = number(place)
            spans.append([(number(place + 4 + 4 * n), number(place + 4 + 4 * (count + n))) for n in range(count)])
            place += 4 + 8 * count
        place += 4
        bases = bytearray(b"TCAG"[data[place + n // 4] >> 6 - 2 * (n % 4) & 3] for n in range(length))
        for first, count in spans[0]:
            bases[first : first + count] = b"N" * len(bases[first : first + count])
        for first, count in spans[1]:
            bases[first : first + count] = bases[first : first + count].lower()
        yield name, bytes(bases)


def _twobit() -> list[bytes]:
    sequences = {
        "chr1": (b"ACGTTGCA" * 60, [(3, 20), (100, 7)], [(30, 40)]),
        "c2": (b"TTGAC" * 9, [], []),
        "x": (b"A", [(0, 1)], []),
    }

    def packed(order: str) -> bytes:
        records = []
        for bases, unknown, masked in sequences.values():
            spans = b"".join(
                struct.pack(f"{order}I{2 * len(s)}I", len(s), *(start for start, _ in s), *(size for _, size in s))
                for s in (unknown, masked)
            )
            codes = [b"TCAG".index(base) for base in bases] + [0] * (-len(bases) % 4)
            dna = bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*(codes[n::4] for n in range(4))))
            records.append(struct.pack(order + "I", len(bases)) + spans + bytes(4) + dna)
        at = 16 + sum(5 + len(name) for name in sequences)
        index = b""
        for name, record in zip(sequences, records):
            index += bytes([len(name)]) + name.encode() + struct.pack(order + "I", at)
            at += len(record)
        return struct.pack(order + "4I", 0x1A412743, 0, len(sequences), 0) + index + b"".join(records)

    return [packed("<"), packed(">")]


def read_bigwig_file(path: Path) -> None:
    """Values, statistics and zoom levels; the values are those that libBigWig finds."""
    from modos.tracks.bigwig import open_bigwig, read_bigwig
    from modos.tracks.conditions import Condition
    from modos.tracks.data import Runs
    from modos.tracks.mask_files import MaskFile

    steps = Steps()
    blocks = steps.take(lambda: read_bigwig(path))
    genome = steps.take(lambda: open_bigwig(path))
    if genome is not None:
        _read_genome(steps, genome)
        steps.take(lambda: MaskFile(path, Condition("gt", 2)).place_on(genome.contigs))
    if blocks is not None and genome is not None:
        theirs = bigwig_values(path, {name: min(length, 2_000) for name, length in genome.contigs.lengths.items()})
        for name, values in (theirs or {}).items():
            ours = np.full(len(values), np.nan, np.float32)
            for block in blocks:
                data = block.data
                if data.contig != name:
                    continue
                if isinstance(data, Runs):
                    for start, end, value in zip(data.starts, data.ends, data.values):
                        ours[start:end] = value
                else:
                    part = ours[data.start : data.start + len(data.values)]
                    part[:] = data.values[: len(part)]
            assert np.array_equal(ours, values, equal_nan=True), (
                f"{name}: other values at {np.flatnonzero(~((ours == values) | (np.isnan(ours) & np.isnan(values))))[:3]}"
            )
            filled = steps.take(lambda: genome.track(next(iter(genome.tracks))).values(Region(name, 0, len(values))))
            assert filled is None or np.array_equal(filled, values, equal_nan=True), f"{name}: other values in its regions"
    steps.finish()


def _read_genome(steps: Steps, genome: Genome) -> None:
    """Some values, statistics and zoom levels of each track, and bases."""
    contigs = steps.take(lambda: list(genome.contigs)[:3]) or ()
    for track in list(genome.tracks.values())[:3]:
        steps.take(track.statistics)
        steps.take(track.describe)
        steps.take(lambda: track.total)
        for contig in contigs:
            length = genome.contigs.lengths[contig]
            region = Region(contig, 0, min(length, 5_000))
            steps.take(lambda: track.values(region))
            steps.take(lambda: track.zoom(region, min(50, region.end)))
            steps.take(lambda: track.summary(Region(contig, 0, length)))
            steps.take(lambda: track.scan(region))
            steps.take(lambda: [None for _ in track.iter_values(contig, 0, region.end)])
    for contig in contigs if genome.sequence is not None else ():
        steps.take(lambda: genome[contig].seq[0:100])


def _bigwig(order: str = "<", **settings: Any) -> bytes:
    import pyBigWig

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/a.bw"
        with pyBigWig.open(path, "w") as file:
            file.addHeader([("c1", 3_000), ("chr2", 40_000), ("x", 10)], **settings)
            file.addEntries(["c1"] * 100, list(range(0, 300, 3)), ends=list(range(2, 302, 3)), values=[n / 7 for n in range(100)])
            file.addEntries("c1", 400, values=[1.0, -2.25, 3.0, 2.5] * 20, span=1, step=2)
            file.addEntries("chr2", [1_000, 2_000, 39_990], values=[5.0, 6.0, -1.0], span=10)
        return Path(path).read_bytes()


def _bigwigs() -> list[bytes]:
    return [_bigwig(maxZooms=2), _unpacked(_bigwig(maxZooms=0))]


def _unpacked(data: bytes) -> bytes:
    """A bigWig without zoom levels, its blocks as they are before they are compressed: changes of them pass no checksum."""
    import zlib

    head = bytearray(data)
    index_at = struct.unpack_from("<Q", head, 24)[0]
    struct.pack_into("<I", head, 52, 0)
    node = index_at + 48
    count = struct.unpack_from("<H", head, node + 2)[0]
    assert head[node] == 1
    for number in range(count):
        place = node + 4 + 32 * number + 16
        at, size = struct.unpack_from("<QQ", head, place)
        block = zlib.decompress(data[at : at + size])
        struct.pack_into("<QQ", head, place, len(head), len(block))
        head += block
    return bytes(head)


def read_mask(path: Path) -> None:
    """The masked stretches of an assembly."""
    from modos.reference.soft_mask import Mask

    mask = Mask(path)
    for contig in ("chr1", "chr2"):
        mask.spans(contig)
        assert len(mask.lower(contig, 5, b"ACGT" * 50)) == 200


def _mask() -> list[bytes]:
    frame = pl.DataFrame({"contig": ["chr1"] * 60 + ["chr2"], "start": [*range(0, 600, 10), 4], "end": [*range(5, 605, 10), 9]})
    return [
        _parquet(frame, compression="zstd", compression_level=12),
        _parquet(frame, compression="uncompressed"),
        _parquet(frame, compression="snappy"),
        _parquet(frame, compression="lz4"),
        _parquet(frame, compression="gzip"),
    ]


def _parquet(frame: pl.DataFrame, **settings: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        frame.write_parquet(path, **settings)
        return path.read_bytes()


TABLES = ("gene", "transcript", "exon", "cds")  # those of an annotation that are changed; the others are as they were


def read_annotation(path: Path) -> None:
    """An annotation, asked by place, by name and for what belongs to what."""
    from modos.reference.annotations.annotation import Annotation

    manifest, tables = _annotation()
    files = {kind: path.with_name(f"{kind}.parquet") for kind in tables}
    for kind, data in (tables | dict(zip(TABLES, unbundled(path, len(TABLES))))).items():
        files[kind].write_bytes(data)
    kinds = {table.file: kind for kind, table in manifest.tables.items()}
    annotation = Annotation(manifest, {name: name for name in manifest.contigs}, lambda table: files[kinds[table.file]])
    steps = Steps()
    for kind in TABLES:
        table = annotation.table(kind)
        steps.take(table.to_polars)
        for ask in (table.overlap, table.within, table.aligned_5p, table.within_3p):
            steps.take(lambda: [(feature.contig, feature.start) for feature in ask("chr1", 0, 400)])
            steps.take(lambda: [(feature.contig, feature.start) for feature in ask("chr2", 5, 400, "-")])
        steps.take(
            lambda: (
                table.overlap_many(["chr1", "chr2"], [0, 0], [50, 50]).rows
                if hasattr(table, "rows")
                else table.overlap_many(["chr1", "chr2"], [0, 0], [50, 50])
            )
        )
    steps.take(lambda: [transcript.id for transcript in annotation.mane_select()])
    steps.take(lambda: [transcript.id for transcript in annotation.appris("ABC1")])
    for part in ("gene", "exons", "introns", "cds", "utrs"):
        steps.take(lambda: [getattr(transcript, part) for transcript in annotation.transcripts.all()])
    steps.take(lambda: [transcript.id for gene in annotation.genes.all() for transcript in gene.transcripts])
    steps.finish()


@functools.cache
def _annotation() -> tuple[Any, dict[str, bytes]]:
    """A manifest and its tables."""
    from modos.reference.adding import add_files
    from modos.reference.annotation_store import add_annotation, annotation_key
    from modos.reference.locate import open_store
    from tests.unit.reference.annotations.test_annotation import CHR1, CHR2, GENCODE

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.fa").write_text(f">chr1\n{CHR1}\n>chr2\n{CHR2}\n")
        (Path(folder) / "a.gff3").write_text(GENCODE)
        store = open_store(f"{folder}/store")
        assembly = add_files(store, "a", [f"{folder}/a.fa"])
        manifest = add_annotation(store, "annotation", assembly, f"{folder}/a.gff3")
        return manifest, {
            kind: (Path(folder) / "store" / annotation_key("annotation", table.file)).read_bytes()
            for kind, table in manifest.tables.items()
        }


def read_archive(path: Path) -> None:
    """An archive of Genomedata: contigs, tracks, bases."""
    from modos.tracks.genomedata import Archive

    steps = Steps()
    with Archive(path) as archive:
        steps.take(lambda: archive.contigs)
        steps.take(lambda: archive.has_sequence)
        for track in archive.tracks[:3]:
            steps.take(lambda: [None for _ in archive.iter_track(track)])
        steps.take(lambda: [None for _ in archive.iter_sequence()])
    steps.finish()


@functools.cache
def _archive() -> bytes:
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.genomedata"
        with h5py.File(path, "w", libver="latest") as file:
            file.attrs["tracknames"] = np.array([b"one", b"two"])
            file.attrs["genomedata_format_version"] = 1
            for name, spans in {"chr1": [(0, 60), (80, 100)], "chr2": [(0, 30)]}.items():
                group = file.create_group(name)
                group.attrs["start"], group.attrs["end"] = np.int64(0), np.int64(spans[-1][1])
                for number, (start, end) in enumerate(spans):
                    part = group.create_group(f"supercontig_{number}")
                    part.attrs["start"], part.attrs["end"] = np.int64(start), np.int64(end)
                    part.create_dataset("seq", data=np.frombuffer(b"ACGT" * 25, np.uint8)[: end - start])
                    part.create_dataset(
                        "continuous",
                        data=np.arange(2 * (end - start), dtype="f4").reshape(-1, 2),
                        chunks=(20, 2),
                        compression="gzip",
                    )
        return path.read_bytes()


SHAPE, CHUNK = 5_000, 1_024  # of the array that chunks and shards are of


def read_shard(path: Path) -> None:
    """A shard with right checksums: chunks and their places, as zarr reads them."""
    data, places = unbundled(path, 2)
    codec = next((codec for codec in _codecs() if places[:1] == codec["configuration"]["cname"][:1].encode()), _codecs()[0])
    numbers = np.frombuffer(places[1 : 1 + 16 * 256].ljust(16 * 256, b"\xff"), "<u8").reshape(256, 2)
    chunks = bytearray(data)
    for start, size in numbers.tolist():
        if size > 4 and start + size <= len(chunks):
            chunks[start + size - 4 : start + size] = crc32c(bytes(chunks[start : start + size - 4])).to_bytes(4, "little")
    table = numbers.tobytes()
    shard = bytes(chunks) + table + crc32c(table).to_bytes(4, "little")
    spec = ArraySpec("data/x/values-1", (SHAPE,), CHUNK, "float32", float("nan"), codec, (len(shard),))
    _compare_arrays(path, spec, shard)


def _compare_arrays(path: Path, spec: ArraySpec, shard: bytes) -> None:
    folder = path.parent / "object"
    target = folder / spec.key(0)
    target.parent.mkdir(parents=True)
    target.write_bytes(shard)
    (folder / "data.zarr" / spec.path / "zarr.json").write_text(json.dumps(spec.to_node()))
    ArraySpec.from_node(spec.path, spec.to_node())
    steps = Steps()
    array = ShardedArray(Reader(open_storage(folder), 1 << 20), spec)
    ours = steps.take(array.read)
    steps.take(lambda: array.visit(range(-(-SHAPE // CHUNK)), lambda number, chunk: None))
    theirs = zarr_values(folder / "data.zarr" / spec.path) if ours is not None else None
    assert theirs is None or np.array_equal(ours, theirs, equal_nan=True), "zarr reads other numbers"
    steps.finish()


def _codecs() -> list[zarr_layout.Codec]:
    return [
        zarr_layout.blosc(name, shuffle, 5, 4)
        for name, shuffle in (("lz4", "bitshuffle"), ("zstd", "shuffle"), ("blosclz", "noshuffle"))
    ]


@functools.cache
def _shards() -> list[bytes]:
    found = []
    for codec in _codecs():
        encode = zarr_layout.encoder(codec)
        values = np.where(np.arange(CHUNK * 4) % 7 == 0, np.nan, np.arange(CHUNK * 4) // 90 / 4).astype(np.float32)
        shard = shard_bytes({number: encode(values[number * CHUNK :][:CHUNK]) for number in (0, 1, 3)})
        found.append(
            bundled(
                shard[: -zarr_layout.INDEX_SIZE],
                codec["configuration"]["cname"][:1].encode() + shard[-zarr_layout.INDEX_SIZE : -4][: 16 * 6],
            )
        )
    return found


def read_object(path: Path) -> None:
    """The root document of an object with tracks, a mask and bases."""
    import shutil

    from modos.api import MODO

    folder = path.parent / "ex"
    shutil.copytree(_object(), folder)
    (folder / "data.zarr/zarr.json").write_bytes(path.read_bytes())
    steps = Steps((ConflictError,))  # it names a file that is not there
    modo = steps.take(lambda: MODO.open(folder))
    if modo is not None:
        steps.take(lambda: modo.metadata)
        genome = steps.take(lambda: modo.genome)
        if genome is not None:
            _read_genome(steps, genome)
        steps.take(modo.list_arrays)
        steps.take(lambda: modo.find_problems())
    steps.finish()


@functools.cache
def _object() -> Path:
    """An object with a genome of two contigs with bases and two tracks, one of them masked; it goes when the process ends."""
    from modos.api import MODO

    folder = tempfile.TemporaryDirectory(prefix="modos-fuzz-object-")
    atexit.register(folder.cleanup)
    place = Path(folder.name)
    (place / "a.fa").write_text(">chr1\n" + "ACGTNacgtn" * 200 + "\n>chr2\n" + "TTGCA" * 100 + "\n")
    (place / "mask.bed").write_text("chr1\t10\t20\n")
    numbers = itertools.count()
    with mock.patch("secrets.token_hex", lambda size: f"{next(numbers):0{2 * size}x}"):  # the same names in each process
        _fill(MODO.create(place / "ex"), place)
    return place / "ex"


def _fill(modo: MODO, place: Path) -> None:
    modo.add_genome(place / "a.fa")
    noise = np.random.default_rng(3).normal(size=2_500).round(3).astype(np.float32)
    with modo.track_changes() as tracks:
        tracks.add("noise", {"chr1": noise[:2_000], "chr2": noise[2_000:]})
        tracks.add("steps", {"chr1": np.repeat(np.arange(20, dtype=np.float32), 100)})
    with modo.track_changes() as tracks:
        tracks.mask("noise", place / "mask.bed")


def _root() -> list[bytes]:
    return [(_object() / "data.zarr/zarr.json").read_bytes()]


def read_gzip(path: Path) -> None:
    """Text that is compressed: as a track, and as a file of regions."""
    from modos.genomics.region import read_regions
    from modos.tracks.wiggle import read_text

    steps = Steps()
    steps.take(lambda: [None for _ in read_text(path)])
    steps.take(lambda: read_regions(path))
    steps.finish()


def _gzips() -> list[bytes]:
    text = b"".join(b"chr1\t%d\t%d\t%d\n" % (n, n + 2, n % 5) for n in range(0, 400, 4))
    return [gzip.compress(text, 6, mtime=0), gzip.compress(text[:300], 0, mtime=0) + gzip.compress(text[300:], 1, mtime=0)]


TARGETS = [
    Target("twobit", ".2bit", read_twobit, _twobit),
    Target("bigwig", ".bw", read_bigwig_file, functools.cache(_bigwigs)),
    Target("parquet-mask", ".parquet", read_mask, functools.cache(_mask), (b"PAR1",)),
    Target("annotation", ".bundle", read_annotation, lambda: [bundled(*(_annotation()[1][kind] for kind in TABLES))], (b"PAR1",)),
    Target("genomedata", ".genomedata", read_archive, lambda: [_archive()]),
    Target("zarr-shard", ".bundle", read_shard, _shards),
    Target(
        "zarr-json",
        ".json",
        read_object,
        _root,
        (b'"float32"', b'"uint8"', b'"crc32c"', b'"zstd"', b"[", b"{}", b"null", b"-1", b"4294967296", b"1e9"),
    ),
    Target("gzip", ".bed.gz", read_gzip, _gzips),
]
