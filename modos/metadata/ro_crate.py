"""Describe metadata as an RO-Crate (RO-Crate 1.1, https://w3id.org/ro/crate/1.1)."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from modos.formats import Metadata, is_array_path, is_file_path, name_of
from modos.metadata.graph import expand
from modos.metadata.model.schema import link_slots, meaning_of, tables

FILE_NAME = "ro-crate-metadata.json"
_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_TYPES = {"Sample": "BioSample", "Assay": "CreateAction"}


def build_crate(object_id: str, metadata: Metadata) -> dict[str, Any]:
    """Build the content of `ro-crate-metadata.json` for an object.

    Files are File entities at their data_path, with their names; samples,
    assays, references and sequences are contextual entities.
    """
    own = metadata[object_id]
    elements = {element_id: attributes for element_id, attributes in metadata.items() if element_id != object_id}
    files = [_reference(element_id, elements) for element_id, a in elements.items() if a.get("data_path")]
    others = [_reference(element_id, elements) for element_id, a in elements.items() if not a.get("data_path")]
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "identifier": object_id,
        "name": own.get("name") or object_id,
        "description": own.get("description") or f"The multi-omics digital object {object_id}",
        "datePublished": str(own.get("last_update_date", "")),
        "dateCreated": str(own.get("creation_date", "")),
        "license": {"@id": "#license"},
        "hasPart": files,
        "mentions": others,
    }
    if "source_uri" in own:
        root["isBasedOn"] = str(own["source_uri"])
    about = {
        "@id": FILE_NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    licence = {
        "@id": "#license",
        "@type": "CreativeWork",
        "name": "Not stated",
        "description": "The object does not say under which terms it may be used: ask its source.",
    }
    entities = [_entity(element_id, attributes, elements) for element_id, attributes in elements.items()]
    return {"@context": [_CONTEXT, {"modos": tables()["prefixes"]["modos"]}], "@graph": [about, root, licence, *entities]}


def _entity(element_id: str, attributes: Mapping[str, Any], elements: Metadata) -> dict[str, Any]:
    class_name = str(attributes.get("@type"))
    entity: dict[str, Any] = {
        **_reference(element_id, elements),
        "@type": [_type(class_name, attributes.get("data_path")), f"modos:{class_name}"],
        "identifier": element_id,
        "name": str(attributes.get("name") or _file_name(attributes) or element_id.partition("/")[2]),
    }
    links = link_slots(class_name)
    for slot, value in attributes.items():
        if slot == "description":
            entity["description"] = value
        elif slot in links:
            entity[f"modos:{slot}"] = [_reference(link, elements) for link in value if link in elements]
        elif slot == "data_size":
            entity["contentSize"] = str(value)
        elif slot == "data_format":
            entity["encodingFormat"] = _encoding(attributes)
        elif slot not in ("@type", "id", "name", "data_path"):
            entity[f"modos:{slot}"] = value
    return entity


def _file_name(attributes: Mapping[str, Any]) -> str | None:
    path = attributes.get("data_path")
    return None if not path or is_array_path(path) else name_of(path)


def _type(class_name: str, data_path: str | None) -> str:
    if not data_path:
        return _TYPES.get(class_name, "Thing")
    return "File" if is_file_path(data_path) else "Dataset"


def _encoding(attributes: Mapping[str, Any]) -> list[Any]:
    meaning = meaning_of("DataFormat", attributes["data_format"])
    media = mimetypes.guess_type(str(attributes.get("data_path", "")))[0] or "application/octet-stream"
    return [media, meaning] if meaning and expand(meaning) else [media]


def _reference(element_id: str, elements: Metadata) -> dict[str, str]:
    path = elements[element_id].get("data_path")
    if path and not is_file_path(path):
        path += "/"
    return {"@id": quote(str(path)) if path else f"#{quote(element_id)}"}
