"""A store of references in a folder or an S3 prefix: assemblies by name, and sequences by MD5.

    index.json                        every assembly, in one request
    sequences/ea/ff/8c43...           a raw upper-case sequence by its MD5; never changed
    assemblies/<name>/assembly.json   contigs with lengths, digests and other names; beside it the table of what is soft masked
    annotations/<name>/v1/            manifest.json and tables; see `modos.reference.annotation_store`

The layout of the sequences is that of htslib's REF_CACHE and REF_PATH
(`%2s/%2s/%s`), so that a store over HTTP serves samtools as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import (
    AlreadyExistsError,
    BucketNotFoundError,
    ChecksumMismatch,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NewerFormatError,
    NotFoundError,
    TruncatedStream,
    check_format,
    did_you_mean,
    listing,
)
from modos.errors.escaping import escape_line, hide_secrets
from modos.formats.html_tables import always
from modos.reference.assembly import (
    FORMAT,
    MALFORMED,
    Assembly,
    StoredContig,
    assembly_key,
    check_name,
    is_name,
    sequence_key,
    settle_aliases,
    unite,
)
from modos.reference.digests import SequenceHash, seqcol_digest
from modos.storage import Storage
from modos.storage.base import Progress, expect, report

if TYPE_CHECKING:
    from modos.reference.soft_mask import MaskCollector

logger = logging.getLogger(__name__)

INDEX = "index.json"
_ATTEMPTS = 20

_FACTS = {
    "assemblies": {"seqcol": str, "contigs": int, "bases": int},
    "annotations": {"seqcol": str, "assembly": str, "bytes": int, "rows": dict},
}

Pieces = Iterable[tuple[str, bytes]]  # a name with an empty piece, then its bases


def _check_facts(facts: Any, wanted: Mapping[str, type]) -> dict[str, Any]:
    if not all(isinstance(facts[name], kind) for name, kind in wanted.items()) or not all(
        isinstance(count, int) for count in facts.get("rows", {}).values()
    ):
        raise ValueError("an entry of the index lacks something")
    return dict(facts)


class ReferenceStore:
    """Assemblies and sequences below the root of a storage."""

    def __init__(self, storage: Storage):
        self.storage = storage

    @always
    def __repr__(self) -> str:
        return escape_line(hide_secrets(f"<reference store {self.url}>"))

    @property
    def url(self) -> str:
        """The root as a user would write it."""
        return self.storage.url

    def is_there(self) -> bool:
        """Return whether anything was ever put into the store."""
        return self.storage.exists(INDEX)

    def index(self) -> dict[str, dict[str, Any]]:
        """Read what the store says of each assembly: seqcol, contigs, bases. One request; nothing for a new store."""
        return self.contents()["assemblies"]

    def annotations(self) -> dict[str, dict[str, Any]]:
        """Read what the store says of each annotation: its assembly, that one's digest, rows, bytes."""
        return self.contents()["annotations"]

    def contents(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Read what `index` and `annotations` give, as `assemblies` and `annotations`, in one request."""
        return self._read_index()[0]

    def _read_index(self) -> tuple[dict[str, dict[str, dict[str, Any]]], str | None]:
        try:
            data, tag = self.storage.read(INDEX)
        except BucketNotFoundError:
            raise
        except NotFoundError:
            return {"assemblies": {}, "annotations": {}}, None
        try:
            given = json.loads(data.decode(errors="surrogateescape"))
            check_format(f"the reference store {self.url}", given["format"], FORMAT)
            return {
                kind: {name: _check_facts(facts, wanted) for name, facts in self._iter_valid(given.get(kind, {}))}
                for kind, wanted in _FACTS.items()
            }, tag
        except MALFORMED as error:
            if isinstance(error, NewerFormatError):
                raise
            raise IntegrityError(f"{self.url}/{INDEX} is damaged", "restore it from a copy of the store") from None

    def _iter_valid(self, entries: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Iterate over the entries of an index that can be used; a warning lists those that cannot."""
        for name, facts in entries.items():
            if is_name(name):
                yield name, facts
            else:
                logger.warning("%s/%s: %r cannot be a name, and is left out", self.url, INDEX, name[:60])

    def assembly(self, name: str) -> Assembly:
        """Return an assembly; raise NotFoundError, with a near name, if there is none."""
        try:
            return self._read_assembly(name)[0]
        except NotFoundError:
            known = self.index()
            near = did_you_mean(name, known)
            raise NotFoundError(
                f"there is no assembly {name} in {self.url}",
                f"did you mean {near}?"
                if near
                else f"it has {listing(known)}"
                if known
                else "add one with `modos reference add`",
            ) from None

    def _read_present(self, name: str) -> tuple[Assembly | None, str | None]:
        """Read an assembly with its tag; None for one that is not there, or is damaged and may be written anew."""
        try:
            data, tag = self.storage.read(assembly_key(name))
        except NotFoundError:
            return None, None
        try:
            return Assembly.from_bytes(data, f"{self.url}/{assembly_key(name)}"), tag
        except IntegrityError as error:
            logger.warning("%s; it is written anew", error.message)
            return None, tag

    def _read_assembly(self, name: str) -> tuple[Assembly, str]:
        key = assembly_key(check_name(name))
        data, tag = self.storage.read(key)
        return Assembly.from_bytes(data, f"{self.url}/{key}"), tag

    def add(
        self,
        name: str,
        pieces: Callable[[], Pieces],
        source: str = "",
        aliases: Mapping[str, Iterable[str]] | None = None,
        progress: Progress | None = None,
    ) -> Assembly:
        """Add an assembly: sequences that are there already stay, all others first, the names last.

        Parameters
        ----------
        pieces
            Gives the sequences in pieces; bases become upper case.
        aliases
            Other names by name.

        Raises
        ------
        AlreadyExistsError
            There is another assembly of that name.
        InvalidInputError
            A sequence is empty, or there is none.
        """
        from modos.reference.soft_mask import MaskCollector

        check_name(name)
        contigs, known, masks, names = [], aliases or {}, MaskCollector(), set[str]()
        with tempfile.TemporaryDirectory(prefix="modos-") as folder:
            for contig, path, found in _spool(pieces(), Path(folder), masks, progress):
                digests = found.digests()
                if not found.length:
                    raise InvalidInputError(f"sequence {contig} is empty", "leave it out")
                if contig in names:
                    raise InvalidInputError(f"there are two sequences {contig}", "leave one out")
                names.add(contig)
                self.put_sequence(digests.md5, found.length, iter_file(path))
                contigs.append(StoredContig(contig, found.length, digests.md5, digests.ga4gh, tuple(known.get(contig, ()))))
            if not contigs:
                raise InvalidInputError("there are no sequences")
            if aliases and not names & aliases.keys():
                raise InvalidInputError(
                    f"the table of names has none of the sequences {listing(names)}", "is it of another assembly?"
                )
            masked = masks.write(Path(folder))
            if masked:
                self.put(assembly_key(name, masked.file), masked.size, iter_file(Path(folder) / masked.file))
        settled = settle_aliases(contigs)
        return self.register(Assembly(name, settled, seqcol_digest([vars(contig) for contig in settled]), source, masked))

    def register(self, assembly: Assembly) -> Assembly:
        """Name an assembly whose sequences are there; returns it as it is then.

        One of that name that has the same sequences gets the other names of
        contigs, and the mask, that it lacks.

        Raises
        ------
        AlreadyExistsError
            There is another assembly of that name.
        ConflictError
            Somebody has removed sequences meanwhile, with another assembly.
        """
        for _ in range(_ATTEMPTS):
            present, tag = self._read_present(assembly.name)
            if present is not None and present.seqcol != assembly.seqcol:
                raise AlreadyExistsError(f"there is another assembly {assembly.name} in {self.url}", "choose another name")
            united = assembly if present is None else unite(present, assembly)
            try:
                if united != present:
                    self.storage.write(assembly_key(assembly.name), united.to_bytes(), if_match=tag, if_absent=tag is None)
                break
            except ConflictError:
                continue
        else:
            raise ConflictError(f"{assembly.name} in {self.url} is changed by others all the time", "try again later")
        facts = {"seqcol": united.seqcol, "contigs": len(united.contigs), "bases": united.bases, "source": united.source}
        self.change_index("assemblies", lambda index: index.update({united.name: facts}))
        lost = [contig.name for contig in united.contigs if not self.storage.exists(sequence_key(contig.md5))]
        if lost:
            raise ConflictError(
                f"others have removed sequences of {united.name} from {self.url} meanwhile: {listing(lost)}", "add it again"
            )
        return united

    def remove(self, name: str) -> list[str]:
        """Remove an assembly and the sequences that no other has; returns their MD5."""
        assembly = self._read_present(check_name(name))[0]
        if assembly is None and name not in self.index():
            self.assembly(name)
        gone = {contig.md5 for contig in assembly.contigs} if assembly else set()
        described = [annotation for annotation, facts in self.annotations().items() if facts.get("assembly") == name]
        if described:
            raise ConflictError(f"{name} has annotations in {self.url}: {listing(described)}", "remove them first")
        self.change_index("assemblies", lambda index: index.pop(name, None))
        self.storage.delete(assembly_key(name))
        if assembly and assembly.masked:
            self.storage.delete(assembly_key(name, assembly.masked[0]))
        kept = {contig.md5 for other in self.index() for contig in self.assembly(other).contigs}
        for md5 in gone - kept:
            self.storage.delete(sequence_key(md5))
        return sorted(gone - kept)

    def verify(self, name: str, progress: Progress | None = None) -> Iterator[tuple[str, str]]:
        """Find the files of an assembly that are missing, or do not match their names: key, and what is wrong."""
        assembly = self.assembly(name)
        expect(progress, assembly.bases)
        for contig in assembly.contigs:
            try:
                check_sequence(self.storage, contig, progress)
            except (NotFoundError, IntegrityError) as error:
                yield sequence_key(contig.md5), error.message
        if assembly.masked:
            file, size, sha256 = assembly.masked
            yield from find_damaged(self, [(assembly_key(name, file), size, sha256)])

    def put_sequence(self, md5: str, length: int, pieces: Iterator[bytes]) -> bool:
        """Bring a sequence that the store lacks; whether it did."""
        return self.put(sequence_key(md5), length, pieces)

    def put(self, key: str, size: int, pieces: Iterator[bytes]) -> bool:
        """Bring a file that the store lacks, whose name tells its content; whether it did. What has another size is replaced."""
        try:
            if self.storage.stat(key).size == size:
                return False
            self.storage.delete(key)
        except NotFoundError:
            pass
        try:
            self.storage.write_stream(key, pieces, size=size)
        except ConflictError:  # somebody else brings the same
            return False
        return True

    def change_index(self, kind: str, change: Callable[[dict[str, dict[str, Any]]], object]) -> None:
        """Change what the index says of assemblies, or of annotations; others may change it meanwhile."""
        for _ in range(_ATTEMPTS):
            index, tag = self._read_index()
            change(index[kind])
            data = json.dumps({"format": FORMAT, **index}, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
            try:
                self.storage.write(INDEX, data, if_match=tag, if_absent=tag is None)
                return
            except ConflictError:
                continue
        raise ConflictError(f"{self.url}/{INDEX} is changed by others all the time", "try again later")


def iter_file(path: Path) -> Iterator[bytes]:
    """Iterate over a file of this machine in pieces."""
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def iter_checked(store: ReferenceStore, key: str, size: int, digest: str, algorithm: str = "sha256") -> Iterator[bytes]:
    """Iterate over a file of a store in pieces, compared with its size and hash at the end.

    Raises
    ------
    TruncatedStream, ChecksumMismatch
        It is another one.
    """
    found, has = hashlib.new(algorithm, usedforsecurity=False), store.storage.stat(key).size
    if has != size:
        raise TruncatedStream(f"{store.url}/{key} has {has:,} bytes, not {size:,}", "see `modos reference verify`")
    for piece in store.storage.iter_range(key, 0, size):
        found.update(piece)
        yield piece
    if found.hexdigest() != digest:
        raise ChecksumMismatch(
            f"{store.url}/{key} does not have the {algorithm.upper()} that it is named by", "see `modos reference verify`"
        )


def find_damaged(
    store: ReferenceStore, tables: Iterable[tuple[str, int, str]], progress: Progress | None = None
) -> Iterator[tuple[str, str]]:
    """Find the tables, given by key, size and SHA-256, that are missing or differ: key, and what is wrong."""
    tables = list(tables)
    expect(progress, sum(size for _, size, _ in tables))
    for key, size, sha256 in tables:
        try:
            for _ in report(iter_checked(store, key, size, sha256), progress):
                pass
        except (NotFoundError, IntegrityError) as error:
            yield key, error.message


def send(
    source: ReferenceStore,
    target: ReferenceStore,
    key: str,
    size: int,
    digest: str,
    algorithm: str = "sha256",
    progress: Progress | None = None,
) -> int:
    """Bring a file to another store, if that lacks it, and compare it with its hash; returns the bytes sent."""
    return size if target.put(key, size, report(iter_checked(source, key, size, digest, algorithm), progress)) else 0


def send_sequence(source: ReferenceStore, target: ReferenceStore, contig: StoredContig, progress: Progress | None = None) -> int:
    """Bring a sequence to another store, if that lacks it, and compare it with all its digests; returns the bytes sent."""
    return contig.length if target.put_sequence(contig.md5, contig.length, iter_sequence(source.storage, contig, progress)) else 0


def check_present(store: ReferenceStore, contigs: Iterable[StoredContig]) -> None:
    """Compare sequences that a store had before with what they are called now; but those that it calls so itself.

    Raises
    ------
    IntegrityError
        A sequence has other digests.
    """
    known: set[tuple[str, str]] = set()
    for name in store.index():
        with suppress(NotFoundError, IntegrityError):  # what is damaged tells nothing
            known.update((contig.md5, contig.ga4gh) for contig in store.assembly(name).contigs)
    for contig in contigs:
        if (contig.md5, contig.ga4gh) not in known:
            check_sequence(store.storage, contig)


def check_sequence(storage: Storage, contig: StoredContig, progress: Progress | None = None) -> None:
    """Compare a sequence with its name.

    Raises
    ------
    NotFoundError, IntegrityError
        It is missing; it has another length or other bases.
    """
    for _ in iter_sequence(storage, contig, progress):
        pass


def iter_sequence(storage: Storage, contig: StoredContig, progress: Progress | None = None) -> Iterator[bytes]:
    """Yield a sequence in pieces, compared with its length and digests at the end; errors as in `check_sequence`."""
    key = sequence_key(contig.md5)
    size, found = storage.stat(key).size, SequenceHash()
    if size != contig.length:
        raise IntegrityError(f"{storage.url}/{key} has {size:,} bytes, and {contig.name} has {contig.length:,} bases")
    for piece in report(storage.iter_range(key, 0, size), progress):
        found.update(piece)
        yield piece
    wrong = next((kind for kind, digest in found.digests()._asdict().items() if digest != getattr(contig, kind)), None)
    if wrong:
        raise ChecksumMismatch(
            f"{storage.url}/{key} does not have the {wrong.upper()} that it is named by", "see `modos reference verify`"
        )


def _spool(
    pieces: Pieces, folder: Path, masks: MaskCollector, progress: Progress | None
) -> Iterator[tuple[str, Path, SequenceHash]]:
    """Spool each sequence into a file of its own, upper case, with its digests; one at a time."""
    name, file, found, path = "", None, SequenceHash(), folder / "sequence"
    try:
        for contig, bases in pieces:
            if not bases:
                if file is not None:
                    file.close()
                    masks.finish(name)
                    yield name, path, found
                name, found = contig, SequenceHash()
                file = open(path, "wb")
                continue
            assert file is not None  # a name comes before its bases
            masks.add(bases)
            upper = bases.upper()
            found.update(upper)
            file.write(upper)
            if progress:
                progress(len(upper))
        if file is not None:
            file.close()
            masks.finish(name)
            yield name, path, found
    finally:
        if file is not None:
            file.close()
