"""Addresses of objects, which open them and which their pickles hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import AccessError, InvalidInputError
from modos.remote.urls import PACKED, SERVED
from modos.storage import open_storage
from modos.storage.processes.forking import cached_property
from modos.storage.s3_arguments import check_no_secrets
from modos.storage.zip_format import ENDING

if TYPE_CHECKING:
    from modos.remote.services import Services
    from modos.storage import Storage


def is_remote(path: Any) -> bool:
    """Return whether an object is at S3, at a modos server, or in one file at any server, and not on this machine."""
    text = str(path)
    return text.startswith("s3://") or bool(SERVED.fullmatch(text) or PACKED.fullmatch(text))


@dataclass(frozen=True)
class ObjectAddress:
    """Address of an object: its place, and the services by which it is reached.

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

    Raises
    ------
    InvalidInputError
        An endpoint that is no URL, services that are no mapping of URLs, and
        so on; also where the services are arguments of S3, and the other way round.
    """

    path: str | Path
    endpoint: str | None = None
    services: Mapping[str, str] | None = None
    s3_kwargs: dict[str, Any] | None = field(default=None, repr=False)  # may have secrets

    def __post_init__(self) -> None:
        if self.endpoint and not str(self.endpoint).lower().startswith(("http://", "https://")):
            raise InvalidInputError(
                f"{str(self.endpoint)[:60]!r} is not the URL of a modos server",
                "what an object is called goes by name: MODO(path, id=..., name=...)",
            )
        if self.services is not None or self.s3_kwargs is not None:
            self._check_mappings()

    def _check_mappings(self) -> None:
        from modos.remote.services import SERVICES, check_services

        check_services(self.services)
        if self.s3_kwargs is not None and (
            not isinstance(self.s3_kwargs, Mapping) or any(name in SERVICES for name in self.s3_kwargs)
        ):
            raise InvalidInputError(
                "s3_kwargs are arguments of S3 by their names: {'key': ..., 'secret': ...}",
                "URLs of services go by name: services={...}; the metadata of an object, too: name=..., description=...",
            )

    def at_s3(
        self,
        target: str,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
    ) -> ObjectAddress:
        """Return the address of a copy at S3, with the same services where no others are given."""
        if not str(target).startswith("s3://"):
            raise InvalidInputError(f"{target} is not an s3:// URL", "write s3://bucket/object")
        return ObjectAddress(target, endpoint or self.endpoint, services or self.services, s3_kwargs)

    def of_copy(
        self,
        target: str | Path,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
    ) -> ObjectAddress:
        """Return the address of a copy at S3, with the same services where no others are given, or on this machine."""
        if str(target).startswith("s3://"):
            return self.at_s3(str(target), endpoint, services, s3_kwargs or self.s3_kwargs)
        return self.in_folder(target)

    @classmethod
    def in_folder(cls, target: str | Path) -> ObjectAddress:
        """Return the address of a copy in a folder."""
        if "://" in str(target):
            raise InvalidInputError(f"{target} is not a folder", "give the path of a new folder")
        return cls(target)

    def connect(self) -> Connection:
        """Connect to the storage that the object is in, or will be, and to the services around it."""
        return Connection(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without secrets, and a folder so that it is the same from wherever a process is started."""
        check_no_secrets(self.s3_kwargs)
        if (packed := PACKED.fullmatch(str(self.path))) and (packed["query"] or packed["last"]):
            raise AccessError("a URL with a signature is not pickled: it would be in the pickle", "open it in each process")
        path = self.path if is_remote(self.path) else os.path.abspath(self.path)
        return ObjectAddress, (path, self.endpoint, self.services, self.s3_kwargs)


class Connection:
    """Storage of an object and the services around it; these are asked for once, and only when they are needed."""

    def __init__(self, address: ObjectAddress):
        self.address = address
        self.storage: Storage = self._open_remote() if is_remote(address.path) else _open_here(address.path)

    def _open_remote(self) -> Storage:
        from modos.remote.access import open_remote

        return open_remote(self.address.path, self.services, self.address.s3_kwargs)

    @cached_property
    def services(self) -> Services:
        """Services around the object, as its endpoint names them."""
        from modos.remote.access import services_of

        return services_of(self.address.path, self.address.endpoint, self.address.services)

    @property
    def endpoint(self) -> str | None:
        """Modos server to ask for references, before that of the environment: of an object at a server this one."""
        return self.services.endpoint if self.storage.is_remote else self.address.endpoint

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the address: unpickling connects anew."""
        return type(self), (self.address,)


def refuse_file_name(storage: Storage) -> None:
    """Raise InvalidInputError for a place where there is no object yet, and which is called as one in one file is."""
    if storage.url.lower().endswith(ENDING):
        raise InvalidInputError(
            f"{storage.url} is the name of an object in one file, not of a folder",
            f"`modos pack OBJECT {storage.url}` makes it of an object; for a folder, choose a name without {ENDING}",
        )


def _open_here(path: str | Path) -> Storage:
    """Open a folder of this machine, or the zip file that an object was packed into."""
    if str(path).lower().endswith(ENDING) and os.path.isfile(path):
        from modos.storage.zipped import ZippedStorage

        folder, name = os.path.split(os.path.realpath(path))
        return ZippedStorage(open_storage(folder), name, str(path))
    return open_storage(path)
