"""Read partitions in threads: results in the order of the plan, failures tried again and named together."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from modos.errors import AccessError, ModosError, PartitionError, RemoteError, TruncatedStream, listing
from modos.object.address import is_remote
from modos.plans.partition import Partition
from modos.storage.prefetch import fetch_ahead

Result = TypeVar("Result")
Function = Callable[[Partition], Any]
_ATTEMPTS = 4
_REMOTE_WORKERS = 8
_LONGEST_WAIT = 30.0  # seconds, whatever a server asks for
_SHOWN = 5  # failures that the message tells


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a partition.

    Parameters
    ----------
    name
        Of the partition.
    result
        What the function returned; None where it failed, or nothing was left to be read.
    error
        What it failed with, after the last attempt.
    missing
        Why regions were left out, where that was asked for.
    is_empty
        Whether all of them were left out.
    """

    name: str
    result: Any = None
    error: BaseException | None = None
    missing: tuple[str, ...] = ()
    is_empty: bool = False


def attempt(function: Function, partition: Partition) -> Outcome:
    """Call a function with a partition, again after a while where a connection failed; what it raises is in the outcome."""
    for number in range(_ATTEMPTS):
        try:
            return _call(function, partition)
        except Exception as error:
            if number + 1 == _ATTEMPTS or not _may_pass(error):
                return Outcome(partition.name, error=error)
            asked = min(getattr(error, "retry_after", 0.0), _LONGEST_WAIT)
            time.sleep(max(random.uniform(0.5, 1) * 0.2 * 2**number, asked))
    raise AssertionError


def _call(function: Function, partition: Partition) -> Outcome:
    if not partition.reading.skips_missing:
        return Outcome(partition.name, function(partition))
    rest, missing = partition.leave_out_missing()
    if rest is None:
        return Outcome(partition.name, missing=tuple(missing), is_empty=True)
    return Outcome(partition.name, function(rest), missing=tuple(missing))


def _may_pass(error: Exception) -> bool:
    """Return whether an error may be gone after a while: of the network, not of what was asked."""
    if isinstance(error, ModosError):
        return isinstance(error, (RemoteError, TruncatedStream))
    return isinstance(error, OSError) and not isinstance(error, (PermissionError, FileNotFoundError, AccessError))


def run_in_threads(function: Function, partitions: Iterable[Partition], workers: int) -> Iterator[Outcome]:
    """Yield the outcomes of partitions in their order; at most as many as there are workers are under way or wait."""
    return fetch_ahead(lambda partition, _: attempt(function, partition), partitions, workers)


def choose_workers(path: str) -> int:
    """Choose a number of threads for objects at a place: more where they wait for the network."""
    return _REMOTE_WORKERS if is_remote(path) else min(os.cpu_count() or 1, _REMOTE_WORKERS)


def raise_failures(failures: Sequence[tuple[str, BaseException]], total: int, results: Any) -> None:
    """Raise PartitionError where partitions failed; it names them, and holds what the others gave."""
    if not failures:
        return
    told = [f"{name}: {error.message if isinstance(error, ModosError) else repr(error)}" for name, error in failures[:_SHOWN]]
    more = f"; and {len(failures) - _SHOWN:,} more" if len(failures) > _SHOWN else ""
    hints = list(dict.fromkeys(hint for _, error in failures if (hint := getattr(error, "hint", None))))
    raise PartitionError(
        f"{len(failures):,} of {total:,} partitions failed: {'; '.join(told)}{more}",
        listing(hints, 1) if len(hints) == 1 else "`failures` of this error has all of them, `results` what the others gave",
        results=results,
        failures=failures,
    ) from failures[0][1]
