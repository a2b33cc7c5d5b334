"""Serve data files and Zarr trees as GA4GH DRS objects (Data Repository Service 1.4)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import STORED_KEY_HEADER, is_array_path, is_encrypted, name_of
from modos.server.auth import Access, caller_of
from modos.server.drs_passports import authorization_of, take_passports
from modos.server.drs_trees import PARTS, BesidePart, TreePart, find_beside, find_part
from modos.server.noting import GRANTED, note
from modos.storage import check_key
from modos.version import full_version

EXPIRES = 3600  # seconds that an address is good for


def object_id(key: str) -> str:
    """Return the DRS id of a file: its key in letters that an id may have."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(drs_id: str) -> str:
    """Return the key that an id stands for; raise NotFoundError if it stands for none."""
    try:
        return check_key(base64.urlsafe_b64decode(drs_id + "=" * (-len(drs_id) % 4)).decode())
    except (binascii.Error, ValueError, InvalidInputError):
        raise NotFoundError(f"there is no DRS object {drs_id}") from None


def create_router(catalog: Catalog, access: Access, base_url: str | None) -> APIRouter:
    """Create the endpoints over a catalogue."""
    router = APIRouter(prefix="/ga4gh/drs/v1")

    def find(request: Request, drs_id: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Find a file's key, its element, and its object; the id of a replaced file leads to the one of its name."""
        key = key_of(drs_id)
        access.check(caller_of(request), "read", key)
        try:
            key = catalog.find_file(key)
        except NotFoundError:
            raise NotFoundError(f"there is no DRS object {drs_id}") from None
        access.check(caller_of(request), "read", key)
        object_key, path = catalog.find_object(key)
        for attributes in catalog.metadata(object_key).values():
            if attributes.get("data_path") == path:
                return key, attributes, root_of(key)
        raise NotFoundError(f"there is no DRS object {drs_id}")

    def root_of(key: str) -> dict[str, Any]:
        return next(one for one in catalog.metadata(catalog.find_object(key)[0]).values() if one.get("@type") == "MODO")

    def find_tree(key: str) -> TreePart | BesidePart | None:
        """Find what is in a Zarr tree, or beside an encrypted one, at a key, if anything is."""
        for find in (find_part, find_beside):
            with suppress(NotFoundError):
                return find(catalog, key)
        return None

    def base(request: Request) -> str:
        return base_url or str(request.base_url).rstrip("/")

    @router.get("/service-info", name="DRS service-info")
    def service_info() -> dict[str, Any]:
        """Return the GA4GH service-info."""
        return {
            "id": "modos.drs",
            "name": "modos DRS",
            "version": full_version(),
            "type": {"group": "org.ga4gh", "artifact": "drs", "version": "1.4.0"},
            "organization": {"name": "modos", "url": "https://w3id.org/sdsc-ordes/modos-schema/"},
            "maxBulkRequestLength": 1,
        }

    def describe(request: Request, key: str, name: str, root: dict[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
        created = str(root.get("creation_date") or "1970-01-01")
        return {
            "id": object_id(key),
            "self_uri": f"drs://{urlsplit(base(request)).netloc}/{object_id(key)}",
            "name": name.rpartition("/")[2],
            "created_time": created if "T" in created else f"{created}T00:00:00Z",
            "aliases": list(dict.fromkeys((key, name))),
            "description": attributes.get("description") or "",
        }

    @router.get("/objects/{drs_id}", name="DRS object")
    def get_object(drs_id: str, request: Request, expand: bool = False) -> dict[str, Any]:
        """Return a data file: its size, checksum and access; or an object, a Zarr tree or a folder of one: what is in it."""
        key = key_of(drs_id)
        access.check(caller_of(request), "read", key)
        if catalog.is_object(key):
            return bundle(request, key)
        if part := find_tree(key):
            answer = describe(request, part.key, part.name, root_of(key), part.attributes)
            answer |= part.describe(lambda found: content_of(request, found), expand=expand)
            return answer | (access_of(request, part.key) if part.is_file else {})
        key, attributes, root = find(request, drs_id)
        answer = describe(request, key, name_of(key), root, attributes)
        return answer | {
            "size": catalog.storage.stat(key).size,
            "checksums": _checksums(key, attributes),
            **access_of(request, key),
        }

    @router.post("/objects/{drs_id}", name="DRS object by passports")
    async def post_object(drs_id: str, request: Request) -> dict[str, Any]:
        """Return what GET does, to those whose passports are in the body."""
        shown = await take_passports(request, access)
        return await run_in_threadpool(get_object, drs_id, request, shown.expand)

    def access_of(request: Request, key: str) -> dict[str, Any]:
        methods: list[dict[str, Any]] = [{"type": urlsplit(base(request)).scheme, "access_id": "file"}]
        if catalog.storage.is_remote:
            methods.append({"type": "s3", "access_url": {"url": f"{catalog.storage.url}/{key}"}})
        return {"mime_type": "application/octet-stream", "access_methods": methods}

    def content_of(request: Request, key: str) -> dict[str, Any]:
        return {"id": object_id(key), "drs_uri": [f"drs://{urlsplit(base(request)).netloc}/{object_id(key)}"]}

    def find_bytes(request: Request, drs_id: str) -> str:
        """Find the key of a file that an id is of: a data file, a file of a tree, or the header and list of an encrypted one."""
        key = key_of(drs_id)
        access.check(caller_of(request), "read", key)
        part = find_tree(key)
        return part.key if part and part.is_file else find(request, drs_id)[0]

    def bundle(request: Request, key: str) -> dict[str, Any]:
        metadata = catalog.metadata(key)
        root = next(value for value in metadata.values() if value.get("@type") == "MODO")
        paths = ((a["data_path"], a) for a in metadata.values() if a.get("data_path"))
        files = {f"{key}/{path}": attributes for path, attributes in paths if not is_array_path(path)}
        known = [checksum["checksum"] for file, a in files.items() for checksum in _checksums(file, a)]
        return describe(request, key, key, root, root) | {
            "size": sum(a.get("data_size") or 0 for a in files.values()),
            "checksums": [{"type": "blake2b-512", "checksum": hashlib.blake2b("".join(sorted(known)).encode()).hexdigest()}],
            "contents": [{"name": name_of(file.removeprefix(f"{key}/")), **content_of(request, file)} for file in files],
        }

    @router.get("/objects/{drs_id}/access/{access_id}", name="DRS access")
    def get_access(drs_id: str, access_id: str, request: Request) -> dict[str, Any]:
        """Return the address of the bytes, valid for an hour."""
        key = find_bytes(request, drs_id)
        if access_id != "file":
            raise NotFoundError(f"there is no access {access_id}")
        signed = catalog.storage.presign(key, EXPIRES)
        if signed:
            note(request, GRANTED, key, via="s3", seconds=EXPIRES)
            return {"url": signed}
        headers = {STORED_KEY_HEADER: "1"} | authorization_of(request)
        return {
            "url": f"{base(request)}/files/{quote(key)}",
            "headers": [f"{name.title()}: {value}" for name, value in headers.items()],
        }

    @router.post("/objects/{drs_id}/access/{access_id}", name="DRS access by passports")
    async def post_access(drs_id: str, access_id: str, request: Request) -> dict[str, Any]:
        """Return the address of the bytes, to those whose passports are in the body."""
        await take_passports(request, access)
        return await run_in_threadpool(get_access, drs_id, access_id, request)

    return router


def _checksums(key: str, attributes: dict[str, Any]) -> list[dict[str, str]]:
    """Return the checksums that metadata have; none for an encrypted file, where they cover the body alone."""
    known = {"blake2b-512": attributes.get("data_checksum"), PARTS: attributes.get("data_digest")}
    return [{"type": type, "checksum": value} for type, value in known.items() if value and not is_encrypted(key)]
