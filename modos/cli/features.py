"""The commands `modos reference dna` and `features`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.output import options, show_json, show_lines, show_rows

if TYPE_CHECKING:
    from modos.reference.assembly import Assembly
    from modos.reference.cached_store import CachedStore
    from modos.reference.store import ReferenceStore

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="MODOS_REFERENCE_STORE",
        metavar="PLACE",
        help="A folder, s3://bucket/prefix or https://host/path; by default a folder of yours.",
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of an assembly in the store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_LINE = 60  # bases in a line of FASTA


def open_store(place: str | None) -> ReferenceStore:
    """Open the store that is named, or the user's."""
    from modos.reference import locate

    return locate.open_store(place, options.endpoint, options.s3_kwargs)


def open_cached(place: str | None) -> CachedStore:
    """Open the store with the cache of what was fetched from it."""
    from modos.reference.cached_store import CachedStore

    return CachedStore(open_store(place))


def dna(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an assembly in the store, or of an annotation of it.")],
    region: Annotated[
        list[str], typer.Argument(metavar="REGION...", help="chr1:1,000-2,000, 1-based inclusive; by any name of the contig.")
    ],
    reverse: Annotated[bool, typer.Option("--reverse", help="The reverse complement.")] = False,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Print the bases of regions as FASTA, as `samtools faidx` does; only what is asked for is fetched.

    modos reference dna hg38 chr1:1,000,001-1,000,100

    modos reference dna hg38 MT --reverse
    """
    from modos.reference.locate import open_reference

    reference = open_reference(name, store, options.endpoint, options.s3_kwargs)
    if json:
        show_json(
            [
                {"region": text, "strand": "-" if reverse else "+", "bases": reference.dna(text, strand="-" if reverse else "+")}
                for text in region
            ]
        )
        return
    for text in region:
        bases = reference.dna(text, strand="-" if reverse else "+")
        show_lines((f">{text}{'/rc' if reverse else ''}", *(bases[at : at + _LINE] for at in range(0, len(bases), _LINE))))


def features(
    name: Annotated[str, typer.Argument(metavar="ANNOTATION", help="The name of an annotation in the store.")],
    region: Annotated[
        list[str] | None, typer.Argument(metavar="REGION", help="1-based inclusive, by any name of the contig; by default all.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", "-k", metavar="KIND", help="gene, transcript, exon, intron, cds or utr.")
    ] = "gene",
    strand: Annotated[str | None, typer.Option("--strand", metavar="+|-", help="Only this strand.")] = None,
    gene: Annotated[
        str | None, typer.Option("--gene", metavar="GENE", help="Only of this gene, by name, id or cross-reference (GeneID:672).")
    ] = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Print the features of an annotation that overlap regions, or of a gene: a table, positions 1-based inclusive.

    modos reference features gencode.v47 chr1:1,000,001-1,100,000 --kind transcript

    modos reference features gencode.v47 --gene BRCA1 --kind exon --json
    """
    from modos.reference.annotation_store import find_manifest, open_annotation

    cached = open_cached(store)
    assembly = cached.assembly(find_manifest(cached, name).assembly)
    annotation = open_annotation(cached, name, assembly)
    _check_places(region or [], assembly)
    table = annotation.table(kind)
    found = [table.overlap(text, strand=strand) for text in region] if region else [table.all(strand)]
    if gene:
        own = annotation.of_gene(kind, gene)
        found = [part.among(own) for part in found]
    if json:
        show_json([{**row, "start": row["start"] + 1} for part in found for row in part.to_polars(ids=True).to_dicts()])
        return
    for number, part in enumerate(found):
        rows = part.to_polars(ids=True)
        if not number:
            show_rows([rows.columns])
        for row in rows.iter_rows(named=True):
            show_rows([["" if value is None else value + 1 if column == "start" else value for column, value in row.items()]])


def _check_places(regions: list[str], assembly: Assembly) -> None:
    """Raise RegionError for a region past the end of its contig."""
    from modos.errors import RegionError
    from modos.genomics.region import Region

    for text in regions:
        region = Region.parse(text, assembly.by_name)
        contig = assembly.by_name.get(region.contig)
        if contig is not None and region.start and region.start >= contig.length:
            raise RegionError(f"the region {text} is beyond the {contig.length:,} bases of {region.contig}")
