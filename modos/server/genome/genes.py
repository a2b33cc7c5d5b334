"""Give out genes with their transcripts and exons, and find genes by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from modos.errors import NotFoundError
from modos.genomics.region import Region
from modos.server.answers import JsonAnswer
from modos.server.conditions import name_version
from modos.server.genome.annotations_served import Annotations
from modos.server.genome.answering import KEPT, answer_unchanged, describe_place, make_tag
from modos.server.genome.bases import resolve_place
from modos.server.genome.bins import RegionText
from modos.server.genome.frames import Frames
from modos.server.genome.objects import Objects
from modos.server.noting import SENT, note
from modos.server.parameters import check_parameters

if TYPE_CHECKING:
    from modos.reference.annotations.annotation import Annotation
    from modos.reference.annotations.features import Feature

MOST = 1000  # features of an answer, with their exons
MOST_GENES = 2000  # of an answer that has genes alone
MOST_EXONS = 500  # of a transcript
MOST_FOUND = 20  # places of a search
ALL, ONE, GENES, LONGEST = "all transcripts", "one transcript of each gene", "genes alone", "the longest genes alone"

Name = Annotated[str | None, Query(max_length=200, description="The annotation; the first where none is named.")]
Words = Annotated[str, Query(min_length=1, max_length=200, description="A name or id of a gene, or how one begins.")]


def create_router(objects: Objects, frames: Frames, annotations: Annotations) -> APIRouter:
    """Create the endpoints of genes."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    @router.get("/features/{path:path}", name="genes of a region")
    def get_features(path: str, request: Request, region: RegionText, annotation: Name = None) -> Response:
        """Return the genes of a region with transcripts and exons, by an annotation of the reference of an element.

        Where there are too many, `shown` says what is given of them: one transcript of each gene (that of MANE, else of
        APPRIS, else the longest), genes without transcripts, or the longest genes.
        """
        element = objects.find(request, path)
        frame = frames.find(request, element)
        place = resolve_place(frame, region)
        source, opened = annotations.open(request, element, frame, annotation)
        tables = tuple(table.sha256 for table in opened.manifest.tables.values())
        tag = make_tag("features", tables, frame.path, not frame.aliases, place)
        if answer := answer_unchanged(request, tag):
            return answer
        if source.file_key is not None:
            note(request, SENT, source.file_key, regions=[place])
        shown, total, features = choose_features(opened, place)
        about = {"annotation": source.name, "shown": shown, "genes": total}
        headers = {"ETag": tag, **KEPT, **name_version(tables)}
        return JsonAnswer(
            describe_place(place.contig, place.start, place.limit) | about | {"features": features}, headers=headers
        )

    @router.get("/genes", name="places of genes")
    def find_genes(
        request: Request, q: Words, element: Annotated[str, Query(max_length=2000)], annotation: Name = None
    ) -> Response:
        """Find genes by name or id: those that are called so, then those whose names begin so, 20 at most.

        The annotations are those of the reference of an element.
        """
        found = objects.find(request, element)
        frame = frames.find(request, found)
        from modos.reference.annotations.gene_names import search_genes

        places: list[dict[str, Any]] = []
        for source in annotations.list(request, found, frame):
            if annotation in (None, source.name):
                _, opened = annotations.open(request, found, frame, source.name)
                if source.file_key is not None:
                    note(request, SENT, source.file_key, unknown=("regions",), only="places of genes")
                places += [{**row, "annotation": source.name} for row in search_genes(opened.genes.to_polars(), q, MOST_FOUND)]
        order = {"exact": 0, "prefix": 1}
        places.sort(key=lambda place: order[place["match"]])
        return JsonAnswer({"data": places[:MOST_FOUND], "reference": frame.path}, headers=dict(KEPT))

    return router


def choose_features(annotation: Annotation, place: Region) -> tuple[str, int, list[dict[str, Any]]]:
    """Choose what is shown of the genes of a region: how it was thinned, the number of genes, and the features.

    Features have 0-based half-open positions, and are in order of their starts.
    """
    try:
        genes = annotation.genes.overlap(place.contig, place.start, place.limit)
    except NotFoundError:  # a contig that the annotation has nothing on
        return ALL, 0, []
    transcripts = annotation.transcripts.overlap(place.contig, place.start, place.limit)
    if len(transcripts) <= MOST and len(genes) <= MOST:
        with_transcripts = {transcript.gene.row for transcript in transcripts}
        alone = [describe_gene(gene) for gene in genes if gene.row not in with_transcripts]
        return ALL, len(genes), _in_order([*map(describe_transcript, transcripts), *alone])
    if len(genes) <= MOST:
        return ONE, len(genes), _in_order(_describe_best(gene) for gene in genes)
    if len(genes) <= MOST_GENES:
        return GENES, len(genes), _in_order(map(describe_gene, genes))
    starts, ends = (annotation.genes.numbers(name)[genes.rows] for name in ("start", "end"))
    longest = (starts - ends).argsort(kind="stable")[:MOST_GENES]
    return LONGEST, len(genes), _in_order(describe_gene(genes[int(number)]) for number in longest)


def _in_order(features: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(features, key=lambda feature: (feature["start"], feature["end"], str(feature["id"])))


def _describe_best(gene: Feature) -> dict[str, Any]:
    """Describe the transcript of a gene that stands for it, or the gene where it has none."""
    transcripts = list(gene.transcripts)
    if not transcripts:
        return describe_gene(gene)
    return describe_transcript(min(transcripts, key=_rank))


def _rank(transcript: Feature) -> tuple[bool, bool, str, int]:
    appris = transcript.appris
    return (
        transcript.mane != "select",
        not (appris or "").startswith("principal"),
        appris or "",
        transcript.start - transcript.end,
    )


def describe_gene(gene: Feature) -> dict[str, Any]:
    """Describe a gene without its transcripts."""
    return {
        "kind": "gene",
        "start": gene.start,
        "end": gene.end,
        "strand": gene.strand,
        "name": gene.name or gene.id,
        "id": gene.id,
        "type": gene.type,
    }


def describe_transcript(transcript: Feature) -> dict[str, Any]:
    """Describe a transcript with its exons, and where of them it codes; no exons where there are more than 500."""
    exons = transcript.exons
    coding = sorted((part.start, part.end) for part in transcript.cds)
    gene = transcript.gene
    return describe_gene(gene) | {
        "kind": "transcript",
        "start": transcript.start,
        "end": transcript.end,
        "id": transcript.id,
        "gene": gene.id,
        "type": transcript.type,
        "coding": [coding[0][0], max(end for _, end in coding)] if coding else None,
        "exons": sorted([exon.start, exon.end] for exon in exons) if len(exons) <= MOST_EXONS else [],
    }
