"""Gather the routes of the pages."""

from __future__ import annotations

from fastapi import APIRouter

from modos.catalog.catalog import Catalog
from modos.codes.term_index import Index
from modos.server.auth import Access
from modos.server.pages import asset_files, catalogue_page
from modos.server.pages.terms_shown import Labels


def create_router(catalog: Catalog, access: Access, index: Index | None) -> APIRouter:
    """Create all pages; they stand before what answers programs at the same addresses."""
    router, labels = APIRouter(), Labels(index)
    router.include_router(asset_files.create_router())
    router.include_router(catalogue_page.create_router(catalog, access, labels))
    return router
