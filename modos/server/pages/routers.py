"""Gather the routes of the pages."""

from __future__ import annotations

from fastapi import APIRouter

from modos.catalog.catalog import Catalog
from modos.codes.term_index import Index
from modos.server.auth import Access
from modos.server.pages import asset_files, catalogue_page, object_page
from modos.server.pages.served_objects import ServedObjects
from modos.server.pages.terms_shown import Labels


def create_router(catalog: Catalog, access: Access, index: Index | None, public_url: str | None) -> APIRouter:
    """Create all pages; they stand before what answers programs at the same addresses."""
    router, labels, objects = APIRouter(), Labels(index), ServedObjects(catalog, access)
    router.include_router(asset_files.create_router())
    router.include_router(catalogue_page.create_router(catalog, access, labels))
    router.include_router(object_page.create_router(objects, labels, public_url))
    return router
