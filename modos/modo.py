"""A MODO: one multi-omics digital object, in a folder or an S3 prefix."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from modos import checking, editing, elements, model, transfer, views
from modos.checking import Finding
from modos.comparison import Difference, compare
from modos.access import check_no_secrets, is_remote, open_remote, services_of
from modos.config import Services
from modos.copies import Copies
from modos.describing import bring_up_to_date
from modos.description import Entry, Matcher, read_descriptions
from modos.editing import Transaction
from modos.elements import Document, Newest, journal
from modos.encrypting import EncryptedFiles
from modos.encryption.keys import SecretKey, as_secret_key
from modos.enrichment import enrich
from modos.errors import AlreadyExistsError, IntegrityError, InvalidInputError, NotFoundError, listing
from modos.forking import cached_property
from modos.formats import is_array_path, is_index, name_of
from modos.gathering import FromFiles
from modos.genomes import Genomes
from modos.hidden import escape_line
from modos.reading import GenomicFiles
from modos.referencing import index_references
from modos.renamed import check_places, check_same
from modos.sources import refuse_ambiguous
from modos.storage import Storage, open_storage

if TYPE_CHECKING:
    from rdflib import Graph

    from modos.linked_data.graph import Rows

Progress = Callable[[int], Any]


class MODO(GenomicFiles, EncryptedFiles, Genomes, Copies, FromFiles):
    """A multi-omics digital object: genomic files and typed metadata in one place.

    `MODO(path)` opens the object at `path`, or creates one where there is
    nothing yet. `MODO.open` and `MODO.create` say which is meant.

    Parameters
    ----------
    path
        A folder, `s3://bucket/prefix`, or `http://server/files/OBJECT` of a
        modos server. Only `s3://` and a URL with `/files` make it remote.
    endpoint
        URL of a modos server, which tells where S3 and htsget are.
    services
        URLs of services by name (`s3`, `htsget`), instead of or before what
        the endpoint tells.
    s3_kwargs
        Further arguments of s3fs.S3FileSystem, such as `key`, `secret`, `anon`.
    id, name, description, creation_date, last_update_date, source_uri
        Metadata of an object that is created; the id is the path's last part
        and the dates are now where they are not given. Those of an object
        that exists have to be the same.

    Raises
    ------
    NotFoundError
        The path is taken by something that is no MODO.
    AlreadyExistsError
        There is an object already, and its metadata are other ones.
    """

    def __init__(
        self,
        path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict | None = None,
        *,
        id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        creation_date: Any = None,
        last_update_date: Any = None,
        source_uri: str | None = None,
        has_assay: Sequence[str] | None = None,
    ):
        slots = {"id": id, "name": name, "description": description, "creation_date": creation_date,
                 "last_update_date": last_update_date, "source_uri": source_uri, "has_assay": has_assay or None}
        given = {slot: value for slot, value in slots.items() if value is not None}
        self._bind(path, endpoint, services, s3_kwargs)
        try:
            self._newest.look()
        except NotFoundError:
            journal.recover(self.storage)
            if next(self.storage.iter_files(), None) is not None:
                raise NotFoundError(f"{self.storage.url} is not empty and not a MODO",
                                    "choose an empty or new path to create one") from None
            self._document = self._create(self._own_attributes(**given))
        else:
            if given:
                check_same(self.storage.url, given, self._document.attributes)

    @classmethod
    def open(cls, path: str | Path, endpoint: str | None = None, services: Mapping[str, str] | None = None,
             s3_kwargs: dict | None = None) -> MODO:
        """Open an object that exists; never creates one. NotFoundError where there is none."""
        modo = cls.__new__(cls)
        modo._bind(path, endpoint, services, s3_kwargs)
        modo._newest.look()
        return modo

    @classmethod
    def create(cls, path: str | Path, endpoint: str | None = None, services: Mapping[str, str] | None = None,
               s3_kwargs: dict | None = None, **attributes: Any) -> MODO:
        """Create an object at an empty or new path; AlreadyExistsError where there is something."""
        modo = cls.__new__(cls)
        modo._bind(path, endpoint, services, s3_kwargs)
        modo._refuse_taken()
        modo._document = modo._create(modo._own_attributes(**attributes))
        return modo

    @classmethod
    def exists(cls, path: str | Path, endpoint: str | None = None, services: Mapping[str, str] | None = None,
               s3_kwargs: dict | None = None) -> bool:
        """Whether there is an object at a path."""
        try:
            cls.open(path, endpoint, services, s3_kwargs)
        except NotFoundError:
            return False
        return True

    @classmethod
    def locate(cls, file: str | Path, endpoint: str | None = None, services: Mapping[str, str] | None = None,
               s3_kwargs: dict | None = None) -> tuple[MODO, str]:
        """Open the object that a file is in: `data/ex/demo1.cram` -> (the object, `demo1.cram`).

        Raises
        ------
        NotFoundError
            No folder above the file is a MODO, or the object has no such file.
        InvalidInputError
            The object alone is named; or the name of one file is the id of another one's element.
        """
        file = os.fspath(file)
        file = file.rstrip("/") or file
        place, slash, key = file.rpartition("/")
        at_server = is_remote(file) and not file.startswith("s3://")
        while slash and place and place not in ("s3:", "s3:/") and (is_remote(place) or not at_server):
            try:
                modo = cls.open(place, endpoint, services, s3_kwargs)
            except NotFoundError as error:
                if error.hint and "create it first" in error.hint:
                    raise
                place, slash, part = place.rpartition("/")
                key = f"{part}/{key}"
                continue
            called = unquote(key) if at_server else key
            found = modo.find_file(called)
            refuse_ambiguous(modo.storage, modo.metadata, called, found)
            return modo, found
        if cls.exists(file, endpoint, services, s3_kwargs):
            names = [str(path.name) for path in cls.open(file, endpoint, services, s3_kwargs).list_files() if not is_index(path.name)]
            raise InvalidInputError(f"{file} is an object, and no file of it is named", f"write OBJECT/FILE or OBJECT/ELEMENT: "
                                    f"{file.rstrip('/')}/ with {listing(names) or 'a file, of which it has none'}")
        raise NotFoundError(f"{file} lies in no MODO", "write OBJECT/FILE, such as data/ex/demo1.cram, or OBJECT/ELEMENT")

    @classmethod
    def from_file(cls, config_path: str | Path | Sequence[str | Path | Entry], object_path: str | Path,
                  endpoint: str | None = None, services: Mapping[str, str] | None = None,
                  s3_kwargs: dict | None = None, no_remove: bool = True, type: str | None = None,
                  progress: Progress | None = None, secret_key: SecretKey | str | Path | None = None,
                  passphrase: str | None = None, new: bool = False, *, matcher: Matcher | None = None,
                  worksheet: str | None = None) -> MODO:
        """Create an object from a description, or bring one up to date; in one commit, whole or not at all.

        Parameters
        ----------
        config_path
            A YAML or JSON list of `{element: {id, "@type", ...}, args:
            {source_file, part_of}}`, or a TSV, CSV or XLSX sheet with a row per
            element and a column per slot; or several of them; `-` is stdin.
            A relative source_file is looked up beside the file, then in the
            working directory. Or what `modos.description.read_descriptions`
            has read.
        no_remove
            Keep elements of the object that the description does not name.
        type
            What the rows of a sheet are that have no `@type`: a class, or a
            group such as `sample`.
        secret_key, passphrase
            As for `add_element`.
        new
            Whether there must be no object yet.
        matcher
            Finds the slots and values that sheets mean, where they call them
            otherwise: `modos.description.Matcher({"Sample ID": "id",
            "sex:F": "Female"})`.
        worksheet
            The one of an XLSX file that is meant, where it has several.

        Raises
        ------
        InvalidInputError
            The file is malformed, or an element does not fit the schema.
        AlreadyExistsError
            There is an object, and it was to be a new one.
        """
        modo = cls._prepare(config_path, object_path, endpoint, services, s3_kwargs, no_remove, type, secret_key, passphrase, matcher,
                            worksheet)
        if new and modo._prepared.start.tag:
            raise AlreadyExistsError(f"{object_path} exists already", "bring it up to date with from_file, or `modos update`")
        if matcher is not None:
            matcher.tell_unused()
        modo._commit(modo._prepared, progress)
        return modo

    @classmethod
    def compare_with_file(cls, config_path: str | Path | Sequence[str | Path | Entry], object_path: str | Path,
                          endpoint: str | None = None, services: Mapping[str, str] | None = None,
                          s3_kwargs: dict | None = None, no_remove: bool = True, type: str | None = None,
                          secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None, *,
                          matcher: Matcher | None = None, worksheet: str | None = None) -> list[Difference]:
        """What `from_file` would change; nothing is changed."""
        modo = cls._prepare(config_path, object_path, endpoint, services, s3_kwargs, no_remove, type, secret_key, passphrase, matcher,
                            worksheet)
        before = modo._prepared.start.metadata() if modo._prepared.start.tag else {}
        return compare(before, modo._prepared.preview().metadata(), ignore=frozenset({"last_update_date"}))

    @classmethod
    def _prepare(cls, config_path: Any, object_path: str | Path, endpoint: str | None,
                 services: Mapping[str, str] | None, s3_kwargs: dict | None, no_remove: bool, type: str | None,
                 secret_key: SecretKey | str | Path | None, passphrase: str | None, matcher: Matcher | None = None,
                 worksheet: str | None = None) -> MODO:
        given = [config_path] if isinstance(config_path, (str, Path)) else list(config_path)
        entries = [one for one in given if isinstance(one, Entry)]
        entries += read_descriptions([Path(one) for one in given if not isinstance(one, Entry)], type, matcher=matcher, worksheet=worksheet)
        modo = cls.__new__(cls)
        modo._bind(object_path, endpoint, services, s3_kwargs)
        try:
            document = elements.load(modo.storage)
        except NotFoundError:
            modo._refuse_taken()
            own = [entry.attributes for entry in entries if entry.attributes["@type"] == "MODO"]
            document = Document(modo._own_attributes(**(own[0] if own else {})))
        modo._document = document
        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        modo._prepared = Transaction(modo.storage, document, secret)
        bring_up_to_date(modo._prepared, entries, prune=not no_remove)
        return modo

    def _bind(self, path: str | Path, endpoint: str | None, services: Mapping[str, str] | None,
              s3_kwargs: dict | None) -> None:
        check_places(endpoint, services, s3_kwargs)
        self._endpoint = endpoint
        self._given_services = services
        self._opening = path, endpoint, services, s3_kwargs
        if is_remote(path):
            self.storage: Storage = open_remote(path, self.services, s3_kwargs)
        else:
            self.storage = open_storage(path)
        self._newest = Newest(self.storage)

    @property
    def _document(self) -> Document:
        """The root document as it is now; what takes several looks at it takes it once."""
        return self._newest.get()

    @_document.setter
    def _document(self, document: Document) -> None:
        self._newest.put(document)

    def refresh(self) -> bool:
        """See at once what others have committed; whether there is anything new.

        Every method that reads looks by itself: at a folder each time, at a
        server when a second has passed since it looked last. What was opened
        before, such as a file or a genome, stays with what it was opened on,
        or fails where that is gone.

        Raises
        ------
        NotFoundError
            The object was removed.
        TransportError
            The server cannot be reached.
        """
        return self._newest.look()[1]

    @cached_property
    def services(self) -> Services:
        """The services around a remote object, asked of the endpoint once."""
        return services_of(self._opening[0], self._endpoint, self._given_services)

    def _refuse_taken(self) -> None:
        journal.recover(self.storage)
        journal.refuse_busy(self.storage, journal.entries(self.storage))
        if next(self.storage.iter_files(), None) is not None:
            raise AlreadyExistsError(f"{self.storage.url} exists already and is not empty", "choose another path")

    def _create(self, attributes: dict[str, Any]) -> Document:
        return elements.create(self.storage, Document(attributes))

    def _own_attributes(self, **given: Any) -> dict[str, Any]:
        now = editing.now()
        given = {key: value for key, value in given.items() if value is not None}
        given.setdefault("id", self.storage.path.name or self.storage.path.resolve().name)
        given.setdefault("creation_date", now)
        given.setdefault("last_update_date", given["creation_date"] if "last_update_date" not in given else now)
        attributes = model.normalise(model.to_attributes({"@type": "MODO"} | given))
        elements.check_object_id(attributes.get("id"))
        model.validate(attributes, attributes["id"])
        return attributes

    @property
    def zarr(self) -> Any:
        """The object as a zarr.Group, to be read; it is changed by the methods of a MODO."""
        import zarr

        from modos.elements.tree import DocumentStore

        return zarr.open_group(DocumentStore(self.storage, self._document), mode="r", zarr_format=3, use_consolidated=False)

    @property
    def is_remote(self) -> bool:
        """Whether it is at S3 or at a modos server."""
        return self.storage.is_remote

    @property
    def endpoint(self) -> Services:
        """The services around it."""
        return self.services

    @property
    def path(self) -> Path:
        """The object's place, as listings show it."""
        return self.storage.path

    @property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Attributes by element id (`data/demo1`), and those of the object by its own id."""
        return self._document.metadata()

    def list_files(self) -> list[Path]:
        """Every file of the object with its indexes, below the object's own path."""
        self._newest.get()  # an object that was removed has not merely no files
        return [self.path / key for key, _ in transfer.object_files(self.storage)]

    def files_of(self, element: str) -> list[str]:
        """The paths within the object of an element's file and its indexes."""
        document = self._document
        attributes = document.element(document.find(element))
        return sorted(filter(self.storage.exists, journal.files_of_element(attributes))) if attributes.get("data_path") else []

    def measure(self, element: str | None = None) -> tuple[int, int, int]:
        """How many elements, files and bytes the object has, or one of its elements: what a removal takes away."""
        document = self._document
        if element is None:
            files, held = transfer.measure_object(self.storage, document)
            return sum(1 for _ in document.ids()), files, held
        attributes = document.element(document.find(element))
        if is_array_path(attributes.get("data_path") or ""):
            return 1, 0, attributes.get("data_size") or 0
        sizes = [self.storage.stat(key).size for key in self.files_of(element)]
        return 1, len(sizes), sum(sizes)

    def list_samples(self) -> list[str]:
        """Ids of the samples."""
        return [element_id for element_id in self.metadata if element_id.startswith("sample/")]

    def list_nodes(self) -> list[str]:
        """Paths of the object's Zarr groups and arrays."""
        return sorted(path for path in self._document.nodes if path != elements.OWN_NODE)

    def list_arrays(self, element: str | None = None) -> Any:
        """The tree of the object's Zarr groups and arrays, or of those of a group or an element, to print."""
        import zarr
        from zarr.core.buffer.cpu import Buffer

        nodes = {path: self._document.nodes[path] | {"attributes": {}} for path in self.list_nodes()}
        document = elements.Document({}, {escape_line(path).replace("\\", "%"): node for path, node in nodes.items()})  # Zarr takes \ for /
        root = zarr.storage.MemoryStore({"zarr.json": Buffer.from_bytes(document.to_bytes())})
        wanted = (element or "").strip("/")
        place = escape_line(self._node_of(wanted)).replace("\\", "%") if wanted else None
        try:
            group = zarr.open_group(root, mode="r", zarr_format=3, use_consolidated=True)
            return group.tree() if place is None else group[place].tree()
        except Exception as error:  # zarr has many kinds for what it does not take
            raise IntegrityError(f"{self.storage.url} has arrays or groups that zarr does not take: {error}", "restore the object from a copy") from None

    def _node_of(self, element: str) -> str:
        """The path of a group, which the element of that name is in, or of an element."""
        document = self._document
        return element if element in document.nodes else document.find(element)

    def file_name(self, element: str) -> str | None:
        """What the file of an element is called, whatever `data_path` says of where it lies; None where it has none."""
        path = self._document.element(self._document.find(element)).get("data_path")
        return path and (path if is_array_path(path) else name_of(path))

    def show_contents(self, element: str | None = None) -> str:
        """The metadata of the object, of one element, or of a group such as `data`, as YAML; files by their names."""
        return views.to_yaml(self.metadata if element is None else self.metadata_of(element))

    def metadata_of(self, element: str) -> dict[str, dict[str, Any]]:
        """The attributes of one element by its id, or of all elements of a group (`data`).

        Raises
        ------
        NotFoundError, InvalidInputError
            There is none; a name that an element has and a group.
        """
        document = self._document
        metadata, group = document.metadata(), element.rstrip("/")
        if group not in model.GROUPS:
            element_id = document.find(element)
            return {element_id: metadata[element_id]}
        if group == document.object_id or any(f"{one}/{group}" in document for one in model.GROUPS):
            raise InvalidInputError(f"{group} is a group and the name of an element", "write the element's full id")
        return {element_id: attributes for element_id, attributes in metadata.items() if element_id.startswith(f"{group}/")}

    def find_element(self, element: str) -> str:
        """The full id of an element, given that or an unambiguous name; NotFoundError where there is none."""
        return self._document.find(element)

    @contextmanager
    def transaction(self, progress: Progress | None = None) -> Iterator[Transaction]:
        """Collect changes, and commit them together at the end of the block; an exception discards them.

        ::

            with modo.transaction() as tx:
                tx.add_element({"id": "s1", "@type": "Sample"})
                tx.remove_element("sample/s0")

        Raises
        ------
        ConflictError
            Somebody else changed the same elements meanwhile; nothing was
            changed.
        """
        transaction = Transaction(self.storage, self._newest.look()[0])
        yield transaction
        self._commit(transaction, progress)

    def _commit(self, transaction: Transaction, progress: Progress | None) -> None:
        self._document = transaction.commit(progress)

    def add_element(self, element: Any, source_file: str | Path | None = None, part_of: str | None = None,
                    progress: Progress | None = None, secret_key: SecretKey | str | Path | None = None,
                    passphrase: str | None = None) -> str:
        """Add an element, with its file, in one commit; returns its id.

        Parameters
        ----------
        element
            A mapping with `id` and `@type`, or an instance of a schema class.
        source_file
            A file of this machine that becomes the element's data. Its
            index comes along, or is built.
        part_of
            Id of the element that links to it. Assays belong to the object.
        secret_key
            The key, or its file, of a recipient of a source that is
            encrypted: an index beside it that is not is encrypted for the
            same recipients.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.

        Raises
        ------
        SchemaError, AlreadyExistsError, NotFoundError, IntegrityError
            The element does not fit; its id or file is taken; its source or
            what it links to is missing; its source is damaged, or the index
            beside it is of another file. Nothing is left behind.
        """
        with self.transaction(progress) as transaction:
            transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
            return transaction.add_element(element, source_file, part_of)

    def update_element(self, element_id: str, new: Any, source_file: str | Path | None = None,
                       part_of: str | None = None, progress: Progress | None = None, *, plain: bool = False,
                       secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None) -> str:
        """Change slots of an element in one commit; returns its id.

        Parameters
        ----------
        element_id
            The element, or the object by its own id.
        new
            Slots and their new values, as a mapping or an instance of a
            schema class. Others stay; None or [] unsets a slot. Another
            data_path renames the element's file, or names one that is in the
            object and belongs to no element.
        source_file
            A file that replaces the element's, under the same name; it is
            stored at a new key, as somebody may be reading the old one. A plain one that
            replaces an encrypted one is encrypted for the recorded
            recipients.
        part_of
            Id of an element that is to link to it.
        plain
            Leave a plain source file plain, also where it replaces an
            encrypted one.
        secret_key, passphrase
            As for `add_element`.

        Raises
        ------
        SchemaError, NotFoundError, ConflictError, IntegrityError
            As for `add_element`; somebody else changed the element meanwhile.
        InvalidInputError
            It is encrypted, and for whom is not recorded.
        """
        with self.transaction(progress) as transaction:
            transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
            return transaction.update_element(element_id, new, source_file, part_of, plain)

    def remove_element(self, element_id: str) -> str:
        """Remove an element, its file and index, and every link to it; returns its id."""
        with self.transaction() as transaction:
            return transaction.remove_element(element_id)

    @classmethod
    def remove(cls, path: str | Path, endpoint: str | None = None, services: Mapping[str, str] | None = None,
               s3_kwargs: dict | None = None) -> list[str]:
        """Remove the object at a path, or what an interrupted removal has left of it; see `remove_object`."""
        modo = cls.__new__(cls)
        modo._bind(path, endpoint, services, s3_kwargs)
        return modo.remove_object()

    @classmethod
    def find_rest(cls, path: str | Path, endpoint: str | None = None, services: Mapping[str, str] | None = None,
                  s3_kwargs: dict | None = None, *, older_than: float = 24.0, fix: bool = False) -> list[Finding]:
        """What was left at a path where there is no object, by one that was being made, copied or removed.

        Parameters
        ----------
        older_than
            Hours after which a change counts as interrupted whose process
            cannot be looked up.
        fix
            Remove what is found.

        Raises
        ------
        ConflictError
            A change is under way, or may be.
        """
        modo = cls.__new__(cls)
        modo._bind(path, endpoint, services, s3_kwargs)
        found = checking.find_rest(modo.storage, older_than * 3600)
        if fix and found:
            checking.fix(modo.storage, found, older_than * 3600)
        return found

    def remove_object(self) -> list[str]:
        """Remove the object and all that belongs to it; returns the paths of files that did not, and stay."""
        return transfer.remove_object(self.storage)

    def enrich_metadata(self) -> list[str]:
        """Add what the headers of the data files say, in one commit; returns ids of files that could not be read.

        Reference sequences and samples are taken from CRAM and BAM, contigs
        and samples from VCF and BCF, samples and an assay from mzTab.
        Running it again changes nothing.
        """
        with self.transaction() as transaction:
            return enrich(transaction, self.services.endpoint)

    def update_date(self, date: Any = None) -> None:
        """Set the date of the last update, to now where none is given."""
        with self.transaction() as transaction:
            transaction.update_element(transaction.view.object_id, {"last_update_date": date or editing.now()})

    def upgrade(self) -> None:
        """Bring an object in the layout of Zarr v2 to this version's, with its arrays; its references get the indexes that they lack."""
        from modos.tracks import old_chunks

        self._document = elements.upgrade(self.storage, old_chunks)
        index_references(self.storage, self.metadata)

    def checksum(self) -> str:
        """BLAKE2b-512 of what the object holds, in hexadecimal digits: the same for every copy of it.

        It covers all metadata but the dates, and so, by their checksums, the
        data.
        """
        content = {i: {k: v for k, v in a.items() if k not in ("creation_date", "last_update_date")}
                   for i, a in self.metadata.items()}
        return hashlib.blake2b(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def find_problems(self, checksums: bool = True, progress: Progress | None = None, *, thorough: bool = False,
                      secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None) -> list[Finding]:
        """Compare the object with what its metadata say; see `modos.checking`.

        Parameters
        ----------
        thorough
            Go through the records of every file and see that its index leads
            to each.
        secret_key
            The key, or its file, to look at the indexes of sealed files with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        """
        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        return list(checking.find_problems(self.storage, checksums=checksums, thorough=thorough, progress=progress,
                                  endpoint=self.services.endpoint, secret=secret))

    def knowledge_graph(self, uri_prefix: str | None = None) -> Graph:
        """The metadata as an RDF graph.

        Parameters
        ----------
        uri_prefix
            What the names of elements and files begin with; the object's own
            place (`file:///...`, `s3://...`) where it is None.
        """
        from modos.linked_data.graph import build_graph

        place = self.storage.url if self.storage.is_remote else self.storage.path.resolve().as_uri()
        return build_graph(self.metadata, uri_prefix if uri_prefix is not None else place)

    def query(self, query: str, uri_prefix: str | None = None) -> Rows:
        """Rows of a SPARQL query over the metadata, by the names of its variables."""
        from modos.linked_data.graph import select

        return select(self.knowledge_graph(uri_prefix), query)[1]

    def ro_crate(self) -> dict[str, Any]:
        """The content of an `ro-crate-metadata.json` for the object."""
        from modos.linked_data.ro_crate import build_crate

        document = self._document
        return build_crate(document.object_id, document.metadata())

    def __repr__(self) -> str:
        return f"<MODO {self.storage.url}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """By its place: who unpickles it opens it, as it is then; see `modos.access.check_no_secrets`."""
        check_no_secrets(self._opening[3])
        return type(self).open, self._opening
