"""`modos reference`: assemblies in a store, fetched when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.input import confirm
from modos.cli.output import count, options, progress, say, show, show_json, size

if TYPE_CHECKING:
    from modos.reference.store import ReferenceStore

app = typer.Typer()

StoreOption = Annotated[str, typer.Option("--store", envvar="MODOS_REFERENCE_STORE", metavar="PLACE", help="A folder, or "
                                          "s3://bucket/prefix; else a folder of the user's.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of an assembly in the store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


def _open(place: str | None) -> ReferenceStore:
    from modos.reference.opening import open_store

    return open_store(place, options.endpoint, options.s3_kwargs)


@app.command("list")
def list_(store: StoreOption = None, json: JsonOption = False) -> None:
    """List the assemblies of the store.

    modos reference list

    modos reference list --store s3://my-bucket/refs --json
    """
    known = _open(store)
    index = known.index()
    if json:
        show_json(index)
    elif not index:
        say(f"{known.url} has no assemblies")
    else:
        rows = [("name", "contigs", "bases", "seqcol"), *((name, f"{facts['contigs']:,}", f"{facts['bases']:,}", facts["seqcol"])
                                                        for name, facts in sorted(index.items()))]
        widths = [max(map(len, column)) for column in zip(*rows)]
        show("\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows))


@app.command("show")
def show_(name: NameArgument, store: StoreOption = None, json: JsonOption = False) -> None:
    """Show the contigs of an assembly: name, length, MD5, digest of GA4GH, other names.

    modos reference show hg38

    modos reference show hg38 --json
    """
    from modos.reference.stored import CachedStore

    assembly = CachedStore(_open(store)).assembly(name)
    if json:
        show(assembly.to_bytes().decode())
    else:
        show("\n".join("\t".join((c.name, str(c.length), c.md5, c.ga4gh, ",".join(c.aliases))).rstrip() for c in assembly.contigs))


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="That it gets.")],
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="FASTA, plain or gzipped, or 2bit; patterns work.")],
    names: Annotated[str, typer.Option("--names", metavar="FILE", help="A chromAlias.txt or an NCBI assembly report, for "
                                       "other names.")] = None,
    source: Annotated[str, typer.Option("--source", metavar="TEXT", help="Where it comes from; else the files' names.")] = "",
    store: StoreOption = None,
) -> None:
    """Add an assembly to the store. Sequences that it has already are not kept twice.

    modos reference add hg38 hg38.2bit --names hg38.chromAlias.txt

    modos reference add mine 'chr*.fa.gz' --store s3://my-bucket/refs
    """
    from modos.reference.opening import add_files

    known = _open(store)
    with progress("reading the sequences") as advance:
        assembly = add_files(known, name, files, names, source, advance)
    say(f"added {name} to {known.url}: {count(len(assembly.contigs), 'contig')}, {count(assembly.bases, 'base')}")


@app.command()
def pull(
    name: NameArgument,
    contig: Annotated[list[str], typer.Option("--contig", "-c", metavar="CONTIG", help="Only this one; may be repeated.")] = None,
    store: StoreOption = None,
) -> None:
    """Fetch the sequences of an assembly into the cache of this machine.

    modos reference pull hg38

    modos reference pull hg38 -c chr21 --store s3://my-bucket/refs
    """
    from modos.reference.stored import CachedStore, missing
    from modos.reference.stored import pull as pull_sequences

    cached = CachedStore(_open(store))
    assembly = cached.assembly(name)
    chosen = [assembly.contig(one) for one in contig] if contig else assembly.contigs
    with progress("fetching", sum(one.length for one in chosen)) as advance:
        fetched = pull_sequences(cached, assembly, contig, advance)
    say(f"{name} is on this machine: " + (f"{size(fetched)} fetched" if fetched else "nothing had to be fetched"))


@app.command()
def push(
    name: NameArgument,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Another store: a folder, or s3://bucket/prefix.")],
    store: StoreOption = None,
) -> None:
    """Bring an assembly to another store; only what it lacks is sent.

    modos reference push hg38 s3://my-bucket/refs

    modos reference push hg38 /shared/refs
    """
    from modos.reference.opening import push as push_assembly

    source, known = _open(store), _open(target)
    with progress("sending") as advance:
        sent = push_assembly(source, known, name, advance)
    say(f"{name} is in {known.url}: " + (f"{size(sent)} sent" if sent else "nothing had to be sent"))


@app.command()
def verify(name: NameArgument, store: StoreOption = None) -> None:
    """Compare every sequence of an assembly with its digests.

    modos reference verify hg38

    modos reference verify hg38 --store s3://my-bucket/refs
    """
    from modos.errors import IntegrityError

    known = _open(store)
    with progress("reading the sequences") as advance:
        wrong = [message for _, message in known.verify(name, advance)]
    if wrong:
        show("\n".join(wrong))
        raise IntegrityError(f"{count(len(wrong), 'sequence')} of {name} in {known.url} {'is' if len(wrong) == 1 else 'are'} not "
                             "what the name says", "add the assembly again: what is whole stays")
    say(f"{name} in {known.url} is whole")


@app.command()
def rm(name: NameArgument, store: StoreOption = None,
       yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Remove an assembly, with the sequences that no other has.

    modos reference rm hg19

    modos reference rm hg19 --yes
    """
    known = _open(store)
    assembly = known.assembly(name)
    confirm([f"  {name} ({count(len(assembly.contigs), 'contig')}) from {known.url}"], yes)
    removed = known.remove(name)
    say(f"removed {name} and {count(len(removed), 'sequence')} from {known.url}")


@app.command()
def env() -> None:
    """Print the lines with which samtools finds the cache.

    eval "$(modos reference env)"

    modos reference env >> ~/.profile
    """
    import shlex

    from modos.reference.sequences import cache_folder

    pattern = f"{cache_folder()}/%2s/%2s/%s"
    show(f"export REF_CACHE={shlex.quote(pattern)}\nexport REF_PATH={shlex.quote(pattern)}${{REF_PATH:+:$REF_PATH}}")


@app.command()
def cache(
    forget: Annotated[str, typer.Option("--forget", metavar="NAME", help="Forget what was known of an assembly.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all sequences from the cache.")] = False,
    store: StoreOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show the cache of this machine, or remove what is in it.

    modos reference cache

    modos reference cache --clear --yes
    """
    from modos.reference.stored import CachedStore, cache_limit, cached_sequences
    from modos.reference.sequences import cache_folder

    if forget:
        CachedStore(_open(store)).forget(forget)
        say(f"forgot {forget}; its sequences stay in the cache")
        return
    files = list(cached_sequences())
    total = sum(path.stat().st_size for path in files)
    if clear:
        confirm([f"  {count(len(files), 'sequence')}, {size(total)}, from {cache_folder()}"] if files else [], yes)
        for path in files:
            path.unlink(missing_ok=True)
        say(f"removed {count(len(files), 'sequence')} from {cache_folder()}")
        return
    limit = cache_limit()
    show(f"folder     {cache_folder()}\nsequences  {len(files):,}\nsize       {size(total)}\nlimit      {size(limit) if limit else 'none'}")
