"""Make objects what earlier versions of modos would have written."""

from __future__ import annotations

import json
from pathlib import Path

DIGESTS = ("data_digest", "index_digests", "plain_digest")


def forget_digests(folder: Path) -> None:
    """Remove the digests of parts from an object: from its root, and the lists beside its files."""
    root = folder / "data.zarr/zarr.json"
    document = json.loads(root.read_text())
    for node in document["consolidated_metadata"]["metadata"].values():
        _drop(node["attributes"])
        for slots in node["attributes"].get("slots", {}).values():
            _drop(slots)
    root.write_text(json.dumps(document))
    mirror = folder / "data.zarr/_modos/zarr.json"
    own = json.loads(mirror.read_text())
    for slots in own["attributes"].get("slots", {}).values():
        _drop(slots)
    mirror.write_text(json.dumps(own))
    for path in folder.rglob("*.parts"):
        path.unlink()


def _drop(attributes: dict) -> None:
    for slot in DIGESTS:
        attributes.pop(slot, None)
