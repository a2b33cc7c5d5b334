"""Describe the shape of what modos has written into a folder: names of files, keys and types, and not what is in them."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from modos.api import MODO
from modos.encryption.keys import SecretKey, load_secret_key
from modos.object.cut_lists import read_cuts
from modos.readlog.sealed_frames import HEADER, read_frame, size_of_frame

# what stands for itself: versions, and the names of kinds of things
_LITERAL = {"format_version", "format", "log", "zarr_format", "node_type", "data_type", "kind", "kept_as", "@type", "versions"}
_DRAWN = (
    (re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{16}"), "CHAIN"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"(?<=header-)[0-9a-f]{16}\b"), "DIGEST"),
    (re.compile(r"(?<=\.)[0-9a-f]{16}(?=\.parquet)"), "DIGEST"),
    (re.compile(r"(?<=-)[0-9a-f]{8}\b"), "TOKEN"),
    (re.compile(r"\b[0-9]{12}(?=\.log)"), "NUMBER"),
)


def describe(folder: Path, secrets: Path) -> list[str]:
    """Return lines that differ where anything is written in another form.

    Parameters
    ----------
    folder
        With what `Writer` of `tests.support.writing_versions` writes.
    secrets
        The folder with the test keys.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    lines = {f"file {_name(path.relative_to(folder))}" for path in files}
    for path in files:
        lines.update(f"{_name(path.relative_to(folder))} {line}" for line in _describe_file(path))
    lines.update(f"cuts {line}" for line in _describe_cuts(folder / "sealed", load_secret_key(secrets / "server.sec")))
    return sorted(lines)


def _name(path: Path | str) -> str:
    name = str(path)
    for pattern, word in _DRAWN:
        name = pattern.sub(word, name)
    return name


def _describe_file(path: Path) -> Iterator[str]:
    if (path.suffix == ".json" and "data.zarr" in path.parts) or path.name in (
        "head.json",
        "index.json",
        "assembly.json",
        "manifest.json",
    ):
        yield from _describe_json(json.loads(path.read_text()), "")
    elif path.suffix == ".parquet":
        yield from (f"column {name}: {type}" for name, type in pl.read_parquet_schema(path).items())
    elif path.suffix == ".parts" or path.name == "parts" or path.suffix == ".c4gh" or ".header-" in path.name:
        yield f"begins with {path.read_bytes()[:12]!r}"
    elif path.suffix == ".idx":
        data = path.read_bytes()
        size = int.from_bytes(data[16:20], "little")
        yield f"begins with {data[:16]!r}"
        yield from _describe_json(json.loads(data[24 : 24 + size]), "")
    elif path.suffix == ".log":
        data = path.read_bytes()
        frame = read_frame(data[: size_of_frame(data[: HEADER.size])])
        told = json.loads(frame.plain)
        yield from _describe_json(told | {"anchors": sorted(told.get("anchors", {}).values())}, "")
    elif path.name == "head":
        yield f"begins with {path.read_bytes().split()[:2]}"
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as packed:
            yield from (f"entry {_name(one.filename)} {one.compress_type}" for one in packed.infolist())


def _describe_json(value: Any, place: str) -> Iterator[str]:
    """Describe keys and types; what is drawn at random in keys is left out, and items of a list are as one."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _describe_json(below, f"{place}/{_name(key)}")
        if not value:
            yield f"{place}: {{}}"
    elif isinstance(value, list):
        for below in value:
            yield from _describe_json(below, f"{place}[]")
        if not value:
            yield f"{place}: []"
    elif place.rpartition("/")[2].removesuffix("[]") in _LITERAL or place.endswith("codecs[]/name"):
        yield f"{place}: {value!r}"
    else:
        yield f"{place}: {'number' if type(value) in (int, float) else type(value).__name__}"


def _describe_cuts(path: Path, secret: SecretKey) -> Iterator[str]:
    modo = MODO.open(path)
    for element, attributes in modo.metadata.items():
        if attributes.get("index_recipients"):
            yield f"{element} begins with {read_cuts(modo.storage, attributes, secret)[:12]!r}"
