"""Arguments by the names that sdsc-ordes modos has for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from modos.errors import InvalidInputError

Call = TypeVar("Call", bound=Callable[..., Any])


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
