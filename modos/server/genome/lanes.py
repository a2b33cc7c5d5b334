"""Describe what a view draws for each element: its lanes, their names for contigs, and what is not shown."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from fastapi import Request

from modos.errors import ModosError, NotFoundError, listing
from modos.errors.escaping import escape_line
from modos.formats import is_encrypted, stem_of, streamable_format
from modos.genomics.bounding import Bounds
from modos.genomics.htsget.protocol import HtsgetError
from modos.object import tracks
from modos.server.auth import Access, caller_of
from modos.server.genome.annotations_served import Annotations
from modos.server.genome.bins import find_track_element
from modos.server.genome.frames import Facts, Frame, Frames, find_misfits, has_records, match_names
from modos.server.genome.objects import Element, Objects
from modos.server.genome.open_tracks import OpenTracks
from modos.server.pages.served_objects import describe_problem
from modos.server.rules import ANYONE

_AT_ONCE = 8  # frames and headers that are read at once
_MOST_TOLD = 12  # regions, and misfits, that a note names


class Asked(NamedTuple):
    """Element that a view is asked for, as it was found; or why it is not."""

    path: str
    element: Element | None
    track: str | None
    problem: str = ""


class Lane(NamedTuple):
    """Lane of a view, as the page has it for its script, and notes for people."""

    data: dict[str, Any]
    notes: list[str]


class Lanes:
    """Makes the lanes of views."""

    def __init__(self, access: Access, objects: Objects, frames: Frames, annotations: Annotations, opened: OpenTracks):
        self._access, self._objects, self._frames = access, objects, frames
        self._annotations, self._opened = annotations, opened

    def find(self, request: Request, path: str) -> Asked:
        """Find the element at a path, or the track of a reference; what is wrong is said and not raised."""
        try:
            return Asked(path, *find_track_element(self._objects, request, path))
        except ModosError as error:
            return Asked(path, None, None, describe_refusal(request, error))

    def warm(self, request: Request, asked: list[Asked]) -> None:
        """Read at once what a view takes of its elements, and keep it: their frames, and the headers of their files."""

        def read(call: Callable[[], object]) -> None:
            with suppress(ModosError):  # which is found again, and said, where it is used
                call()

        calls: list[Callable[[], object]] = []
        for element in (one.element for one in asked if one.element is not None):
            calls.append(partial(self._frames.find_linked, request, element))
            if has_records(element):
                calls.append(partial(self._frames.read_facts, request, element))
        if len(calls) > 1:
            with ThreadPoolExecutor(min(len(calls), _AT_ONCE)) as pool:
                list(pool.map(read, calls))

    def find_frame(self, request: Request, asked: list[Asked]) -> tuple[Frame, Element] | None:
        """Find what a view is drawn along: the first reference of its elements, else the header of the first file with one."""
        found: list[tuple[Frame, Element]] = []
        for one in asked:
            if one.element is not None:
                try:
                    found.append((self._frames.find(request, one.element), one.element))
                except ModosError:
                    continue
        return next((pair for pair in found if pair[0].is_reference), found[0] if found else None)

    def make(self, request: Request, asked: Asked, frame: Frame) -> list[Lane]:
        """Make the lanes of an element along a frame.

        Raises
        ------
        NotFoundError
            It has nothing that is drawn, or nothing on contigs of the frame.
        HtsgetError
            The caller may read nothing of it.
        """
        element = asked.element
        assert element is not None
        path = str(element.attributes.get("data_path") or "")
        if path and is_encrypted(path):
            raise NotFoundError(f"{asked.path} is encrypted: `modos view` shows it to who has the key")
        if has_records(element):
            return self._of_records(request, element, frame)
        if asked.track is not None or element.id in tracks.tracks_of(element.of.document).values():
            return [self._of_track(request, asked, element, frame)]
        if element.attributes.get("data_format") == "GFF3":
            return [self._of_gene_file(request, element, frame)]
        if element.id.startswith("reference/"):
            return []  # which is what the view is drawn along
        raise NotFoundError(f"{asked.path} has nothing that is drawn along a genome: no reads, variants, track or genes")

    def make_genes(self, request: Request, element: Element, frame: Frame) -> list[Lane]:
        """Make the lane of the genes of a frame; none where it has no annotation."""
        known = self._annotations.list(request, element, frame)
        return [_of_genes(element, frame, known[0].name)] if known else []

    def _of_records(self, request: Request, element: Element, frame: Frame) -> list[Lane]:
        key = str(element.file_key)
        bounds = self._access.admit(caller_of(request), key)
        facts, samples = self._frames.read_facts(request, element), self._frames.count_samples(request, element)
        names, notes = _match(element, frame, facts)
        notes += _describe_bounds(bounds, element)
        kind = streamable_format(key).kind
        data = _describe(element, frame, names) | {
            "kind": kind,
            "file": stem_of(key),
            "is_bounded": bool(bounds),
            "samples": _count_allowed(bounds, samples),
        }
        wrong = self._frames.find_linked(request, element)
        if wrong[0] is None:
            notes += [f"without the reference {link}: {describe_refusal(request, error)}" for link, error in wrong[1].items()]
        return [Lane(data, notes)]

    def _of_track(self, request: Request, asked: Asked, element: Element, frame: Frame) -> Lane:
        element_id, track = self._opened.find(element, asked.track)
        self._access.check(caller_of(request), "read", element.of.key_of(f"data.zarr/{element_id}"))
        facts: Facts = {name: (length, None) for name, length in track.contigs.lengths.items()}
        names, notes = _match(element, frame, facts)
        data = _describe(element, frame, names) | {"kind": "track", "path": asked.path}
        if asked.track is not None:
            data["label"] = escape_line(f"{asked.track} ({element.of.key or 'object'})")
        return Lane(data, notes)

    def _of_gene_file(self, request: Request, element: Element, frame: Frame) -> Lane:
        own = self._frames.find(request, element)
        facts: Facts = {contig.name: (contig.length, contig.md5 or None) for contig in own.assembly.contigs}
        names, notes = _match(element, frame, facts)
        lane = _of_genes(element, frame, element.id)
        return Lane(lane.data | {"label": escape_line(f"Genes ({element.path})"), "names": _restrict(frame, names)}, notes)


def describe_refusal(request: Request, error: ModosError) -> str:
    """Describe for people why something is not shown, without where it lies: who is not known is asked to log in."""
    is_refused = isinstance(error, HtsgetError) and error.name in ("PermissionDenied", "InvalidAuthentication")
    if is_refused and caller_of(request) == ANYONE:
        return "you have to log in to see it"
    return describe_problem(error, *request.app.state.places)


def _match(element: Element, frame: Frame, facts: Facts) -> tuple[dict[str, str], list[str]]:
    names = match_names(frame, facts)
    if not names:
        raise NotFoundError(
            f"{element.path} and {frame.name} have no contig in common: {listing(facts) or 'none'} and {listing(frame.contigs)}"
        )
    misfits = find_misfits(frame, names, facts)
    more = f", and {len(misfits) - _MOST_TOLD:,} more" if len(misfits) > _MOST_TOLD else ""
    notes = [f"is not of {frame.name}: {'; '.join(misfits[:_MOST_TOLD])}{more}"] if misfits else []
    if lacking := len(facts) - len(names):
        notes.append(f"{lacking:,} of its {len(facts):,} contigs are not in {frame.name}, and not shown")
    return names, notes


def _describe(element: Element, frame: Frame, names: dict[str, str]) -> dict[str, Any]:
    label = f"{element.name} ({element.of.key})" if element.of.key else element.name
    return {"path": element.path, "label": escape_line(label), "names": _restrict(frame, names)}


def _restrict(frame: Frame, names: dict[str, str]) -> dict[str, str] | None:
    """Return names of contigs by those of a frame; None where all are called as the frame calls them."""
    is_same = len(names) == len(frame.contigs) and all(own == name for own, name in names.items())
    return None if is_same else names


def _of_genes(element: Element, frame: Frame, annotation: str) -> Lane:
    data = {"kind": "genes", "path": element.path, "label": escape_line(f"Genes ({annotation})"), "annotation": annotation}
    return Lane(data | {"names": None}, [])


def _count_allowed(bounds: tuple[Bounds, ...], samples: int) -> int:
    """Return how many of the samples of a file bounds may show, at most."""
    allowed = [samples if one.samples is None else len(one.samples) for one in bounds]
    return min(samples, max(allowed, default=samples))


def _describe_bounds(bounds: tuple[Bounds, ...], element: Element) -> list[str]:
    """Describe what of a file a caller is shown, where that is not all."""
    notes = []
    for one in bounds:
        told = []
        if one.regions is not None:
            regions = list(map(str, one.regions))
            more = f" and {len(regions) - _MOST_TOLD:,} more" if len(regions) > _MOST_TOLD else ""
            told.append(f"the regions {', '.join(regions[:_MOST_TOLD])}{more}")
        if one.samples is not None:
            told.append(f"the samples {listing(sorted(one.samples))}")
        if one.fields or one.tags is not None or one.notags or one.info is not None or one.formats is not None:
            told.append("some fields of each record")
        notes.append(f"you may read {' of '.join(told) or 'parts'} only: elsewhere nothing is shown, whatever there is")
    return notes
