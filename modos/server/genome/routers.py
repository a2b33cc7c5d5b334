"""Gather the routes of the genome browser."""

from __future__ import annotations

from fastapi import APIRouter

from modos.catalog.catalog import Catalog
from modos.genomics.planning import Planner
from modos.reference.store import ReferenceStore
from modos.server.auth import Access
from modos.server.genome import bases, bins, depth, genes, igv, viewing
from modos.server.genome.annotations_served import Annotations
from modos.server.genome.frames import Frames
from modos.server.genome.lanes import Lanes
from modos.server.genome.objects import Objects
from modos.server.genome.open_tracks import OpenTracks
from modos.server.known_objects import KnownObjects


def create_router(
    catalog: Catalog, known: KnownObjects, access: Access, planner: Planner, references: ReferenceStore | None
) -> APIRouter:
    """Create the page and the endpoints that it asks; they stand before what gives out other assets."""
    router, objects, opened = APIRouter(), Objects(known, access), OpenTracks()
    frames = Frames(catalog, access, planner, objects, references)
    annotations = Annotations(access, references)
    depths = depth.Depths(catalog, access, planner, frames, opened)
    router.include_router(igv.create_router())
    router.include_router(bins.create_router(objects, access, opened))
    router.include_router(depth.create_router(objects, depths, frames))
    router.include_router(genes.create_router(objects, frames, annotations))
    router.include_router(bases.create_router(objects, frames))
    router.include_router(viewing.create_router(access, Lanes(access, objects, frames, annotations, opened)))
    return router
