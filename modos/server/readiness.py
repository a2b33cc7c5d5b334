"""Look whether what is served can be read, however many ask and however long the storage takes."""

from __future__ import annotations

import asyncio
import logging
import time

import anyio

from modos.errors import ModosError
from modos.object.document import ROOT_KEY
from modos.storage import Storage

PATIENCE = 3.0  # seconds, fewer than those after which a cluster gives up a probe
_OLD = 10.0  # seconds after which a look may hang at a connection that is lost, where a new one would not
_MOST = 12  # looks under way
logger = logging.getLogger(__name__)


class Readiness:
    """Looks at a storage once for all who ask: probes of one that hangs come again and again, and would take all threads.

    Parameters
    ----------
    storage
        What is served.
    patience
        Seconds that an answer waits for a look, which goes on meanwhile.
    """

    def __init__(self, storage: Storage, patience: float = PATIENCE):
        self._storage = storage
        self._patience = patience
        self._limiter = anyio.CapacityLimiter(_MOST)  # and no thread of other requests
        self._began = 0.0
        self._look: asyncio.Task[bool] | None = None

    async def is_ready(self) -> bool:
        """Return whether the storage can be read; False if it cannot, or has not answered in time."""
        now = time.monotonic()
        if self._look is None or self._look.done() or now - self._began > _OLD:
            self._began = now
            self._look = asyncio.ensure_future(
                anyio.to_thread.run_sync(self._can_read, limiter=self._limiter, abandon_on_cancel=True)
            )
        look = self._look  # another request may begin the next one before this goes on
        done, _ = await asyncio.wait({look}, timeout=self._patience)
        if not done:
            logger.error("not ready: the storage has not answered within %.3g s", self._patience)
            return False
        return look.result()

    def _can_read(self) -> bool:
        try:
            self._storage.exists(ROOT_KEY)
        except ModosError as error:
            logger.error("not ready: %s", error)
            return False
        return True
