"""Check that the parameters of a request are known and given once."""

from __future__ import annotations

from fastapi import Request

from modos.errors import InvalidInputError, did_you_mean, listing


async def check_parameters(request: Request) -> None:
    """Refuse parameters that are not known, and one that is given twice: what was meant would not be answered."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    if unknown := [name for name in given if name not in known]:
        near = did_you_mean(unknown[0], known)
        raise InvalidInputError(
            f"there is no parameter {unknown[0]}",
            f"did you mean {near}?" if near else f"there are {listing(known)}" if known else "there are none here",
        )
    if twice := [name for name in known if given.count(name) > 1]:
        raise InvalidInputError(
            f"the parameter {twice[0]} is given more than once",
            "search takes several words at once" if twice[0] == "search" else "give it once",
        )
