"""Gather the routes of the pages."""

from __future__ import annotations

from fastapi import APIRouter

from modos.catalog.catalog import Catalog
from modos.codes.term_index import Index
from modos.reference.store import ReferenceStore
from modos.server.auth import Access
from modos.server.known_objects import KnownObjects
from modos.server.pages import api_page, asset_files, catalogue_page, element_page, object_page
from modos.server.pages.own_object import OwnObject
from modos.server.pages.served_objects import ServedObjects
from modos.server.pages.terms_shown import Labels


def create_routers(
    catalog: Catalog,
    known: KnownObjects,
    access: Access,
    index: Index | None,
    public_url: str | None,
    references: ReferenceStore | None,
    own_object: OwnObject | None = None,
) -> list[APIRouter]:
    """Create all pages; they stand before what answers programs at the same addresses.

    Parameters
    ----------
    index
        Has the labels of terms.
    public_url
        This server as clients reach it.
    references
        Has the annotations of reference genomes.
    own_object
        The one object that there is, where somebody looks at it with their own key.
    """
    labels, objects = Labels(index), ServedObjects(catalog, known, access, own_object)
    return [
        asset_files.create_router(),
        catalogue_page.create_router(catalog, access, labels),
        object_page.create_router(objects, labels, public_url),
        element_page.create_router(objects, labels, public_url, references),
        api_page.create_router(public_url),
    ]
