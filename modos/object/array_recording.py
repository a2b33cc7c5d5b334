"""Record digests of the shards of arrays that have none, where these are what the arrays say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modos.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from modos.object.array_checks import find_missing, records_shards
from modos.object.document import Document
from modos.object.findings import Finding
from modos.storage.base import Progress
from modos.storage.write_log import WriteLog
from modos.tracks.shard_digests import record_digests
from modos.tracks.zarr_layout import DIGEST_SLOT, ArraySpec


@dataclass(frozen=True)
class ArrayUpdate:
    """Digest that an array gets.

    Parameters
    ----------
    before
        The array as it was.
    spec
        As it becomes.
    """

    before: ArraySpec
    spec: ArraySpec

    @property
    def is_proven(self) -> bool:
        """Return whether something said before which shards it has."""
        return "shard_checksum" in self.before.attributes

    def apply(self, document: Document) -> None:
        """Set the digest; raise ConflictError if others have changed the array since."""
        path = self.spec.path
        node = document.nodes.get(path)
        if node is None or _read(path, node) != self.before:
            raise ConflictError(f"{path} was changed by somebody else meanwhile", "nothing was changed: try again")
        attributes = node["attributes"] | {DIGEST_SLOT: self.spec.attributes[DIGEST_SLOT]}
        document.set_nodes([path], {path: node | {"attributes": attributes}})


def find_arrays(document: Document) -> list[ArraySpec]:
    """Find the arrays that record which shards they have, and no digests of them; those of another layout are left out."""
    found = (_read(path, node) for path, node in document.nodes.items() if records_shards(node))
    return [spec for spec in found if spec and DIGEST_SLOT not in spec.attributes]


def record_array(
    log: WriteLog, spec: ArraySpec, sizes: Mapping[str, int], progress: Progress | None
) -> ArrayUpdate | list[Finding]:
    """Read the shards of an array and write their list of digests; returns what is to be recorded, or what is wrong."""
    if wrong := [finding for _, finding in find_missing(spec, sizes)]:
        return wrong
    try:
        return ArrayUpdate(spec, record_digests(log, spec, progress))
    except IntegrityError:
        return [Finding("checksum", spec.path, "its files do not have the recorded checksum")]
    except NotFoundError as error:
        return [Finding("missing", spec.path, error.message)]


def _read(path: str, node: Mapping[str, Any]) -> ArraySpec | None:
    try:
        return ArraySpec.from_node(path, node)
    except InvalidInputError:
        return None
