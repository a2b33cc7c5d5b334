"""Search terminology codes for the slots that take them, and build an index of codes.

    modos.codes.search("cell_type", "t lymphocyte")[0].value    # CL:0000084

In: ontologies (OBO, OWL, SKOS), an index that was built of them, or a server of the
API of fuzon. Out: terms with their codes, best first, for the words of a query.
`sources_of_codes` chooses among them; `index_builder` builds an index.

It imports metadata, whose slots it serves, reference for its cache, and what is below; no object. rapidfuzz is
used nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modos.codes.service import Service
    from modos.codes.term_index import Index
    from modos.codes.terms import Code


def open(index: str | Path | None = None, endpoint: str | None = None, services: dict[str, str] | None = None) -> Index | Service:
    """Open the codes to search in: `modos.codes.open().search("cell_type", "t cell")`.

    Parameters
    ----------
    index
        What `build` wrote; the service of the endpoint, or the user's own
        index, where it is None.
    endpoint, services
        As for `modos.api.MODO`; the service is called `fuzon`.
    """
    from modos.codes.sources_of_codes import open_codes

    return open_codes(index, endpoint, services)


def search(
    slot: str,
    words: str,
    num: int = 10,
    index: str | Path | None = None,
    endpoint: str | None = None,
    services: dict[str, str] | None = None,
) -> list[Code]:
    """Find the terms that are most like some words, the best first; the parameters are those of `open`.

    Raises
    ------
    NotFoundError
        There are no codes for the slot.
    """
    from modos.codes.slots import check_slot, enumerations
    from modos.codes.term_index import Index

    if check_slot(slot) in enumerations():
        return Index().search(slot, words, num)
    return open(index, endpoint, services).search(slot, words, num)


def build(files: Sequence[str | Path], output: str | Path | None = None, replace: bool = False) -> Index:
    """Make an index of OBO, OWL and SKOS files, plain or gzipped; returns it, opened.

    Parameters
    ----------
    files
        Paths, or `SLOT=PATH` for a file of which all terms are for one slot.
        Of others those of the slots' own ontologies are taken.
    output
        Where it is written; where `open` finds it, if it is None.
    replace
        Whether an index that was made of other files, too, may be replaced.

    Raises
    ------
    InvalidInputError
        A file that is no good, or has no terms for any slot.
    NotFoundError
        A file that is not there.
    AlreadyExistsError
        What is there is of other files, or is no index.
    """
    from modos.codes.index_builder import build as write
    from modos.codes.sources_of_codes import default_path
    from modos.codes.term_index import Index

    return Index(write(files, Path(output) if output else default_path(), replace))
