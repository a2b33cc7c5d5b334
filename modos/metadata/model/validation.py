"""Validate elements against the schema, and report every problem at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from modos.errors import SchemaError, did_you_mean
from modos.metadata.model.schema import Slot, describe, tables


def validate(attributes: dict[str, Any], element_id: str) -> None:
    """Check normalised attributes against the schema.

    Raises
    ------
    SchemaError
        One message for all problems; `path`, `expected` and `got` tell of the first.
    """
    found = problems(attributes, element_id)
    if not found:
        return
    first = found[0]
    if len(found) == 1:
        raise first
    raise SchemaError(
        f"{len(found)} problems: " + "; ".join(problem.message for problem in found),
        "; ".join(dict.fromkeys(problem.hint for problem in found if problem.hint)) or None,
        path=first.path,
        expected=first.expected,
        got=first.got,
    )


def problems(attributes: dict[str, Any], element_id: str) -> list[SchemaError]:
    """List every problem of normalised attributes; raise SchemaError for a class that does not exist."""
    class_name = attributes["@type"]
    slots = describe(class_name)["slots"]
    content = {key: value for key, value in attributes.items() if key != "@type"} | {"id": element_id}
    found = [
        problem
        for error in _validator(class_name).iter_errors(content)
        for problem in _explain(error, element_id, class_name, slots)
    ]
    for slot, value in content.items():
        expected = _find_other_expectation(value, slots[slot]["range"] if slot in slots else None)
        if expected:
            found.append(_problem(element_id, slot, f"{str(value)[:40]!r} is not {expected}", expected, ascii(value)[:40]))
    return list({str(problem): problem for problem in found}.values())  # each missing slot is reported with all of them


def _find_other_expectation(value: Any, kind: str | None) -> str | None:
    """Find what a value should be and is not, though its JSON Schema accepts it; else None."""
    if kind == "datetime" and isinstance(value, str) and not _is_date(value):
        return "a date, such as 2024-12-31 or 2024-12-31T08:00:00Z"
    if kind == "integer" and (isinstance(value, float) or (isinstance(value, int) and abs(value) >= 1 << 63)):
        return "a whole number of 64 bits"
    if any(
        "\ud800" <= c <= "\udfff"
        for text in (value if isinstance(value, list) else [value])
        if isinstance(text, str)
        for c in text
    ):
        return "text: it has half of a surrogate pair"
    return None


def _is_date(text: str) -> bool:
    """Return whether a text is a day, with or without a time (ISO 8601)."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return text[4:5] == "-" == text[7:8]


@cache
def _validator(class_name: str) -> Any:
    from jsonschema import Draft201909Validator

    schema = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return Draft201909Validator({"$defs": schema["$defs"]} | schema["$defs"][class_name])


def _explain(error: Any, element_id: str, class_name: str, slots: Mapping[str, Slot]) -> Iterator[SchemaError]:
    if error.validator == "required":
        for slot in error.validator_value:
            if slot not in error.instance:
                yield _problem(element_id, slot, f"is required for the class {class_name}", "a value", "nothing")
    elif error.context and all(cause.validator == "required" for cause in error.context):
        choices = list(dict.fromkeys(slot for cause in error.context for slot in cause.validator_value))
        yield _problem(
            element_id, choices[0], f"or {' or '.join(choices[1:])} is required for the class {class_name}", "a value", "nothing"
        )
    elif error.validator == "additionalProperties":
        for slot in sorted(error.instance.keys() - slots.keys()):
            near = did_you_mean(slot, slots)
            yield _problem(
                element_id,
                slot,
                f"is not a slot of the class {class_name}",
                "a slot of the class",
                slot,
                f"did you mean {near}?" if near else f"its slots are {', '.join(slots)}",
            )
    elif not error.context:
        slot = str(error.absolute_path[0]) if error.absolute_path else ""
        yield _wrong_value(element_id, slot, slots.get(slot), error)
    else:
        for cause in error.context:
            if cause.validator == "type" and cause.validator_value == "null":
                continue  # the schema's way to say that the slot may be missing
            yield from _explain(cause, element_id, class_name, slots)


def _wrong_value(element_id: str, slot: str, description: Slot | None, error: Any) -> SchemaError:
    got = str(error.instance)[:80]
    values = list(tables()["enums"].get(description["range"], ())) if description else []
    if error.validator == "enum":
        near = did_you_mean(got, values)
        return _problem(
            element_id,
            slot,
            f"cannot be {got!r}",
            " | ".join(values),
            got,
            f"did you mean {near}?" if near else f"it is one of {', '.join(values)}",
        )
    if error.validator == "pattern":
        return _problem(element_id, slot, f"{got!r} does not match {error.validator_value}", error.validator_value, got)
    expected = f"{error.validator} {error.validator_value}"
    return _problem(element_id, slot, f"{got!r} does not fit: expected {expected}", expected, got)


def _problem(element_id: str, slot: str, what: str, expected: str, got: str, hint: str | None = None) -> SchemaError:
    return SchemaError(f"{element_id}: {slot} {what}", hint, path=f"{element_id}.{slot}", expected=expected, got=got)
