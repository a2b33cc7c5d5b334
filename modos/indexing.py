"""Indexes of genomic files, and whether the files are whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from modos.errors import InvalidInputError
from modos.formats import FileFormat
from modos.records import check_end

_samtools_turn = threading.Lock()  # pysam runs one samtools command at a time


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

    out = folder / (path.name + format.index_suffixes[0])
    commands = {
        "BAM": lambda: pysam.samtools.index("-o", str(out), str(path)),
        "CRAM": lambda: pysam.samtools.index("-o", str(out), str(path)),
        "VCF": lambda: pysam.bcftools.index("-t", "-o", str(out), str(path)),
        "BCF": lambda: pysam.bcftools.index("-o", str(out), str(path)),
        "FASTA": lambda: pysam.samtools.faidx("--fai-idx", str(out), str(path)),
    }
    verbosity = pysam.set_verbosity(0)
    try:
        with _samtools_turn:
            commands[format.name]()
    except (pysam.SamtoolsError, OSError) as error:
        out.unlink(missing_ok=True)
        reason = " ".join(str(error).split()).strip("'\"")
        raise InvalidInputError(f"{path} cannot be indexed: {reason[:300]}",
                                "sort it by coordinate and compress it with bgzip, or give its index beside it") from None
    finally:
        pysam.set_verbosity(verbosity)
    return out


def check_complete(path: Path, format: FileFormat) -> None:
    """Raise TruncatedStream where a file does not end with its format's end marker."""
    keep = max((len(marker) for marker in format.eof_markers), default=0)
    with open(path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - keep, 0))
        for _ in check_end([file.read()], format, str(path)):
            pass
