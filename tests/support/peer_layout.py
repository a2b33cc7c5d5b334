"""Objects in the layout of sdsc-ordes modos 0.3.4 (Zarr v2), written by hand; and its Python, where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

DATES = {"creation_date": "2024-01-01", "last_update_date": "2024-01-01"}
PEER = "MODOS_PEER_PYTHON"  # a Python that has sdsc-ordes modos
_INSTALLED = Path(__file__).resolve().parents[2] / ".venv-peer"  # by `make test`


def _find_python() -> str | None:
    if os.environ.get(PEER):
        return os.environ[PEER]
    return str(_INSTALLED / "bin/python") if (_INSTALLED / ".done").exists() else None


_PYTHON = _find_python()  # before a test's settings are cleared


def write_object(
    path: Path, elements: Mapping[str, Mapping[str, Any]], stale: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Groups with `.zgroup` and `.zattrs`, and `.zmetadata` over all; `stale` is what that says instead of some of them."""
    tree = path / "data.zarr"
    own = {"@type": "MODO", "id": path.name, "has_assay": sorted(id for id in elements if id.startswith("assay/")), **DATES}
    for group in ("", "assay", "data", "reference", "sample", "sequence", *elements):
        (tree / group).mkdir(parents=True, exist_ok=True)
        (tree / group / ".zgroup").write_text('{"zarr_format": 2}')
    for place, attributes in {"": own, **elements}.items():
        (tree / place / ".zattrs").write_text(json.dumps(dict(attributes)))
    consolidate(path, stale)


def consolidate(path: Path, stale: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write `.zmetadata` anew."""
    tree = path / "data.zarr"
    found = {
        str(file.relative_to(tree)): json.loads(file.read_text())
        for file in sorted(tree.rglob(".z*"))
        if file.name != ".zmetadata"
    }
    found |= {f"{place}/.zattrs": dict(attributes) for place, attributes in (stale or {}).items()}
    (tree / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": found}))


def write_array(
    folder: Path,
    values: np.ndarray,
    chunks: tuple[int, ...],
    *,
    order: str = "C",
    compressor: Any = numcodecs.Blosc(),
    filters: list[Any] | None = None,
    fill: Any = 0,
    separator: str = ".",
    skip: tuple[tuple[int, ...], ...] = (),
) -> None:
    """An array of Zarr v2, chunk by chunk; those of `skip` are left out."""
    folder.mkdir(parents=True)
    meta = {
        "zarr_format": 2,
        "shape": values.shape,
        "chunks": chunks,
        "dtype": values.dtype.str,
        "order": order,
        "fill_value": fill,
        "compressor": compressor and compressor.get_config(),
        "filters": filters and [one.get_config() for one in filters],
        "dimension_separator": separator,
    }
    (folder / ".zarray").write_text(json.dumps(meta))
    for place in np.ndindex(*(-(-size // chunk) for size, chunk in zip(values.shape, chunks, strict=True))):
        if place in skip:
            continue
        part = values[tuple(slice(at * chunk, (at + 1) * chunk) for at, chunk in zip(place, chunks, strict=True))]
        whole = np.full(chunks, "" if values.dtype.kind in "OU" else fill, dtype=values.dtype, order=order)
        whole[tuple(slice(0, size) for size in part.shape)] = part
        data: Any = whole
        for one in filters or ():
            data = one.encode(data)
        data = data.tobytes(order="A") if isinstance(data, np.ndarray) else bytes(data)
        file = folder / (separator.join(map(str, place)) or "0")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(compressor.encode(data)) if compressor else data)


def checksum(file: Path) -> str:
    """As 0.3.4 records it: of all bytes, of a sealed file as well."""
    return blake2b(file.read_bytes()).hexdigest()


def run_peer(code: str, *args: Any) -> str:
    """What a program prints that runs where sdsc-ordes modos is; the test is skipped where it is nowhere."""
    if not _PYTHON:
        pytest.skip(f"sdsc-ordes modos is not here (`make test` installs it in {_INSTALLED.name}; {PEER}: a Python that has it)")
    done = subprocess.run([_PYTHON, "-I", "-c", code, *map(str, args)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
