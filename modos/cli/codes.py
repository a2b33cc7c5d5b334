"""The commands of `modos codes`, which search terminology codes and build an index of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.input import confirm, is_terminal
from modos.cli.output import count, options, say, show, show_json
from modos.cli.peer import accept_spellings

if TYPE_CHECKING:
    from modos.codes.terms import Code

app = typer.Typer()
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        "-i",
        envvar="MODOS_CODES",
        metavar="FILE",
        help="An index; by default the service of the endpoint, or your own index.",
    ),
]


@app.command(cls=accept_spellings("codes search"))
def search(
    slot: Annotated[
        str,
        typer.Argument(
            metavar="SLOT",
            help="cell_type, source_material, taxon_id, sample_processing; or one of the "
            "schema's own values: sex, omics_type, data_format.",
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORDS", help="A name, a part of one, or a code; without words you are asked."),
    ] = None,
    query: Annotated[str | None, typer.Option("--query", hidden=True)] = None,
    top: Annotated[int, typer.Option("--top", "-n", metavar="N", min=1, max=100, help="The maximum number of codes.")] = 10,
    index: IndexOption = None,
    json: JsonOption = False,
) -> None:
    """Search the codes that a slot can have by words; misspellings and synonyms are found, too.

    modos codes search cell_type t lymphocyte

    modos --endpoint http://localhost codes search taxon_id 'homo sapiens' --json
    """
    from modos import codes
    from modos.cli.suggesting import browse
    from modos.errors import InvalidInputError

    if words and query:
        raise InvalidInputError("WORDS and --query are the same, and both are given", "give one of them")
    text = " ".join(words or ([query] if query else []))
    if not text and not is_terminal():
        raise InvalidInputError("there are no words to look for", f"modos codes search {slot} WORDS")

    def find(words: str) -> list[Code]:
        return codes.search(slot, words, top, index, options.endpoint)

    found = find(text) if text else [browse(slot, find)]
    if json:
        show_json([vars(code) for code in found])
    elif found:
        show("\n".join("\t".join((code.value, code.label, *([code.synonym] if code.synonym else ()))) for code in found))
    else:
        say(f"no code of {slot} is like {text}")


@app.command()
def build(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="OBO, or OWL or SKOS in RDF/XML, plain or gzipped; SLOT=FILE takes all of its terms for a slot."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            envvar="MODOS_CODES",
            metavar="FILE",
            help="Write here, instead of the default place where `search` looks.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before an index of other files is replaced.")] = False,
    json: JsonOption = False,
) -> None:
    """Build an index of codes from ontologies: the Cell Ontology, Uberon, BTO, NCBITaxon, OBI, EFO, or your own.

    modos codes build cl.obo uberon.obo taxslim.obo.gz obi.owl

    modos codes build cl.owl sample_processing=protocols.obo -o site.index
    """
    from modos.codes import index_builder
    from modos.codes.sources_of_codes import default_path
    from modos.codes.storing import Stored

    place = output or default_path()
    asked = is_terminal() and not yes
    if asked:
        confirm([f"- {name}, of which {place} was made, too" for name in index_builder.find_lost(files, place)], yes)
    sources: list[index_builder.Source] = []

    def tell_source(source: index_builder.Source) -> None:
        sources.append(source)
        left = [f"{count(source.obsolete, 'obsolete one')} left out"] if source.obsolete else []
        left += [f"{source.others:,} of other ontologies left out"] if source.others else []
        say(f"{source.name}: " + ", ".join([count(source.terms, "term"), *left]))

    index_builder.build(files, place, replace=yes or asked, told=tell_source)
    slots = Stored(place).facts["slots"]
    if json:
        show_json({"index": str(place), "slots": slots, "files": [vars(source) for source in sources]})
    say(f"built {place}: " + ", ".join(f"{slot} {count(facts['terms'], 'term')}" for slot, facts in slots.items()))


@app.command("list")
def list_(index: IndexOption = None, json: JsonOption = False) -> None:
    """List the slots that have codes here.

    modos codes list

    modos --endpoint http://localhost codes list --json
    """
    from modos import codes
    from modos.codes.term_index import Index

    found = codes.open(index, options.endpoint)
    facts = found.facts if isinstance(found, Index) else {"sources": [], "slots": {}}
    place = str(found.path) if isinstance(found, Index) and found.path else None if isinstance(found, Index) else found.url
    if json:
        show_json({"place": place, "slots": found.slots, "counts": facts["slots"], "files": facts["sources"]})
        return
    terms = {slot: f"\t{count(facts['slots'][slot]['terms'], 'term')}" if slot in facts["slots"] else "" for slot in found.slots}
    show("\n".join(f"{slot}{number}" for slot, number in terms.items()))
    say(f"in {place}" if place else "there is no index: build one with `modos codes build FILE...`")
