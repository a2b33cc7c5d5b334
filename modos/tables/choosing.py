"""Choose columns of tables by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from modos.errors import InvalidInputError, did_you_mean, listing

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]")
_TAG_KINDS = {
    "A": "text",
    "i": "integer",
    "f": "real",
    "Z": "text",
    "H": "text",
    **dict.fromkeys(("Bc", "BC", "Bs", "BS", "Bi", "BI"), "integers"),
    "Bf": "reals",
}
_TYPES = {"Integer": "integer", "Float": "real", "String": "text"}
_INTEGER_TAGS = "AM AS CM CP FI H0 H1 H2 HI IH MN MQ NH NM OP PQ SM TC UQ"
_TEXT_TAGS = "BC BQ BZ CB CC CO CQ CR CS CT CY E2 FS LB MC MD MI MM OA OC OQ OX PG PT PU Q2 QT QX R2 RG RX SA TS U2"
_STANDARD = {  # tags of the SAM specification (SAMtags) by their kind
    **dict.fromkeys(_INTEGER_TAGS.split(), "integer"),
    **dict.fromkeys(_TEXT_TAGS.split(), "text"),
    "ML": "integers",
}


class Wanted(NamedTuple):
    """A column that was asked for.

    Parameters
    ----------
    section
        `field`, `tag`, `INFO` or `FORMAT`; or `tags`, `INFO*`, `FORMAT*` for all of them.
    kind
        None where nothing says it.
    """

    section: str
    name: str
    kind: str | None = None


def split_names(names: Iterable[str] | str) -> list[str]:
    """Return names of columns as a list: of a text, what commas separate.

    Raises
    ------
    InvalidInputError
        There is none, or one twice.
    """
    found = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    if not [name for name in found if name]:
        raise InvalidInputError("no column is named", "leave columns out for all of them")
    twice = [name for number, name in enumerate(found) if name in found[:number]]
    if twice:
        raise InvalidInputError(f"the column {twice[0]} is named twice", "name each once")
    return found


def choose_fields(names: Iterable[str] | str | None, fields: Sequence[str], what: str) -> list[str]:
    """Choose columns among some that are known; all of them where the names are None.

    Raises
    ------
    InvalidInputError
        There is no such column.
    """
    if names is None:
        return list(fields)
    chosen = split_names(names)
    for name in chosen:
        if name not in fields:
            raise unknown_column_error(name, fields, what)
    return chosen


def choose_of_reads(names: Iterable[str] | str | None, fields: Sequence[str]) -> list[Wanted]:
    """Choose columns of reads: fields, tags (`NM`, or `XA:Z` with its type), and `tags` for all of these."""
    if names is None:
        return [*(Wanted("field", name) for name in fields), Wanted("tags", "tags")]
    return [_read_column(name, fields) for name in split_names(names)]


def _read_column(text: str, fields: Sequence[str]) -> Wanted:
    name, _, type = text.partition(":")
    if text in fields:
        return Wanted("field", text)
    if text == "tags":
        return Wanted("tags", text)
    if not _TAG.fullmatch(name):
        raise unknown_column_error(text, [*fields, "tags"], "reads", "and tags such as NM, or XA:Z with its type")
    if type and type not in _TAG_KINDS:
        raise InvalidInputError(f"{text} is no tag with a type", f"types are {', '.join(_TAG_KINDS)}")
    return Wanted("tag", name, _TAG_KINDS[type] if type else _STANDARD.get(name))


def choose_of_variants(
    names: Iterable[str] | str | None, fields: Sequence[str], info: Mapping[str, str], format: Mapping[str, str]
) -> list[Wanted]:
    """Choose columns of variants: fields, `INFO/KEY` and `FORMAT/KEY`, also with a type, `INFO` and `FORMAT` for all of these."""
    if names is None:
        return [*(Wanted("field", name) for name in fields), Wanted("INFO*", "INFO"), Wanted("FORMAT*", "FORMAT")]
    known = [*fields, "INFO", "FORMAT", *(f"INFO/{key}" for key in info), *(f"FORMAT/{key}" for key in format)]
    return [_variant_column(name, fields, {"INFO": info, "FORMAT": format}, known) for name in split_names(names)]


def _variant_column(text: str, fields: Sequence[str], declared: Mapping[str, Mapping[str, str]], known: Sequence[str]) -> Wanted:
    if text in fields:
        return Wanted("field", text)
    if text in declared:
        return Wanted(f"{text}*", text)
    section, _, key = text.partition("/")
    if section in declared and key in declared[section]:
        return Wanted(section, key, declared[section][key])
    key, _, type = key.rpartition(":")
    if section not in declared or not key:
        raise unknown_column_error(text, known, "these variants", "and with a type what the header leaves out: INFO/KEY:String")
    if type.removesuffix("[]") not in _TYPES:
        raise InvalidInputError(f"{text} has no type of a column", f"types are {', '.join(_TYPES)}, and as lists Integer[]")
    return Wanted(section, key, _TYPES[type.removesuffix("[]")] + ("s" if type.endswith("[]") else ""))


def unknown_column_error(name: str, known: Sequence[str], what: str, more: str = "") -> InvalidInputError:
    """Return the error for a column that there is not."""
    near = did_you_mean(name, known)
    return InvalidInputError(
        f"there is no column {name} of {what}",
        (f"did you mean {near}? " if near else "") + f"columns are {listing(known, 30)}" + (f", {more}" if more else ""),
    )
