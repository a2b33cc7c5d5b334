"""Turn runs of variants into Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from modos.errors import InvalidInputError, listing
from modos.genomics.reader import check_samples
from modos.tables import arrow
from modos.tables.choosing import choose_of_variants
from modos.tables.declared import Declarations
from modos.tables.ragged import Block
from modos.tables.vcf_records import FIELDS

Kinds = Mapping[str, str]
SAMPLE = "sample"

_ONE_BASED = {b"coordinates": b"1-based"}


class VariantRecords(Protocol):
    """Some records of a VCF or BCF, decoded column by column."""

    def __len__(self) -> int: ...
    def decode(self, name: str) -> Any:
        """Decode a fixed field."""

    def info_keys(self) -> Iterable[str]:
        """Return the keys of INFO that records have."""

    def format_keys(self) -> Iterable[str]:
        """Return the keys of FORMAT that records have."""

    def decode_info(self, key: str, kind: str) -> Any:
        """Decode a key of INFO."""

    def decode_format(self, key: str, kind: str, samples: npt.NDArray[np.int64], *, by_record: bool) -> Any:
        """Decode a key of FORMAT."""


Decoded = tuple[int, dict[str, Any]]


class VariantBatches:
    """The columns of variants that are wanted, and how a run of records becomes a batch of them.

    Parameters
    ----------
    read
        Takes a run apart.
    declared
        What the header declares.
    name
        Of the file.
    columns
        Names of columns; None for all.
    samples
        The samples, in the order of their columns; None for all.
    sample_rows
        Whether each sample of a record is a row of its own.

    Raises
    ------
    InvalidInputError
        There is no such column; a sample is called as another column is.
    NotFoundError
        There is no such sample.
    """

    def __init__(
        self,
        read: Callable[[Block], VariantRecords],
        declared: Declarations,
        name: str,
        columns: Iterable[str] | str | None,
        samples: Iterable[str] | None,
        sample_rows: bool,
    ):
        self._read, self._declared, self._name, self._is_long = read, declared, name, sample_rows
        self._wanted = choose_of_variants(columns, FIELDS, declared.info, declared.format)
        self._samples = list(declared.samples) if samples is None else check_samples(samples, declared.samples, name)
        at = {sample: number for number, sample in enumerate(declared.samples)}
        self._numbers = np.array([at[sample] for sample in self._samples], np.int64)
        self._info, self._format = self._declared_of("INFO", declared.info), self._declared_of("FORMAT", declared.format)
        if not self._samples:
            self._format = {}
        self._takes = {column.section for column in self._wanted}
        names = {column.name for column in self._wanted if column.section == "field"} | {f"INFO/{key}" for key in self._info}
        clash = next((sample for sample in self._samples if sample in names), None)
        if clash and not sample_rows and self._format:
            raise InvalidInputError(
                f"a sample is called {clash}, as a column is", "ask for a row for each sample (samples='rows')"
            )
        self.run_bytes = min(max(4 << 20, len(declared.samples) << 13), 32 << 20)

    def _declared_of(self, section: str, declared: Mapping[str, str]) -> dict[str, str]:
        """Return the kinds of the keys of INFO or FORMAT that are wanted."""
        kinds: dict[str, str] = {}
        for column in self._wanted:
            if column.section == section and column.kind:
                kinds[column.name] = column.kind
            elif column.section == f"{section}*":
                kinds = {**declared, **kinds}
        return kinds

    @property
    def known(self) -> dict[str, str]:
        """The kinds that records could decide: none, as the header does."""
        return {}

    def decode(self, block: Block) -> Decoded:
        """Decode a run: the number of records, and the columns; undeclared keys that are wanted with all others are texts."""
        records = self._read(block)
        columns = {column.name: records.decode(column.name) for column in self._wanted if column.section == "field"}
        info = {**self._info, **self._find_more("INFO*", records.info_keys, self._info)}
        format = {**self._format, **(self._find_more("FORMAT*", records.format_keys, self._format) if self._samples else {})}
        columns |= {f"INFO/{key}": records.decode_info(key, kind) for key, kind in info.items()}
        columns |= {
            f"FORMAT/{key}": records.decode_format(key, kind, self._numbers, by_record=self._is_long)
            for key, kind in format.items()
        }
        return len(records), columns

    def _find_more(self, section: str, keys: Callable[[], Iterable[str]], known: Kinds) -> dict[str, str]:
        return {key: "text" for key in keys() if key not in known} if section in self._takes else {}

    def find_kinds(self, block: Block) -> dict[str, str]:
        """Find the undeclared keys of a run."""
        records = self._read(block)
        found = {f"INFO/{key}": kind for key, kind in self._find_more("INFO*", records.info_keys, self._info).items()}
        if self._samples:
            found |= {
                f"FORMAT/{key}": kind for key, kind in self._find_more("FORMAT*", records.format_keys, self._format).items()
            }
        return found

    def settle(self, kinds: Kinds) -> dict[str, str]:
        """Return the kinds of undeclared keys by those that were found."""
        return dict(kinds)

    def kinds_in(self, decoded: Decoded) -> dict[str, str]:
        """Return the undeclared keys that a decoded run has."""
        return {name: "text" for name in decoded[1] if "/" in name and not self._is_known(name)}

    def _is_known(self, name: str) -> bool:
        section, _, key = name.partition("/")
        return key in (self._info if section == "INFO" else self._format)

    def _layout(self, kinds: Kinds) -> list[tuple[str, Any]]:
        """Return names and types of all columns; of FORMAT, those of each key."""
        columns: list[tuple[str, Any]] = []
        for column in self._wanted:
            if column.section == "field":
                columns.append((column.name, _field_type(column.name)))
            elif column.section in ("INFO", "FORMAT"):
                if column.section == "INFO" or self._samples:
                    columns.append((f"{column.section}/{column.name}", arrow.type_of(column.kind or "text")))
            else:
                section = column.section[:-1]
                declared = self._info if section == "INFO" else self._format
                named = {other.name for other in self._wanted if other.section == section}
                columns += [(f"{section}/{key}", arrow.type_of(kind)) for key, kind in declared.items() if key not in named]
                columns += [(name, arrow.type_of(kind)) for name, kind in sorted(kinds.items()) if name.startswith(f"{section}/")]
        return columns

    def schema(self, kinds: Kinds) -> Any:
        """Return the schema of the batches."""
        pa = arrow.load_pyarrow()
        fields, values = [], []
        for name, type in self._layout(kinds):
            if not name.startswith("FORMAT/"):
                fields.append(pa.field(name, type, metadata=_ONE_BASED if name == "pos" else None))
            elif self._is_long:
                values.append(pa.field(name, type))
            else:
                values.append(pa.field(name.removeprefix("FORMAT/"), type))
        if self._is_long:
            return pa.schema([*fields, pa.field(SAMPLE, pa.string()), *values])
        return pa.schema([*fields, *(pa.field(sample, pa.struct(values)) for sample in self._samples if values)])

    def assemble(self, decoded: Decoded, kinds: Kinds, schema: Any) -> Any:
        """Make the batch of a run.

        Raises
        ------
        InvalidInputError
            A record has a key that the header leaves out, and that was not found before.
        """
        pa = arrow.load_pyarrow()
        if undeclared := [name for name in self.kinds_in(decoded) if name not in kinds]:
            raise InvalidInputError(
                f"the header of {self._name} does not declare {listing(undeclared)}",
                f"name the columns that you want, with types of the undeclared: {undeclared[0]}:String",
            )
        count, columns = decoded
        cells = count * len(self._samples)
        arrays: list[Any] = []
        values: list[Any] = []
        for name, type in self._layout(kinds):
            is_format = name.startswith("FORMAT/")
            column = columns[name] if name in columns else pa.nulls(cells if is_format else count, type)
            (values if is_format else arrays).append(column)
        if not self._is_long:
            fields = list(schema.field(len(arrays)).type) if values else []
            for number in range(len(self._samples) if values else 0):
                parts = [column.slice(number * count, count) for column in values]
                arrays.append(pa.StructArray.from_arrays(parts, fields=fields))
            return pa.RecordBatch.from_arrays(arrays, schema=schema)
        rows = arrow.make_numbers(np.repeat(np.arange(count), len(self._samples)))
        numbers = np.tile(np.arange(len(self._samples), dtype=np.int32), count)
        names = arrow.take_names(arrow.make_strings(self._samples), numbers, "a record")
        long = [column.take(rows) for column in arrays]
        return pa.RecordBatch.from_arrays([*long, names, *values], schema=schema)


def _field_type(name: str) -> Any:
    pa = arrow.load_pyarrow()
    types = {"pos": pa.int64(), "qual": pa.float32(), "alt": pa.list_(pa.string()), "filter": pa.list_(pa.string())}
    return types.get(name, pa.string())
