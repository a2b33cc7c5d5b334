"""Convert the file of an element into another form, which becomes an element of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from modos.encryption.keys import SecretKey
from modos.errors import AlreadyExistsError, InvalidInputError
from modos.formats import TREE_SUFFIX, is_encrypted, is_file_path, name_of, plain_name, stem_of
from modos.genomics import GenomicFile
from modos.genomics.indexer import build_index
from modos.genomics.sources import StorageSource
from modos.metadata.ids import format_id
from modos.object.document import Document
from modos.object.open_object import OpenObject
from modos.object.streaming import GenomicFiles
from modos.storage import open_storage
from modos.storage.base import Progress, ProgressLike, expect

if TYPE_CHECKING:
    from modos.trees.vcf_zarr_comparing import Comparison

TARGETS = ("vcf-zarr",)
_STEPS = 4  # of progress, each of the bytes of the file: it is read, converted in two steps, and compared
_BATCH = 1000  # records that progress is told of at once
_TAKEN = ("has_sample", "has_reference")  # slots that are those of the source


class Conversions:
    """Elements of an object, to be converted."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object
        self._files = GenomicFiles(open_object)

    def convert(
        self,
        element: str,
        to: str = "vcf-zarr",
        id: str | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        progress: ProgressLike | None = None,
        *,
        workers: int = 1,
        allow_loss: bool = False,
        plain: bool = False,
    ) -> str:
        """Convert the VCF or BCF of an element into a VCF Zarr (extra `vcf-zarr`), a new element; returns its id.

        It is made in a temporary folder, compared with the file record by
        record, and added in one commit, with the samples and the reference of
        its source, and linked from the same assays. `derived_from` has the
        source's id, and the description says of which file it was made.

        Parameters
        ----------
        element
            Id of the element, or the name of its file.
        to
            `vcf-zarr`.
        id
            Of the new element; that of the source with `_zarr` where it is None.
        secret_key, passphrase
            To open an encrypted file with.
        workers
            Processes that convert.
        allow_loss
            Add the tree also where some records do not come back as they
            were, such as those with -1 in a field of whole numbers, which in
            VCF Zarr is a missing value.
        plain
            Store the tree plain, also that of an encrypted file.

        Raises
        ------
        InvalidInputError
            It is no VCF or BCF; or encrypted, and a plain tree was not asked
            for; bio2zarr is not installed, or refuses it; or
            records would be lost or changed.
        AlreadyExistsError
            There is an element of that id.
        IntegrityError
            The file is damaged.
        """
        if to not in TARGETS:
            raise InvalidInputError(f"nothing is converted to {to}", f"choose {' or '.join(TARGETS)}")
        document = self._object.document
        file = self._files.file(self._files.find_file(element), secret_key=secret_key, passphrase=passphrase)
        source_id = document.data_paths()[self._files.find_file(element)]
        attributes = document.element(source_id)
        new_id = _choose_id(document, source_id, id)
        if file.format.kind != "variants" or not is_file_path(attributes["data_path"]):
            raise InvalidInputError(f"{file.name} is no VCF or BCF", "a VCF Zarr is made of one")
        if is_encrypted(attributes["data_path"]) and not plain:
            raise InvalidInputError(
                f"{file.name} is encrypted, and its VCF Zarr would not be",
                "with --plain (plain=True) it is stored plain, and `modos c4gh encrypt` encrypts it afterwards",
            )
        with tempfile.TemporaryDirectory(prefix="modos-") as folder:
            tree, told = _make(file, name_of(attributes["data_path"]), Path(folder), progress, workers, allow_loss)
            return self._add(tree, new_id, source_id, attributes, told, progress)

    def _add(self, tree: Path, new_id: str, source_id: str, source: dict[str, Any], told: str, progress: Progress | None) -> str:
        from modos.trees.tree_description import describe_tree
        from modos.trees.tree_sources import FolderTree

        name = name_of(source["data_path"])
        digest = source.get("data_digest")
        described = f"VCF Zarr of {name}" + (f" with the digest {digest}" if digest else "") + f", made by {told}"
        with self._object.transaction(progress) as transaction:
            places = [
                (PurePosixPath(name).parent / own).as_posix() for own in (tree.name, f"{new_id.partition('/')[2]}{TREE_SUFFIX}")
            ]
            path = next((place for place in places if transaction.free_key(place) == place), places[0])
            new = {
                "id": new_id,
                "@type": "VariantSet",
                "description": described,
                "data_path": path,
                "data_format": "Zarr",
                "derived_from": [source_id],
            }
            new |= {slot: source[slot] for slot in _TAKEN if source.get(slot)}
            made = FolderTree(str(tree))
            added = transaction.add_element(new | describe_tree(made.open_metadata(made.list_files())), tree)
            for parent in _parents_of(self._object.document, source_id):
                transaction.link(parent, added)
        return added


def _choose_id(document: Document, source_id: str, given: str | None) -> str:
    found = format_id("data", given or f"{source_id.partition('/')[2]}_zarr")
    if found in document.ids():
        raise AlreadyExistsError(f"there is an element {found} already", "give another id (--id, id)")
    return found


def _parents_of(document: Document, element_id: str) -> list[str]:
    return [parent for parent in document.ids() if element_id in document.element(parent).get("has_data", ())]


def _make(
    file: GenomicFile, name: str, folder: Path, progress: Progress | None, workers: int, allow_loss: bool
) -> tuple[Path, str]:
    """Make the tree of a file in a folder; returns it, and what is to be said of how it was made."""
    from modos.trees.vcf_zarr_making import make_vcf_zarr, tell_maker

    maker = tell_maker()
    copy = folder / PurePosixPath(plain_name(name)).name
    expect(progress, _STEPS * file.size if file.size else None)
    with open(copy, "wb") as output:
        for piece in file.report_to(progress).iter_bytes():
            output.write(piece)
    build_index(copy, file.format, folder)
    tree, size = folder / f"{stem_of(copy.name)}{TREE_SUFFIX}", copy.stat().st_size
    make_vcf_zarr(copy, tree, folder, size, progress, workers)
    compared = _compare(copy, tree, size, progress)
    if compared is None or not compared.differing:
        return tree, maker
    lost = f"{compared.differing:,} of {compared.records:,} records come back otherwise, the first at {compared.first}"
    if not allow_loss:
        raise InvalidInputError(
            f"{file.name} cannot be a VCF Zarr without loss: {lost}", "add it all the same with --allow-loss (allow_loss=True)"
        )
    return tree, f"{maker}; {lost}"


def _compare(copy: Path, tree: Path, size: int, progress: Progress | None) -> Comparison | None:
    """Compare a VCF with its tree, whose lengths of variants are mended; None where it has no records."""
    from modos.trees.vcf_zarr_comparing import compare_records
    from modos.trees.vcf_zarr_lengths import VariantLengths
    from modos.trees.vcf_zarr_source import iter_lines

    source = GenomicFile(StorageSource(open_storage(copy.parent), copy.name))
    each, last, lengths = size / max(source.count(), 1), None, VariantLengths(tree)
    for number, compared in enumerate(compare_records(source, iter_lines(tree), lengths), 1):
        last = compared
        if progress and not number % _BATCH:
            progress(int(each * _BATCH))
    lengths.mend()
    return last
