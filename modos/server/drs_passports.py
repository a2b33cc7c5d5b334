"""Take the passports that a DRS request has in its body (Data Repository Service 1.2, "PassportAuth")."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from modos.errors import InvalidInputError
from modos.genomics.htsget.protocol import HtsgetError
from modos.server.auth import Access, caller_of, set_caller
from modos.server.bodies import read_body

_MAX_BODY = 4 << 20  # bytes
_MOST_PASSPORTS = 10
_SHOWN = "modos.passport"


class Shown(BaseModel):
    """Passports, and whether the contents of bundles in a bundle are asked for."""

    model_config = ConfigDict(strict=True)
    passports: list[str] = Field(default=[], max_length=_MOST_PASSPORTS)
    expand: bool = False


async def take_passports(request: Request, access: Access) -> Shown:
    """Read the body of a request, and have its sender be the one whose passports these are.

    Who has sent a token as well keeps its name and groups; all visas count.

    Raises
    ------
    InvalidInputError
        The body is not as DRS has it.
    HtsgetError
        A passport is not good, or no passports are taken here.
    """
    try:
        shown = Shown.model_validate_json(await read_body(request, _MAX_BODY))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInputError(f"the request: {' '.join(map(str, first['loc']))} {first['msg'].lower()}") from None
    if not shown.passports:
        return shown
    if access.passports is None:
        raise HtsgetError("InvalidAuthentication", "no passports are taken here")
    found = await access.passports.identify_all(shown.passports)
    caller = caller_of(request)
    visas = [visa for one in (caller, *(one for _, one in found)) for visa in one.visas]
    sender = caller if caller.name else found[0][1]
    set_caller(request, replace(sender, visas=tuple(dict.fromkeys(visas))))
    if len(found) == 1 and not caller.name:
        request.scope[_SHOWN] = shown.passports[0]
    return shown


def authorization_of(request: Request) -> dict[str, str]:
    """Return the header with which a caller may ask for more: its own, or one with the only passport that it has shown."""
    shown, own = request.scope.get(_SHOWN), request.headers.get("authorization")
    return {"authorization": own} if own else {"authorization": f"Bearer {shown}"} if shown else {}
