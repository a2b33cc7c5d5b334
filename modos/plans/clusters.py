"""Run plans on a cluster of Dask, and make collections of Dask of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, NotFoundError, ProtocolError
from modos.plans.partition import Partition
from modos.plans.partition_tables import list_columns, make_empty_table
from modos.plans.running import Function, Outcome, attempt, raise_failures
from modos.tables.arrow import load_pyarrow

if TYPE_CHECKING:
    import pyarrow

    from modos.plans.scan_plan import Plan

_BATCHES = 4  # tasks of each thread whose results are fetched together


def run_on_cluster(function: Function, plan: Plan, client: Any, group: int) -> Iterator[Outcome]:
    """Yield the outcomes of the partitions of a plan in their order, as the workers of a cluster have made them.

    A worker that is killed has its partitions read again by others, as Dask
    does it: up to `distributed.scheduler.allowed-failures` times.

    Parameters
    ----------
    client
        A `dask.distributed.Client`.
    group
        Bytes of small partitions that are one task.
    """
    threads = count_threads(client)
    groups = deque(plan.groups(group, threads))
    futures = deque(client.map(_Attempts(function), groups, pure=False, batch_size=1000))
    try:
        while futures:  # some at once, as each question to the cluster takes a while; what was handed out is forgotten
            taken = [(futures.popleft(), groups.popleft()) for _ in range(min(len(futures), _BATCHES * threads))]
            gathered = client.gather([future for future, _ in taken], errors="skip")
            results = iter(gathered)
            for future, partitions in taken:
                yield from _check(next(results), partitions) if future.status == "finished" else _fail(future, partitions)
    finally:
        client.cancel(list(futures))


def _check(outcomes: list[Outcome], partitions: Sequence[Partition]) -> list[Outcome]:
    """Return the outcomes of partitions; raise ProtocolError where the cluster has mixed them up."""
    if [outcome.name for outcome in outcomes] != [partition.name for partition in partitions]:
        raise ProtocolError("the cluster has returned what was made of other partitions", "run the plan again")
    return outcomes


def _fail(future: Any, partitions: Sequence[Partition]) -> Iterator[Outcome]:
    error = future.exception()
    return (Outcome(partition.name, error=error) for partition in partitions)


def count_threads(client: Any) -> int:
    """Count the threads of the workers of a cluster; 1 while there is none yet."""
    return sum(client.nthreads().values()) or 1


class _Attempts:
    """Function of a group of partitions: what one function makes of each."""

    def __init__(self, function: Function):
        self._function = function

    def __call__(self, partitions: Sequence[Partition]) -> list[Outcome]:
        return [attempt(self._function, partition) for partition in partitions]


def make_dask(plan: Plan, delayed: bool, group: int) -> Any:
    """Make a dask.dataframe.DataFrame, or a list of dask.delayed objects that give tables of Arrow; see `Plan.to_dask`."""
    try:
        import dask.dataframe as dd
        from dask.delayed import delayed as delay
    except ImportError:
        raise InvalidInputError("this takes dask, which is not installed", "pip install 'modos-store[cluster]'") from None
    if delayed:
        return [delay(Partition.to_arrow, pure=False)(partition) for partition in plan]
    if not len(plan):
        raise NotFoundError("the plan has no partitions", "see with `describe` what the catalogue has")
    if plan.reading.kind == "reads" and plan.reading.columns is None:
        raise InvalidInputError(
            "which tags reads have is known when they are read", "say which columns you want: columns=['rname', 'pos', 'NM']"
        )
    first = make_empty_table(plan.reading) if list_columns(plan.reading) else plan[0].to_arrow().slice(0, 0)
    meta = _to_pandas(first)
    return dd.from_map(_ReadFrame(first.schema), list(plan.groups(group)), meta=meta, label="modos-scan")


class _ReadFrame:
    """Function that reads some partitions as one pandas.DataFrame of some columns; raises PartitionError if one fails."""

    def __init__(self, schema: pyarrow.Schema):
        self._schema = schema

    def __call__(self, partitions: Sequence[Partition]) -> Any:
        return _to_pandas(_read_together(partitions, self._schema))


def _to_pandas(table: pyarrow.Table) -> Any:
    import pandas as pd

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _read_together(partitions: Sequence[Partition], schema: pyarrow.Schema) -> pyarrow.Table:
    """Read some partitions as one table; raise InvalidInputError where one has other columns, or of other types."""
    pa = load_pyarrow()

    outcomes = [attempt(Partition.to_arrow, partition) for partition in partitions]
    tables = [outcome.result for outcome in outcomes if outcome.error is None]
    failures = [(outcome.name, outcome.error) for outcome in outcomes if outcome.error is not None]
    raise_failures(failures, len(partitions), tables)
    for outcome in outcomes:
        if not outcome.result.schema.equals(schema):
            raise InvalidInputError(
                f"{outcome.name} has other columns than the first partition, or of other types",
                "say which columns you want: columns=[...]",
            )
    return pa.concat_tables(tables)
