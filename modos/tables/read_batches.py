"""Turn runs of reads into Arrow batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from modos.errors import ConflictError, InvalidInputError
from modos.tables import arrow
from modos.tables.bam_records import FIELDS, BamRecords
from modos.tables.bam_tags import decode_tag, find_tags
from modos.tables.choosing import choose_of_reads
from modos.tables.column_kinds import cast_column, is_text
from modos.tables.ragged import Block

_ONE_BASED = {b"coordinates": b"1-based, inclusive"}
Kinds = Mapping[str, str]
Decoded = tuple[int, dict[str, Any], dict[str, tuple[str, Any]]]


class ReadBatches:
    """The columns of reads that are wanted, and how a run of reads becomes a batch of them.

    Parameters
    ----------
    contigs
        Names of the contigs, by their number.
    columns
        Names of columns; None for all fields and all tags that the reads have.

    Raises
    ------
    InvalidInputError
        There is no such column.
    """

    run_bytes = 4 << 20

    def __init__(self, contigs: Iterable[str], columns: Iterable[str] | str | None):
        self._contigs = arrow.make_strings(contigs)
        self._wanted = choose_of_reads(columns, FIELDS)
        self._fields = [column.name for column in self._wanted if column.section == "field"]
        self._tags = {column.name: column.kind for column in self._wanted if column.section == "tag"}
        self._takes_all = any(column.section == "tags" for column in self._wanted)

    @property
    def known(self) -> dict[str, str] | None:
        """The kinds of all columns whose kind the reads could decide; None where only the reads say it."""
        if self._takes_all or None in self._tags.values():
            return None
        return {name: kind for name, kind in self._tags.items() if kind}

    def decode(self, block: Block) -> Decoded:
        """Decode a run: the number of reads, the fields, and the tags with their kinds."""
        records = BamRecords(block, self._contigs)
        return len(records), records.decode(self._fields), self._decode_tags(records)

    def kinds_in(self, decoded: Decoded) -> dict[str, str]:
        """Return the kinds of the tags of a decoded run."""
        return {name: kind for name, (kind, _) in decoded[2].items()}

    def find_kinds(self, block: Block) -> dict[str, str]:
        """Find the kinds of the tags of a run."""
        return {name: kind for name, (kind, _) in self._decode_tags(BamRecords(block, self._contigs)).items()}

    def _decode_tags(self, records: BamRecords) -> dict[str, tuple[str, Any]]:
        if not self._takes_all and not self._tags:
            return {}
        found = find_tags(records, None if self._takes_all else frozenset(self._tags))
        return {name: decode_tag(records, tags, name) for name, tags in found.iter_names()}

    def settle(self, kinds: Kinds) -> dict[str, str]:
        """Return the kinds of the columns by those that were found."""
        return {**kinds, **{name: kind for name, kind in self._tags.items() if kind}}

    def schema(self, kinds: Kinds) -> Any:
        """Return the schema of the batches."""
        pa = arrow.load_pyarrow()
        fields = []
        for name, section in self._layout(kinds):
            if section == "field":
                metadata = _ONE_BASED if name in ("pos", "pnext", "end") else None
                fields.append(pa.field(name, _field_type(name), metadata=metadata))
            else:
                fields.append(pa.field(name, arrow.type_of(kinds[name]) if name in kinds else pa.null()))
        return pa.schema(fields)

    def _layout(self, kinds: Kinds) -> list[tuple[str, str]]:
        """Return names and sections of all columns, in their order."""
        columns: list[tuple[str, str]] = []
        for wanted in self._wanted:
            if wanted.section != "tags":
                columns.append((wanted.name, wanted.section))
            else:
                columns += [(name, "tag") for name in sorted(kinds) if name not in self._tags]
        return columns

    def assemble(self, decoded: Decoded, kinds: Kinds, schema: Any) -> Any:
        """Make the batch of a run.

        Raises
        ------
        InvalidInputError
            A tag has another type than was told.
        ConflictError
            There is a tag that was not there before.
        """
        pa = arrow.load_pyarrow()
        count, fields, tags = decoded
        if new := [name for name in tags if name not in kinds]:
            raise ConflictError(f"the reads have the tag {new[0]} now: the file was changed while it was read", "read it again")
        columns = []
        for (name, section), field in zip(self._layout(kinds), schema):
            if section == "field":
                columns.append(fields[name])
            elif name in tags:
                columns.append(_cast_tag(name, *tags[name], kinds[name]))
            else:
                columns.append(pa.nulls(count, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast_tag(name: str, kind: str, column: Any, wanted: str) -> Any:
    pa = arrow.load_pyarrow()
    if is_text(wanted) or not is_text(kind):
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):  # a number that would not stay the same
            return cast_column(column, kind, wanted)
    raise InvalidInputError(
        f"the tag {name} is {kind} in some reads, and not {wanted}", f"name it with its type: {name}:Z has all values as text"
    )


def _field_type(name: str) -> Any:
    pa = arrow.load_pyarrow()
    types = {
        "flag": pa.uint16(),
        "mapq": pa.uint8(),
        "tlen": pa.int32(),
        "pos": pa.int64(),
        "pnext": pa.int64(),
        "end": pa.int64(),
    }
    return types.get(name, pa.string())
