"""YAML and JSON files that describe objects and elements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modos import model
from modos.description.entries import Entry, find_source
from modos.errors import InvalidInputError, NotFoundError

_MAX_BYTES = 64 << 20


def read_description(path: Path) -> list[Entry]:
    """Read the list of elements of a YAML or JSON file."""
    items = load_yaml(path)
    if not isinstance(items, list):
        raise InvalidInputError(f"{path} is not a list of elements", "begin each with `- element:`")
    return [_entry(item, number, path) for number, item in enumerate(items, 1)]


def load_yaml(path: Path) -> Any:
    """The content of a YAML or JSON file; InvalidInputError names the line it breaks at."""
    import yaml

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidInputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}", "check the path") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InvalidInputError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or 'malformed'}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise InvalidInputError(f"{path} is not a YAML or JSON file") from None


def _entry(item: Any, number: int, path: Path) -> Entry:
    element = item.get("element") if isinstance(item, dict) else None
    args = (item.get("args") or {}) if isinstance(item, dict) else {}
    if not isinstance(element, dict) or not isinstance(args, dict) or "@type" not in element:
        raise InvalidInputError(f"{path}: entry {number} is not an element",
                                "each has `element:` with `id` and `@type`, and maybe `args:`")
    if unknown := args.keys() - {"source_file", "part_of"}:
        raise InvalidInputError(f"{path}: entry {number}: unknown argument {', '.join(sorted(unknown))}",
                                "args can have source_file and part_of")
    source = args.get("source_file")
    return Entry(model.to_attributes(element), find_source(str(source), path) if source else None, args.get("part_of"))
