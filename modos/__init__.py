"""An object store for multi-omics data.

    from modos import MODO

    MODO("data/ex").stream_genomics("demo1.cram", "chr1:1,000-2,000")

The names below are what modos promises to keep. Each is imported when it is asked for first, so that `import modos` costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modos.catalog import Catalog, ElementCatalog, open_catalog, refresh_catalog
    from modos.errors import (
        AccessError,
        AlreadyExistsError,
        BucketNotFoundError,
        ChecksumMismatch,
        ConflictError,
        DecryptError,
        IntegrityError,
        InvalidInputError,
        MissingPackageError,
        ModosError,
        NewerFormatError,
        NotFoundError,
        PartitionError,
        ProtocolError,
        RegionError,
        RemoteError,
        SchemaError,
        StorageFullError,
        TransportError,
        TruncatedStream,
    )
    from modos.figures.plots import plot
    from modos.gateway.browsing import browse
    from modos.gateway.loopback import Gateway, open_gateway
    from modos.gateway.viewing import View, open_view
    from modos.genomics.file import GenomicFile
    from modos.genomics.region import Region
    from modos.object.modo import MODO
    from modos.reference.annotations.annotation import Annotation
    from modos.reference.locate import open_reference
    from modos.reference.reference import Reference
    from modos.tracks.genome import Genome
    from modos.tracks.track import Track

    __version__: str

_HOMES = {
    "MODO": "object.modo",
    "Region": "genomics.region",
    "Catalog": "catalog",
    "ElementCatalog": "catalog",
    "open_catalog": "catalog",
    "refresh_catalog": "catalog",
    "GenomicFile": "genomics.file",
    "Genome": "tracks.genome",
    "Track": "tracks.track",
    "Reference": "reference.reference",
    "Annotation": "reference.annotations.annotation",
    "open_reference": "reference.locate",
    "Gateway": "gateway.loopback",
    "View": "gateway.viewing",
    "browse": "gateway.browsing",
    "open_gateway": "gateway.loopback",
    "open_view": "gateway.viewing",
    "plot": "figures.plots",
} | dict.fromkeys(
    (
        "AccessError",
        "AlreadyExistsError",
        "BucketNotFoundError",
        "ChecksumMismatch",
        "ConflictError",
        "DecryptError",
        "IntegrityError",
        "InvalidInputError",
        "MissingPackageError",
        "ModosError",
        "NewerFormatError",
        "NotFoundError",
        "PartitionError",
        "ProtocolError",
        "RegionError",
        "RemoteError",
        "SchemaError",
        "StorageFullError",
        "TransportError",
        "TruncatedStream",
    ),
    "errors",
)
DISTRIBUTION = "modos-store"
OTHER_DISTRIBUTION = "modos"  # on PyPI, of sdsc-ordes, with an import and a command of the same name

__all__ = [
    "MODO",
    "AccessError",
    "AlreadyExistsError",
    "Annotation",
    "BucketNotFoundError",
    "Catalog",
    "ChecksumMismatch",
    "ConflictError",
    "DecryptError",
    "ElementCatalog",
    "Gateway",
    "Genome",
    "GenomicFile",
    "IntegrityError",
    "InvalidInputError",
    "MissingPackageError",
    "ModosError",
    "NewerFormatError",
    "NotFoundError",
    "PartitionError",
    "ProtocolError",
    "Reference",
    "Region",
    "RegionError",
    "RemoteError",
    "SchemaError",
    "StorageFullError",
    "Track",
    "TransportError",
    "TruncatedStream",
    "View",
    "__version__",
    "browse",
    "open_catalog",
    "open_gateway",
    "open_reference",
    "open_view",
    "plot",
    "refresh_catalog",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _find_version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"modos.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _find_version() -> str:
    """Find the version: of the installed distribution, or the one that a source tree declares."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        import tomllib
        from pathlib import Path

        try:
            project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
        except (OSError, ValueError, KeyError):
            return "unknown"
        return str(project["version"]) if project.get("name") == DISTRIBUTION else "unknown"
