"""Read a CRAM as a BAM, which htslib decodes into a pipe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator

from modos.genomics.file import FindReference, GenomicFile
from modos.genomics.pipes import forget_end, open_pipe
from modos.genomics.planning import Planner
from modos.genomics.region import Regions
from modos.genomics.sources import StorageSource
from modos.genomics.writer import OutputFormat
from modos.storage import Readable

_PIECE = 1 << 18
_BAM = OutputFormat("BAM", compressed=False)


def decode_header(storage: Readable, planner: Planner, key: str) -> Generator[bytes, None, None]:
    """Yield the header of a CRAM as a BAM without reads."""
    file = GenomicFile(StorageSource(storage, key, planner))
    return _read(lambda descriptor: file.write_header(descriptor, _BAM))


def decode_reads(
    storage: Readable, planner: Planner, key: str, regions: Regions | None, reference: FindReference
) -> Generator[bytes, None, None]:
    """Yield a BAM of the reads of a CRAM that overlap some regions, with an end marker.

    Raises
    ------
    ModosError
        While iterating: it cannot be read or decoded to its end.
    """
    file = GenomicFile(StorageSource(storage, key, planner), reference)
    return _read(lambda descriptor: file.write(descriptor, regions, _BAM))


def _read(write: Callable[[int], None]) -> Generator[bytes, None, None]:
    """Yield what is written into a pipe in a thread; its error comes in the place of the last bytes."""
    read_end, write_end = open_pipe()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            write(write_end)
        except BaseException as error:
            errors.append(error)
        finally:
            forget_end(write_end)
            os.close(write_end)

    thread = threading.Thread(target=run, name="modos-decoder", daemon=True)
    thread.start()
    try:
        while data := os.read(read_end, _PIECE):
            yield data
        thread.join()
        if errors:
            raise errors[0]
    finally:
        forget_end(read_end)
        os.close(read_end)
        thread.join()
