"""Files of this machine as elements of an object: what their names and headers say of each.

Nothing is guessed: what a header says is taken and told, what it leaves open
is asked, or is an error that says how to settle it. All of a survey's errors
come at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modos.metadata import model
from modos.object import transfer
from modos.metadata.description import Matcher
from modos.metadata.description.matching import normalised
from modos.object.transaction import Transaction
from modos.encryption.structure import is_sealed
from modos.encryption.view import DecryptedView
from modos.object.enrichment import Header, Names, find_or_add_contigs, free_id, parse_header, plain_id
from modos.errors import InvalidInputError, ModosError, NotFoundError, did_you_mean, listing
from modos.formats import FORMATS, FileFormat, format_of, index_names, is_encrypted, is_index, plain_name, stem_of
from modos.genomics import GenomicFile
from modos.storage.given import is_pipe
from modos.object.incoming import NewFile, is_same_file
from modos.genomics.reader import RecordReader, check_header, without_end
from modos.reference.adding import digest_sequences
from modos.reference.assembly import StoredContig
from modos.reference.digests import seqcol_digest
from modos.object.reference_fit import Candidate, Fit, best_fits, names_in, with_recorded
from modos.object.references import reference_of_object
from modos.storage.local import LocalStorage
from modos.genomics.sources import StorageSource

_KINDS = {"reads": "AlignmentSet", "variants": "VariantSet"}
_CLASSES = {"mzTab": "MassSpectrometryResults", "FASTQ": "DataEntity", "BED": "DataEntity", "GFF3": "DataEntity"}
_REFERENCES = ("FASTA", "TwoBit")
_BY_NAMES = ("GFF3", "BED")  # formats whose sequences have no more than names
_UNCLEAR = (*_REFERENCES, "TSV", "JSON")
_ADVICE = {
    (".bw", ".bigwig", ".wig", ".bedgraph", ".bg"): "numbers along the genome become tracks: `modos track add`",
    (".yaml", ".yml", ".csv", ".xlsx"): "what describes elements is given with -f",
    (".vcf", ".sam"): "compress it: `bcftools view -O z`, or `samtools view -b`",
}
_MAX_SHOWN = 20
_PIECE = 1 << 20
_LARGE = 256 << 20  # bytes of a FASTA that take a while
_NEW = "new"  # the answer for a sample of its own


def survey(transaction: Transaction, files: Sequence[str | Path], references: Sequence[str | Path] = (), *, part_of: str | None = None,
           matcher: Matcher | None = None, endpoint: str | None = None) -> None:
    """Add files to an object, each as an element with what its header says.

    Parameters
    ----------
    references
        FASTA files, ids of references of the object, or names of assemblies
        in the reference store.
    part_of
        Id of the element that links to the data.
    matcher
        Whom to ask and tell. Its mapping settles `@type:FILE`,
        `has_reference:FILE` and `has_sample:NAME`.
    endpoint
        Whose reference store may be asked.

    Raises
    ------
    ModosError
        The one thing that is wrong or not clear; InvalidInputError with all
        of them, where there are several.
    """
    one = _Survey(transaction, matcher or Matcher(), part_of, endpoint)
    for reference in references:
        one.attempt(reference, lambda reference=reference: one.add_reference(reference))
    for path in sorted(one.sort_out([Path(file) for file in files], [Path(reference) for reference in references]),
                       key=lambda path: not _is_reference_file(path)):
        one.attempt(path, lambda path=path: one.add_file(path))
    one.raise_any()
    for line in one.told:
        one.matcher.tell(line)


@dataclass
class _Survey:
    transaction: Transaction
    matcher: Matcher
    part_of: str | None
    endpoint: str | None
    candidates: list[Candidate] = field(default_factory=list)
    errors: list[tuple[str, ModosError]] = field(default_factory=list)
    names: dict[Path, tuple[str, str]] = field(default_factory=dict)  # id and data_path
    told: list[str] = field(default_factory=list)
    samples: _Samples = field(init=False)
    _has_looked: bool = False

    def __post_init__(self) -> None:
        self.samples = _Samples(self.transaction)

    def attempt(self, name: Any, action: Callable[[], None]) -> None:
        """Do something about a file, and note what is wrong with it."""
        try:
            action()
        except ModosError as error:
            self.errors.append((str(name), error))

    def raise_any(self) -> None:
        """Raise what was noted."""
        if len(self.errors) == 1:
            raise self.errors[0][1]
        if self.errors:
            lines = [error.message if name in error.message else f"{name}: {error.message}" for name, error in self.errors[:_MAX_SHOWN]]
            more = len(self.errors) - len(lines)
            hints = dict.fromkeys(error.hint for _, error in self.errors[:_MAX_SHOWN] if error.hint)
            raise InvalidInputError(f"{len(self.errors)} problems: " + "; ".join(lines) + (f"; and {more} more" if more else ""),
                                    "; ".join(hints) or None)

    def sort_out(self, paths: Sequence[Path], references: Sequence[Path]) -> list[Path]:
        """The files that become elements, each once: without indexes, which come along with theirs."""
        owners = {index for path in (*paths, *references) for index in index_names(path)}
        owners |= {index for path in (*paths, *references) if is_encrypted(path) for index in index_names(plain_name(path))}
        chosen: dict[Path, Path] = {}
        for path in paths:
            real = path.resolve()
            if str(path) in owners:
                self.attempt(path, lambda path=path: _check_index_present(path))
            elif is_index(path):
                self.errors.append((str(path), InvalidInputError(f"{path} is an index, and its file is not given",
                                                                 "give the file: the index beside it comes along")))
            elif real in chosen or real in {reference.resolve() for reference in references}:
                self.told.append(f"{path} is given twice, and taken once")
            else:
                chosen[real] = path
        self.names = name_files(list(chosen.values()))
        return list(chosen.values())

    def add_reference(self, given: str | Path) -> None:
        """Have a reference to compare files with: a FASTA that is brought in, one of the object, or of a store."""
        path = Path(given)
        if path.is_file() or is_pipe(path):
            self._bring_reference(path)
            return
        if _is_reference_file(path):
            raise NotFoundError(f"no reference file {given}", "check the path")
        view = self.transaction.view
        known = {name: id for id in self._references()
                 for name in (id.partition("/")[2], view.element(id).get("name"), view.element(id).get("assembly"), id) if name}
        id = known.get(str(given))
        if id is not None:
            self._compare_with(id, self._contigs_of(id), is_given=True)
            return
        assembly = reference_of_object(self.transaction.storage, self._metadata(), str(given), self.endpoint).assembly
        id = self.transaction.add_element({"id": free_id(view, "reference", assembly.name), "@type": "ReferenceGenome",
                                           "assembly": assembly.name, "seqcol_digest": assembly.seqcol})
        self._compare_with(id, assembly.contigs, is_given=True)
        self.told.append(f"{given}: {id}, an assembly of the reference store")

    def _compare_with(self, id: str, contigs: Iterable[StoredContig], *, is_given: bool) -> None:
        self.candidates.append(Candidate(id, {contig.name: contig for contig in contigs}, is_given))

    def _metadata(self) -> dict[str, dict[str, Any]]:
        view = self.transaction.view
        return {id: view.element(id) for id in view.ids()}

    def _references(self) -> list[str]:
        return [id for id in self.transaction.view.ids() if id.startswith("reference/")]

    def _contigs_of(self, id: str) -> tuple[StoredContig, ...]:
        """Those of a reference of the object, also of one that is about to come into it."""
        for file in self.transaction.staged:
            if isinstance(file, NewFile) and file.change.element_id == id:
                return digest_sequences(str(file.source))
        metadata = self._metadata()
        contigs = reference_of_object(self.transaction.storage, metadata, id, self.endpoint).assembly.contigs
        return tuple(with_recorded(contigs, [metadata[link] for link in metadata[id].get("has_sequence", ()) if link in metadata]))

    def _bring_reference(self, path: Path) -> None:
        transfer.check_present(path)
        format = format_of(path)
        if format is None or not _is_reference_file(path):
            raise InvalidInputError(f"{path} is no reference", "give a FASTA (.fa, .fasta, .fna, also .gz) or a 2bit file")
        if path.stat().st_size > _LARGE:
            self.matcher.tell(f"{path} is read, for the digests of its sequences")
        contigs = digest_sequences(str(path))
        present = self._present(path)
        if present:
            self.told.append(f"{path}: is {present} of the object already")
            self._compare_with(present, contigs, is_given=True)
            return
        attributes: dict[str, Any] = {"id": plain_id(stem_of(path.name)) or "reference", "@type": "ReferenceGenome"}
        if all(contig.ga4gh for contig in contigs):
            attributes |= {"has_sequence": find_or_add_contigs(self.transaction, contigs),
                           "seqcol_digest": seqcol_digest([vars(contig) for contig in contigs])}
        id = self.transaction.add_element(attributes, path)
        self._compare_with(id, contigs, is_given=True)
        self.told.append(f"{path}: {id}, {format.name}, {_count(len(contigs), 'contig')}, {sum(contig.length for contig in contigs):,} bases")

    def _present(self, path: Path) -> str | None:
        for id in self._references():
            base = self.transaction.view.element(id)
            if base.get("data_checksum") and is_same_file(self.transaction.storage, path, base, {}, False):
                return id
        return None

    def add_file(self, path: Path) -> None:
        """Add a file as an element."""
        transfer.check_present(path)
        format, class_name = self._class_of(path)
        if class_name == "ReferenceGenome":
            self._bring_reference(path)
            return
        id, data_path = self.names[path]
        attributes: dict[str, Any] = {"id": id, "@type": class_name, "data_path": data_path}
        told = [format.name] + (["its samples come with `modos enrich`"] if format.name == "mzTab" else [])
        if format.streamable:
            header = self._header_of(path, format, told)
            if header is not None:
                attributes["has_sample"] = self._samples_of(header, told)
                attributes["has_reference"] = self._reference_of(path, header, told)
        elif "has_reference" in model.describe(class_name)["slots"]:
            attributes["has_reference"] = self._reference_by_names(path, format, told)
        added = self.transaction.add_element({slot: value for slot, value in attributes.items() if value}, path, self.part_of)
        self.told.append(f"{path}: {class_name} {added}, {', '.join(told + self._indexes_of(added))}")

    def _indexes_of(self, id: str) -> list[str]:
        """What comes along with a file, in words."""
        indexes = next(file.indexes for file in self.transaction.staged if isinstance(file, NewFile) and file.change.element_id == id)
        return [f"index {index.name}" if index else "index to be built" for index, _ in indexes]

    def _class_of(self, path: Path) -> tuple[FileFormat, str]:
        name = plain_name(path.name)
        format = format_of(name)
        if format is None:
            advice = next((advice for endings, advice in _ADVICE.items() if name.lower().removesuffix(".gz").endswith(endings)), None)
            raise InvalidInputError(f"{path} is in no format that modos knows", advice or
                                    f"these endings are known: {listing((s for f in FORMATS.values() for s in f.suffixes), 40)}")
        if format.name not in _UNCLEAR:
            return format, _KINDS[format.kind] if format.kind else _CLASSES[format.name]
        choices = [*(["ReferenceGenome"] if format.name in _REFERENCES else []), "DataEntity"]
        key = f"@type:{path.name}"
        answer = self._settled(key, choices) or (self.matcher.ask and self.matcher.ask(f"{path}: what is it?", choices, choices))
        if not answer:
            where = "a reference is given with -r" if format.name in _REFERENCES else "what describes elements is given with -f"
            raise InvalidInputError(f"{path}: what it is, is not clear from a {format.name} file", f"{where}; --map {key}=DataEntity makes it a data file")
        return format, answer

    def _settled(self, key: str, allowed: Sequence[str]) -> str | None:
        """What the mapping says of something, which has to be one of some names."""
        answer = self.matcher.use(key)
        if answer and answer not in allowed:
            near = did_you_mean(answer, allowed)
            raise InvalidInputError(f"{key} cannot be {answer}", f"did you mean {near}?" if near else f"it is one of {listing(allowed)}")
        return answer

    def _header_of(self, path: Path, format: FileFormat, told: list[str]) -> Header | None:
        sealed = is_encrypted(path)
        if sealed and self.transaction.secret is None:
            told.append("encrypted: its header was not read (--secret-key)")
            return None
        if sealed:
            real = path.resolve()
            view = DecryptedView(LocalStorage(real.parent), self.transaction.secret)
            return parse_header(GenomicFile(StorageSource(view, plain_name(real.name))).header, str(path))
        if is_sealed(path):
            raise InvalidInputError(f"{path} is encrypted, and its name does not say so", "let its name end with .c4gh")
        with open(path, "rb") as file:
            pieces = check_header(iter(lambda: file.read(_PIECE), b""), format, str(path))
            with RecordReader(pieces, without_end(format), name=str(path)) as reader:
                return parse_header(reader.header.copy(), str(path))

    def _samples_of(self, header: Header, told: list[str]) -> list[str]:
        beside: dict[str, list[str]] = {}
        for name in header.samples:
            beside.setdefault(normalised(name), []).append(name)
        samples = [self._sample_of(name, beside[normalised(name)]) for name in header.samples]
        told.append(f"{'sample' if len(samples) == 1 else 'samples'} {listing(samples, 5)}" if samples else "no samples in its header")
        return samples

    def _sample_of(self, name: str, beside: Sequence[str]) -> str:
        """The sample of a name in a header, which is added where the object has none of that name or of one like it.

        Parameters
        ----------
        beside
            The names in the header that are like it.
        """
        key = f"has_sample:{name}"
        wanted = self.matcher.use(key)
        if wanted and wanted != name:
            found = self.samples.find(wanted.removeprefix("sample/"))
            if not found:
                raise InvalidInputError(f"{key} cannot be {wanted}: there is no such sample", "name one of the object's, or add it before")
            return found[0]
        found = self.samples.find(name)
        if len(found) == 1:
            return found[0]
        near = found or ([] if wanted else self.samples.find_like(name, beside))
        if near:
            answer = self.matcher.ask and self.matcher.ask(f"which sample is {name}?", near, [*near, *([] if found else [_NEW])])
            if not answer:
                raise InvalidInputError(f"the sample {name} may be {' or '.join(near)}", f"say which: --map '{key}={near[0].partition('/')[2]}'"
                                        + ("" if found else f", or --map '{key}={name}' for one of its own"))
            if answer != _NEW:
                return answer
        return self.samples.add(name)

    def _reference_of(self, path: Path, header: Header, told: list[str]) -> list[str]:
        if not header.sequences:
            told.append("no contigs in its header, and so no reference")
            return []
        key = f"has_reference:{path.name}"
        if key in self.matcher.mapping:
            return self._said_reference(key, told)
        fits, misfits = best_fits(header.sequences, self._all_candidates())
        if len(fits) == 1:
            told.append(f"{fits[0].id} by {fits[0].evidence}")
            return [fits[0].id]
        return self._unclear_reference(path, key, fits, misfits, told)

    def _said_reference(self, key: str, told: list[str]) -> list[str]:
        wanted = self.matcher.use(key)
        told.append(f"reference {wanted}, as was said" if wanted else "no reference, as was said")
        return [wanted] if wanted else []

    def _reference_by_names(self, path: Path, format: FileFormat, told: list[str]) -> list[str]:
        """The reference of a file without a header: as was said, or the one that was given and has all of its sequences."""
        key = f"has_reference:{path.name}"
        if key in self.matcher.mapping:
            return self._said_reference(key, told)
        given = [candidate for candidate in self._all_candidates() if candidate.is_given]
        if format.name not in _BY_NAMES or is_encrypted(path) or not given:
            return []
        sequences = names_in(path)
        fits = best_fits(sequences, given)[0] if sequences else []
        told.append(f"{fits[0].id} by {fits[0].evidence}" if len(fits) == 1 else f"no reference (--map {key}={given[0].id})")
        return [fit.id for fit in fits] if len(fits) == 1 else []

    def _unclear_reference(self, path: Path, key: str, fits: list[Fit], misfits: list[Fit], told: list[str]) -> list[str]:
        if fits:
            ids = [fit.id for fit in fits]
            answer = self.matcher.ask and self.matcher.ask(f"{path}: which is its reference?", ids, ids)
            if not answer:
                raise InvalidInputError(f"{path} fits several references: {listing(ids)}", f"say which: --map '{key}={ids[0]}'")
            return [answer]
        given = [misfit for misfit in misfits if misfit.is_given]
        if given:
            raise InvalidInputError(f"{path} was not made with {' nor '.join(misfit.id for misfit in given)}: {given[0].reason}",
                                    f"give the reference it was made with (-r), or --map '{key}=' to take it without one")
        told.append("no reference: none of the object has its contigs" if misfits else "no reference given (-r)")
        return []

    def _all_candidates(self) -> list[Candidate]:
        """The references that were given; where there are none, those of the object."""
        if not self.candidates and not self._has_looked:
            self._has_looked = True
            for id in self._references():
                try:
                    self._compare_with(id, self._contigs_of(id), is_given=False)
                except ModosError as error:
                    self.told.append(f"{id} was not compared: {error.message}")
        return self.candidates


def _check_index_present(path: Path) -> None:
    if not path.is_file():
        raise NotFoundError(f"no index {path}", "check the path")


class _Samples:
    """The samples of an object by what they are called."""

    def __init__(self, transaction: Transaction):
        self._transaction = transaction
        self._known = Names(transaction, "sample")
        self._like: dict[str, list[tuple[str, str]]] = {}
        for id in transaction.view.ids():
            if id.startswith("sample/"):
                self._note(id, transaction.view.element(id).get("name"))

    def _note(self, id: str, name: str | None) -> None:
        for one in {id.partition("/")[2], name} - {None}:
            self._like.setdefault(normalised(one), []).append((id, one))

    def find(self, name: str) -> list[str]:
        """Those of that id or name."""
        return list(dict.fromkeys(self._known.find(name)))

    def find_like(self, name: str, beside: Sequence[str]) -> list[str]:
        """Those whose id or name differs only in case, spaces, `_` or `-`, and is not that of another sample of the same file."""
        others = {id for one in beside for id in self.find(one)}
        return [id for id in dict.fromkeys(id for id, _ in self._like.get(normalised(name), ())) if id not in others]

    def add(self, name: str) -> str:
        """Add one."""
        id = self._transaction.add_element({"id": free_id(self._transaction.view, "sample", name), "@type": "Sample", "name": name})
        self._note(id, name)
        return self._known.add(id, name)


def _is_reference_file(path: Path) -> bool:
    format = format_of(path)
    return format is not None and format.name in _REFERENCES


def name_files(paths: Iterable[Path]) -> dict[Path, tuple[str, str]]:
    """Ids and names in the object for files: without the ending, or with it, or with the folder, where others would have the same."""
    plain = {path: plain_name(path.name) for path in paths}
    ids = {path: plain_id(stem_of(name)) or "file" for path, name in plain.items()}
    places = {path: path.name for path in plain}
    ids = {path: plain_id(plain[path]) if count > 1 else id for path, (id, count) in _counted(ids).items()}
    folders = {path: path.resolve().parent.name for path in plain}
    ids = {path: plain_id(f"{folders[path]}_{plain[path]}") if count > 1 else id for path, (id, count) in _counted(ids).items()}
    same = Counter(plain_name(place) for place in places.values())
    places = {path: f"{folders[path]}/{place}" if same[plain_name(place)] > 1 and folders[path] else place for path, place in places.items()}
    return {path: (ids[path], places[path]) for path in plain}


def _counted(ids: dict[Path, str]) -> dict[Path, tuple[str, int]]:
    counts = Counter(ids.values())
    return {path: (id, counts[id]) for path, id in ids.items()}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
