"""Generate the code and tables of modos/metadata/model, and the page of the schema, from modos.yaml.

`generate.py` writes them; `generate.py --check` says which are not current and
exits with 1.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("modos.yaml")
ROOT = SCHEMA.parent.parent
TARGET = "modos/metadata/model"
PAGE = "docs/reference/schema.md"
GROUPS = {
    "Assay": "assay",
    "DataEntity": "data",
    "ReferenceGenome": "reference",
    "Sample": "sample",
    "ReferenceSequence": "sequence",
}
DOCSTRING = "The classes of the schema, generated from schema/modos.yaml: do not edit them here."


def generate() -> dict[str, str]:
    """The generated files by their paths in the project."""
    from linkml.generators.jsonldcontextgen import ContextGenerator
    from linkml.generators.jsonschemagen import JsonSchemaGenerator
    from linkml.generators.pythongen import PythonGenerator

    path = str(SCHEMA)
    classes = re.sub(
        r"(?m)^# (Generation date|Auto generated from|Schema version).*\n", "", PythonGenerator(path, metadata=False).serialize()
    )
    context = json.loads(ContextGenerator(path, metadata=False).serialize())
    context.pop("comments", None)
    schema = json.loads(JsonSchemaGenerator(path, not_closed=False, metadata=False).serialize())
    tables = slots()
    return {
        f"{TARGET}/datamodel.py": f'"""{DOCSTRING}"""\n\n{classes.rstrip()}\n',
        f"{TARGET}/context.jsonld": json.dumps(context, indent=2, sort_keys=True) + "\n",
        f"{TARGET}/schema.json": json.dumps(schema, indent=1, sort_keys=True) + "\n",
        f"{TARGET}/slots.json": json.dumps(tables, indent=1) + "\n",
        PAGE: page(tables),
    }


def slots() -> dict[str, Any]:
    """What the program asks of the schema at run time: classes with their slots, and enums."""
    from linkml_runtime.utils.schemaview import SchemaView

    view = SchemaView(str(SCHEMA))
    links = set(view.slot_descendants("has_part"))
    classes = {}
    for name in view.all_classes():
        ancestors = view.class_ancestors(name)
        classes[name] = {
            "description": view.get_class(name).description,
            "uri": view.get_uri(name, expand=True),
            "group": next((GROUPS[a] for a in ancestors if a in GROUPS), None),
            "slots": {slot.name: _slot(view, slot, slot.name in links) for slot in view.class_induced_slots(name)},
        }
    enums = {
        name: {
            value: {"meaning": view.expand_curie(entry.meaning) if entry.meaning else None, "description": entry.description}
            for value, entry in enum.permissible_values.items()
        }
        for name, enum in view.all_enums().items()
    }
    prefixes = {name: str(prefix.prefix_reference) for name, prefix in view.schema.prefixes.items()}
    return {"prefixes": prefixes, "classes": classes, "enums": enums}


def _slot(view: Any, slot: Any, is_link: bool) -> dict[str, Any]:
    return {
        "description": slot.description,
        "uri": view.get_uri(view.get_slot(slot.name), expand=True),
        "range": str(slot.range),
        "required": bool(slot.required),
        "multivalued": bool(slot.multivalued),
        "pattern": slot.pattern,
        "links_to": GROUPS[slot.range] if is_link else None,
    }


def page(tables: dict[str, Any]) -> str:
    """The classes with their slots, and the values of enums, as Markdown."""
    classes = {name: found for name, found in tables["classes"].items() if name != "NamedThing"}
    blocks, seen = [_INTRODUCTION], {}
    for name, found in classes.items():
        same = seen.get(str(found["slots"]))
        seen.setdefault(str(found["slots"]), name)
        kind = f" Elements of this class are `{found['group']}/ID`." if found["group"] else ""
        blocks.append(f"## {name}\n\n{found['description']}{kind} `{found['uri']}`\n")
        blocks.append(
            f"The slots are those of [{same}](#{same.lower()}).\n"
            if same
            else _table(("slot", "value", "", "meaning"), [_row(slot, facts) for slot, facts in found["slots"].items()])
        )
    for name, values in tables["enums"].items():
        blocks.append(f"## {name}\n")
        blocks.append(
            _table(
                ("value", "meaning", "term"),
                [(f"`{value}`", facts["description"] or "", facts["meaning"] or "") for value, facts in values.items()],
            )
        )
    return "\n".join(blocks)


_INTRODUCTION = """# Classes, slots and values

Generated from [schema/modos.yaml](../../schema/modos.yaml) by `make schema`. An element names its class in `@type`; a slot that
its class does not have, or a value that does not fit, is an error that names both. modos records sizes, checksums, digests and
recipients; do not set them by hand.
"""


def _row(name: str, slot: dict[str, Any]) -> tuple[str, ...]:
    kind = f"[{slot['range']}](#{slot['range'].lower()})" if slot["range"][0].isupper() else slot["range"]
    value = f"`{slot['links_to']}/ID`" if slot["links_to"] else kind
    notes = ", ".join(word for word, holds in (("required", slot["required"]), ("several", slot["multivalued"])) if holds)
    return f"`{name}`", value, notes, slot["description"] or ""


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def main() -> int:
    files = generate()
    if "--check" not in sys.argv[1:]:
        for name, text in files.items():
            (ROOT / name).write_text(text, encoding="utf-8")
        return 0
    stale = [
        name for name, text in files.items() if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    for name in stale:
        print(f"{name} is not current: run `make schema`")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
