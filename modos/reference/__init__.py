"""Reference data: assemblies and annotations in stores, fetched on demand, cached and verified.

In: FASTA, 2bit, GFF3 and other files of assemblies and annotations, or a folder of
GenomeKit, brought into a store (`store`, `adding`, `annotation_store`). Out: bases
by position (`Reference`), genes and other features by place (`annotations`), and
sequences by MD5 where htslib looks for them (`cache`, `cached_store`).

It imports genomics and what is below it; neither tracks nor objects, whose own
references `modos.object.references` opens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modos.reference.reference import Reference


def open(
    name: str | Path, store: str | Path | None = None, endpoint: str | None = None, s3_kwargs: dict[str, Any] | None = None
) -> Reference:
    """Open an assembly, to ask for its bases: `modos.reference.open("hg38").dna("chr1", 0, 100)`.

    Parameters
    ----------
    name
        In the store; that of an annotation opens its assembly, too.
    store
        A folder or `s3://bucket/prefix`; MODOS_REFERENCE_STORE, or a folder
        of the user's, where it is None.
    endpoint, s3_kwargs
        As for `modos.api.MODO`.

    Raises
    ------
    NotFoundError
        The store has neither an assembly nor an annotation of that name.
    """
    from modos.reference.locate import open_reference

    return open_reference(name, store, endpoint, s3_kwargs)
