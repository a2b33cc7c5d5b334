"""A source that streams an encrypted file decrypted, and compares it with its record."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from modos.formats import index_names
from modos.genomics.planning import WORKERS, Plan, Planner
from modos.genomics.region import RegionLike
from modos.genomics.sources import StorageSource, Stream
from modos.genomics.verification import Recorded

if TYPE_CHECKING:
    from modos.encryption.recorded import SealRecord
    from modos.encryption.view import DecryptedView

logger = logging.getLogger(__name__)


class DecryptedSource(StorageSource):
    """Encrypted file, read with a key; warns once of what could not be compared.

    Parameters
    ----------
    view
        View of the storage through the key.
    recorded
        What is known of the plain file.
    """

    def __init__(self, view: DecryptedView, key: str, planner: Planner, workers: int = WORKERS, recorded: Recorded = Recorded()):
        super().__init__(view, key, planner, workers, recorded, is_verified=bool(view.find_record(key).roots))
        self._view = view
        self._is_told = False

    def _start(self, regions: Sequence[RegionLike] | None) -> Stream:
        stream = super()._start(regions)
        if not self._is_told:
            self._is_told = True
            self._tell(whole=regions is None)
        return stream

    def _plan(self, regions: Sequence[RegionLike] | None) -> Plan:
        return super()._plan(regions) if regions is not None else self._planner.plan(self._key, None)

    def _iter(self, plan: Plan) -> Iterator[bytes]:
        return super()._iter(plan) if plan.regions is not None else self._view.iter_whole(plan.info, self._workers)

    def _tell(self, *, whole: bool) -> None:
        record = self._view.find_record(self._key)
        if whole and (record.seal or self._recorded.checksum or (record.roots and record.headers)):
            return
        if record.roots and not record.headers:
            logger.warning(
                "%s: no digest of its header is recorded: nothing tells whether that is another header, which leaves out "
                "a part of it (`modos c4gh share` and `revoke` record one)",
                self.name,
            )
        elif whole:
            logger.warning(
                "%s: no digest of it is recorded: nothing tells whether segments are missing, repeated or moved, or "
                "whether it is another file",
                self.name,
            )
        elif not record.headers:
            logger.warning(
                "%s: no digest of its header is recorded: nothing tells whether it is another file "
                "(`modos c4gh share` and `revoke` record one)",
                self.name,
            )
        else:
            self._tell_of_region(record)

    def _tell_of_region(self, record: SealRecord) -> None:
        of_index = self._view.find_record(index_names(self._key)[0])
        if not of_index.headers:
            logger.warning(
                "%s: no digest of the header of its index is recorded: nothing tells whether that is another index, which "
                "leaves out records (`modos check --secret-key` looks at it, `modos c4gh revoke "
                "--rotate` records one)",
                self.name,
            )
        elif not record.roots or not of_index.roots:
            logger.info(
                "%s: no digests of %s are recorded: whether some are missing, moved or of an earlier version was not "
                "compared (`modos check --digests` records them)",
                self.name,
                "its index" if record.roots else "its segments",
            )
