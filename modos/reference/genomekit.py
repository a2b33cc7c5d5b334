"""Read assemblies and annotations in GenomeKit's layout, a flat folder or bucket.

    X.2bit  X.chrom.sizes  X.chromAlias.txt     an assembly X
    A.cfg                                       an annotation A, of the assembly in its line `refg=X`
    A.gff3[.gz], A.refGene.txt[.gz] ...         what the annotation is made of

Pickles and binary tables (.pkl, .dganno) are not read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from modos.errors import InvalidInputError, NotFoundError, did_you_mean, listing
from modos.errors.missing import need
from modos.formats.text import read_lengths
from modos.formats.twobit import is_twobit
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation, name_of
from modos.reference.annotations.parquet_files import Manifest
from modos.reference.assembly import Assembly
from modos.reference.store import ReferenceStore
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.given import open_given

_ANNOTATIONS = (".gff3", ".gff", ".gtf", ".refgene.txt", ".refgene")
_MAX_CFG = 1 << 16


@dataclass(frozen=True)
class Source:
    """An assembly of a folder, with the files that are of it, and its annotations: name and file."""

    name: str
    sequence: str
    sizes: str | None
    aliases: str | None
    annotations: tuple[tuple[str, str], ...]


class Layout(NamedTuple):
    """Contents of a folder, and what of it cannot be used, in words."""

    sources: dict[str, Source]
    unused: list[str]


def read_layout(storage: Storage) -> Layout:
    """Read the layout of a folder or bucket in GenomeKit's organisation.

    Raises
    ------
    InvalidInputError
        It has no 2bit file.
    """
    keys = {info.key for info in storage.iter_files() if "/" not in info.key}
    names = sorted(key.removesuffix(".2bit") for key in keys if key.endswith(".2bit"))
    if not names:
        raise InvalidInputError(
            f"{storage.url} has no .2bit file",
            "give a folder or bucket as GenomeKit keeps it, or add files with `modos reference add`",
        )
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    unused, files = [], _annotation_files(keys)
    for key in sorted(key for key in keys if key.endswith(".cfg")):
        annotation, assembly = key.removesuffix(".cfg"), _assembly_of(storage, key)
        file = _annotation_file(annotation, files)
        if assembly not in found:
            unused.append(f"{annotation}: it is of {assembly}, which is not there")
        elif file is None:
            unused.append(f"{annotation}: there is no GFF3, GTF or refGene table of it")
        else:
            found[assembly].append((annotation, file))

    def beside(name: str, kind: str) -> str | None:
        return f"{name}.{kind}" if f"{name}.{kind}" in keys else None

    sources = {
        name: Source(name, f"{name}.2bit", beside(name, "chrom.sizes"), beside(name, "chromAlias.txt"), tuple(found[name]))
        for name in names
    }
    return Layout(sources, unused)


def _assembly_of(storage: Storage, key: str) -> str:
    for line in storage.read_range(key, 0, _MAX_CFG).decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "refg" and value.strip():
            return value.strip()
    raise InvalidInputError(f"{storage.url}/{key} names no assembly", "it has a line refg=NAME")


def _annotation_files(keys: set[str]) -> dict[str, str]:
    """List the files of annotations by name; of several with one name the first."""
    found: dict[str, str] = {}
    for key in sorted(key for key in keys if key.lower().removesuffix(".gz").endswith(_ANNOTATIONS)):
        found.setdefault(name_of(key).removesuffix(".refGene"), key)
    return found


def _annotation_file(name: str, files: Mapping[str, str]) -> str | None:
    """Find the file of an annotation: one of its name, or of the beginning of it (gencode.v29 for gencode.v29.mini)."""
    words = name.split(".")
    return next((files[part] for part in (".".join(words[:count]) for count in range(len(words), 0, -1)) if part in files), None)


def import_from(
    storage: Storage,
    store: ReferenceStore,
    names: Sequence[str] = (),
    skip_unknown: bool = False,
    progress: Progress | None = None,
) -> Iterator[Assembly | Manifest | str]:
    """Bring assemblies with their annotations into a store; gives each when it is there, and says what is left out.

    Parameters
    ----------
    names
        Of the assemblies; all if there are none.

    Raises
    ------
    NotFoundError
        There is no such assembly.
    InvalidInputError
        A file that is not what it should be.
    """
    layout = read_layout(storage)
    for name in names:
        if name not in layout.sources:
            near = did_you_mean(name, layout.sources)
            raise NotFoundError(
                f"there is no {name}.2bit in {storage.url}",
                f"did you mean {near}?" if near else f"there are {listing(layout.sources)}",
            )
    if any(layout.sources[name].annotations for name in names or layout.sources):
        need("polars")  # before sequences are added without their annotations
    with tempfile.TemporaryDirectory(prefix="modos-") as folder:
        for name in names or layout.sources:
            source = layout.sources[name]
            path = _fetch(storage, source.sequence, Path(folder))
            with open_given(path) as file:
                if not is_twobit(file):
                    raise InvalidInputError(f"{storage.url}/{source.sequence} is no 2bit file")
            aliases = _fetch(storage, source.aliases, Path(folder)) if source.aliases else None
            assembly = add_files(store, name, [path], aliases, f"{storage.url}/{source.sequence}", progress)
            if source.sizes:
                _compare(_fetch(storage, source.sizes, Path(folder)), {contig.name: contig.length for contig in assembly.contigs})
            yield assembly
            for annotation, key in source.annotations:
                yield add_annotation(
                    store,
                    annotation,
                    assembly,
                    _fetch(storage, key, Path(folder)),
                    f"{storage.url}/{key}",
                    skip_unknown,
                    progress,
                )
    if not names:
        yield from layout.unused


def _fetch(storage: Storage, key: str, folder: Path) -> str:
    """Fetch a file to this machine."""
    local = storage.local_path(key)
    if local is not None:
        return str(local)
    path = folder / key
    with open(path, "wb") as file:
        for piece in storage.iter_range(key, 0, storage.stat(key).size):
            file.write(piece)
    return str(path)


def _compare(sizes: str, lengths: dict[str, int]) -> None:
    for name, length in read_lengths([sizes]).items():
        if lengths.get(name) != length:
            raise InvalidInputError(
                f"{sizes} has {name} with {length} bases, and the 2bit file {lengths.get(name, 'no such sequence')}",
                "one of the two is of another assembly",
            )
