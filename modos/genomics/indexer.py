"""Build the indexes of genomic files, and check them and the files."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modos.errors import IntegrityError, InvalidInputError, listing
from modos.formats import FileFormat, streamable_format
from modos.genomics.index import Read, parse_index, read_header
from modos.genomics.index.fit import check_fit
from modos.genomics.index.parse import MAX_INDEX
from modos.genomics.proving import check_records
from modos.genomics.reader import check_end
from modos.storage.base import Progress, Readable
from modos.storage.processes import forking

WORKERS = 8  # reads of a remote file at once
_COMMANDS = {"BAM": "samtools index", "CRAM": "samtools index", "VCF": "bcftools index -t", "BCF": "bcftools index"}

logger = logging.getLogger(__name__)


class _Turn:
    """pysam runs one samtools command at a time."""

    def __init__(self) -> None:
        forking.begin(self, _Turn._start)

    def _start(self) -> None:
        self.lock = threading.Lock()


_samtools = _Turn()


def build_index(path: Path, format: FileFormat, folder: Path) -> Path:
    """Build the index of a coordinate-sorted file.

    Parameters
    ----------
    path
        The file.
    folder
        Where the index is written.

    Returns
    -------
    Path
        The index, named after the file with the ending its format has.

    Raises
    ------
    InvalidInputError
        The file cannot be indexed: not sorted, not BGZF, or damaged.
    """
    import pysam
    import pysam.bcftools
    import pysam.samtools
    from pysam.utils import SamtoolsError

    out = folder / (path.name + format.index_suffixes[0])
    name = os.path.abspath(path)  # no option, whatever it is called
    commands = {
        "BAM": lambda: pysam.samtools.index("-o", str(out), name),
        "CRAM": lambda: pysam.samtools.index("-o", str(out), name),
        "VCF": lambda: pysam.bcftools.index("-t", "-o", str(out), name),
        "BCF": lambda: pysam.bcftools.index("-o", str(out), name),
        "FASTA": lambda: pysam.samtools.faidx("--fai-idx", str(out), name),
    }
    verbosity = pysam.set_verbosity(0)
    try:
        with _samtools.lock:
            commands[format.name]()
    except (SamtoolsError, OSError) as error:
        out.unlink(missing_ok=True)
        reason, hint = _explain_failure(path, format, str(error))
        raise InvalidInputError(f"{path} cannot be indexed: {reason}", hint) from None
    finally:
        pysam.set_verbosity(verbosity)
    return out


def _explain_failure(path: Path, format: FileFormat, said: str) -> tuple[str, str]:
    """Say why samtools or bcftools made no index, and what to do; it keeps the cause to itself."""
    if format.name == "FASTA":
        return (
            "the lines of a sequence are not of one length",
            f"`samtools faidx {path}` says where; write it with lines of one length",
        )
    if "not BGZF" in said:
        return "it is not compressed with bgzip", f"`bcftools view -O z -o new.vcf.gz {path}` writes it so"
    if "failed to create index" in said:
        sort = "samtools sort -o" if format.kind == "reads" else f"bcftools sort -O {'b' if format.name == 'BCF' else 'z'} -o"
        return (
            "its records are not in the order of their positions, or it is damaged",
            f"`{sort} sorted{format.suffixes[0]} {path}` sorts it",
        )
    reason = " ".join(said.replace("\\n", " ").rpartition("stderr=")[2].split()).strip("'\"")
    return reason[:300], "sort it by coordinate and compress it with bgzip, or give its index beside it"


def check_complete(path: Path, format: FileFormat) -> None:
    """Raise TruncatedStream where a file does not end with its format's end marker."""
    keep = max((len(marker) for marker in format.eof_markers), default=0)
    with open(path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - keep, 0))
        for _ in check_end([file.read()], format, str(path)):
            pass


def choose_index(source: Path, beside: list[Path], format: FileFormat) -> Path:
    """Choose the first index beside a file of this machine that fits the file.

    Raises
    ------
    IntegrityError
        None is.
    """
    reasons = []
    for path in beside:
        try:
            with _open_checked(source) as (read, size), _open_checked(path) as (read_index, index_size):
                _check(source.name, path.name, format, read, size, read_index(0, min(index_size, MAX_INDEX + 1)))
        except IntegrityError as error:
            reasons.append(error.message)
            continue
        for reason in reasons:
            logger.warning("%s; %s is taken", reason, path.name)
        if int(path.stat().st_mtime) < int(source.stat().st_mtime):
            logger.warning("%s is older than %s: `modos check --thorough` looks at all records", path, source)
        return path
    raise IntegrityError(
        listing(reasons),
        f"make the index again (`{_COMMANDS[format.name]} {source}`), or remove what is no index of the file: one is made then",
    )


def check_index(files: Readable, key: str, index_key: str, *, thorough: bool = False, progress: Progress | None = None) -> None:
    """Look whether an index is of a file in a storage.

    Parameters
    ----------
    thorough
        Go through all records of the file, and see that a query would find
        each; else look at some places of it.

    Raises
    ------
    IntegrityError
        It is not.
    """
    data, _ = files.read_part(index_key, 0, MAX_INDEX + 1)
    check_bytes(files, key, index_key, data, thorough=thorough, progress=progress)


def check_bytes(
    files: Readable, key: str, index_key: str, data: bytes, *, thorough: bool = False, progress: Progress | None = None
) -> None:
    """Look whether the bytes of an index are of a file in a storage; see `check_index`."""
    info = files.stat(key)
    _check(
        key,
        index_key,
        streamable_format(key),
        lambda start, end: files.read_part(key, start, end, if_match=info.etag)[0],
        info.size,
        data,
        thorough,
        WORKERS if files.is_remote else 1,
        progress,
    )


def _check(
    name: str,
    index_name: str,
    format: FileFormat,
    read: Read,
    size: int,
    data: bytes,
    thorough: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    try:
        header = read_header(format, read, size)
    except (IntegrityError, InvalidInputError):
        return  # the file itself is wrong, which reading it reports
    try:
        if len(data) > MAX_INDEX:
            raise InvalidInputError(f"it is larger than {MAX_INDEX >> 20} MiB")
        index = parse_index(data)
        check_fit(format, read, size, header, index, workers)
        if thorough:
            check_records(format, read, size, header, index, workers=workers, progress=progress)
    except (IntegrityError, InvalidInputError) as error:
        reason = error.message.removeprefix("the index does not fit the file: ")
        version = " (1.24 or newer, where variants have SVLEN)" if thorough and format.kind == "variants" else ""
        raise IntegrityError(
            f"{index_name} does not fit {name}: {reason}", f"make the index again: {_COMMANDS[format.name]} {name}{version}"
        ) from None


@contextmanager
def _open_checked(path: Path) -> Iterator[tuple[Read, int]]:
    """Open a file of this machine; return its reader, and its size."""
    with open(path, "rb") as file:
        yield lambda start, end: os.pread(file.fileno(), end - start, start), os.fstat(file.fileno()).st_size
