"""Write the variants of a VCF Zarr as text of VCF, with the numbers as htslib writes them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np

ARRAYS_OF = {"INFO": "variant_", "FORMAT": "call_"}  # what the names of the arrays of fields begin with
NUMBER = "vcf_number"  # attribute of an array: how many values the header says that a field has
_QUALITY = "variant_quality"
_QUALITY_COLUMN = 5
_MISSING, _FILL = 0x7F800001, 0x7F800002  # bits of the float32 that stand for a missing value, and for no value
_FIXED_COLUMNS = 8
_COUNTED = re.compile(r"(##(INFO|FORMAT)=<ID=([^,]+),Number=)([^,]+)(,.*)")
_FIXED = re.compile(r"[ARG.]|\d{1,9}")
_DESCRIBED = re.compile(r'(##(?:INFO|FORMAT|FILTER)=<.*?,Description=")(.*)(">)')
_QUOTE = re.compile(r'((?<!\\)(?:\\\\)*)"')  # that no backslash escapes


def header_of(vcztools: Any, reader: Any) -> str:
    """Return the header of a VCF Zarr as text.

    Raises
    ------
    IntegrityError
        What the tree says does not make the header of a VCF.
    """
    output = io.StringIO()
    with vcztools.VcfWriter(reader, output, encode_threads=1) as writer:
        writer.write_header(no_version=True)
    mended = (_mend_number(reader.root, _mend_description(line)) for line in output.getvalue().removesuffix("\n").split("\n"))
    *lines, columns = mended
    samples = len(reader.sample_ids)
    wanted = _FIXED_COLUMNS + (samples + 1 if samples else 0)
    if not all(line.startswith("##") for line in lines) or not columns.startswith("#CHROM\t") or _count(columns) != wanted:
        raise IntegrityError("the texts in the tree make no header of a VCF", "write the tree again from its source")
    return "".join(f"{line}\n" for line in (*lines, columns))


def _mend_description(line: str) -> str:
    """Put back the quote that bio2zarr takes from the end of a description, and escape those within."""
    if not (found := _DESCRIBED.fullmatch(line)):
        return line
    text = _QUOTE.sub(r'\1\\"', found[2])
    backslashes = len(text) - len(text.rstrip("\\"))
    return found[1] + text + ('"' if backslashes % 2 else "") + found[3]


def _mend_number(group: Any, line: str) -> str:
    """Tell how many values a field has: as its array says, or any number where vcztools says the most that there is room for."""
    if not (found := _COUNTED.fullmatch(line)) or found[3] == "GT":
        return line
    array = group[ARRAYS_OF[found[2]] + found[3]]
    told = array.attrs.get(NUMBER)
    if not (isinstance(told, str) and _FIXED.fullmatch(told)):
        told = "." if found[4].isdecimal() and int(found[4]) > 1 else found[4]
    return f"{found[1]}{told}{found[5]}"


def records_of(vcztools: Any, reader: Any, chunk: Mapping[str, Any]) -> str:
    """Return the records of a chunk of a VCF Zarr as text, a line each.

    Floating-point numbers have six significant digits, as in the output of
    bcftools; vcztools itself writes three decimals.

    Raises
    ------
    IntegrityError
        A text in the tree has a tab or a line feed.
    """
    output = io.StringIO()
    given = {name: _as_bytes(name, values) for name, values in chunk.items() if name != _QUALITY}
    with vcztools.VcfWriter(reader, output, encode_threads=1) as writer:
        writer.write_chunk(given)
    lines = output.getvalue().split("\n")[:-1]
    samples = len(reader.sample_ids)
    if len(lines) != len(chunk["variant_position"]) or any(_has_foreign_tabs(line, samples) for line in lines):
        raise IntegrityError("a text in the tree has a tab or a line feed", "write the tree again from its source")
    if _QUALITY in chunk:
        lines = [_with_quality(line, quality) for line, quality in zip(lines, _format_floats(chunk[_QUALITY]).tolist())]
    return "".join(f"{line}\n" for line in lines)


def _count(line: str) -> int:
    return line.count("\t") + 1


def _has_foreign_tabs(line: str, samples: int) -> bool:
    columns = _count(line)
    return columns != _FIXED_COLUMNS + samples + 1 if samples else columns != _FIXED_COLUMNS


def _with_quality(line: str, quality: bytes) -> str:
    columns = line.split("\t", _QUALITY_COLUMN + 1)
    columns[_QUALITY_COLUMN] = quality.decode() or "."
    return "\t".join(columns)


def _as_bytes(name: str, values: np.ndarray) -> np.ndarray:
    """Return floats and texts of a field as bytes, which vcztools writes as they are."""
    if values.dtype.kind == "f":
        return _format_floats(values)
    if values.dtype.kind in "OUT" and name.startswith(("variant_", "call_")):
        import numpy as np

        texts = [str(text).encode() for text in values.ravel().tolist()]
        return np.array(texts, dtype="S").reshape(values.shape) if texts else values
    return values


def _format_floats(values: np.ndarray) -> np.ndarray:
    """Write floats as htslib does: `.` for a missing one, nothing where there is none."""
    import numpy as np

    bits = _as_float32(values).view(np.int32)
    distinct, which = np.unique(bits, return_inverse=True)
    told = {_MISSING: b".", _FILL: b""}
    texts = [told.get(bit) for bit in distinct.tolist()]
    numbers = distinct.view(np.float32).tolist()
    written = [f"{number:g}".encode() if text is None else text for text, number in zip(texts, numbers)]
    return np.array(written or [b""], dtype="S")[which].reshape(values.shape) if written else values.astype("S1")


def _as_float32(values: np.ndarray) -> np.ndarray:
    import numpy as np

    if values.dtype == np.float32:
        return np.ascontiguousarray(values)
    from importlib import import_module

    converted: np.ndarray = import_module("vcztools.utils").to_vcf_float32(values)
    return np.ascontiguousarray(converted)
