"""Read YAML and JSON files that describe objects and elements."""

from __future__ import annotations

import os
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError
from modos.metadata import model
from modos.metadata.description.entries import Entry, find_source
from modos.storage.given import read_given, show_path

_MAX_BYTES = 64 << 20
_MAX_DEPTH = 32
_MAX_VALUES = 5_000_000
_KINDS = (str, int, float, date, dict, list, type(None))


def read_description(path: Path, text: bytes) -> list[Entry]:
    """Read the list of elements in the text of a YAML or JSON file."""
    items = _parse(path, text)
    if not isinstance(items, list):
        raise InvalidInputError(f"{show_path(path)} is not a list of elements", "begin each with `- element:`")
    return [_make_entry(item, number, path) for number, item in enumerate(items, 1)]


def load_yaml(path: Path) -> Any:
    """Read the content of a YAML or JSON file, `-` for stdin; InvalidInputError names the line it breaks at."""
    return _parse(path, read_whole(path, _MAX_BYTES))


def read_whole(path: Path, limit: int) -> bytes:
    """Read all of a file that describes elements; see `read_given`."""
    if os.path.isdir(path):
        raise InvalidInputError(f"{path} is a folder", "give a YAML or JSON file, or a TSV or CSV sheet")
    return read_given(path, limit)


def _parse(path: Path, text: bytes) -> Any:
    import yaml

    if len(text) > _MAX_BYTES:
        raise InvalidInputError(f"{show_path(path)} is larger than {_MAX_BYTES >> 20} MiB")
    try:
        return _check_content(yaml.load(text.decode(), _loader()), path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InvalidInputError(f"{show_path(path)}{where}: not YAML: {getattr(error, 'problem', None) or 'malformed'}") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{show_path(path)} is not a YAML or JSON file") from None
    except RecursionError:
        raise _too_deep_error(path) from None
    except (ValueError, OverflowError) as error:  # a day that no month has
        raise InvalidInputError(f"{show_path(path)} is not YAML: {error}") from None


@cache
def _loader() -> Any:
    """Return YAML's safe loader, which refuses a key that a mapping has twice: one of its values would be lost."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def flatten_mapping(self, node: Any) -> None:
            """Refuse a key that stands twice, then merge as usual."""
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if (key.tag, key.value) in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{key.value[:60]!r} stands there twice", key.start_mark
                        )
                    seen.add((key.tag, key.value))
            super().flatten_mapping(node)

    return Loader


def _check_content(content: Any, path: Path) -> Any:
    """Refuse values that are nested deeply, or many once aliases are followed; and sets and bytes, which no slot takes."""
    level, depth, count = [content], 0, 0
    while level:
        count += len(level)
        if others := [type(item).__name__ for item in level if not isinstance(item, _KINDS)]:
            raise InvalidInputError(
                f"{show_path(path)} has a {others[0]}, which no slot takes", "write text, numbers, dates, lists"
            )
        if depth > _MAX_DEPTH:
            raise _too_deep_error(path)
        if count + sum(len(item) for item in level if isinstance(item, (dict, list))) > _MAX_VALUES:
            raise InvalidInputError(
                f"{show_path(path)} has more than {_MAX_VALUES:,} values, each counted where an alias repeats it"
            )
        level, depth = [below for item in level for below in _list_children(item)], depth + 1
    return content


def _list_children(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def _too_deep_error(path: Path) -> InvalidInputError:
    return InvalidInputError(f"{show_path(path)} has lists in lists, more than {_MAX_DEPTH} deep")


def _make_entry(item: Any, number: int, path: Path) -> Entry:
    element = item.get("element") if isinstance(item, dict) else None
    args = (item.get("args") or {}) if isinstance(item, dict) else {}
    if not isinstance(element, dict) or not isinstance(args, dict) or "@type" not in element:
        raise InvalidInputError(
            f"{show_path(path)}: entry {number} is not an element", "each has `element:` with `id` and `@type`, and maybe `args:`"
        )
    if unknown := args.keys() - {"source_file", "part_of"}:
        raise InvalidInputError(
            f"{show_path(path)}: entry {number}: unknown argument {', '.join(sorted(unknown))}",
            "args can have source_file and part_of",
        )
    if wrong := [name for name, value in args.items() if not isinstance(value, str | None)]:
        raise InvalidInputError(f"{show_path(path)}: entry {number}: {' and '.join(wrong)} is not a text", "put it in quotes")
    source = args.get("source_file")
    return Entry(model.to_attributes(element), find_source(source, path) if source else None, args.get("part_of"))
