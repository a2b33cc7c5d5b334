"""Snakemake's storage plug-in for modos: files and regions of objects as inputs, elements as outputs.

A query is the address of a file, `modos://bucket/ex/demo1.cram` (see
`modos.filesystem`). An input may say `?region=chr1:1-1000`, 1-based and
inclusive, once or more often, and `format=`; an output `?from=demo1`, once or
more often, `rule=`, `id=`, `type=` and `part_of=`, which its element records.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_storage_plugins.common import Operation
from snakemake_interface_storage_plugins.io import IOCacheStorageInterface, Mtime, get_constant_prefix
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase
from snakemake_interface_storage_plugins.storage_object import StorageObjectGlob, StorageObjectRead, StorageObjectWrite
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    QueryType,
    StorageProviderBase,
    StorageQueryValidationResult,
)

from modos.errors import InvalidInputError
from modos.filesystem import ModosFileSystem
from snakemake_storage_plugin_modos.element_outputs import add_output, remove_output
from snakemake_storage_plugin_modos.local_copies import copy_tree, write_copy
from snakemake_storage_plugin_modos.queries import Query


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """Settings of the plug-in; keys are named by their files, and S3's keys are those of the environment (`AWS_...`)."""

    endpoint: str | None = field(
        default=None,
        metadata={"help": "URL of a modos server, which tells where S3 is; by default MODOS_ENDPOINT.", "env_var": True},
    )
    s3: str | None = field(
        default=None, metadata={"help": "URL of the S3 server, instead of what the endpoint tells.", "env_var": True}
    )
    secret_key: str | None = field(
        default=None,
        metadata={
            "help": "File of the secret key that sealed inputs are decrypted with. A passphrase comes from passphrase_file, "
            "or from C4GH_PASSPHRASE.",
            "env_var": True,
        },
    )
    passphrase_file: str | None = field(
        default=None, metadata={"help": "File with the passphrase of the secret key in its first line.", "env_var": True}
    )


class StorageProvider(StorageProviderBase):
    """Gives the objects of storage; one filesystem serves all of them."""

    def __post_init__(self) -> None:
        """Take the settings; the key is loaded when something is first read."""
        self._filesystem: ModosFileSystem | None = None

    @property
    def reach(self) -> dict[str, Any]:
        """How objects are reached, as `MODO` takes it."""
        s3 = self.settings and self.settings.s3
        return {"endpoint": self.settings and self.settings.endpoint, "services": {"s3": s3} if s3 else None}

    @property
    def key(self) -> dict[str, Any]:
        """The secret key, as `MODO` takes it."""
        if not self.settings or not self.settings.secret_key:
            return {}
        from modos.encryption.keys import read_passphrase

        file = self.settings.passphrase_file
        return {"secret_key": self.settings.secret_key, "passphrase": read_passphrase(file) if file else None}

    @property
    def filesystem(self) -> ModosFileSystem:
        """The filesystem that inputs are read from."""
        if self._filesystem is None:
            self._filesystem = ModosFileSystem(**self.reach, **self.key, skip_instance_cache=True)
        return self._filesystem

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """Return queries with what they mean."""
        return [
            ExampleQuery("modos://bucket/ex/demo1.cram", "a file of the object s3://bucket/ex", QueryType.ANY),
            ExampleQuery("modos:///data/ex/demo1.cram?region=chr1:1-1000&format=bam", "a region, as BAM", QueryType.INPUT),
            ExampleQuery("modos://bucket/ex/calls.vcf.gz?from=demo1&rule=call", "an element made of another", QueryType.OUTPUT),
        ]

    def use_rate_limiter(self) -> bool:
        """Return False: requests of S3 are few."""
        return False

    def default_max_requests_per_second(self) -> float:
        """Return a number that is not used."""
        return 100.0

    def rate_limiter_key(self, query: str, operation: Operation) -> Any:
        """Return one key for all."""
        return "modos"

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Say whether a query, which may have wildcards, is one of this plug-in, and what is wrong with it."""
        try:
            Query.parse(query)
        except InvalidInputError as error:
            return StorageQueryValidationResult(query, False, str(error))
        return StorageQueryValidationResult(query, True)


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob):
    """A file, a region of a file or a Zarr tree of an object."""

    provider: StorageProvider

    def __post_init__(self) -> None:
        """Look at the query when it is first needed, as an invalid one is reported by its validation."""
        self._info: dict[str, Any] | None = None

    @property
    def _asked(self) -> Query:
        return Query.parse(self.query)

    def _look(self) -> dict[str, Any]:
        return self.provider.filesystem.info(self._asked.address)

    def local_suffix(self) -> str:
        """Return the path of the local copy below the folder of the plug-in; other regions and formats have others."""
        try:
            return self._asked.local_path
        except InvalidInputError:
            return "invalid"

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """Note what is known of this one object, by one request."""
        key = self.cache_key()
        if key in cache.exists_in_storage:
            return
        try:
            info = self._look()
        except FileNotFoundError:
            cache.exists_in_storage[key] = False
            return
        cache.exists_in_storage[key] = True
        cache.mtime[key] = Mtime(storage=_time_of(info))
        cache.size[key] = self._size_of(info)

    def get_inventory_parent(self) -> str | None:
        """Return None: nothing is known of what was not asked for."""
        return None

    def cleanup(self) -> None:
        """Do nothing: there is nothing but the local copy."""

    def exists(self) -> bool:
        """Return whether the newest document records the file; what cannot be known is an error."""
        return bool(self.provider.filesystem.exists(self._asked.address))

    def mtime(self) -> float:
        """Return when the file was stored, in seconds since 1970."""
        return _time_of(self._look())

    def size(self) -> int:
        """Return the plain bytes of the file, of which a region has fewer; 0 of a tree."""
        return self._size_of(self._look())

    def _size_of(self, info: dict[str, Any]) -> int:
        return int(info["size"] or 0)

    def retrieve_object(self) -> None:
        """Fetch the file, the region or the tree: whole and compared with what is recorded, or not at all."""
        asked, target = self._asked, self.local_path()
        if asked.regions:
            write_copy(self.provider, asked, target)
        elif self._look()["type"] == "directory":
            copy_tree(self.provider.filesystem, asked.address, target)
        else:
            write_copy(self.provider, asked, target)

    def store_object(self) -> None:
        """Add the local file as an element, or put it in the place of that of an element; in one commit."""
        add_output(self.provider, self._asked, self.local_path())

    def remove(self) -> None:
        """Remove the element with its file."""
        remove_output(self.provider, self._asked)

    def list_candidate_matches(self) -> Iterable[str]:
        """List the addresses of the files that a query with wildcards may mean."""
        prefix = get_constant_prefix(self._asked.address, strip_incomplete_parts=True)
        found = []
        with suppress(FileNotFoundError):
            found = self.provider.filesystem.find(prefix.rstrip("/"))
        return [self.provider.filesystem.unstrip_protocol(path) for path in found]


def _time_of(info: dict[str, Any]) -> float:
    """Return when something was stored; WorkflowError where that is not told."""
    if info.get("mtime") is None:
        raise WorkflowError(f"modos://{info['name']}: it is not told when it was stored; name a file or a Zarr tree")
    return float(info["mtime"])
