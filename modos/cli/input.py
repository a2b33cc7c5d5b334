"""Parse what people type: JSON in options, answers to questions, and consent."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_LISTED = 15


def is_terminal() -> bool:
    """Return whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def parse_json(text: str, option: str) -> dict[str, Any]:
    """Parse the JSON object of an option."""
    import json
    from math import isfinite

    from modos.errors import InvalidInputError

    def refuse(number: str) -> float:
        raise ValueError(f"{number[:20]} is no number")

    try:
        value = json.loads(
            text,
            object_pairs_hook=_refuse_repetition,
            parse_constant=refuse,
            parse_float=lambda number: float(number) if isfinite(float(number)) else refuse(number),
        )
    except ValueError as error:
        raise InvalidInputError(f"{option} is not JSON: {error}") from None
    except RecursionError:
        raise InvalidInputError(f"{option} has lists in lists, too deep") from None
    if not isinstance(value, dict):
        raise InvalidInputError(f"{option} is not a JSON object", """write it like '{"id": "sample1"}'""")
    return value


def check_dry_run(json: bool, dry_run: bool) -> None:
    """Refuse --json without --dry-run, as a command that changes something shows nothing else."""
    from modos.errors import InvalidInputError

    if json and not dry_run:
        raise InvalidInputError("--json goes with --dry-run")


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(
            f"{next(name for name, value in pairs if [n for n, _ in pairs].count(name) > 1)[:60]!r} stands there twice"
        )
    return found


def confirm(plan: list[str], yes: bool, amount: str | None = None, verbs: tuple[str, str] = ("remove", "removed")) -> None:
    """Show what will be removed, and how much that is, and ask; raise InvalidInputError if nobody can answer without --yes.

    Parameters
    ----------
    verbs
        What is done instead, and was done.
    """
    from modos.cli.output import say
    from modos.errors import EXIT_INTERRUPTED, InvalidInputError
    from modos.errors.escaping import escape_line

    if not plan or yes:
        return
    verb, done = verbs
    if not is_terminal():
        raise InvalidInputError(
            f"this {verb}s {len(plan)} thing{'s' if len(plan) > 1 else ''} and nobody is there to be asked",
            "add --yes if it is meant",
        )
    for line in [*plan, amount] if amount else plan:
        print(escape_line(line), file=sys.stderr)  # also where status is not wanted: the question is about it
    if read_answer(f"{verb.capitalize()}? [y/N]").lower() not in ("y", "yes"):
        say(f"nothing was {done}")
        raise SystemExit(EXIT_INTERRUPTED)


def read_answer(prompt: str) -> str:
    """Ask on stderr, so that stdout holds data alone; the end of input is like Ctrl-C."""
    from modos.errors.escaping import escape_line

    print(f"{escape_line(prompt)}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt
    return line.strip()


def choose(question: str, near: Sequence[str], allowed: Sequence[str]) -> str | None:
    """Ask which one of some names is meant; None if the answer is empty, or nobody is there."""
    from modos.cli.output import say
    from modos.errors import listing

    if not is_terminal():
        return None
    say(f"{question} [{listing(near, 5)}]" if near else f"{question} [{listing(allowed, _MAX_LISTED)}]")
    while True:
        answer = read_answer("its name, or nothing for none")
        if not answer or answer in allowed:
            return answer or None
        folded = [name for name in allowed if name.casefold() == answer.casefold()]
        if len(folded) == 1:
            return folded[0]
        say(f"{answer} is none of {listing(allowed, _MAX_LISTED)}")


def ask_element(class_name: str, metadata: Mapping[str, Mapping[str, Any]], source: str | None = None) -> dict[str, Any]:
    """Ask for the slots of an element, the required ones first; an empty answer leaves an optional one out.

    Parameters
    ----------
    metadata
        The object's, for the ids that can be linked to.
    source
        The element's file or Zarr tree, which settles its path and format.
    """
    from modos.metadata import model
    from modos.metadata.description.entries import name_source
    from modos.metadata.description.templates import COMPUTED

    slots = model.describe(class_name)["slots"]
    defaults = {"data_path": name_source(source)} if source else {}
    ordered = sorted(
        slots,
        key=lambda name: (
            name != "id",
            not slots[name]["required"],
            bool(slots[name]["links_to"]),
            name != "name",
            name != "description",
        ),
    )
    attributes: dict[str, Any] = {"@type": class_name}
    for name in ordered:
        if name in COMPUTED or (class_name == "MODO" and (name == "id" or slots[name]["links_to"])):
            continue
        if source and name == "data_format" and _format_name(defaults["data_path"]):
            continue
        value = _ask(name, slots[name], class_name, metadata, defaults.get(name))
        if value:
            attributes[name] = value
    return attributes


def _ask(
    name: str, slot: Mapping[str, Any], class_name: str, metadata: Mapping[str, Mapping[str, Any]], default: str | None
) -> Any:
    from modos.cli.output import say
    from modos.cli.suggesting import has_codes, suggest

    choices = _choices(slot, metadata)
    if slot["links_to"] and not choices:
        return None
    listed = f" ({', '.join(choices[:_MAX_LISTED])}{', ...' if len(choices) > _MAX_LISTED else ''})" if choices else ""
    many = "; several with commas between" if slot["multivalued"] else ""
    looked_up = has_codes(name)
    say(f"{slot['description'].rstrip('.')}{listed}{many}{'; words are looked up' if looked_up else ''}")
    while True:
        text = read_answer(f"{name} [{default}]" if default else name if slot["required"] else f"{name} [none]") or default
        value = [part.strip() for part in (text or "").split(",") if part.strip()] if slot["multivalued"] else text
        value = suggest(name, value) if looked_up else value
        problem = _problem(name, value, slot, class_name, choices)
        if problem is None:
            return value
        say(problem)


def _problem(name: str, value: Any, slot: Mapping[str, Any], class_name: str, choices: list[str]) -> str | None:
    from modos.metadata import model

    if not value:
        return f"{name} is required" if slot["required"] else None
    if slot["links_to"]:
        given = model.normalise({"@type": class_name, name: value})[name]
        unknown = [link for link in given if link not in choices]
        return f"not in the object: {', '.join(unknown)}" if unknown else None
    for problem in model.problems(model.normalise({"@type": class_name, name: value}), "x"):
        if problem.path == f"x.{name}":
            return problem.message.removeprefix("x: ") + (f" ({problem.hint})" if problem.hint else "")
    return None


def _choices(slot: Mapping[str, Any], metadata: Mapping[str, Mapping[str, Any]]) -> list[str]:
    from modos.metadata.model.schema import tables

    if slot["links_to"]:
        return [element_id for element_id in metadata if element_id.startswith(f"{slot['links_to']}/")]
    return list(tables()["enums"].get(slot["range"], ()))


def _format_name(name: str) -> str | None:
    from modos.formats import format_of

    format = format_of(name)
    return format.name if format else None
