"""Accept arguments under the names that sdsc-ordes modos has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from modos.errors import AlreadyExistsError, InvalidInputError
from modos.metadata import model

Call = TypeVar("Call", bound=Callable[..., Any])


def take_other_names(**names: str) -> Callable[[Call], Call]:
    """Decorate a call to take arguments by other names: `target_path="target"`; `s3_endpoint` is the service `s3`."""

    def decorate(call: Call) -> Call:
        @wraps(call)
        def call_renamed(*given: Any, **named: Any) -> Any:
            for other, name in names.items():
                if other not in named:
                    continue
                value = named.pop(other)
                if named.get(name) is not None:
                    raise InvalidInputError(f"{other} and {name} are the same, and both are given", "give one of them")
                if value is not None:
                    named[name] = {"s3": str(value)} if name == "services" else value
            return call(*given, **named)

        call_renamed.other_names = tuple(names)  # type: ignore[attr-defined]
        return call_renamed  # type: ignore[return-value]

    return decorate


def check_same(place: str, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse metadata for a new object where there is an object with others.

    Raises
    ------
    AlreadyExistsError
        It has another value of a slot, or none.
    """
    meant, own = (model.normalise(model.to_attributes({"@type": "MODO", **some})) for some in (given, own))
    for slot in given:
        if _comparable(meant.get(slot)) != _comparable(own.get(slot)):
            has = repr(own[slot])[:200] if slot in own else "not set"
            raise AlreadyExistsError(
                f"{place} exists already, and its {slot} is {has}, and not {repr(meant.get(slot))[:200]}",
                "MODO(path) opens it as it is, and update_element changes it",
            )


def _comparable(value: Any) -> Any:
    """Return a value to compare: a day is its midnight, as sdsc-ordes modos writes it."""
    return sorted(value) if isinstance(value, list) else value.removesuffix("T00:00:00") if isinstance(value, str) else value
