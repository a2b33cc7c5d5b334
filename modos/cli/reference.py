"""The commands of `modos reference`, for assemblies and annotations in a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.features import JsonOption, NameArgument, StoreOption, dna, features, open_cached, open_store
from modos.cli.input import confirm
from modos.cli.output import count, options, progress, say, show, show_json, show_lines, show_rows, show_table, size

if TYPE_CHECKING:
    from modos.reference.annotations.parquet_files import Manifest
    from modos.reference.assembly import Assembly
    from modos.reference.store import ReferenceStore

app = typer.Typer()


@app.command("list")
def list_(
    remote: Annotated[bool, typer.Option("--remote", help="The store that the endpoint serves.")] = False,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """List the assemblies and annotations of the store.

    modos reference list

    modos reference list --remote --json
    """
    from modos.errors import NotFoundError
    from modos.reference.cache import is_offline

    cached = open_cached(store)
    if is_offline() and not cached.is_here:
        names = cached.list_known()
        show_json(names) if json else show_lines(names) if names else say(f"nothing of {cached.store.url} is in the cache")
        return
    known = _open_served() if remote else cached.store
    assemblies, annotations = known.contents().values()
    if not assemblies and not annotations and not known.is_there():
        raise NotFoundError(f"there is no reference store at {known.url}", "check the path; `modos reference add` begins one")
    if json:
        show_json({"assemblies": assemblies, "annotations": annotations})
        return
    if not assemblies:
        say(f"{known.url} has no assemblies")
        return
    show_table(
        [
            ("assembly", "contigs", "bases", "seqcol"),
            *(
                (name, f"{facts['contigs']:,}", f"{facts['bases']:,}", facts["seqcol"])
                for name, facts in sorted(assemblies.items())
            ),
        ]
    )
    if annotations:
        show("")
        show_table(
            [
                ("annotation", "assembly", "genes", "transcripts", "size"),
                *(
                    (
                        name,
                        facts["assembly"],
                        f"{facts['rows']['gene']:,}",
                        f"{facts['rows']['transcript']:,}",
                        size(facts["bytes"]),
                    )
                    for name, facts in sorted(annotations.items())
                ),
            ]
        )


def _open_served() -> ReferenceStore:
    from modos.errors import NotFoundError
    from modos.reference.cache import is_offline
    from modos.reference.locate import open_served_store

    found = open_served_store(options.endpoint)
    if found is None:
        raise NotFoundError(
            "no server gives out references" if options.endpoint else "no server is named",
            "MODOS_OFFLINE is set"
            if is_offline()
            else "name one with --endpoint; it gives out what `modos serve --references` names",
        )
    return found


@app.command("show")
def show_(name: NameArgument, store: StoreOption = None, json: JsonOption = False) -> None:
    """Show the contigs of an assembly (name, length, MD5, GA4GH digest, other names), or the features of an annotation.

    modos reference show hg38

    modos reference show gencode.v47 --json
    """
    from modos.reference.annotation_store import find_manifest, is_annotation_name
    from modos.reference.cached_store import compare

    cached = open_cached(store)
    if is_annotation_name(cached, name):
        manifest = find_manifest(cached, name)
        if json:
            show(manifest.to_bytes().decode())
            return
        show_lines(
            [
                f"assembly    {manifest.assembly} ({manifest.seqcol})",
                f"source      {manifest.source}",
                f"size        {size(manifest.size)}",
                *(f"{kind:<12}{rows:,}" for kind, rows in manifest.rows.items()),
                *(f"left out    {text} ({number:,})" for text, number in manifest.left_out.items()),
            ]
        )
        return
    assembly = cached.assembly(name)
    with progress("comparing", assembly.bases) as advance:
        compared = compare(cached, assembly.contigs, advance)
    if not compared:
        say(f"the digests are what {cached.store.url} says; `modos reference verify {name}` computes them")
    if json:
        show(assembly.to_bytes().decode())
    else:
        show_rows((c.name, c.length, c.md5, c.ga4gh, *([",".join(c.aliases)] if c.aliases else ())) for c in assembly.contigs)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new or existing assembly.")],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="FASTA, plain or gzipped, or 2bit; patterns work.")
    ] = None,
    names: Annotated[
        str | None, typer.Option("--names", metavar="FILE", help="A chromAlias.txt or an NCBI assembly report, for other names.")
    ] = None,
    gff3: Annotated[
        list[str] | None,
        typer.Option("--gff3", metavar="FILE", help="An annotation: GFF3, GTF, refGene.txt or refFlat.txt; may be repeated."),
    ] = None,
    annotation: Annotated[
        str | None, typer.Option("--annotation", metavar="NAME", help="The name of the annotation; by default that of its file.")
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out features on contigs that the assembly lacks.")
    ] = False,
    source: Annotated[
        str, typer.Option("--source", metavar="TEXT", help="Where it comes from; by default the files' names.")
    ] = "",
    store: StoreOption = None,
) -> None:
    """Add an assembly to the store, and annotations of it. The store keeps each sequence once.

    modos reference add hg38 hg38.2bit --names hg38.chromAlias.txt

    modos reference add hg38 --gff3 gencode.v47.annotation.gff3.gz
    """
    from modos.errors import InvalidInputError
    from modos.errors.missing import need
    from modos.reference.adding import add_files
    from modos.reference.annotation_store import name_of
    from modos.tracks.loading import source_size

    if not files and not gff3:
        raise InvalidInputError("there is nothing to add", "give a FASTA or a 2bit file, or an annotation with --gff3")
    if annotation and len(gff3 or ()) != 1:
        raise InvalidInputError("--annotation names one annotation", "give one file with --gff3")
    known = open_store(store)
    if gff3:
        need("polars")  # before the sequences are added without their annotations
    annotations = [(file, annotation or name_of(file)) for file in gff3 or ()]
    if files:
        with progress("reading the sequences", source_size(files)) as advance:
            assembly = add_files(known, name, files, names, source, advance)
        _say_assembly(assembly, known)
    for file, made in annotations:
        _add_annotation(known, name, file, made, source, skip_unknown)


def _add_annotation(store: ReferenceStore, assembly: str, file: str, name: str, source: str, skip_unknown: bool) -> None:
    from pathlib import Path

    from modos.reference.annotation_store import add_annotation

    path = Path(file)
    with progress(f"reading {path.name}", path.stat().st_size if os.path.isfile(path) else None) as advance:
        made = add_annotation(store, name, store.assembly(assembly), file, source, skip_unknown, advance)
    _say_annotation(made, store)


def _say_assembly(assembly: Assembly, store: ReferenceStore) -> None:
    say(f"added {assembly.name} to {store.url}: {count(len(assembly.contigs), 'contig')}, {count(assembly.bases, 'base')}")


def _say_annotation(made: Manifest, store: ReferenceStore) -> None:
    say(
        f"added {made.name} of {made.assembly} to {store.url}: {count(made.rows['gene'], 'gene')}, "
        f"{count(made.rows['transcript'], 'transcript')}, {size(made.size)}"
    )
    for text, number in made.left_out.items():
        say(f"left out: {text} ({number:,})")


@app.command("import")
def import_(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A folder or s3://bucket of GenomeKit.")],
    name: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Only these assemblies.")] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out features on contigs that the assembly lacks.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Import assemblies and annotations from a folder or bucket of GenomeKit.

    modos reference import ~/.local/share/genomekit

    modos reference import s3://my-genomekit-bucket hg38
    """
    from modos.reference.assembly import Assembly
    from modos.reference.genomekit import import_from
    from modos.reference.locate import open_folder

    known = open_store(store)
    with progress("reading") as advance:
        for made in import_from(
            open_folder(place, options.endpoint, options.s3_kwargs), known, name or (), skip_unknown, advance
        ):
            if isinstance(made, str):
                say(f"left out {made}")
            elif isinstance(made, Assembly):
                _say_assembly(made, known)
            else:
                _say_annotation(made, known)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an assembly or annotation in the store.")],
    contig: Annotated[
        list[str] | None, typer.Option("--contig", metavar="CONTIG", help="Only this contig; may be repeated.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Fetch the sequences of an assembly, or the tables of an annotation, into the cache of this machine.

    modos reference pull hg38 --contig chr21

    modos reference pull gencode.v47 --store s3://my-bucket/refs
    """
    from modos.errors import InvalidInputError
    from modos.reference.annotation_store import find_manifest, find_missing_tables, is_annotation_name, pull_annotation
    from modos.reference.cached_store import find_missing, pull_sequences

    cached = open_cached(store)
    if is_annotation_name(cached, name):
        if contig:
            raise InvalidInputError(f"{name} is an annotation, and is fetched as a whole", "leave --contig out")
        manifest = find_manifest(cached, name)
        total = sum(table.size for table in find_missing_tables(cached, manifest))
        with _show_fetching(name, total) as advance:
            pull_annotation(cached, manifest, advance)
    else:
        assembly = cached.assembly(name)
        chosen = [assembly.contig(one) for one in contig] if contig else assembly.contigs
        lacking = find_missing(cached, chosen)
        total = sum(one.length for one in lacking)
        with _show_fetching(f"{name}, {count(len(lacking), 'sequence')}", total) as advance:
            pull_sequences(cached, lacking, advance)
    say(f"{name} is on this machine: " + (f"{size(total)} fetched" if total else "nothing had to be fetched"))


@contextmanager
def _show_fetching(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """Say how much is to come, and show how it comes."""
    if total:
        say(f"fetching {what}: {size(total)}")
    with progress("fetching", total) as advance:
        yield advance


@app.command()
def push(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an assembly or annotation in the store.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Another store: a folder, or s3://bucket/prefix.")],
    store: StoreOption = None,
) -> None:
    """Copy an assembly or an annotation to another store; only what that lacks is sent.

    modos reference push hg38 s3://my-bucket/refs

    modos reference push gencode.v47 s3://my-bucket/refs
    """
    from modos.reference.adding import push as push_assembly
    from modos.reference.annotation_store import is_annotation_name, push_annotation

    cached, known = open_cached(store), open_store(target)
    bring = push_annotation if is_annotation_name(cached, name) else push_assembly
    with progress("sending") as advance:
        sent = bring(cached.store, known, name, advance)
    say(f"{name} is in {known.url}: " + (f"{size(sent)} sent" if sent else "nothing had to be sent"))


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an assembly or annotation in the store.")],
    fix: Annotated[bool, typer.Option("--fix", help="Remove damaged files, so that you can add them again.")] = False,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Compare every sequence of an assembly, or every table of an annotation, with its digest.

    modos reference verify hg38

    modos reference verify gencode.v47 --fix --store s3://my-bucket/refs
    """
    from modos.errors import IntegrityError
    from modos.reference.annotation_store import is_annotation_name, read_manifest, verify_annotation

    cached = open_cached(store)
    known, is_annotation = cached.store, is_annotation_name(cached, name)
    with progress("reading") as advance:
        wrong = dict(
            verify_annotation(known, read_manifest(known, name), advance) if is_annotation else known.verify(name, advance)
        )
    if json:
        show_json([{"file": key, "problem": problem} for key, problem in wrong.items()])
    if not wrong:
        say(f"{name} in {known.url} is whole")
        return
    if not json:
        show_lines(wrong.values())
    for key in wrong if fix else ():
        known.storage.delete(key)
    raise IntegrityError(
        f"{count(len(wrong), 'file')} of {name} in {known.url} {'is' if len(wrong) == 1 else 'are'} not what the name says"
        + (", and removed" if fix else ""),
        "add it again, or push it from another store" if fix else "remove what is damaged with --fix, and add it again",
    )


app.command("dna")(dna)
app.command("features")(features)


@app.command()
def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an assembly or annotation in the store.")],
    store: StoreOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove an annotation, or an assembly with the sequences that no other assembly has.

    modos reference rm hg19

    modos reference rm hg19 --yes
    """
    from modos.reference.annotation_store import is_annotation_name, remove_annotation

    cached = open_cached(store)
    known = cached.store
    if is_annotation_name(cached, name):
        confirm([f"  {name} (annotation) from {known.url}"], yes)
        remove_annotation(known, name)
        say(f"removed {name} from {known.url}")
        return
    facts = known.index().get(name)
    contigs = facts["contigs"] if facts else len(known.assembly(name).contigs)
    confirm([f"  {name} ({count(contigs, 'contig')}) from {known.url}"], yes)
    removed = known.remove(name)
    say(f"removed {name} and {count(len(removed), 'sequence')} from {known.url}")


@app.command()
def env() -> None:
    """Print the lines with which samtools finds the cache.

    eval "$(modos reference env)"

    modos reference env >> ~/.profile
    """
    import shlex

    from modos.reference.cache import cache_folder

    pattern = f"{cache_folder('sequences')}/%2s/%2s/%s"
    show(f"export REF_CACHE={shlex.quote(pattern)}\nexport REF_PATH={shlex.quote(pattern)}${{REF_PATH:+:$REF_PATH}}")


@app.command()
def cache(
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="NAME", help="Forget what the cache knows of an assembly.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file, and compare it with the digest in its name.")
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all sequences and tables from the cache.")] = False,
    store: StoreOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the cache of this machine, compare it with its digests, or empty it.

    modos reference cache

    modos reference cache --verify

    modos reference cache --clear --yes
    """
    from modos.reference.cache import cache_folder, cache_limit, cached_files
    from modos.reference.cache import clear as clear_cache

    if forget:
        open_cached(store).forget(forget)
        say(f"forgot {forget}; its sequences stay in the cache")
        return
    if verify:
        _verify_cache(json)
        return
    sequences, tables = ([path.stat().st_size for path in cached_files(kind)] for kind in ("sequences", "tables"))
    total = sum(sequences) + sum(tables)
    held = f"{count(len(sequences), 'sequence')} and {count(len(tables), 'table')}"
    if clear:
        confirm([f"  {held}, {size(total)}, from {cache_folder()}"] if total else [], yes)
        clear_cache()
        say(f"removed {held} from {cache_folder()}")
        return
    limit = cache_limit()
    if json:
        show_json(
            {
                "folder": str(cache_folder()),
                "sequences": len(sequences),
                "tables": len(tables),
                "bytes": total,
                "limit": limit or None,
            }
        )
        return
    show_lines(
        [
            f"folder     {cache_folder()}",
            f"sequences  {len(sequences):,}",
            f"tables     {len(tables):,}",
            f"size       {size(total)}",
            f"limit      {size(limit) if limit else 'none'}",
        ]
    )


def _verify_cache(json: bool) -> None:
    from modos.errors import IntegrityError
    from modos.reference.cache import cache_folder, find_damaged_files

    with progress("reading") as advance:
        wrong = [str(path) for path in find_damaged_files(advance)]
    if json:
        show_json(wrong)
    if not wrong:
        say(f"all files in {cache_folder()} are what their names say")
        return
    if not json:
        show_lines(wrong)
    raise IntegrityError(
        f"{count(len(wrong), 'file')} in {cache_folder()} {'is' if len(wrong) == 1 else 'are'} not what the name says",
        "remove what is listed; what is used of it is fetched anew",
    )
