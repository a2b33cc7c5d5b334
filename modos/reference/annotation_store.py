"""Add annotations to a reference store, fetch their tables, and verify them.

    annotations/<name>/v1/manifest.json          what it is, and of which assembly
    annotations/<name>/v1/gene.<hash>.parquet    and transcript, exon, intron, cds, utr

`v1` is the version of the format: tables of a later one lie beside these, and
a client takes the latest that it can read.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from modos.errors import (
    AccessError,
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NewerFormatError,
    NotFoundError,
    RemoteError,
    did_you_mean,
    listing,
)
from modos.formats.text import look_at, open_text
from modos.reference.annotations.annotation import Annotation
from modos.reference.annotations.building import Built, build, place
from modos.reference.annotations.circles import Circles
from modos.reference.annotations.lines import iter_pieces
from modos.reference.annotations.parquet_files import (
    FORMAT,
    MANIFEST,
    Keep,
    Manifest,
    TableFile,
    write_tables,
)
from modos.reference.annotations.parts import Parts, parts_of
from modos.reference.annotations.refgene import looks_like_refgene, read_refgene
from modos.reference.assembly import Assembly, check_name
from modos.reference.cache import is_whole, table_path
from modos.reference.cached_store import CachedStore
from modos.reference.store import ReferenceStore, find_damaged, iter_file, send
from modos.storage.base import Progress
from modos.storage.given import Given, describe_source, has_name, show_path
from modos.storage.memory_files import MemoryFiles
from modos.storage.prefetch import fetch_ahead

_WORKERS = 3  # pieces of a file that are looked through at once, or wait
_PIECE, _MAX_HEAD = 1 << 16, 1 << 26  # bytes that are looked at to see what a file is
_SUFFIXES = re.compile(r"(?:\.annotation)?(?:\.(?:gff3?|gtf|txt))?(?:\.b?gz)?$", re.IGNORECASE)


def annotation_key(name: str, file: str = MANIFEST) -> str:
    """Return the key of a file of an annotation in a store."""
    return f"annotations/{name}/v{FORMAT}/{file}"


def name_of(path: str) -> str:
    """Return the name of the annotation in a file: `gencode.v47` for gencode.v47.annotation.gff3.gz.

    InvalidInputError where the file has none.
    """
    if not has_name(path):
        raise InvalidInputError(f"{show_path(path)} is a pipe, which gives its annotation no name", "name it with --annotation")
    return _SUFFIXES.sub("", Path(path).name)


def read_parts(path: str, progress: Progress | None = None) -> Iterator[Parts]:
    """Read the parts of an annotation in a GFF3 or GTF file, or a table of UCSC, plain or compressed; `-` is stdin."""
    with open_text(path, progress) as file:
        if looks_like_refgene(_first_line(file)):
            yield read_refgene(file)
        else:
            yield from fetch_ahead(lambda piece, _: parts_of(piece.parse()), iter_pieces(file), _WORKERS)


def _first_line(file: Given) -> bytes:
    """Return the first line that is no comment, as far as the first bytes have it."""
    size = _PIECE
    while True:
        head = look_at(file, size)
        lines = head.split(b"\n")
        whole = lines if len(head) < size else lines[:-1]
        found = next((line for line in whole if line.strip() and not line.startswith(b"#")), None)
        if found is not None or len(head) < size or size >= _MAX_HEAD:
            return found or b""
        size *= 4


def add_annotation(
    store: ReferenceStore,
    name: str,
    assembly: Assembly,
    path: str,
    source: str = "",
    skip_unknown: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Add an annotation of an assembly from a file; its tables first, its name last.

    Parameters
    ----------
    path
        GFF3 or GTF of GENCODE, Ensembl, NCBI, UCSC or others, or a table of
        UCSC (refGene.txt, refFlat.txt), plain or compressed.
    source
        Where it comes from; else the file's name.
    skip_unknown
        Leave out what is on contigs that the assembly lacks.

    Raises
    ------
    InvalidInputError
        A line that cannot be read, with its number; a contig that the
        assembly lacks; nothing that an annotation is made of.
    AlreadyExistsError
        There is another annotation of that name.
    """
    check_name(name)
    with tempfile.TemporaryDirectory(prefix="modos-") as folder:
        manifest = _write_annotation(
            name, assembly, path, source, skip_unknown, lambda file, data: (Path(folder) / file).write_bytes(data), progress
        )
        for table in manifest.tables.values():
            store.put(annotation_key(name, table.file), table.size, iter_file(Path(folder) / table.file))
    _register(store, manifest)
    return manifest


def _write_annotation(
    name: str, assembly: Assembly, path: str, source: str, skip_unknown: bool, keep: Keep, progress: Progress | None
) -> Manifest:
    """Write the tables of an annotation, each of which is kept; returns what describes them."""
    built, circles = _build(path, assembly, skip_unknown, progress)
    names = [contig.name for contig in assembly.contigs]
    return Manifest(
        name,
        assembly.name,
        assembly.seqcol,
        tuple(names),
        source or describe_source(path),
        write_tables(built.tables, names, keep),
        built.left_out,
        {names[code]: circles.lengths[code] for code in sorted(circles.circular)},
    )


def build_annotation(name: str, assembly: Assembly, path: str) -> Annotation:
    """Build an annotation of a file for an assembly that is in no store, in memory; what is on other contigs is left out.

    Parameters
    ----------
    path
        As `add_annotation` takes it.

    Raises
    ------
    InvalidInputError
        A line that cannot be read, with its number; no genes on contigs of the assembly.
    """
    memory = MemoryFiles()  # for as long as the annotation
    manifest = _write_annotation(name, assembly, path, "", True, lambda file, data: memory.put(file, [data]), None)
    return _of_assembly(manifest, assembly, lambda table: memory.path / table.file)


def _of_assembly(manifest: Manifest, assembly: Assembly, locate: Callable[..., Path]) -> Annotation:
    names = {alias: contig.name for alias, contig in assembly.by_name.items()}
    lengths = {alias: contig.length for alias, contig in assembly.by_name.items()}
    return Annotation(manifest, names, locate, lengths)


def _build(path: str, assembly: Assembly, skip_unknown: bool, progress: Progress | None) -> tuple[Built, Circles]:
    """Build the tables that a file makes on an assembly, and say which of its contigs are circular."""
    names = [contig.name for contig in assembly.contigs]
    numbers = {contig: number for number, contig in enumerate(names)}
    codes = {alias: numbers[contig.name] for alias, contig in assembly.by_name.items()}
    pieces, skipped = [], 0
    for piece in read_parts(path, progress):
        placed, lost = place(piece, codes, path, skip_unknown)
        pieces.append(placed)
        skipped += lost
    parts = Parts.join(pieces) if pieces else None
    circular = {codes[name] for name in parts.circular if name in codes} if parts else set()
    circles = Circles(circular, [contig.length for contig in assembly.contigs])
    built = build(circles.check(parts, names, path), circles) if parts else None
    if built is None or not len(built.tables["gene"]):
        raise InvalidInputError(
            f"{path} has no genes" + (f" on contigs of {assembly.name}" if skipped else ""),
            "give a GFF3, a GTF, or refGene.txt or refFlat.txt of UCSC",
        )
    others = {f"lines on contigs that {assembly.name} lacks": skipped} if skipped else {}
    return Built(built.tables, {**built.left_out, **others}), circles


def _register(store: ReferenceStore, manifest: Manifest) -> None:
    """Name an annotation whose tables are there; nothing for one that is the same."""
    try:
        store.storage.write(annotation_key(manifest.name), manifest.to_bytes(), if_absent=True)
    except ConflictError:
        try:
            other = read_manifest(store, manifest.name)
        except IntegrityError:
            store.storage.write(annotation_key(manifest.name), manifest.to_bytes())
        else:
            if (other.seqcol, other.tables) != (manifest.seqcol, manifest.tables):
                raise AlreadyExistsError(
                    f"there is another annotation {manifest.name} in {store.url}", "choose another name"
                ) from None
    facts = {
        "assembly": manifest.assembly,
        "seqcol": manifest.seqcol,
        "rows": manifest.rows,
        "bytes": manifest.size,
        "source": manifest.source,
        "versions": [FORMAT],
    }
    store.change_index("annotations", lambda index: index.update({manifest.name: facts}))


def read_manifest(store: ReferenceStore, name: str) -> Manifest:
    """Read the manifest of an annotation; raise NotFoundError, with a near name, if there is none."""
    check_name(name)
    try:
        data = store.storage.read(annotation_key(name))[0]
    except NotFoundError:
        known = store.annotations()
        if name in known:
            raise NewerFormatError(
                f"the annotation {name} in {store.url} is of format {listing(map(str, known[name].get('versions', ())))}, "
                f"and this modos reads {FORMAT}",
                "install a newer modos",
            ) from None
        near = did_you_mean(name, known)
        raise NotFoundError(
            f"there is no annotation {name} in {store.url}",
            f"did you mean {near}?"
            if near
            else f"it has {listing(known)}"
            if known
            else "add one with `modos reference add --gff3`",
        ) from None
    return Manifest.from_bytes(data, f"{store.url}/{annotation_key(name)}")


def find_manifest(cached: CachedStore, name: str) -> Manifest:
    """Find the manifest of an annotation; where the store cannot be reached, as it was when it was fetched.

    Raises
    ------
    NotFoundError
        There is none, or offline, it was never fetched.
    ConflictError
        The store has another one under that name than before.
    """
    if cached.is_here:
        return read_manifest(cached.store, name)
    return cached.remember(
        "annotation",
        name,
        cached.annotation_path(name),
        Manifest.from_bytes,
        lambda: read_manifest(cached.store, name),
        lambda manifest: (manifest.seqcol, dict(manifest.tables)),
    )


def is_annotation_name(cached: CachedStore, name: str) -> bool:
    """Return whether a name is that of an annotation and no assembly; NotFoundError where it only resembles an annotation's."""
    try:
        known = cached.store.contents()
    except (RemoteError, AccessError):
        return cached.knows_annotation(name)
    if name in known["assemblies"] or name in known["annotations"]:
        return name not in known["assemblies"]
    near = did_you_mean(name, known["annotations"])
    if near and not did_you_mean(name, known["assemblies"]):
        raise NotFoundError(
            f"there is neither an assembly nor an annotation {name} in {cached.store.url}", f"did you mean {near}?"
        )
    return False


def open_annotation(cached: CachedStore, name: str, assembly: Assembly) -> Annotation:
    """Open an annotation of an assembly; its tables are fetched when they are needed.

    Raises
    ------
    NotFoundError
        There is none.
    InvalidInputError
        It is of another assembly.
    """
    manifest = find_manifest(cached, name)
    if manifest.seqcol != assembly.seqcol:
        raise InvalidInputError(
            f"the annotation {name} is of the assembly {manifest.assembly} ({manifest.seqcol}), not of {assembly.name} "
            f"({assembly.seqcol})",
            f"open {manifest.assembly}, or add the annotation for {assembly.name} under another name",
        )
    return _of_assembly(manifest, assembly, partial(locate_table, cached, name))


def locate_table(cached: CachedStore, name: str, table: TableFile, progress: Progress | None = None) -> Path:
    """Locate the file of a table, fetched if it is not there; raise IntegrityError if it differs from the manifest."""
    return cached.locate_file(annotation_key(name, table.file), table.size, table.sha256, progress)


def pull_annotation(cached: CachedStore, manifest: Manifest, progress: Progress | None = None) -> int:
    """Fetch all tables, and what is known of the assembly, to this machine; returns the bytes of tables that were fetched."""
    cached.assembly(manifest.assembly)
    lacking = find_missing_tables(cached, manifest)
    for table in lacking:
        locate_table(cached, manifest.name, table, progress)
    return sum(table.size for table in lacking)


def find_missing_tables(cached: CachedStore, manifest: Manifest) -> list[TableFile]:
    """Find the tables that are not on this machine."""
    return (
        []
        if cached.is_here
        else [
            table
            for table in manifest.tables.values()
            if not is_whole(table_path(table.sha256), table.size, {"sha256": table.sha256})
        ]
    )


def verify_annotation(store: ReferenceStore, manifest: Manifest, progress: Progress | None = None) -> Iterator[tuple[str, str]]:
    """Find the tables of an annotation that do not match their names: key, and what is wrong."""
    tables = [(annotation_key(manifest.name, table.file), table.size, table.sha256) for table in manifest.tables.values()]
    return find_damaged(store, tables, progress)


def push_annotation(source: ReferenceStore, target: ReferenceStore, name: str, progress: Progress | None = None) -> int:
    """Bring an annotation to another store that has its assembly; returns the bytes sent."""
    manifest = read_manifest(source, name)
    if target.assembly(manifest.assembly).seqcol != manifest.seqcol:
        raise InvalidInputError(f"{manifest.assembly} in {target.url} is another assembly than in {source.url}")
    sent = sum(
        send(source, target, annotation_key(name, table.file), table.size, table.sha256, progress=progress)
        for table in manifest.tables.values()
    )
    _register(target, manifest)
    return sent


def remove_annotation(store: ReferenceStore, name: str) -> None:
    """Remove an annotation: its name first, then its tables."""
    if name not in store.annotations():
        read_manifest(store, name)
    store.change_index("annotations", lambda index: index.pop(name, None))
    store.storage.delete(annotation_key(name))
    for info in list(store.storage.iter_files(f"annotations/{name}")):
        store.storage.delete(info.key)
