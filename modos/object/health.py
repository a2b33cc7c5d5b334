"""Check an object, heal it from a copy, and record digests of its files and arrays."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.encryption.keys import SecretKey, as_secret_key
from modos.object import checking, commits
from modos.object.address import ObjectAddress
from modos.object.file_checks import compare_whole, leave_out
from modos.object.findings import Finding
from modos.object.open_object import OpenObject
from modos.storage.base import Progress, ProgressLike
from modos.storage.processes import ownership

if TYPE_CHECKING:
    from modos.object.recording import Recording
    from modos.object.repair_plan import RepairPlan
    from modos.object.sampling import Sampler


class Health:
    """Bytes and metadata of an object, to be compared and mended."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object

    def find_problems(
        self,
        checksums: bool = True,
        progress: ProgressLike | None = None,
        *,
        thorough: bool = False,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        sampler: Sampler | None = None,
        limit: float = ownership.ABANDONED_AFTER,
        verified: Container[str] = (),
    ) -> list[Finding]:
        """Compare the object with its metadata; see `modos.object.checking`.

        Parameters
        ----------
        checksums
            Read every file.
        thorough
            Go through the records of every file and see that its index leads
            to each.
        secret_key
            The key, or its file, to look at the indexes of encrypted files with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        sampler
            Reads some parts of each file instead of all; it tells afterwards what it read.
        limit
            Seconds after which a change on another machine counts as abandoned.
        verified
            Elements whose files have just been compared with their digests, and are not read again.
        """
        compare = sampler.compare(self._object.storage, progress) if sampler else None
        if verified and checksums and compare is None:
            compare = leave_out(compare_whole(self._object.storage, progress), verified)
        return list(
            checking.find_problems(
                self._object.storage,
                checksums=checksums and sampler is None,
                thorough=thorough,
                limit=limit,
                progress=progress,
                endpoint=self._object.endpoint,
                secret=None if secret_key is None else as_secret_key(secret_key, passphrase),
                compare=compare,
                compare_array=sampler.compare_array(self._object.storage, progress) if sampler else None,
                compare_tree=sampler.compare_tree(self._object.storage, progress) if sampler else None,
            )
        )

    def mend(
        self, findings: Iterable[Finding], progress: ProgressLike | None = None, *, limit: float = ownership.ABANDONED_AFTER
    ) -> list[Finding]:
        """Remove what interrupted changes left, and write mirrors and lists of digests anew; returns what could not be mended."""
        return checking.fix(self._object.storage, findings, limit, progress)

    def plan_repair(
        self,
        copy: str | Path,
        endpoint: str | None = None,
        services: dict[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        progress: ProgressLike | None = None,
    ) -> RepairPlan:
        """Compare the files with their digests, and see which of the parts that do not fit a copy has; nothing is written.

        `plan.heal()` writes them, and `plan.left` says what the copy cannot heal.

        Parameters
        ----------
        copy
            Another object with the same files, or a folder or prefix with them.

        Raises
        ------
        NotFoundError
            There is nothing at the place of the copy.
        """
        from modos.object.repairing import plan_repair

        address = ObjectAddress(
            copy,
            endpoint or self._object.address.endpoint,
            services or self._object.address.services,
            s3_kwargs or self._object.address.s3_kwargs,
        )
        return plan_repair(self._object.storage, address.connect().storage, progress)

    def record_digests(self, progress: ProgressLike | None = None) -> Recording:
        """Record digests of files and arrays that have none, in one commit; see `modos.object.recording`."""
        return self._record(progress, {})

    def _record(self, progress: Progress | None, indexes: dict[str, str]) -> Recording:
        from modos.object.recording import record_digests

        document, recording = record_digests(self._object.storage, self._object.newest.look()[0], progress, indexes)
        self._object.newest.put(document)
        return recording

    def upgrade(self, progress: ProgressLike | None = None) -> Recording:
        """Upgrade an object to this version: its layout (Zarr v2), missing indexes of references, digests of files and arrays.

        Returns
        -------
        Recording
            Which files and arrays got digests, and which are not what the object says.
        """
        from modos.object import old_chunks
        from modos.object.references import index_references

        self._object.newest.put(commits.upgrade(self._object.storage, old_chunks))
        return self._record(progress, index_references(self._object.storage, self._object.metadata))
