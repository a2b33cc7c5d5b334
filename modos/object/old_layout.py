"""Read objects in the layout of Zarr v2 in the terms of Zarr v3.

`.zmetadata` lists the whole tree. It is written after the groups' own files,
and some programs leave it as it was: what a group says of itself counts.
"""

from __future__ import annotations

import hashlib
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modos.errors import NotFoundError
from modos.formats import ROOT_KEYS, ZARR
from modos.object import shape
from modos.storage import ObjectInfo, Storage

OLD_ROOT_KEY = ROOT_KEYS[1]
ZSTD_LEVEL = 3
_OWN = (".zgroup", ".zattrs", ".zarray")
_WORKERS = 16
_DTYPE = re.compile(r"[<>|=]?([biufcSUO])(\d*)")
_NAMES = {
    "b": {1: "bool"},
    "i": {n: f"int{8 * n}" for n in (1, 2, 4, 8)},
    "u": {n: f"uint{8 * n}" for n in (1, 2, 4, 8)},
    "f": {n: f"float{8 * n}" for n in (2, 4, 8)},
    "c": {n: f"complex{8 * n}" for n in (8, 16)},
}
_TEXT_CODECS = ("vlen-utf8", "json2")
_NO_FILL = {"b": False, "i": 0, "u": 0, "f": 0.0, "c": [0.0, 0.0], "S": "", "U": "", "O": ""}
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_CHUNK = re.compile(r"\d+(?:[./]\d+)*")


class Unknown(ValueError):
    """Error: an array has no equivalent in Zarr v3, for a reason in a few words."""


def find_own_files(storage: Storage) -> list[ObjectInfo]:
    """List the files in which groups and arrays describe themselves, and `.zmetadata`; none if they cannot be listed."""
    if not storage.can_list:
        return []
    return [info for info in storage.iter_files(ZARR) if info.key.rpartition("/")[2] in _OWN or info.key == OLD_ROOT_KEY]


def tag_of(infos: list[ObjectInfo]) -> str:
    """Return a tag of some files: it differs when one of them is another."""
    return hashlib.sha256(repr(sorted((info.key, info.etag) for info in infos)).encode()).hexdigest()


def read_own(storage: Storage, infos: list[ObjectInfo]) -> dict[str, Any]:
    """Read the groups' and arrays' own files, by their paths in the tree, as `.zmetadata` has them.

    Raises
    ------
    Malformed
        One of them is no JSON object.
    """
    keys = [info.key for info in infos if info.key != OLD_ROOT_KEY]

    def read(key: str) -> dict[str, Any] | None:
        try:
            return shape.read_json(storage.read(key)[0])
        except NotFoundError:  # removed since it was listed
            return None
        except shape.Malformed as error:
            raise shape.Malformed(f"{key}: {error}") from None

    if storage.is_remote:
        with ThreadPoolExecutor(_WORKERS) as pool:
            contents = list(pool.map(read, keys))
    else:
        contents = [read(key) for key in keys]
    return {key.removeprefix(f"{ZARR}/"): content for key, content in zip(keys, contents, strict=True) if content is not None}


def array_node(meta: Any, attributes: Any) -> dict[str, Any]:
    """Make the Zarr v3 node of an array; one that has no equivalent is shown as an array of bytes."""
    shape_, chunks = _lengths(meta, "shape"), _lengths(meta, "chunks")
    try:
        data_type, codec, fill = _type_of(meta)
    except Unknown:
        data_type, codec, fill = "variable_length_bytes", {"name": "vlen-bytes"}, ""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape_,
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [codec, {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}],
        "attributes": attributes,
        "storage_transformers": [],
    }


def explain_unknown(meta: Mapping[str, Any]) -> str | None:
    """Say what an array has that Zarr v3 does not; None if there is nothing."""
    try:
        _type_of(meta)
    except Unknown as error:
        return str(error)
    return None


def is_text(meta: Mapping[str, Any]) -> bool:
    """Return whether an array holds texts in Zarr v3."""
    return bool(_type_of(meta)[0] == "string")


def iter_chunks(meta: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Iterate over those files in an array's folder that are its chunks, with their places."""
    lengths, chunks = meta["shape"], meta["chunks"]
    separator = meta.get("dimension_separator", ".")
    for name in filter(_CHUNK.fullmatch, names):
        place = tuple(map(int, name.split(separator))) if lengths or name != "0" else ()
        if (
            name == (separator.join(map(str, place)) or "0")
            and len(place) == len(lengths)
            and all(at < math.ceil(length / chunk) for at, length, chunk in zip(place, lengths, chunks, strict=True))
        ):
            yield name, place


def is_old_file(path: str, nodes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether a file of the tree belongs to the old layout of some groups and arrays."""
    folder, _, name = path.rpartition("/")
    if name in _OWN:
        return not folder or folder in nodes
    array = next((parent for parent in _parents(path) if nodes.get(parent, {}).get("node_type") == "array"), None)
    if array is None or not _CHUNK.fullmatch(path.removeprefix(f"{array}/")):
        return False
    return bool(nodes[array].get("chunk_key_encoding", {}).get("name") == "default")


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _lengths(meta: Any, name: str) -> list[int]:
    values = shape.check_dict(meta, "an array").get(name)
    if not isinstance(values, list) or not all(type(value) is int and value >= (name == "chunks") for value in values):
        raise shape.Malformed(f"the {name} of an array is not a list of numbers")
    if len(values) != len(meta.get("shape") or ()):
        raise shape.Malformed("the chunks of an array do not have its dimensions")
    return values


def _type_of(meta: Mapping[str, Any]) -> tuple[Any, dict[str, Any], Any]:
    """Return the data type in Zarr v3, the codec that makes bytes of it, and the fill value."""
    found = _DTYPE.fullmatch(meta["dtype"]) if isinstance(meta.get("dtype"), str) else None
    if found is None:
        raise Unknown(f"values of the type {str(meta.get('dtype'))[:60]}")
    kind, size = found[1], int(found[2] or 0)
    filters = _codecs(meta.get("filters") or [])
    _codecs([meta["compressor"]] if meta.get("compressor") else [])
    if kind == "O" and (len(filters) != 1 or filters[0] not in _TEXT_CODECS):
        raise Unknown(f"objects in the codec {filters[0] if filters else None}")
    fill = _NO_FILL[kind] if meta.get("fill_value") is None else meta["fill_value"]
    if kind in "OSU" and fill == 0:  # as zarr writes it where nothing was said
        fill = ""
    if not _is_fill(kind, size, fill):
        raise Unknown(f"values of the type {meta['dtype']} whose fill value is {str(fill)[:40]}")
    if meta.get("order", "C") not in ("C", "F") or meta.get("dimension_separator", ".") not in (".", "/"):
        raise Unknown("an order or separator that no array has")
    if kind in "OU":
        return "string", {"name": "vlen-utf8"}, fill
    bytes_codec = {"name": "bytes", "configuration": {"endian": "little"}}
    if kind == "S" and size:
        return {"name": "null_terminated_bytes", "configuration": {"length_bytes": size}}, {"name": "bytes"}, fill
    name = _NAMES.get(kind, {}).get(size)
    if name is None:
        raise Unknown(f"values of the type {meta['dtype']}")
    return name, {"name": "bytes"} if size == 1 else bytes_codec, bool(fill) if kind == "b" else fill


def _codecs(told: Any) -> list[Any]:
    if not isinstance(told, list) or not all(isinstance(codec, dict) for codec in told):
        raise Unknown("codecs that are none")
    return [codec.get("id") for codec in told]


def _is_fill(kind: str, size: int, value: Any) -> bool:
    """Return whether an array of a type can have a fill value, as JSON has it."""
    if kind in "OU":
        return isinstance(value, str)
    if kind == "S":
        return isinstance(value, str) and _is_base64(value)
    if kind == "b":
        return isinstance(value, int) and value in (0, 1)
    if kind in "iu":
        least = -(1 << 8 * size - 1) if kind == "i" and size else 0
        return type(value) is int and least <= value < least + (1 << 8 * size)
    parts = value if kind == "c" and isinstance(value, list) and len(value) == 2 else [value]
    return all(
        part in _NO_NUMBERS if isinstance(part, str) else type(part) in (int, float) and math.isfinite(part) for part in parts
    )


def _is_base64(text: str) -> bool:
    try:
        return text.isascii() and b64encode(b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False
