"""A plan: partitions of a query over many objects, and the ways to run it."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from modos.errors import InvalidInputError, listing
from modos.errors.missing import load_late
from modos.formats.html_tables import MOST_ROWS, always, write_table
from modos.genomics.region import Region
from modos.object.address import ObjectAddress
from modos.plans.partition import Partition, Reading, Regions, ScannedFile, Version, locate_from_anywhere
from modos.plans.running import Function, Outcome, choose_workers, raise_failures, run_in_threads
from modos.tables.arrow import load_pyarrow

if TYPE_CHECKING:
    import polars as pl
    import pyarrow
else:
    pl = load_late("polars")

logger = logging.getLogger(__name__)
GROUP = 8 << 20  # bytes of small partitions that are sent to a cluster together
_MOST_TOGETHER = 64  # partitions of a group
_GROUPS_OF_WORKER = 32  # at least, so that none waits for the others for long
_SHOWN = 10


class Skipped(NamedTuple):
    """Partition, or object, that was left out, and why."""

    name: str
    reason: str


class Stretch(NamedTuple):
    """Regions of a partition, and the region before them that another one reads; see `Partition`."""

    regions: Regions
    after: Region | None = None


class Plan(Sequence[Partition]):
    """Partitions of a query over many objects, made when they are asked for; the plan itself can be pickled.

    ::

        plan = modos.open_catalog("s3://cohort").scan("coverage", ["BRCA1"], where="sample.sex = 'Female'")
        plan.to_polars()

    Parameters
    ----------
    files
        Rows of the files: `object`, `element`, `data_path`, `data_size`,
        `data_digest`, `data_checksum`, `revision`, `tag` and `samples`.
    find_address
        Gives the address of an object, by its key.
    reading
        How they are read.
    numbers, stretches, places, costs
        Of each partition: the number of its file, and of its regions among
        `places`; what it costs, in bytes.

    Attributes
    ----------
    skipped
        Regions that the latest run has left out, as files have no such contig.
    problems
        Objects that the catalogue could not read: what they have now is not in the plan.
    """

    def __init__(
        self,
        files: pl.DataFrame,
        find_address: Callable[[str], ObjectAddress],
        reading: Reading,
        places: Sequence[Stretch],
        numbers: array[int],
        stretches: array[int],
        costs: array[int],
    ):
        self.reading = reading
        self.skipped: list[Skipped] = []
        self.problems: list[Skipped] = []
        self._files = files
        self._find_address = find_address
        self._places, self._numbers, self._stretches, self._costs = places, numbers, stretches, costs
        self._latest: tuple[int, ScannedFile] | None = None

    @classmethod
    def make(
        cls,
        files: pl.DataFrame,
        find_address: Callable[[str], ObjectAddress],
        reading: Reading,
        partitions: Iterable[tuple[int, Stretch, int]],
    ) -> Plan:
        """Make a plan of numbers of files, regions, and costs."""
        known: dict[Stretch, int] = {}
        numbers, stretches, costs = array("I"), array("I"), array("Q")
        for number, stretch, cost in partitions:
            numbers.append(number)
            stretches.append(known.setdefault(stretch, len(known)))
            costs.append(cost)
        return cls(files, find_address, reading, list(known), numbers, stretches, costs)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, which: int) -> Partition: ...
    @overload
    def __getitem__(self, which: slice) -> Plan: ...
    def __getitem__(self, which: int | slice) -> Partition | Plan:
        """Return a partition by its number, or some of them as a plan."""
        if isinstance(which, slice):
            return self.choose(range(len(self))[which])
        number, stretch = self._numbers[which], self._places[self._stretches[which]]
        return Partition(self._file(number), stretch.regions, self.reading, stretch.after, self._costs[which])

    def choose(self, chosen: Iterable[int]) -> Plan:
        """Return the partitions of some numbers as a plan."""
        found = list(chosen)
        parts = [array(one.typecode, (one[i] for i in found)) for one in (self._numbers, self._stretches, self._costs)]
        return Plan(self._files, self._find_address, self.reading, self._places, *parts)

    def _file(self, number: int) -> ScannedFile:
        known = self._latest
        if known is not None and known[0] == number:
            return known[1]
        row = self._files.row(number, named=True)
        address, samples = locate_from_anywhere(self._find_address(row["object"])), tuple(row["samples"] or ())
        file = ScannedFile(address, row["object"], row["element"], Version.from_row(row), samples)
        self._latest = number, file
        return file

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the rows of the files that are read, and the addresses of their objects, which have no secrets."""
        used = sorted(set(self._numbers))
        new = {number: place for place, number in enumerate(used)}
        files = self._files[used]
        addresses = {key: self._find_address(key) for key in files["object"].unique(maintain_order=True)}
        numbers = array("I", map(new.__getitem__, self._numbers))
        places = sorted(set(self._stretches))
        at = {stretch: place for place, stretch in enumerate(places)}
        stretches = array("I", map(at.__getitem__, self._stretches))
        chosen = [self._places[stretch] for stretch in places]
        return Plan, (files, addresses.__getitem__, self.reading, chosen, numbers, stretches, self._costs)

    @property
    def objects(self) -> list[str]:
        """Key of the object of each partition."""
        keys = self._files["object"].to_list()
        return [keys[number] for number in self._numbers]

    @property
    def cost(self) -> int:
        """Bytes to be read, as far as the catalogue and the indexes tell."""
        return sum(self._costs)

    def describe(self) -> pl.DataFrame:
        """Return a row for each partition: object, element, regions as text, and cost in bytes."""
        texts = [_format(stretch) for stretch in self._places]
        rows = self._files[list(self._numbers)].select("object", "element")
        return rows.with_columns(
            regions=pl.Series(map(texts.__getitem__, self._stretches), dtype=pl.String),
            cost=pl.Series(self._costs, dtype=pl.Int64),
        )

    def map(self, function: Function, client: Any = None, *, workers: int | None = None, group: int = GROUP) -> list[Any]:
        """Call a function with each partition, and return what it returns, in the order of the plan.

        Parameters
        ----------
        function
            Called with a `Partition`. For a cluster it has to be one that its processes can import, or that is pickled.
        client
            A `dask.distributed.Client`; threads of this process where it is None.
        workers
            Number of threads; as many as there are cores, or 8 where objects are far away.
        group
            Bytes of small partitions that are sent to a cluster together.

        Returns
        -------
        list
            None in the place of partitions whose regions were all left out; see `skipped`.

        Raises
        ------
        PartitionError
            Some failed; it has what the others returned.
        """
        results: list[Any] = []
        failures = self._collect(function, results.append, client, workers, group)
        raise_failures(failures, len(self), results)
        return results

    def reduce(
        self,
        function: Callable[[Any, Any], Any],
        initial: Any = None,
        *,
        each: Function | None = None,
        client: Any = None,
        workers: int | None = None,
        group: int = GROUP,
    ) -> Any:
        """Fold the tables of the partitions with a function, in their order, so that the result is always the same.

        No more tables are held than there are workers.

        Parameters
        ----------
        function
            Called with what came out so far and with the next table.
        initial
            Taken first; the first table itself where it is None.
        each
            Called with each partition, in the threads or on the cluster, for what is folded in the place of its table.
        client, workers, group
            As for `map`.

        Raises
        ------
        PartitionError
            Some failed; `results` is what the others were folded to.
        """
        folded = [] if initial is None else [initial]

        def fold(result: Any) -> None:
            if result is not None:
                folded[:] = [function(folded[0], result) if folded else result]

        failures = self._collect(each or Partition.to_arrow, fold, client, workers, group)
        raise_failures(failures, len(self), folded[0] if folded else None)
        return folded[0] if folded else None

    def _collect(
        self, function: Function, take: Callable[[Any], object], client: Any, workers: int | None, group: int
    ) -> list[tuple[str, BaseException]]:
        """Run the plan and hand out each result in order, None where there is none; returns the failures."""
        self.skipped, failures = [], []
        for outcome in self._run(function, client, workers, group):
            self._note(outcome)
            if outcome.error is not None:
                failures.append((outcome.name, outcome.error))
            take(outcome.result)
        if self.skipped:
            logger.warning("left out: %s", listing((f"{name} ({reason})" for name, reason in self.skipped), 3))
        return failures

    def _run(self, function: Function, client: Any, workers: int | None, group: int) -> Iterator[Outcome]:
        if client is None:
            if workers is not None and workers < 1:
                raise InvalidInputError(f"{workers} workers: at least one is needed")
            return run_in_threads(function, self, workers or self._choose_workers())
        from modos.plans.clusters import run_on_cluster

        return run_on_cluster(function, self, client, group)

    def _choose_workers(self) -> int:
        return choose_workers(str(self[0].file.address.path)) if len(self) else 1

    def _note(self, outcome: Outcome) -> None:
        self.skipped += [Skipped(outcome.name, reason) for reason in outcome.missing]

    def iter_arrow(self, *, client: Any = None, workers: int | None = None) -> Iterator[pyarrow.Table]:
        """Iterate over the tables of the partitions, in their order; the first that failed is raised when it is its turn."""
        self.skipped = []
        for outcome in self._run(Partition.to_arrow, client, workers, GROUP):
            self._note(outcome)
            if outcome.error is not None:
                raise_failures([(outcome.name, outcome.error)], len(self), None)
            if outcome.result is not None:
                yield outcome.result

    def to_arrow(self, *, client: Any = None, workers: int | None = None) -> pyarrow.Table:
        """Read all partitions as one table; its columns are those that any of them has.

        Raises
        ------
        PartitionError
            Some failed; `results` has the tables of the others.
        InvalidInputError
            Files have columns of one name and of different types.
        """
        pa = load_pyarrow()

        tables = [table for table in self.map(Partition.to_arrow, client, workers=workers) if table is not None]
        if not tables:
            from modos.plans.partition_tables import make_empty_table

            return make_empty_table(self.reading)
        try:
            return pa.concat_tables(tables, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidInputError(
                f"the files have columns of one name and of different types: {error}", "say which columns you want: columns=[...]"
            ) from None

    def to_polars(self, *, client: Any = None, workers: int | None = None) -> pl.DataFrame:
        """Read all partitions as one polars.DataFrame; see `to_arrow`."""
        found = pl.from_arrow(self.to_arrow(client=client, workers=workers))
        assert isinstance(found, pl.DataFrame)
        return found

    def to_dask(self, *, delayed: bool = False, group: int = GROUP) -> Any:
        """Make a dask.dataframe.DataFrame of the plan, which is read when it is computed (extra `cluster`).

        Where regions are left out that files have no contig for, that is
        found out now, and told by `skipped`.

        Parameters
        ----------
        delayed
            Make a list of dask.delayed objects, one for each partition, that give tables of Arrow.
        group
            Bytes of small partitions that become one partition of Dask.
        """
        from modos.plans.clusters import make_dask

        return make_dask(self.settle() if self.reading.skips_missing else self, delayed, group)

    def settle(self, *, workers: int | None = None) -> Plan:
        """Look up in each file which regions it has, and return the plan without the others; `skipped` tells which these are."""
        rest = self.map(_keep, workers=workers)
        plan = Plan.make(
            self._files,
            self._find_address,
            replace(self.reading, skips_missing=False),
            (
                (number, Stretch(partition.regions, partition.after), cost)
                for number, partition, cost in zip(self._numbers, rest, self._costs)
                if partition is not None
            ),
        )
        plan.skipped = self.skipped
        return plan

    def groups(self, size: int = GROUP, workers: int = 1) -> Iterator[list[Partition]]:
        """Group small partitions that follow each other: of some bytes together, and several groups for each worker."""
        most = max(min(_MOST_TOGETHER, len(self) // (workers * _GROUPS_OF_WORKER)), 1)
        found: list[Partition] = []
        total = 0
        for partition in self:
            if found and (total + partition.cost > size or len(found) >= most):
                yield found
                found, total = [], 0
            found.append(partition)
            total += partition.cost
        if found:
            yield found

    def __repr__(self) -> str:
        return f"<plan of {self.reading.kind}: {len(self):,} partitions, {self.cost:,} bytes>"

    @always
    def _repr_html_(self) -> str:
        shown = (self[number] for number in range(min(len(self), MOST_ROWS)))
        rows = ((one.file.object, one.file.element, _name_regions(one), f"{one.cost:,}") for one in shown)
        return write_table(repr(self).strip("<>"), rows, ("object", "element", "regions", "bytes"), total=len(self))


def _name_regions(partition: Partition) -> str:
    return "all" if partition.regions is None else listing(map(str, partition.regions), _SHOWN)


def _keep(partition: Partition) -> Partition:
    return partition


def _format(stretch: Stretch) -> str | None:
    return None if stretch.regions is None else listing(map(str, stretch.regions), _SHOWN)
