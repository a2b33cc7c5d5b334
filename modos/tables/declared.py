"""Read what a VCF or BCF declares of INFO and FORMAT (VCFv4.5 section 1.4, BCFv2.2 section 6.2.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modos.genomics.index.file_header import header_fields
from modos.genomics.index.vcf_header import sample_names

_LINE = re.compile(rb"^##(INFO|FORMAT|FILTER)=<([^\n]*)", re.MULTILINE)
_KINDS = {"Integer": "integer", "Float": "real", "Flag": "flag"}  # of others: text


@dataclass(frozen=True)
class Declarations:
    """Declarations of a header.

    Parameters
    ----------
    info, format
        Kinds of the keys, in the order of the header.
    samples
        Names of the samples.
    strings
        The names of filters and keys, by the number that a BCF has for them.
    """

    info: dict[str, str]
    format: dict[str, str]
    samples: tuple[str, ...]
    strings: dict[int, str]

    @classmethod
    def from_header(cls, text: bytes) -> Declarations:
        """Read the header, as text; the first declaration of a name counts."""
        kinds: dict[bytes, dict[str, str]] = {b"INFO": {}, b"FORMAT": {}, b"FILTER": {}}
        numbers = {"PASS": 0}
        for section, line in _LINE.findall(text):
            fields = header_fields(line)
            if "ID" not in fields:
                continue
            name = fields["ID"]
            kinds[section].setdefault(name, declared_kind(fields.get("Number", "."), fields.get("Type", "String")))
            if name not in numbers:
                index = fields.get("IDX", "")
                numbers[name] = int(index) if index.isascii() and index.isdigit() else max(numbers.values()) + 1
        kinds[b"FORMAT"] |= {key: "text" for key in ("GT",) if key in kinds[b"FORMAT"]}
        strings = {number: name for name, number in numbers.items()}
        return cls(kinds[b"INFO"], kinds[b"FORMAT"], sample_names(text), strings)


def declared_kind(number: str, type: str) -> str:
    """Return the kind of a column by Number and Type of its declaration."""
    kind = _KINDS.get(type, "text")
    if kind == "flag" or (number == "0" and kind == "text"):
        return "flag"
    return kind if number == "1" else f"{kind}s"
