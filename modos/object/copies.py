"""Copies of an object elsewhere: planned, made, brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from modos.object.copying import CopyPlan, copy_planned, plan_copy
from modos.errors import InvalidInputError
from modos.object.renamed import also_called
from modos.storage import Storage
from modos.storage.base import Progress


class Copies:
    """What an object can do for its copies."""

    storage: Storage
    _endpoint: str | None
    _given_services: Mapping[str, str] | None
    _bind: Callable[..., None]
    refresh: Callable[[], bool]

    @also_called(target_path="target", s3_endpoint="services")
    def plan_upload(self, target: str, endpoint: str | None = None, services: Mapping[str, str] | None = None,
                    s3_kwargs: dict[str, Any] | None = None, **chosen: Any) -> CopyPlan:
        """What `upload` is going to send; see `modos.object.copying.plan_copy` for what can be chosen, and its errors."""
        return plan_copy(self.storage, self._remote(target, endpoint, services, s3_kwargs).storage, **chosen)

    @also_called(target_path="target", s3_endpoint="services")
    def upload(self, target: str, endpoint: str | None = None, services: Mapping[str, str] | None = None,
               s3_kwargs: dict[str, Any] | None = None, progress: Progress | None = None, **chosen: Any) -> Self:
        """Bring the object to an S3 prefix, every byte checked; returns the copy.

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
        copy = self._remote(target, endpoint, services, s3_kwargs)
        copy_planned(plan_copy(self.storage, copy.storage, **chosen), progress)
        copy.refresh()
        return copy

    @also_called(target_path="target")
    def plan_download(self, target: str | Path, **chosen: Any) -> CopyPlan:
        """What `download` is going to fetch; see `plan_upload`."""
        return plan_copy(self.storage, self._local(target).storage, **chosen)

    @also_called(target_path="target")
    def download(self, target: str | Path, progress: Progress | None = None, **chosen: Any) -> Self:
        """Bring the object to a folder, every byte checked; returns the copy. See `upload`."""
        copy = self._local(target)
        copy_planned(plan_copy(self.storage, copy.storage, **chosen), progress)
        copy.refresh()
        return copy

    def _remote(self, target: str, endpoint: str | None, services: Mapping[str, str] | None, s3_kwargs: dict[str, Any] | None) -> Self:
        if not str(target).startswith("s3://"):
            raise InvalidInputError(f"{target} is not an s3:// URL", "write s3://bucket/object")
        return self._at(target, endpoint or self._endpoint, services or self._given_services, s3_kwargs)

    def _local(self, target: str | Path) -> Self:
        if "://" in str(target):
            raise InvalidInputError(f"{target} is not a folder", "give the path of a new folder")
        return self._at(target, None, None, None)

    def _at(self, target: str | Path, *where: Any) -> Self:
        copy = type(self).__new__(type(self))
        copy._bind(target, *where)
        return copy
