"""Make objects what earlier versions of modos would have written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from modos.storage import Storage
from modos.storage.local import LocalStorage

DIGESTS = ("data_digest", "index_digests", "plain_digest")


def forget_digests(folder: Path) -> None:
    """Remove the digests of parts from an object: from its root, and the lists beside its files."""
    forget_slots(LocalStorage(folder), DIGESTS)
    for path in folder.rglob("*.parts"):
        path.unlink()


def forget_slots(storage: Storage, slots: Iterable[str]) -> None:
    """Remove slots of all elements from the root of an object, and from the mirror of what only modos says."""
    document = json.loads(storage.read("data.zarr/zarr.json")[0])
    own = json.loads(storage.read("data.zarr/_modos/zarr.json")[0])
    for node in [*document["consolidated_metadata"]["metadata"].values(), own]:
        for attributes in (node["attributes"], *node["attributes"].get("slots", {}).values()):
            for slot in slots:
                attributes.pop(slot, None)
    storage.write("data.zarr/zarr.json", json.dumps(document).encode())
    storage.write("data.zarr/_modos/zarr.json", json.dumps(own).encode())
