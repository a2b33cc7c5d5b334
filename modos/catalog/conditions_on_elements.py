"""Select rows of elements by their class and by a condition in SQL, also on what they are linked to.

A condition is an expression of SQL over the columns of the table of elements,
as polars reads it (`sex = 'Female' and taxon_id in ('9606', '10090')`). What
the class of an element does not have is looked for in what it is linked to:
data take `sex` from their samples. `sample.name` names the link, where the
element has such a slot of its own. A slot with several values, and several
samples, are several rows of a join: an element is found if one of them fits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from modos.catalog.element_links import MOST_ROWS, find_edges, has_way, refuse_many
from modos.catalog.element_rows import CLASS, ELEMENT, OBJECT, OWN, schema
from modos.errors import InvalidInputError, did_you_mean, listing
from modos.errors.missing import load_late
from modos.metadata.model.schema import class_names, describe, slots_of, tables

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

LINKED = ("sample", "assay", "data", "reference", "sequence", "object")  # where a slot is looked for, in this order
_MOST = 4000  # characters of a condition
_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?P<quoted>"[^"]*")|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)"""
    r"""|(?P<number>\d[\w.]*)|(?P<blank>\s+)|(?P<sign>[()=<>!,.+*/%|-])"""
)
_COMMENTS = ("--", "/*")  # polars skips what is in them, also the quotes
_WORDS = frozenset(
    ("and", "or", "not", "in", "is", "null", "like", "ilike", "between", "true", "false", "case", "when", "then", "else", "end")
)
_FUNCTIONS = frozenset(
    (
        "abs",
        "ceil",
        "char_length",
        "coalesce",
        "ends_with",
        "floor",
        "greatest",
        "ifnull",
        "least",
        "left",
        "length",
        "lower",
        "ltrim",
        "nullif",
        "octet_length",
        "right",
        "round",
        "rtrim",
        "starts_with",
        "strpos",
        "substr",
        "substring",
        "trim",
        "upper",
    )
)
_COMPARING = frozenset("=<>!")
_SOME_TIME = re.compile(r"\d{4}(-\d\d)?")  # a year, or a month, with which times can be compared as texts


@dataclass(frozen=True)
class Column:
    """Column that a condition asks for.

    Parameters
    ----------
    name
        In the expression.
    link
        One of LINKED; empty for the element itself, and where its class has no such slot the first link that has.
    is_named
        Whether the link is written in the condition.
    is_local
        Whether of a term only what comes after its prefix is meant: `9606` of `NCBITaxon:9606`.
    """

    name: str
    slot: str
    link: str = ""
    is_named: bool = False
    is_local: bool = False


@dataclass(frozen=True)
class Condition:
    """Condition on rows of elements, and the columns that it asks for."""

    text: str
    columns: tuple[Column, ...]

    def to_expression(self) -> pl.Expr:
        """Return it as an expression of polars; InvalidInputError where SQL has no such."""
        try:
            return pl.sql_expr(self.text)
        except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
            raise _bad_condition(str(error)) from None


def parse_condition(text: str) -> Condition:
    """Parse a condition.

    Raises
    ------
    InvalidInputError
        It is no expression of SQL, asks for a column that there is not, or calls what is not known.
    """
    if len(text) > _MOST:
        raise InvalidInputError(f"the condition has {len(text):,} characters", f"write it with at most {_MOST:,}")
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(text)]
    if "".join(token for _, token in tokens) != text:
        raise _bad_condition(
            "a quote is not closed" if text.count("'") % 2 or text.count('"') % 2 else "it has what is no part of a condition"
        )
    words = [token for token in tokens if token[0] != "blank"]
    if not words:
        raise _bad_condition("it is empty")
    if any(mark in "".join(token if kind == "sign" else " " for kind, token in tokens) for mark in _COMMENTS):
        raise _bad_condition("it has a comment")
    columns: dict[str, Column] = {}
    written = [token for _, token in tokens]
    places = [at for at, (kind, _) in enumerate(tokens) if kind != "blank"]
    for at, (kind, token) in enumerate(words):
        if kind == "quoted" or (kind == "name" and token.lower() not in _WORDS and not _is_call(words, at)):
            compared = _find_compared(words, at)
            column = _find_column(token.strip('"'), [words[other][1] for other in compared])
            columns[column.name] = column
            written[places[at]] = f'"{column.name}"'
            if _is_time(column.slot):
                for other in compared:
                    written[places[other]] = _write_time(column.name, words[other][1])
    return Condition("".join(written), tuple(columns.values()))


def _is_call(words: Sequence[tuple[str, str]], at: int) -> bool:
    """Return whether a name is that of a function; InvalidInputError for one that is not known."""
    if words[at + 1 : at + 2] != [("sign", "(")]:
        return False
    if words[at][1].lower() not in _FUNCTIONS:
        raise InvalidInputError(f"a condition cannot call {words[at][1]}", f"it can call {listing(sorted(_FUNCTIONS), 60)}")
    return True


def _bad_condition(reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"the condition cannot be read: {reason.splitlines()[0][:200] if reason else 'it is no expression of SQL'}",
        "write it as in SQL: \"sex = 'Female' and data_size > 1000\"; texts are in single quotes",
    )


def _find_compared(words: Sequence[tuple[str, str]], at: int) -> list[int]:
    """Find the texts that a column is compared with, by `=`, `<` and the like, `in` and `between`; not by `like`."""
    kinds, lower = [kind for kind, _ in words], [word.lower() for _, word in words]
    before, after = at - 1, at + 1
    while before >= 0 and lower[before] in _COMPARING:
        before -= 1
    while after < len(words) and lower[after] in _COMPARING:
        after += 1
    found = [before] if 0 <= before < at - 1 else []
    found += [after] if after > at + 1 else []
    after += lower[after : after + 1] == ["not"]
    if lower[after : after + 2] == ["in", "("]:
        end = lower.index(")", after) if ")" in lower[after:] else len(words)
        found += range(after + 2, end)
    elif lower[after : after + 1] == ["between"]:
        found += (after + 1, after + 3)
    return [one for one in found if kinds[one : one + 1] == ["text"]]


def _means_local(name: str, texts: Sequence[str]) -> bool:
    """Return whether the texts that a column of terms is compared with are no URIs or CURIEs."""
    local = {":" not in text and "/" not in text for text in texts}
    if len(local) > 1:
        raise InvalidInputError(
            f"{name} is compared with terms with a prefix and with others without one", "write all with it, or all without it"
        )
    return local == {True}


def _is_time(slot: str) -> bool:
    return bool(schema()[slot] == pl.Datetime("us"))


def _write_time(name: str, quoted: str) -> str:
    """Write a time as the columns of times are compared: by UTC, and a date alone where there is no time."""
    text = quoted[1:-1]
    try:
        time = datetime.fromisoformat(text)
        time = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    except (ValueError, OverflowError):
        if _SOME_TIME.fullmatch(text):
            return quoted
        raise InvalidInputError(
            f"{name} is compared with {quoted[:60]}, which is no time", "write it as '2025-01-15', or '2025-01-15T10:00:00'"
        ) from None
    return f"'{time.isoformat().removesuffix('T00:00:00')}'"


def _find_column(name: str, compared: Sequence[str]) -> Column:
    link, _, slot = name.rpartition(".")
    if link:
        known = _slots_of_group().get(link)
        if known is None:
            raise InvalidInputError(f"{name}: an element has no link {link}", f"there are {listing(LINKED)}")
        if slot not in known:
            raise _unknown_error(name, slot, known)
    elif name in OWN or name == "id":
        return Column(ELEMENT if name == "id" else name, ELEMENT if name == "id" else name)
    else:
        known = sorted(name for name in schema() if name != "other")
        if slot not in known:
            raise _unknown_error(name, slot, known)
    is_local = _is_term(slot) and _means_local(name, compared)
    return Column(f"{name}#" if is_local else name, slot, link, bool(link), is_local)


def _unknown_error(name: str, slot: str, known: Sequence[str]) -> InvalidInputError:
    near = did_you_mean(slot, known)
    return InvalidInputError(f"there is no column {name}", f"did you mean {near}?" if near else f"there are {listing(known, 60)}")


@cache
def _slots_of_group() -> Mapping[str, Sequence[str]]:
    columns = schema()
    found: dict[str, set[str]] = {group: set() for group in LINKED}
    for name in class_names():
        group = describe(name)["group"] or "object"
        found[group].update(slot for slot in slots_of(name) if slot in columns)
    return {group: sorted(slots) for group, slots in found.items()}


def _is_term(slot: str) -> bool:
    return any(
        slots.get(slot, {"range": ""})["range"] == "uriorcurie" for slots in (c["slots"] for c in tables()["classes"].values())
    )


def select_elements(elements: pl.LazyFrame, class_name: str | None = None, where: str | None = None) -> pl.LazyFrame:
    """Select rows of elements of a class, or of those that are a kind of it, that fulfil a condition.

    Raises
    ------
    SchemaError
        There is no such class.
    InvalidInputError
        The condition cannot be read, or asks for what the class neither has nor is linked to.
    """
    kinds = class_names() if class_name is None else kinds_of(class_name)
    rows = elements.filter(pl.col(CLASS).is_in(kinds)) if class_name else elements.filter(pl.col(CLASS).is_not_null())
    if where is None:
        return _without_empty(rows, kinds)
    condition = parse_condition(where)
    expression = condition.to_expression()
    joined = _join_columns(elements, rows, condition.columns, kinds)
    try:
        keys = joined.filter(expression).select(OBJECT, ELEMENT).unique().collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _bad_condition(str(error)) from None
    of_them = rows.filter(
        pl.col(OBJECT).is_in(keys[OBJECT].unique().implode()), pl.col(ELEMENT).is_in(keys[ELEMENT].unique().implode())
    )
    return _without_empty(of_them, kinds).join(keys.lazy(), on=[OBJECT, ELEMENT], how="semi")


def _without_empty(rows: pl.LazyFrame, kinds: Sequence[str]) -> pl.LazyFrame:
    """Return rows of some classes, whose columns that no such class has are not read."""
    having = {slot for kind in kinds for slot in slots_of(kind)} | set(OWN)
    return rows.with_columns(pl.lit(None, type).alias(name) for name, type in schema().items() if name not in having)


def kinds_of(class_name: str) -> list[str]:
    """List a class and those that are a kind of it: those whose slots include all of its own, in its group."""
    described = describe(class_name)
    return [
        name
        for name in class_names()
        if name == class_name
        or (described["group"] == "data" and class_name == "DataEntity" and describe(name)["group"] == "data")
    ]


def _join_columns(elements: pl.LazyFrame, rows: pl.LazyFrame, columns: Sequence[Column], kinds: Sequence[str]) -> pl.LazyFrame:
    """Return the rows with the columns of a condition: one row for each combination of their values."""
    groups = {describe(kind)["group"] or "" for kind in kinds}
    own = {OBJECT, ELEMENT, CLASS, *(column.slot for column in columns if column.slot in OWN)}
    asked = [column for column in columns if column.slot not in OWN]
    linked = {column for column in asked if column.is_named or not all(column.slot in slots_of(kind) for kind in kinds)}
    links = {column: _find_link(column, groups, kinds) if column in linked else "" for column in asked}
    frame = rows.select(*own, *(pl.col(slot).alias(f"own.{slot}") for slot in {column.slot for column in links}))
    for number, link in enumerate(dict.fromkeys(links[column] for column in links if column in linked)):
        wanted = sorted({column.slot for column in linked if links[column] == link})
        is_it = pl.col(ELEMENT) == "" if link == "object" else pl.col(ELEMENT).str.starts_with(f"{link}/")
        values = elements.filter(is_it).select(
            OBJECT, pl.col(ELEMENT).alias("to"), *(pl.col(s).alias(f"{link}.{s}") for s in wanted)
        )
        linked_rows = find_edges(elements, link, groups).join(values, on=[OBJECT, "to"]).drop("to")
        if number:  # those of one link are as many as it has
            left, right = frame.collect(), linked_rows.collect()
            refuse_many(left, right, (OBJECT, ELEMENT))
            frame, linked_rows = left.lazy(), right.lazy()
        frame = frame.join(linked_rows, on=[OBJECT, ELEMENT], how="left")
    frame = frame.with_columns(*(_value_of(column, links[column] if column in linked else None) for column in links))
    several = [column.name for column in links if isinstance(schema()[column.slot], pl.List)]
    if len(several) > 1:
        _refuse_many(frame, several)
    for name in several:
        frame = frame.explode(name)
    return frame.with_columns(*(_local_part(column.name) for column in links if column.is_local))


def _refuse_many(frame: pl.LazyFrame, names: Sequence[str]) -> None:
    """Refuse columns whose values have more combinations than fit into memory: one object may have lists of any length."""
    combinations = pl.lit(1.0)
    for name in names:
        combinations *= pl.col(name).list.len().fill_null(1).clip(1)
    if (count := frame.select(combinations.sum()).collect().item()) > MOST_ROWS:
        raise InvalidInputError(
            f"the condition asks for {count:,.0f} combinations of the values of {listing(names)}", "ask for one of them at a time"
        )


def _find_link(column: Column, groups: Collection[str], kinds: Sequence[str]) -> str:
    """Find the link of a column: the named one, or the first one of which some of the groups have a way to the slot."""
    for link in [column.link] if column.is_named else LINKED:
        if column.slot in _slots_of_group()[link] and has_way(link, groups):
            return link
    raise InvalidInputError(
        f"{kinds[0]} has no {column.name.rstrip('#')}, and no link to what has it",
        "ask for another class, or for no class",
    )


def _value_of(column: Column, link: str | None) -> pl.Expr:
    """Return a column: of the element itself where its class has the slot and no link is named, else of what it is linked to."""
    value = pl.col(f"own.{column.slot}")
    if link is not None:
        linked, having = pl.col(f"{link}.{column.slot}"), [name for name in class_names() if column.slot in slots_of(name)]
        value = linked if column.is_named else pl.when(pl.col(CLASS).is_in(having)).then(value).otherwise(linked)
    if schema()[column.slot] == pl.Datetime("us"):  # as text, with which it is compared: a date alone where there is no time
        value = value.dt.to_string("iso").str.replace(" ", "T", literal=True).str.replace(r"(T00:00:00)?(\.0+)?$", "")
    return value.alias(column.name)


def _local_part(name: str) -> pl.Expr:
    """Return what comes after the prefix of a CURIE, or after the last `_` or `/` of a URI."""
    value = pl.col(name)
    part = pl.when(value.str.contains("://", literal=True)).then(value.str.extract("([^/#_]+)$"))
    return part.otherwise(value.str.extract("([^:]+)$")).alias(name)
