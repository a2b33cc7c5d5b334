"""A MODO: one multi-omics digital object, in a folder or an S3 prefix."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from modos.errors import AlreadyExistsError, BucketNotFoundError, InvalidInputError, NotFoundError, listing
from modos.errors.escaping import escape_line, hide_secrets
from modos.formats import is_index
from modos.formats.html_tables import always
from modos.object.address import ObjectAddress, is_remote
from modos.object.later import Later, delegate
from modos.object.open_object import OpenObject
from modos.object.renamed import check_same, take_other_names
from modos.storage.base import expect
from modos.storage.processes.forking import cached_property
from modos.storage.progress_bars import show_progress

if TYPE_CHECKING:
    import modos
    from modos.encryption.keys import SecretKey
    from modos.metadata.description import Entry, Matcher
    from modos.metadata.diff import Difference
    from modos.object.contents import Contents
    from modos.object.converting import Conversions
    from modos.object.copying import CopyPlan
    from modos.object.document import Document
    from modos.object.elements import Elements
    from modos.object.encryption import EncryptedFiles
    from modos.object.findings import Finding
    from modos.object.gathering import Gathering, Paths
    from modos.object.genomes import Genomes
    from modos.object.health import Health
    from modos.object.notebook import ElementView
    from modos.object.pack_writer import PackPlan
    from modos.object.streaming import GenomicFiles
    from modos.object.transaction import Transaction
    from modos.remote.services import Services
    from modos.storage import Storage
    from modos.storage.base import ProgressLike
    from modos.tracks.genome import Genome
else:  # the parts: each is imported when it is first used
    Contents = Later("modos.object.contents", "Contents")
    Elements = Later("modos.object.elements", "Elements")
    Gathering = Later("modos.object.gathering", "Gathering")
    GenomicFiles = Later("modos.object.streaming", "GenomicFiles")
    Conversions = Later("modos.object.converting", "Conversions")
    EncryptedFiles = Later("modos.object.encryption", "EncryptedFiles")
    Genomes = Later("modos.object.genomes", "Genomes")
    Health = Later("modos.object.health", "Health")


class MODO:
    """Multi-omics digital object: genomic files and typed metadata in one place.

    `MODO(path)` opens the object at `path`, or creates one where there is
    nothing yet. `MODO.open` and `MODO.create` say which is meant. What takes
    a `progress` shows a bar where that is True (extra `notebook`).

    Parameters
    ----------
    path
        A folder, `s3://bucket/prefix`, or `http://server/files/OBJECT` of a
        modos server; or an object in one file: `ex.zip`, `s3://bucket/ex.zip`
        or `https://server/ex.zip`. All else but these URLs is of this machine.
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
        path: str | Path | OpenObject,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        *,
        id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        creation_date: Any = None,
        last_update_date: Any = None,
        source_uri: str | None = None,
        has_assay: Sequence[str] | None = None,
    ):
        if isinstance(path, OpenObject):
            self._object = path
            return
        slots = {
            "id": id,
            "name": name,
            "description": description,
            "creation_date": creation_date,
            "last_update_date": last_update_date,
            "source_uri": source_uri,
            "has_assay": has_assay or None,
        }
        given = {slot: value for slot, value in slots.items() if value is not None}
        self._object = OpenObject(ObjectAddress(path, endpoint, services, s3_kwargs))
        if self._object.is_new():
            self._object.create(**given)
        elif given:
            check_same(self.storage.url, given, self._object.document.attributes)

    @classmethod
    def _at(
        cls,
        path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Return the object at a place, whether there is one or not."""
        return cls(OpenObject(ObjectAddress(path, endpoint, services, s3_kwargs)))

    @classmethod
    def open(
        cls,
        path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Open an object that exists; never creates one. NotFoundError where there is none."""
        modo = cls._at(path, endpoint, services, s3_kwargs)
        modo.refresh()
        return modo

    @classmethod
    def create(
        cls,
        path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        **attributes: Any,
    ) -> Self:
        """Create an object at an empty or new path; AlreadyExistsError where there is something."""
        modo = cls._at(path, endpoint, services, s3_kwargs)
        modo._object.create(**attributes)
        return modo

    @classmethod
    def exists(
        cls,
        path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
    ) -> bool:
        """Return whether there is an object at a path."""
        try:
            cls.open(path, endpoint, services, s3_kwargs)
        except NotFoundError:
            return False
        return True

    @classmethod
    def locate(
        cls,
        file: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
    ) -> tuple[MODO, str]:
        """Open the object that a file is in: `data/ex/demo1.cram` -> (the object, `demo1.cram`).

        Raises
        ------
        NotFoundError
            No folder above the file is a MODO, or the object has no such file.
        InvalidInputError
            The object alone is named; or the name of one file is the id of another one's element.
        """
        file = os.fspath(file)
        if "?" in file and is_remote(file):
            from modos.remote.urls import settle_query

            file = settle_query(file)
        file = file.rstrip("/") or file
        place, slash, key = file.rpartition("/")
        at_server = is_remote(file) and not file.startswith("s3://")
        while slash and place and place not in ("s3:", "s3:/") and (is_remote(place) or not at_server):
            try:
                modo = cls.open(place, endpoint, services, s3_kwargs)
            except BucketNotFoundError:
                raise
            except NotFoundError:
                place, slash, part = place.rpartition("/")
                key = f"{part}/{key}"
                continue
            from modos.object.finding import refuse_ambiguous

            called = unquote(key) if at_server else key
            found = modo.find_file(called)
            refuse_ambiguous(modo.storage, modo.metadata, called, found)
            return modo, found
        if cls.exists(file, endpoint, services, s3_kwargs):
            names = [
                str(path.name) for path in cls.open(file, endpoint, services, s3_kwargs).list_files() if not is_index(path.name)
            ]
            raise InvalidInputError(
                f"{file} is an object, and no file of it is named",
                f"write OBJECT/FILE or OBJECT/ELEMENT: "
                f"{file.rstrip('/')}/ with {listing(names) or 'a file, of which it has none'}",
            )
        raise NotFoundError(f"{file} lies in no MODO", "write OBJECT/FILE, such as data/ex/demo1.cram, or OBJECT/ELEMENT")

    @classmethod
    @show_progress
    def from_file(
        cls,
        config_path: str | Path | Sequence[str | Path | Entry],
        object_path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        no_remove: bool = True,
        type: str | None = None,
        progress: ProgressLike | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        new: bool = False,
        *,
        matcher: Matcher | None = None,
        worksheet: str | None = None,
    ) -> MODO:
        """Create an object from a description, or bring one up to date; in one commit, whole or not at all.

        Parameters
        ----------
        config_path
            A YAML or JSON list of `{element: {id, "@type", ...}, args:
            {source_file, part_of}}`, or a TSV, CSV or XLSX sheet with a row per
            element and a column per slot; or several of them; `-` is stdin.
            A relative source_file is looked up beside the file, then in the
            working directory. Or what `modos.metadata.description.read_descriptions`
            has read.
        no_remove
            Keep elements of the object that the description does not name.
        type
            The class of a sheet's rows that have no `@type`, or a group such as
            `sample`.
        secret_key, passphrase
            As for `add_element`.
        new
            Whether there must be no object yet.
        matcher
            Finds the slots and values that sheets mean, where they call them
            otherwise: `modos.metadata.description.Matcher({"Sample ID": "id",
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
        from modos.object.gathering import Described, prepare

        modo = cls._at(object_path, endpoint, services, s3_kwargs)
        transaction = prepare(
            modo._object,
            Described(config_path, type, matcher, worksheet),
            prune=not no_remove,
            secret_key=secret_key,
            passphrase=passphrase,
        )
        if new and transaction.start.tag:
            raise AlreadyExistsError(f"{object_path} exists already", "bring it up to date with from_file, or `modos update`")
        if matcher is not None:
            matcher.tell_unused()
        modo._object.commit(transaction, progress)
        return modo

    @classmethod
    def compare_with_file(
        cls,
        config_path: str | Path | Sequence[str | Path | Entry],
        object_path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        no_remove: bool = True,
        type: str | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        *,
        matcher: Matcher | None = None,
        worksheet: str | None = None,
    ) -> list[Difference]:
        """List what `from_file` would change; nothing is changed."""
        from modos.object.gathering import Described, find_changes, prepare

        return find_changes(
            prepare(
                OpenObject(ObjectAddress(object_path, endpoint, services, s3_kwargs)),
                Described(config_path, type, matcher, worksheet),
                prune=not no_remove,
                secret_key=secret_key,
                passphrase=passphrase,
            )
        )

    @classmethod
    @show_progress
    def create_from_files(
        cls,
        object_path: str | Path,
        files: Paths,
        reference: str | Path | Paths = (),
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        *,
        descriptions: Sequence[str | Path | Entry] = (),
        type: str | None = None,
        matcher: Matcher | None = None,
        progress: ProgressLike | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        **attributes: Any,
    ) -> Self:
        """Create an object from files, with what their headers say; in one commit, whole or not at all.

        Each file becomes an element of the class of its format, named after
        it; the samples of its read groups or columns are linked, and the
        reference that has its contigs. Indexes beside files come along. A Zarr
        tree (a folder, a zip file or an address at S3) is taken like a file,
        with what its metadata say.

        Parameters
        ----------
        reference
            A FASTA that comes along, or an assembly of the reference store;
            or several.
        descriptions, type
            Files that describe further elements, such as a sheet of the
            samples; as for `from_file`.
        matcher
            Asks where it is not clear what is meant, which is an error else,
            and reports what was found. Its mapping says what is meant by
            headers and values of sheets, and by files:
            `@type:FILE`, `id:FILE`, `has_reference:FILE`, `has_sample:NAME`.
        secret_key, passphrase
            As for `add_element`; headers of encrypted files are read with it.
        attributes
            Of the object: name, description.

        Raises
        ------
        AlreadyExistsError
            There is something already.
        InvalidInputError, NotFoundError, IntegrityError
            All that is wrong with the files, or not clear.
        """
        from modos.object.gathering import Described, prepare_new

        modo = cls._at(object_path, endpoint, services, s3_kwargs)
        transaction = prepare_new(
            modo._object,
            files,
            reference,
            Described(descriptions, type, matcher),
            attributes,
            secret_key=secret_key,
            passphrase=passphrase,
        )
        modo._object.commit(transaction, progress)
        return modo

    @classmethod
    def compare_with_files(
        cls,
        object_path: str | Path,
        files: Paths,
        reference: str | Path | Paths = (),
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        *,
        descriptions: Sequence[str | Path | Entry] = (),
        type: str | None = None,
        matcher: Matcher | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        **attributes: Any,
    ) -> list[Difference]:
        """List what `create_from_files` would make; nothing is made."""
        from modos.metadata.diff import compare
        from modos.object.gathering import Described, prepare_new

        transaction = prepare_new(
            OpenObject(ObjectAddress(object_path, endpoint, services, s3_kwargs)),
            files,
            reference,
            Described(descriptions, type, matcher),
            attributes,
            secret_key=secret_key,
            passphrase=passphrase,
        )
        return compare({}, transaction.preview().metadata())

    @classmethod
    def remove(
        cls,
        path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
    ) -> list[str]:
        """Remove the object at a path, or what an interrupted removal has left of it; see `remove_object`."""
        return cls._at(path, endpoint, services, s3_kwargs).remove_object()

    @classmethod
    def find_rest(
        cls,
        path: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        *,
        older_than: float = 24.0,
        fix: bool = False,
    ) -> list[Finding]:
        """Find what was left at a path where there is no object: it was being made, copied or removed.

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
        from modos.object import checking

        storage = ObjectAddress(path, endpoint, services, s3_kwargs).connect().storage
        found = checking.find_rest(storage, older_than * 3600)
        if fix and found:
            checking.fix(storage, found, older_than * 3600)
        return found

    @property
    def storage(self) -> Storage:
        """Storage of the object: its bytes at keys."""
        return self._object.storage

    @property
    def services(self) -> Services:
        """Services around a remote object, asked of the endpoint once."""
        return self._object.services

    @property
    def _document(self) -> Document:
        return self._object.document

    @property
    def is_remote(self) -> bool:
        """Return whether it is at S3 or at a modos server."""
        return self.storage.is_remote

    @property
    def endpoint(self) -> Services:
        """Services around the object."""
        return self.services

    @property
    def path(self) -> Path:
        """The object's place, as listings show it."""
        return self.storage.path

    @property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Attributes by element id (`data/demo1`), and those of the object by its own id."""
        return self._object.metadata

    @property
    def zarr(self) -> Any:
        """The object as a zarr.Group, read-only; the methods of a MODO change it."""
        return self._contents.open_zarr()

    @property
    def genome(self) -> Genome:
        """The object's genome with its tracks; see `open_genome` where it has several, or some are encrypted."""
        return self.open_genome()

    def refresh(self) -> bool:
        """Look at once for what others have committed; returns whether there is anything new.

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
        return self._object.newest.look()[1]

    @show_progress
    @contextmanager
    def transaction(self, progress: ProgressLike | None = None) -> Iterator[Transaction]:
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
        with self._object.transaction(progress) as transaction:
            yield transaction

    @cached_property
    def _contents(self) -> Contents:
        return Contents(self._object)

    @cached_property
    def _elements(self) -> Elements:
        return Elements(self._object)

    @cached_property
    def _gathering(self) -> Gathering:
        return Gathering(self._object)

    @cached_property
    def _files(self) -> GenomicFiles:
        return GenomicFiles(self._object)

    @cached_property
    def _conversions(self) -> Conversions:
        return Conversions(self._object)

    @cached_property
    def _encryption(self) -> EncryptedFiles:
        return EncryptedFiles(self._object)

    @cached_property
    def _genomes(self) -> Genomes:
        return Genomes(self._object)

    @cached_property
    def _health(self) -> Health:
        return Health(self._object)

    list_files = delegate("_contents", Contents.list_files)
    files_of = delegate("_contents", Contents.files_of)
    measure = delegate("_contents", Contents.measure)
    list_samples = delegate("_contents", Contents.list_samples)
    list_nodes = delegate("_contents", Contents.list_nodes)
    list_arrays = delegate("_contents", Contents.list_arrays)
    list_tree = delegate("_contents", Contents.list_tree)
    file_name = delegate("_contents", Contents.file_name)
    show_contents = delegate("_contents", Contents.show_contents)
    metadata_of = delegate("_contents", Contents.metadata_of)
    find_element = delegate("_contents", Contents.find_element)
    checksum = delegate("_contents", Contents.checksum)
    knowledge_graph = delegate("_contents", Contents.knowledge_graph)
    query = delegate("_contents", Contents.query)
    ro_crate = delegate("_contents", Contents.ro_crate)

    add_element = delegate("_elements", Elements.add_element)
    update_element = delegate("_elements", Elements.update_element)
    remove_element = delegate("_elements", Elements.remove_element)
    enrich_metadata = delegate("_elements", Elements.enrich_metadata)
    update_date = delegate("_elements", Elements.update_date)

    find_problems = delegate("_health", Health.find_problems)
    mend = delegate("_health", Health.mend)
    plan_repair = delegate("_health", Health.plan_repair)
    record_digests = delegate("_health", Health.record_digests)
    upgrade = delegate("_health", Health.upgrade)

    add_files = delegate("_gathering", Gathering.add_files)
    compare_with_added = delegate("_gathering", Gathering.compare_with_added)
    compare_with_element = delegate("_gathering", Gathering.compare_with_element)

    file = delegate("_files", GenomicFiles.file)
    find_file = delegate("_files", GenomicFiles.find_file)
    stream_genomics = delegate("_files", GenomicFiles.stream_genomics)
    count = delegate("_files", GenomicFiles.count)
    coverage = delegate("_files", GenomicFiles.coverage)

    convert = delegate("_conversions", Conversions.convert)

    encrypt = delegate("_encryption", EncryptedFiles.encrypt)
    find_plain = delegate("_encryption", EncryptedFiles.find_plain)
    find_open = delegate("_encryption", EncryptedFiles.find_open)
    decrypt = delegate("_encryption", EncryptedFiles.decrypt)
    share = delegate("_encryption", EncryptedFiles.share)
    revoke = delegate("_encryption", EncryptedFiles.revoke)
    recipients = delegate("_encryption", EncryptedFiles.recipients)
    verify_encryption = delegate("_encryption", EncryptedFiles.verify_encryption)

    open_genome = delegate("_genomes", Genomes.open_genome)
    reference = delegate("_genomes", Genomes.reference)
    track_changes = delegate("_genomes", Genomes.track_changes)
    add_genome = delegate("_genomes", Genomes.add_genome)
    add_track = delegate("_genomes", Genomes.add_track)
    append_track = delegate("_genomes", Genomes.append_track)
    replace_track = delegate("_genomes", Genomes.replace_track)
    import_genomedata = delegate("_genomes", Genomes.import_genomedata)
    remove_track = delegate("_genomes", Genomes.remove_track)
    rename_track = delegate("_genomes", Genomes.rename_track)
    mask_track = delegate("_genomes", Genomes.mask_track)
    mask_tracks = delegate("_genomes", Genomes.mask_tracks)
    unmask_track = delegate("_genomes", Genomes.unmask_track)

    @take_other_names(target_path="target", s3_endpoint="services")
    def plan_upload(
        self,
        target: str,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        **chosen: Any,
    ) -> CopyPlan:
        """Plan what `upload` is going to send; see `modos.object.copying.plan_copy` for what can be chosen, and its errors."""
        from modos.object.copying import plan_copy

        return plan_copy(
            self.storage, self._object.address.at_s3(target, endpoint, services, s3_kwargs).connect().storage, **chosen
        )

    @take_other_names(target_path="target", s3_endpoint="services")
    @show_progress
    def upload(
        self,
        target: str,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        progress: ProgressLike | None = None,
        **chosen: Any,
    ) -> Self:
        """Copy the object to an S3 prefix, every byte checked; returns the copy.

        Where the prefix has an earlier state of it, only what differs is
        sent. After an interruption the same call goes on from there.

        Parameters
        ----------
        chosen
            `include`, `exclude` and `data`, as `modos.object.copying.plan_copy` has them.

        Raises
        ------
        ConflictError
            The copy there was changed since.
        AlreadyExistsError
            There is something else.
        """
        from modos.object.copying import copy_planned, plan_copy

        copy = type(self)(OpenObject(self._object.address.at_s3(target, endpoint, services, s3_kwargs)))
        plan = plan_copy(self.storage, copy.storage, **chosen)
        expect(progress, plan.size)
        copy_planned(plan, progress)
        copy.refresh()
        return copy

    @take_other_names(target_path="target")
    def plan_download(self, target: str | Path, **chosen: Any) -> CopyPlan:
        """Plan what `download` is going to fetch; see `plan_upload`."""
        from modos.object.copying import plan_copy

        return plan_copy(self.storage, ObjectAddress.in_folder(target).connect().storage, **chosen)

    @take_other_names(target_path="target")
    @show_progress
    def download(self, target: str | Path, progress: ProgressLike | None = None, **chosen: Any) -> Self:
        """Copy the object to a folder, every byte checked; returns the copy. See `upload`."""
        from modos.object.copying import copy_planned, plan_copy

        copy = type(self)(OpenObject(ObjectAddress.in_folder(target)))
        plan = plan_copy(self.storage, copy.storage, **chosen)
        expect(progress, plan.size)
        copy_planned(plan, progress)
        copy.refresh()
        return copy

    def plan_packing(self) -> PackPlan:
        """Plan what `pack` writes: `files` and `size`."""
        from modos.object.pack_writer import PackPlan

        return PackPlan(self.storage)

    @show_progress
    def pack(
        self,
        target: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        progress: ProgressLike | None = None,
        *,
        plan: PackPlan | None = None,
    ) -> Self:
        """Pack the object into one zip file, every byte checked; returns the object in it, which is only read.

        The same object always gives the same bytes.

        Parameters
        ----------
        target
            A new file, `ex.zip`, or `s3://bucket/ex.zip`.
        plan
            What `plan_packing` has planned, where that was asked for before.

        Raises
        ------
        AlreadyExistsError
            There is something at the target.
        ConflictError
            Somebody changes the object.
        ChecksumMismatch
            A file is not what its metadata say.
        """
        from modos.object.pack_writer import pack

        address = self._object.address.of_copy(target, endpoint, services, s3_kwargs)
        plan = plan or self.plan_packing()
        expect(progress, plan.size)
        pack(plan, address.connect().storage, progress)
        return type(self).open(address.path, address.endpoint, address.services, address.s3_kwargs)

    def plan_unpacking(
        self,
        target: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        **chosen: Any,
    ) -> CopyPlan:
        """Plan what `unpack` is going to write; InvalidInputError if the object is not in one file. See `plan_upload`."""
        from modos.object.copying import plan_copy
        from modos.storage.zipped import ZippedStorage

        if not isinstance(self.storage, ZippedStorage):
            raise InvalidInputError(
                f"{self.storage.url} is not an object in one file", "`modos remote upload` and `download` copy other objects"
            )
        return plan_copy(
            self.storage, self._object.address.of_copy(target, endpoint, services, s3_kwargs).connect().storage, **chosen
        )

    @show_progress
    def unpack(
        self,
        target: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        progress: ProgressLike | None = None,
        **chosen: Any,
    ) -> Self:
        """Copy an object that is in one file to a folder or an S3 prefix, every byte checked; returns the copy. See `upload`."""
        from modos.object.copying import copy_planned

        plan = self.plan_unpacking(target, endpoint, services, s3_kwargs, **chosen)
        expect(progress, plan.size)
        copy_planned(plan, progress)
        address = self._object.address.of_copy(target, endpoint, services, s3_kwargs)
        return type(self).open(address.path, address.endpoint, address.services, address.s3_kwargs)

    def gateway(
        self, *, secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None, **options: Any
    ) -> modos.Gateway:
        """Give out the files on the loopback address, decrypted on the way, for programs of this user to read by range.

        ::

            with modo.gateway(secret_key="me.sec") as gateway:
                subprocess.run(["samtools", "view", "-c", gateway.addresses["demo1.cram"]])

        Parameters
        ----------
        secret_key
            The key, or its file, to open encrypted files with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        options
            `port`, `told`, and what is raised: see `modos.open_gateway`.
        """
        import modos

        return modos.open_gateway(**self._place(), secret_key=secret_key, passphrase=passphrase, **options)

    def view(
        self, *, secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None, **options: Any
    ) -> modos.View:
        """Serve the pages of the object and the genome browser on the loopback address, for this user's browser.

        ::

            with modo.view(secret_key="me.sec") as view:
                webbrowser.open(view.address("demo1", "chr1:1-10,000"))
                input("Enter ends it")

        Parameters
        ----------
        secret_key
            The key, or its file, to open encrypted data with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        options
            `port`, `told`, and what is raised: see `modos.open_view`.
        """
        import modos

        return modos.open_view(**self._place(), secret_key=secret_key, passphrase=passphrase, **options)

    def _place(self) -> dict[str, Any]:
        address = self._object.address
        return {
            "path": address.path,
            "endpoint": address.endpoint,
            "services": address.services,
            "s3_kwargs": address.s3_kwargs,
        }

    def remove_object(self) -> list[str]:
        """Remove the object and all that belongs to it; returns the paths of files that did not belong to it, and stay."""
        from modos.object.transfer import remove_object

        return remove_object(self.storage)

    def __getitem__(self, element: str) -> ElementView:
        """Return an element: its attributes, and the records of its file; NotFoundError (a KeyError) if there is none.

        ::

            for read in modo["data/demo1"].fetch("chr1:1-1,000"):
                ...
        """
        return self._files.view(element)

    @always
    def _repr_html_(self) -> str:
        from modos.object.written_metadata import object_html

        return object_html(self.storage.url, self.metadata)

    @always
    def __repr__(self) -> str:
        return escape_line(hide_secrets(f"<MODO {self.storage.url}>"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the address: unpickling opens the object as it is then."""
        return _reopen, (type(self), self._object.address)


def _reopen(kind: type[MODO], address: ObjectAddress) -> MODO:
    return kind.open(address.path, address.endpoint, address.services, address.s3_kwargs)
