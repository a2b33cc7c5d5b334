"""Arguments by the names that sdsc-ordes modos has for them, and positions that mean something else there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from modos import model
from modos.errors import AlreadyExistsError, InvalidInputError, did_you_mean, listing
from modos.storage.s3_arguments import is_s3_argument

Call = TypeVar("Call", bound=Callable[..., Any])
_SERVICES = ("s3", "htsget", "refget", "fuzon", "kms")
_TOLD = (*_SERVICES, "status", "auth", "root", "endpoint", "credentials", "references")  # what a server says of itself may be given as it is


def also_called(**names: str) -> Callable[[Call], Call]:
    """Have a call take arguments by other names: `target_path="target"`; `s3_endpoint` is the service `s3`."""

    def decorate(call: Call) -> Call:
        @wraps(call)
        def taking(*given: Any, **named: Any) -> Any:
            for other, name in names.items():
                if other not in named:
                    continue
                value = named.pop(other)
                if named.get(name) is not None:
                    raise InvalidInputError(f"{other} and {name} are the same, and both are given", "give one of them")
                if value is not None:
                    named[name] = {"s3": str(value)} if name == "services" else value
            return call(*given, **named)

        taking.other_names = tuple(names)  # type: ignore[attr-defined]
        return taking  # type: ignore[return-value]

    return decorate


def check_places(endpoint: Any, services: Any, s3_kwargs: Any) -> None:
    """Refuse what stands where an endpoint, services or arguments of S3 are meant, and is none.

    Raises
    ------
    InvalidInputError
        An endpoint that is no URL, services that are no mapping of URLs, and
        so on; also where the services are arguments of S3, and the other way round.
    """
    if endpoint and not str(endpoint).lower().startswith(("http://", "https://")):
        raise InvalidInputError(f"{str(endpoint)[:60]!r} is not the URL of a modos server",
                                "what an object is called goes by name: MODO(path, id=..., name=...)")
    check_services(services)
    if s3_kwargs is not None and (not isinstance(s3_kwargs, Mapping) or any(name in _SERVICES for name in s3_kwargs)):
        raise InvalidInputError("s3_kwargs are arguments of S3 by their names: {'key': ..., 'secret': ...}",
                                "URLs of services go by name: services={...}; the metadata of an object, too: name=..., description=...")


def check_services(services: Any) -> None:
    """Refuse what is no mapping of URLs by the names of services; InvalidInputError also for a name that no service has."""
    if services is not None and (not isinstance(services, Mapping) or any(map(is_s3_argument, services))):
        raise InvalidInputError("services are URLs by the names of services: {'s3': URL, 'htsget': URL}",
                                "arguments of S3 go by name: s3_kwargs={...}; the URL of S3 is services={'s3': URL}")
    if unknown := [str(name)[:60] for name in services or () if name not in _TOLD]:
        near = did_you_mean(unknown[0], _SERVICES)
        raise InvalidInputError(f"there is no service {unknown[0]}", f"did you mean {near}?" if near else f"there are {listing(_SERVICES)}")


def check_same(place: str, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse metadata for a new object where there is one already that has others.

    Raises
    ------
    AlreadyExistsError
        It has another value of a slot, or none.
    """
    meant, own = (model.normalise(model.to_attributes({"@type": "MODO", **some})) for some in (given, own))
    for slot in given:
        if _comparable(meant.get(slot)) != _comparable(own.get(slot)):
            has = repr(own[slot])[:200] if slot in own else "not set"
            raise AlreadyExistsError(f"{place} exists already, and its {slot} is {has}, and not {repr(meant.get(slot))[:200]}",
                                     "MODO(path) opens it as it is, and update_element changes it")


def _comparable(value: Any) -> Any:
    """A day is its midnight, as which sdsc-ordes modos writes it."""
    return sorted(value) if isinstance(value, list) else value.removesuffix("T00:00:00") if isinstance(value, str) else value
