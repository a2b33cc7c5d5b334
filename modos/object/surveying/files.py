"""Turn files into elements, with what their headers say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modos.encryption.view import DecryptedView
from modos.errors import AlreadyExistsError, InvalidInputError, ModosError, NotFoundError, did_you_mean, listing
from modos.formats import (
    FORMATS,
    PARTS_SUFFIX,
    FileFormat,
    format_of,
    index_names,
    is_encrypted,
    is_index,
    is_list,
    name_of,
    plain_name,
)
from modos.formats.crypt4gh import is_crypt4gh
from modos.genomics import GenomicFile
from modos.genomics.reader import RecordReader, check_header, without_end
from modos.genomics.sources import StorageSource
from modos.metadata import model
from modos.metadata.description import Matcher
from modos.object import transfer
from modos.object.enrichment import Header, parse_header
from modos.object.incoming import NewFile
from modos.object.surveying.found_trees import CLASSES, FoundTree, split_trees
from modos.object.surveying.matched_references import References, is_reference_file
from modos.object.surveying.names import ids_of, places_of, replace_stem
from modos.object.surveying.samples import Samples
from modos.object.transaction import Transaction
from modos.storage.local import LocalStorage
from modos.storage.part_digests import begins_list

_KINDS = {"reads": "AlignmentSet", "variants": "VariantSet"}
_CLASSES = {"mzTab": "MassSpectrometryResults", "mzML": "MassSpectrometryResults"}  # all others are of the class DataEntity
_REFERENCES = ("FASTA", "TwoBit")
_UNCLEAR = (*_REFERENCES, "TSV", "JSON")
_ADVICE = {
    (".bw", ".bigwig", ".wig", ".bedgraph", ".bg"): "numbers along the genome become tracks: `modos track add`",
    (".yaml", ".yml", ".csv", ".xlsx"): "what describes elements is given with -f",
    (".vcf", ".sam"): "compress it: `bcftools view -O z`, or `samtools view -b`",
    (".gtf",): "give it as GFF3",
}
_MAX_SHOWN = 20
_PIECE = 1 << 20


def survey(
    transaction: Transaction,
    files: Sequence[str | Path],
    references: Sequence[str | Path] = (),
    *,
    part_of: str | None = None,
    matcher: Matcher | None = None,
    endpoint: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Add files and Zarr trees to an object, each as an element with what its header or metadata say.

    Parameters
    ----------
    references
        FASTA files, ids of references of the object, or names of assemblies
        in the reference store.
    part_of
        Id of the element that links to the data.
    matcher
        Asks and reports. Its mapping settles `@type:FILE`, `id:FILE`,
        `has_reference:FILE` and `has_sample:NAME`.
    endpoint
        The server whose reference store may be asked.
    attributes
        Further slots of each data element.

    Raises
    ------
    ModosError
        The one thing that is wrong or not clear; InvalidInputError with all
        of them, where there are several.
    """
    one = _Survey(transaction, matcher or Matcher(), part_of, endpoint, attributes or {})
    given = one.sort_out_references(references)
    trees, plain, told = split_trees(files, transaction.open_remote)
    one.told += told
    paths = one.sort_out(plain, [Path(reference) for reference in given], [tree.path for tree in trees])
    for reference in given:
        one.attempt(reference, partial(one.references.add, reference))
    for path in sorted(paths, key=lambda path: not is_reference_file(path)):
        one.attempt(path, partial(one.add_file, path))
    for tree in trees:
        one.attempt(tree.place, partial(one.add_tree, tree))
    one.raise_any()
    for line in one.told:
        one.matcher.tell(line)


@dataclass
class _Survey:
    transaction: Transaction
    matcher: Matcher
    part_of: str | None
    endpoint: str | None
    attributes: Mapping[str, Any]
    errors: list[tuple[str, ModosError]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    ids: dict[Path, str] = field(default_factory=dict)
    reference_ids: dict[Path, str] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)  # data_path
    samples: Samples = field(init=False)
    references: References = field(init=False)
    _of_name: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.samples = Samples(self.transaction, self.matcher)
        self.references = References(self.transaction, self.matcher, self.endpoint, self.told, self._bring_reference)

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
            lines = [
                error.message if name in error.message else f"{name}: {error.message}" for name, error in self.errors[:_MAX_SHOWN]
            ]
            more = len(self.errors) - len(lines)
            hints = dict.fromkeys(error.hint for _, error in self.errors[:_MAX_SHOWN] if error.hint)
            raise InvalidInputError(
                f"{len(self.errors)} problems: " + "; ".join(lines) + (f"; and {more} more" if more else ""),
                "; ".join(hints) or None,
            )

    def sort_out_references(self, references: Sequence[str | Path]) -> list[str | Path]:
        """Return the references, each once."""
        chosen = {
            Path(reference).resolve() if Path(reference).is_file() else str(reference): reference
            for reference in reversed(references)
        }
        if len(chosen) < len(references):
            self.told.append(f"{listing(map(str, chosen.values()))}: given more than once with -r, and taken once")
        return list(reversed(chosen.values()))

    def sort_out(self, paths: Sequence[Path], references: Sequence[Path], trees: Sequence[Path]) -> list[Path]:
        """Return the files that become elements, each once; indexes come along with their files, lists are made anew."""
        given = {*paths, *references}
        owners = {index for path in (*paths, *references) for index in index_names(path)}
        owners |= {index for path in (*paths, *references) if is_encrypted(path) for index in index_names(plain_name(path))}
        chosen: dict[Path, Path] = {}
        brought = {reference.resolve(): reference for reference in references if reference.is_file()}
        for path in paths:
            real = path.resolve()
            before = chosen.get(real) or brought.get(real)
            if str(path) in owners:
                self.attempt(path, partial(_check_index_present, path))
            elif is_list(path.name) and _is_list_of_digests(path):
                if path.with_name(path.name.removesuffix(PARTS_SUFFIX)) not in given:
                    self._refuse_alone(path, "a list of digests", "its list is made anew")
            elif is_index(path):
                self._refuse_alone(path, "an index", "the index beside it comes along")
            elif before is not None:
                self.told.append(
                    f"{path} is {'given twice' if str(path) == str(before) else f'the same file as {before}'}, and taken once"
                )
            else:
                chosen[real] = path
        self._name([*chosen.values(), *trees], [*brought.values()])
        return list(chosen.values())

    def _refuse_alone(self, path: Path, what: str, why: str) -> None:
        self.errors.append(
            (str(path), InvalidInputError(f"{path} is {what}, and its file is not given", f"give the file: {why}"))
        )

    def _name(self, files: list[Path], references: list[Path]) -> None:
        view = self.transaction.view
        self.ids = ids_of(files)
        self.reference_ids = ids_of([*references, *filter(is_reference_file, files)])
        self._of_name = Counter(path.name for path in [*references, *files])
        self.places = places_of([*references, *files], {plain_name(name_of(path)) for path in view.data_paths()})

    def _key(self, slot: str, path: Path) -> str:
        """Return what the mapping has for a file: by the whole of its path, or by its name, which several may have."""
        whole = f"{slot}:{path}"
        return whole if whole in self.matcher.mapping or self._of_name[path.name] > 1 else f"{slot}:{path.name}"

    def _bring(
        self, path: Path, group: str, id: str, attributes: dict[str, Any], part_of: str | None = None, source: str | None = None
    ) -> str:
        """Add a file, or a tree at a source, as an element, under the name that was given or its own."""
        key = self._key("id", path)
        said = self.matcher.use(key)
        place = replace_stem(path, said) if said else self.places[path]
        element = {"id": said or id, "data_path": place} | attributes | (dict(self.attributes) if group == "data" else {})
        try:
            return self.transaction.add_element(element, source or path, part_of)
        except AlreadyExistsError as error:
            raise AlreadyExistsError(
                error.message,
                f"say what it is called in the object: --map '{key}=NAME'; or `modos update` brings "
                f"{group}/{said or id} up to date",
            ) from None

    def _bring_reference(self, path: Path, attributes: dict[str, Any]) -> str:
        return self._bring(path, "reference", self.reference_ids[path], attributes)

    def add_file(self, path: Path) -> None:
        """Add a file as an element."""
        transfer.check_present(path)
        format, class_name = self._class_of(path)
        if class_name == "ReferenceGenome":
            self.references.add_file(path)
            return
        attributes: dict[str, Any] = {"@type": class_name}
        told = [format.name] + (["its samples come with `modos enrich`"] if format.name == "mzTab" else [])
        told += [] if path.stat().st_size else ["an empty file"]
        reference_key = self._key("has_reference", path)
        if format.streamable:
            header = self._header_of(path, format, told)
            if header is not None:
                attributes["has_sample"] = self.samples.find_by_header(header, told)
                attributes["has_reference"] = self.references.find_by_header(path, reference_key, header, told)
        elif "has_reference" in model.describe(class_name)["slots"]:
            attributes["has_reference"] = self.references.find_by_names(path, reference_key, format, told)
        added = self._bring(
            path, "data", self.ids[path], {slot: value for slot, value in attributes.items() if value}, self.part_of
        )
        self.told.append(f"{path}: {class_name} {added}, {', '.join(told + self._indexes_of(added))}")

    def add_tree(self, tree: FoundTree) -> None:
        """Add a Zarr tree as an element."""
        class_name, attributes, words = tree.describe()
        class_name = self._settle(self._key("@type", tree.path), CLASSES) or class_name
        added = self._bring(tree.path, "data", self.ids[tree.path], {"@type": class_name} | attributes, self.part_of, tree.place)
        self.told.append(f"{tree.place}: {class_name} {added}, {', '.join(words)}")

    def _indexes_of(self, id: str) -> list[str]:
        """List what comes along with a file, in words."""
        indexes = next(
            file.indexes
            for file in reversed(self.transaction.staged)
            if isinstance(file, NewFile) and file.change.element_id == id
        )
        return [f"index {index.name}" if index else "index to be built" for index, _ in indexes]

    def _class_of(self, path: Path) -> tuple[FileFormat, str]:
        name = plain_name(path.name)
        format = format_of(name)
        if format is None:
            advice = next(
                (advice for endings, advice in _ADVICE.items() if name.lower().removesuffix(".gz").endswith(endings)), None
            )
            raise InvalidInputError(
                f"{path} is in no format that modos knows",
                advice
                or "leave it out, or give it the ending of its "
                f"format: {listing((s for f in FORMATS.values() for s in f.suffixes), 40)}",
            )
        if format.name not in _UNCLEAR:
            return format, _KINDS[format.kind] if format.kind else _CLASSES.get(format.name, "DataEntity")
        choices = [*(["ReferenceGenome"] if format.name in _REFERENCES else []), "DataEntity"]
        key = self._key("@type", path)
        answer = self._settle(key, choices) or (self.matcher.ask and self.matcher.ask(f"{path}: what is it?", choices, choices))
        if not answer:
            where = "a reference is given with -r" if format.name in _REFERENCES else "what describes elements is given with -f"
            raise InvalidInputError(
                f"{path}: what it is, is not clear from a {format.name} file",
                f"{where}; --map {key}=DataEntity makes it a data file",
            )
        return format, answer

    def _settle(self, key: str, allowed: Sequence[str]) -> str | None:
        """Return what the mapping says of something; it has to be one of some names."""
        answer = self.matcher.use(key)
        if answer and answer not in allowed:
            near = did_you_mean(answer, allowed)
            raise InvalidInputError(
                f"{key} cannot be {answer}", f"did you mean {near}?" if near else f"it is one of {listing(allowed)}"
            )
        return answer

    def _header_of(self, path: Path, format: FileFormat, told: list[str]) -> Header | None:
        secret = self.transaction.secret
        if is_encrypted(path) and secret is None:
            told.append("encrypted: its header was not read (--secret-key)")
            return None
        if is_encrypted(path) and secret is not None:
            real = path.resolve()
            view = DecryptedView(LocalStorage(real.parent), secret)
            return parse_header(GenomicFile(StorageSource(view, plain_name(real.name))).header, str(path))
        if is_crypt4gh(path):
            raise InvalidInputError(f"{path} is encrypted, and its name does not say so", "let its name end with .c4gh")
        with open(path, "rb") as file:
            pieces = check_header(iter(lambda: file.read(_PIECE), b""), format, str(path))
            with RecordReader(pieces, without_end(format), name=str(path)) as reader:
                return parse_header(reader.header.copy(), str(path))


def _is_list_of_digests(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return begins_list(file.read(_PIECE))


def _check_index_present(path: Path) -> None:
    if not path.is_file():
        raise NotFoundError(f"no index {path}", "check the path")
