"""Match files with references of an object by the contigs in their headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError, ModosError, NotFoundError, did_you_mean, listing
from modos.formats import FileFormat, format_of, is_encrypted
from modos.metadata.description import Matcher
from modos.object import transfer
from modos.object.enrichment import Header, find_or_add_contigs, free_id
from modos.object.incoming import NewFile, is_same_file
from modos.object.reference_fit import Candidate, Fit, add_recorded_md5s, find_best_fits, read_names
from modos.object.references import reference_of_object
from modos.object.transaction import Transaction
from modos.reference.adding import digest_sequences
from modos.reference.assembly import Assembly, StoredContig
from modos.reference.digests import seqcol_digest
from modos.storage.given import is_pipe

_FORMATS = ("FASTA", "TwoBit")
_BY_NAMES = ("GFF3", "BED")  # formats whose sequences have no more than names
_LARGE = 256 << 20  # bytes of a FASTA that take a while


def is_reference_file(path: Path) -> bool:
    """Return whether a file's name says that it holds sequences."""
    format = format_of(path)
    return format is not None and format.name in _FORMATS


@dataclass
class References:
    """References that files are compared with.

    Parameters
    ----------
    endpoint
        The server whose reference store may be asked.
    told
        Gets what was found, in words.
    bring
        Adds a file as an element with some attributes, and returns its id.
    """

    transaction: Transaction
    matcher: Matcher
    endpoint: str | None
    told: list[str]
    bring: Callable[[Path, dict[str, Any]], str]
    candidates: list[Candidate] = field(default_factory=list)
    _has_looked: bool = False

    def add(self, given: str | Path) -> None:
        """Add a reference to compare files with: a FASTA that is brought in, one of the object, or of a store."""
        path = Path(given)
        if path.is_file() or is_pipe(path):
            self.add_file(path)
            return
        if is_reference_file(path):
            transfer.check_present(path)
        view = self.transaction.view
        id = self._find_named(str(given))
        if id is not None:
            self._compare_with(id, self._contigs_of(id), is_given=True)
            return
        assembly = self._open_stored(str(given), path)
        id = self.transaction.add_element(
            {
                "id": free_id(view, "reference", assembly.name),
                "@type": "ReferenceGenome",
                "assembly": assembly.name,
                "seqcol_digest": assembly.seqcol,
            }
        )
        self._compare_with(id, assembly.contigs, is_given=True)
        self.told.append(f"{given}: {id}, an assembly of the reference store")

    def _open_stored(self, name: str, path: Path) -> Assembly:
        try:
            return reference_of_object(
                self.transaction.storage, self._metadata(), name, self.endpoint, self.transaction.secret
            ).assembly
        except NotFoundError:
            if path.is_dir():
                transfer.check_present(path)
            raise

    def add_file(self, path: Path) -> None:
        """Bring a file with sequences in, or find the reference that has it already."""
        transfer.check_present(path)
        format = format_of(path)
        if format is None or not is_reference_file(path):
            raise InvalidInputError(f"{path} is no reference", "give a FASTA (.fa, .fasta, .fna, also .gz) or a 2bit file")
        contigs = self._digest(path)
        if not contigs:
            raise InvalidInputError(f"{path} has no sequences", "give the reference as a FASTA or 2bit file that has some")
        present = self._find_present(path)
        if present:
            self.told.append(f"{path}: is {present} of the object already")
            self._compare_with(present, contigs, is_given=True)
            return
        attributes: dict[str, Any] = {"@type": "ReferenceGenome"}
        if all(contig.ga4gh for contig in contigs):
            attributes |= {
                "has_sequence": find_or_add_contigs(self.transaction, contigs),
                "seqcol_digest": seqcol_digest([vars(contig) for contig in contigs]),
            }
        id = self.bring(path, attributes)
        self._compare_with(id, contigs, is_given=True)
        bases = sum(contig.length for contig in contigs)
        kind = format.name if format.name == "FASTA" else f"{format.name} (of which no CRAM is decoded)"
        self.told.append(f"{path}: {id}, {kind}, {len(contigs):,} contig{'' if len(contigs) == 1 else 's'}, {bases:,} bases")

    def _digest(self, path: Path) -> tuple[StoredContig, ...]:
        size = path.stat().st_size
        if size > _LARGE:
            self.matcher.tell(f"{path} is read, for the digests of its sequences")
        with self.matcher.watch(f"reading {path}", size) as progress:
            return digest_sequences(str(path), progress)

    def find_by_header(self, path: Path, key: str, header: Header, told: list[str]) -> list[str]:
        """Find the reference that a file's header was made with; adds to `told` how.

        Parameters
        ----------
        key
            The key of the mapping that may name it.
        """
        if not header.sequences:
            told.append("no contigs in its header, and so no reference")
            return []
        if key in self.matcher.mapping:
            return self._follow_mapping(key, told)
        fits, misfits = find_best_fits(header.sequences, self._list_candidates())
        if len(fits) == 1:
            told.append(f"{fits[0].id} by {fits[0].evidence}")
            return [fits[0].id]
        return self._ask_which(path, key, fits, misfits, told)

    def find_by_names(self, path: Path, key: str, format: FileFormat, told: list[str]) -> list[str]:
        """Find the reference of a file without a header: the mapped one, or the one given that has all of its sequences."""
        if key in self.matcher.mapping:
            return self._follow_mapping(key, told)
        given = [candidate for candidate in self._list_candidates() if candidate.is_given]
        if format.name not in _BY_NAMES or is_encrypted(path) or not given:
            return []
        sequences = read_names(path)
        fits = find_best_fits(sequences, given)[0] if sequences else []
        told.append(f"{fits[0].id} by {fits[0].evidence}" if len(fits) == 1 else f"no reference (--map {key}={given[0].id})")
        return [fit.id for fit in fits] if len(fits) == 1 else []

    def _follow_mapping(self, key: str, told: list[str]) -> list[str]:
        wanted = self.matcher.use(key)
        if not wanted:
            told.append("no reference, as was said")
            return []
        id = self._find_named(wanted)
        if id is None:
            known = self._ids()
            near = did_you_mean(wanted, known)
            raise InvalidInputError(
                f"{key} cannot be {wanted}: there is no such reference",
                f"did you mean {near}?" if near else f"there are {listing(known)}" if known else "give it with -r",
            )
        told.append(f"{id}, as was said")
        return [id]

    def _ask_which(self, path: Path, key: str, fits: list[Fit], misfits: list[Fit], told: list[str]) -> list[str]:
        if fits:
            ids = [fit.id for fit in fits]
            answer = self.matcher.ask and self.matcher.ask(f"{path}: which is its reference?", ids, ids)
            if not answer:
                raise InvalidInputError(f"{path} fits several references: {listing(ids)}", f"say which: --map '{key}={ids[0]}'")
            return [answer]
        given = [misfit for misfit in misfits if misfit.is_given]
        if given:
            raise InvalidInputError(
                f"{path} was not made with {' nor '.join(misfit.id for misfit in given)}: {given[0].reason}",
                f"give the reference it was made with (-r), or --map '{key}=' to take it without one",
            )
        told.append("no reference: none of the object has its contigs" if misfits else "no reference given (-r)")
        return []

    def _list_candidates(self) -> list[Candidate]:
        """List the references that were given; if there are none, those of the object."""
        if not self.candidates and not self._has_looked:
            self._has_looked = True
            for id in self._ids():
                try:
                    self._compare_with(id, self._contigs_of(id), is_given=False)
                except ModosError as error:
                    self.told.append(f"{id} was not compared: {error.message}")
        return self.candidates

    def _compare_with(self, id: str, contigs: Iterable[StoredContig], *, is_given: bool) -> None:
        self.candidates.append(Candidate(id, {contig.name: contig for contig in contigs}, is_given))

    def _metadata(self) -> dict[str, dict[str, Any]]:
        view = self.transaction.view
        return {id: view.element(id) for id in view.ids()}

    def _ids(self) -> list[str]:
        return [id for id in self.transaction.view.ids() if id.startswith("reference/")]

    def _find_named(self, name: str) -> str | None:
        """Find the reference of the object that has an id, name or assembly."""
        view = self.transaction.view
        return {
            name: id
            for id in self._ids()
            for name in (id.partition("/")[2], view.element(id).get("name"), view.element(id).get("assembly"), id)
            if name
        }.get(name)

    def _contigs_of(self, id: str) -> tuple[StoredContig, ...]:
        """Return the contigs of a reference of the object, also of one that is being added."""
        for file in self.transaction.staged:
            if isinstance(file, NewFile) and file.change.element_id == id:
                return self._digest(file.source)
        metadata = self._metadata()
        contigs = reference_of_object(
            self.transaction.storage, metadata, id, self.endpoint, self.transaction.secret
        ).assembly.contigs
        return tuple(
            add_recorded_md5s(contigs, [metadata[link] for link in metadata[id].get("has_sequence", ()) if link in metadata])
        )

    def _find_present(self, path: Path) -> str | None:
        for id in self._ids():
            base = self.transaction.view.element(id)
            if base.get("data_checksum") and is_same_file(self.transaction.storage, path, base, {}, False):
                return id
        return None
