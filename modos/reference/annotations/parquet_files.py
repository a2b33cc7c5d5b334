"""Store an annotation as Parquet tables with a manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, NewerFormatError, check_format
from modos.errors.missing import load_late
from modos.reference.annotations.building import KINDS
from modos.storage.http.asking import read_json

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

FORMAT = 1
MANIFEST = "manifest.json"
Keep = Callable[[str, memoryview], object]  # a file: its name, and its bytes
_SHA256 = re.compile("[0-9a-f]{64}")  # paths are made of it


@dataclass(frozen=True)
class TableFile:
    """A table of an annotation: its file with size in bytes and SHA-256, and where each contig's rows begin; (contigs + 1,)."""

    file: str
    size: int
    sha256: str
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """Description of an annotation.

    Parameters
    ----------
    assembly, seqcol
        The name of its assembly in the store, and the assembly's digest.
    contigs
        The assembly's contigs, in the order of the rows.
    source
        Where it came from, in words.
    tables
        By kind: gene, transcript, exon, intron, cds, utr.
    left_out
        What of the source is not in it, in words with numbers.
    circular
        The contigs that are circular, with their lengths: what crosses the
        origin of one ends beyond that.
    """

    name: str
    assembly: str
    seqcol: str
    contigs: tuple[str, ...]
    source: str
    tables: Mapping[str, TableFile]
    left_out: Mapping[str, int]
    circular: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all tables."""
        return sum(table.size for table in self.tables.values())

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows of each table."""
        return {kind: table.offsets[-1] for kind, table in self.tables.items()}

    def to_bytes(self) -> bytes:
        """Serialise as JSON."""
        tables = {
            kind: {"file": t.file, "size": t.size, "sha256": t.sha256, "offsets": list(t.offsets)}
            for kind, t in self.tables.items()
        }
        return json.dumps(
            {"format": FORMAT, **{key: value for key, value in vars(self).items() if key != "tables"}, "tables": tables},
            ensure_ascii=False,
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read it; raise IntegrityError if it is none, NewerFormatError if its format is newer."""
        try:
            given: dict[str, Any] = read_json(data)
            check_format(where, given["format"], FORMAT)
            tables = {
                kind: TableFile(str(t["file"]), int(t["size"]), str(t["sha256"]), tuple(map(int, t["offsets"])))
                for kind, t in given["tables"].items()
            }
            contigs = tuple(map(str, given["contigs"]))
            whole = set(tables) == set(KINDS) and all(
                len(t.offsets) == len(contigs) + 1
                and t.file == Path(t.file).name
                and _SHA256.fullmatch(t.sha256)
                and list(t.offsets) == sorted(t.offsets)
                for t in tables.values()
            )
            circular = {str(contig): int(length) for contig, length in given.get("circular", {}).items()}
            if whole and circular.keys() <= set(contigs) and all(length > 0 for length in circular.values()):
                return cls(
                    str(given["name"]),
                    str(given["assembly"]),
                    str(given["seqcol"]),
                    contigs,
                    str(given["source"]),
                    tables,
                    {str(text): int(count) for text, count in given["left_out"].items()},
                    circular,
                )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            if isinstance(error, NewerFormatError):
                raise
        raise IntegrityError(f"{where} is damaged", "restore it from its source, or pull it again")


def write_tables(tables: Mapping[str, pl.DataFrame], contigs: Sequence[str], keep: Keep) -> dict[str, TableFile]:
    """Write tables, whose contigs are numbers, as Parquet files, each of which is kept under its name."""
    return {kind: _write(kind, tables[kind], contigs, keep) for kind in KINDS}


def _write(kind: str, table: pl.DataFrame, contigs: Sequence[str], keep: Keep) -> TableFile:
    names = pl.Series("name", list(contigs), pl.String)
    offsets = table["contig"].search_sorted(pl.Series(range(len(contigs) + 1), dtype=pl.UInt32), "left").to_list()
    file = BytesIO()
    table.with_columns(contig=names.gather(table["contig"])).write_parquet(
        file, compression="zstd", compression_level=6, statistics=False, row_group_size=1 << 20
    )
    data = file.getbuffer()
    digest = hashlib.sha256(data).hexdigest()
    named = f"{kind}.{digest[:16]}.parquet"
    keep(named, data)
    return TableFile(named, len(data), digest, tuple(offsets))
