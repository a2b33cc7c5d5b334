"""Generate the code and tables of modos/model from modos.yaml.

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
TARGET = SCHEMA.parent.parent / "modos" / "model"
GROUPS = {
    "Assay": "assay", "DataEntity": "data", "ReferenceGenome": "reference", "Sample": "sample",
    "ReferenceSequence": "sequence",
}


def generate() -> dict[str, str]:
    """The generated files by name."""
    from linkml.generators.jsonldcontextgen import ContextGenerator
    from linkml.generators.jsonschemagen import JsonSchemaGenerator
    from linkml.generators.pythongen import PythonGenerator

    path = str(SCHEMA)
    classes = re.sub(r"(?m)^# (Generation date|Auto generated from|Schema version).*\n", "",
                     PythonGenerator(path, metadata=False).serialize())
    context = json.loads(ContextGenerator(path, metadata=False).serialize())
    context.pop("comments", None)
    schema = json.loads(JsonSchemaGenerator(path, not_closed=False, metadata=False).serialize())
    return {
        "datamodel.py": classes.rstrip() + "\n",
        "context.jsonld": json.dumps(context, indent=2, sort_keys=True) + "\n",
        "schema.json": json.dumps(schema, indent=1, sort_keys=True) + "\n",
        "slots.json": json.dumps(slots(), indent=1) + "\n",
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
    enums = {name: {value: {"meaning": view.expand_curie(entry.meaning) if entry.meaning else None,
                            "description": entry.description}
                    for value, entry in enum.permissible_values.items()} for name, enum in view.all_enums().items()}
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


def main() -> int:
    files = generate()
    if "--check" not in sys.argv[1:]:
        for name, text in files.items():
            (TARGET / name).write_text(text, encoding="utf-8")
        return 0
    stale = [name for name, text in files.items()
             if not (TARGET / name).is_file() or (TARGET / name).read_text(encoding="utf-8") != text]
    for name in stale:
        print(f"modos/model/{name} is not current: run `make schema`")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
