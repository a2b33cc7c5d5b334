"""Show the genes of the annotations that a reference store has for a reference genome of an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modos.errors import ModosError
from modos.reference.store import ReferenceStore
from modos.server.pages.served_objects import describe_problem, text_of

_MOST = 50


@dataclass(frozen=True)
class ShownGene:
    """Gene, with its place as text: 1-based and inclusive."""

    name: str
    id: str
    place: str
    strand: str
    type: str


@dataclass(frozen=True)
class ShownAnnotation:
    """Annotations of an assembly, and genes of one of them.

    Parameters
    ----------
    problem
        Why there are no genes; also where none has the name that was asked for.
    """

    names: Sequence[str]
    name: str = ""
    total: int = 0
    genes: Sequence[ShownGene] = ()
    asked: str = ""
    problem: str = ""


def show_genes(
    references: ReferenceStore | None, attributes: Mapping[str, Any], name: str | None, gene: str
) -> ShownAnnotation | None:
    """Return the first genes of an annotation, or those of a name or id; None where the store has no annotation of the genome.

    Parameters
    ----------
    name
        Of the annotation; the first one where it is None, or there is none of that name.
    """
    assembly = text_of(attributes, "assembly")
    if references is None or not assembly:
        return None
    names: list[str] = []
    try:
        names = sorted(key for key, facts in references.annotations().items() if facts.get("assembly") == assembly)
        if not names:
            return None
        chosen = name if name in names else names[0]
        return _read_genes(references, names, chosen, assembly, gene)
    except ModosError as error:
        return ShownAnnotation(names, asked=gene, problem=describe_problem(error, references.url))


def _read_genes(references: ReferenceStore, names: list[str], chosen: str, assembly: str, gene: str) -> ShownAnnotation:
    from modos.reference.annotation_store import open_annotation
    from modos.reference.cached_store import CachedStore

    annotation = open_annotation(CachedStore(references), chosen, references.assembly(assembly))
    total = len(annotation.genes)
    if not gene:
        return ShownAnnotation(names, chosen, total, [_describe(one) for one in annotation.genes[:_MOST]])
    named = list(annotation.genes.named(gene))[:_MOST]
    try:
        genes = named or [annotation.gene(gene)]
    except ModosError as error:
        return ShownAnnotation(names, chosen, total, asked=gene, problem=describe_problem(error, references.url))
    return ShownAnnotation(names, chosen, total, [_describe(one) for one in genes], gene)


def _describe(gene: Any) -> ShownGene:
    region = gene.region
    return ShownGene(
        str(gene.name or ""),
        str(gene.id),
        f"{region.contig}:{region.start + 1:,}-{region.end:,}",
        str(getattr(gene, "strand", "") or ""),
        str(getattr(gene, "type", "") or ""),
    )
