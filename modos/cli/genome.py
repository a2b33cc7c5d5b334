"""The commands of `modos genome`, for the contigs and sequence of an object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.completion import complete_region
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import count, progress, say, show_json, show_lines, show_rows
from modos.cli.secrets import PassphraseOption, SecretKeyOption, load_optional_secret

if TYPE_CHECKING:
    from modos.tracks.genome import Genome

app = typer.Typer()

GenomeOption = Annotated[str | None, typer.Option("--genome", "-g", metavar="ID", help="The reference, if there are several.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_LINE = 60  # bases in a line of FASTA
_PIECE = _LINE << 16


def open_genome(
    place: str, genome: str | None = None, secret_key: Path | None = None, passphrase_file: Path | None = None
) -> Genome:
    """Open the genome of an object, or of a bigWig file alone; with a key also what of it is encrypted."""
    from modos.storage.given import is_pipe
    from modos.tracks.bigwig import open_bigwig

    secret = load_optional_secret(secret_key, passphrase_file)
    if is_pipe(place) or _is_bigwig(place):
        return open_bigwig(place)
    return open_object(place).open_genome(genome, secret_key=secret)


def _is_bigwig(place: str) -> bool:
    from modos.storage.given import open_given
    from modos.tracks.bigwig import is_bigwig

    if not os.path.isfile(place):
        return False
    with open_given(place) as file:
        return is_bigwig(file)


@app.command()
def init(
    place: ObjectPath,
    fasta: Annotated[
        list[str] | None, typer.Argument(metavar="FASTA", help="Contigs and sequence; plain or gzipped, patterns work.")
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            "--sizes", metavar="FILE", help="Tables of names and lengths instead. Can be given several times, patterns work."
        ),
    ] = None,
    assembly: Annotated[list[str] | None, typer.Option("--assembly", metavar="AGP", help="AGP files instead.")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="ID", help="The FASTA of a reference that the object has, instead.")
    ] = None,
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The id of the new reference.")] = None,
    assembly_report: Annotated[
        Path | None, typer.Option("--assembly-report", metavar="FILE", help="An NCBI assembly report, for the names.")
    ] = None,
    name_style: Annotated[
        str, typer.Option("--name-style", metavar="COLUMN", help="The style of names to take from the report.")
    ] = "UCSC-style-name",
    chromosome_map: Annotated[
        Path | None, typer.Option("--chromosome-map", metavar="FILE", help="A table of old and new names.")
    ] = None,
    secret_key: Annotated[
        Path | None, typer.Option("--secret-key", metavar="FILE", help="Secret key to decrypt the FASTA of the reference with.")
    ] = None,
    passphrase_file: PassphraseOption = None,
    plain: Annotated[bool, typer.Option("--plain", help="Store the genome plain, even if the FASTA is encrypted.")] = False,
) -> None:
    """Give an object a genome, from files; tracks are kept along it.

    modos genome init data/ex 'chr*.fa.gz'

    modos genome init data/ex --sizes hg38.chrom.sizes --id hg38
    """
    from modos.cli.secrets import load_optional_secret

    secret = load_optional_secret(secret_key, passphrase_file)
    modo = open_object(place)
    with progress("reading the sequence") as advance:
        made = modo.add_genome(
            fasta or (),
            sizes=sizes or (),
            agp=assembly or (),
            reference=reference,
            id=id,
            assembly_report=assembly_report,
            name_style=name_style,
            chromosome_map=chromosome_map,
            progress=advance,
            secret_key=secret,
            plain=plain,
        )
    contigs = modo.open_genome(made).contigs
    say(f"{made} of {modo.storage.url} has {count(len(contigs), 'contig')}, {count(sum(contigs.lengths.values()), 'base')}")


@app.command()
def info(place: ObjectPath, genome: GenomeOption = None, json: JsonOption = False) -> None:
    """Show the size and the tracks of a genome.

    modos genome info data/ex

    modos genome info data/ex --json
    """
    found = open_genome(place, genome)
    contigs = found.contigs
    facts = {
        "id": found.id,
        "contigs": len(contigs),
        "bases": sum(contigs.lengths.values()),
        "supercontigs": sum(len(contigs[name].supercontigs) for name in contigs),
        "sequence": found.has_sequence,
        "aliases": len(contigs.aliases),
        "tracks": found.tracknames_continuous,
    }
    if json:
        show_json(facts)
        return
    texts = {"sequence": "yes" if facts["sequence"] else "no", "tracks": ", ".join(found.tracks) or "none"}
    show_lines(
        f"{name:<13}{texts.get(name) or (f'{value:,}' if isinstance(value, int) else value)}" for name, value in facts.items()
    )


@app.command()
def contigs(place: ObjectPath, genome: GenomeOption = None, json: JsonOption = False) -> None:
    """List the stretches that can have data, as BED.

    modos genome contigs data/ex

    modos genome contigs s3://my-bucket/ex > stretches.bed
    """
    from modos.tracks.export import contigs_table

    rows = contigs_table(open_genome(place, genome).contigs)
    if json:
        show_json([dict(zip(("contig", "start", "end"), row)) for row in rows])
    else:
        show_rows(rows)


@app.command()
def sizes(place: ObjectPath, genome: GenomeOption = None, json: JsonOption = False) -> None:
    """List the contigs with their lengths, as chrom.sizes.

    modos genome sizes data/ex

    modos genome sizes coverage.bw
    """
    lengths = open_genome(place, genome).contigs.lengths
    if json:
        show_json(dict(lengths))
    else:
        show_rows(lengths.items())


@app.command()
def seq(
    place: ObjectPath,
    regions: Annotated[
        list[str], typer.Argument(metavar="REGION", autocompletion=complete_region, help="1-based inclusive: chr1:1,000-2,000.")
    ],
    genome: GenomeOption = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Write the sequence of regions, as FASTA.

    modos genome seq data/ex chr1:1,000-2,000

    modos genome seq data/ex chr1 chr2 > two.fa
    """
    found = open_genome(place, genome, secret_key, passphrase_file)
    places = [found.contigs.place(region) for region in regions]
    if json:
        show_json(
            [
                {"contig": contig.name, "start": start + 1, "end": end, "bases": _bases(found, contig.name, start, end)}
                for contig, start, end in places
            ]
        )
        return
    for contig, start, end in places:
        whole = (start, end) == (0, contig.length)
        show_lines([f">{contig.name}" if whole else f">{contig.name}:{start + 1}-{end}"])
        for at in range(start, end, _PIECE):
            bases = _bases(found, contig.name, at, min(at + _PIECE, end))
            show_lines(bases[low : low + _LINE] for low in range(0, len(bases), _LINE))


def _bases(genome: Genome, contig: str, start: int, end: int) -> str:
    bases: bytes = genome[contig].seq[start:end].tobytes()
    return bases.decode("ascii", "replace")
