"""Make a VCF Zarr of a VCF or BCF, by bio2zarr."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError, ModosError
from modos.storage.base import Progress
from modos.trees.tree_opening import require
from modos.trees.vcf_zarr_text import ARRAYS_OF, NUMBER

_COLUMN_CHUNK = 2  # MiB of a field that are held before they are written
_WIDE = "i4"  # of positions: the index of regions has their type, and ends that may be larger
_WIDENED = ("variant_position", "variant_length")
_INTERVAL = 0.2  # seconds


def tell_maker() -> str:
    """Return the name and version of what makes a VCF Zarr; raise InvalidInputError where it is not installed."""
    require("cyvcf2", "vcf-zarr")
    return f"bio2zarr {require('bio2zarr', 'vcf-zarr').__version__}"


def make_vcf_zarr(source: Path, tree: Path, folder: Path, size: int, progress: Progress | None = None, workers: int = 1) -> None:
    """Make a VCF Zarr of a VCF or BCF that has an index beside it.

    Parameters
    ----------
    tree
        The folder to be made.
    folder
        Of what is written on the way, as large as the tree.
    size
        Bytes of progress of each of the two steps.
    workers
        Processes; with one it is this.

    Raises
    ------
    InvalidInputError
        bio2zarr cannot convert it.
    """
    tell_maker()
    vcf, core = import_module("bio2zarr.vcf"), import_module("bio2zarr.core")
    processes, columns, schema = (workers if workers > 1 else 0), folder / "columns", folder / "schema.json"
    with _translate_errors(source), _hush(), _forget_counter(core):
        with _tell(core, progress, size, _count_records(vcf, source)):
            vcf.explode(columns, [source], column_chunk_size=_COLUMN_CHUNK, worker_processes=processes)
        with open(schema, "w") as file:
            vcf.mkschema(columns, file)
        _widen_positions(schema)
        vcf.encode(columns, tree, schema_path=schema, worker_processes=processes)
        _keep_numbers(columns, tree)
    if progress:
        progress(size)


def _widen_positions(schema: Path) -> None:
    document = json.loads(schema.read_text())
    for field in document["fields"]:
        if field["name"] in _WIDENED:
            field["dtype"] = _WIDE
    schema.write_text(json.dumps(document))


def _keep_numbers(columns: Path, tree: Path) -> None:
    """Keep how many values each field has by the header of the source: its array has room for the most that there were."""
    import zarr

    group = zarr.open_group(tree, mode="r+")
    for field in json.loads((columns / "metadata.json").read_text())["fields"]:
        name = f"{ARRAYS_OF.get(field['category'])}{field['name']}"
        if field["vcf_number"] is not None and name in group:
            group[name].attrs[NUMBER] = str(field["vcf_number"])


def _count_records(vcf: Any, source: Path) -> float:
    with vcf.vcf_utils.VcfFile(source) as file:
        return float(sum(file.contig_record_counts().values()))


@contextmanager
def _tell(core: Any, progress: Progress | None, size: int, records: float) -> Iterator[None]:
    """Tell a progress of the records that bio2zarr has read, as the bytes that they are about."""
    if progress is None:
        yield
        return
    ended, told = threading.Event(), 0

    def tell(part: float) -> None:
        nonlocal told
        now = min(int(size * part), size)
        if now > told:
            progress(now - told)
            told = now

    def watch() -> None:
        while not ended.wait(_INTERVAL):
            if core._progress_counter is not None and records:
                tell(core.get_progress() / records)

    thread = threading.Thread(target=watch, name="modos-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    tell(1.0)


@contextmanager
def _forget_counter(core: Any) -> Iterator[None]:
    """Rid the system of the counter of bio2zarr, which would complain of it as the process ends."""
    try:
        yield
    finally:
        core.setup_progress_counter(None)


@contextmanager
def _hush() -> Iterator[None]:
    """Keep what bio2zarr logs, such as guesses at memory, from stderr."""
    logger = logging.getLogger("bio2zarr")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _translate_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except (ModosError, MemoryError):
        raise
    except OSError as error:
        if error.errno is None:
            raise _refusal(source, error) from error
        raise ModosError(f"cannot write a VCF Zarr of {source.name}: {error.strerror}", "TMPDIR says where it is made") from error
    except Exception as error:  # of its own, and assertions
        raise _refusal(source, error) from error


def _refusal(source: Path, error: Exception) -> InvalidInputError:
    told = f"bio2zarr cannot convert {source.name}: {type(error).__name__}: {error}".rstrip(": ")
    return InvalidInputError(told, _advise(error))


def _advise(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it takes only ASCII in FORMAT: write other characters as VCF does (%C3%A9), or keep the file a VCF"
    if "clashing" in str(error) or "ContainsArray" in type(error).__name__:
        return "the array of a field would have the name of another: `bcftools annotate --rename-annots` renames a field"
    return "`bcftools view` writes it anew; where its header does not fit its records, mend that"
