"""Parts of an object that are imported when they are first used, so that opening one costs little."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, Concatenate, ParamSpec, TypeVar

from modos.storage.progress_bars import show_progress

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Later:
    """Stand-in for a class of a module: calling it, or using what was made of its methods, imports the module.

    Parameters
    ----------
    module
        Dotted name of the module.
    name
        Name of the class.
    """

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def __call__(self, *given: Any) -> Any:
        """Make one."""
        return self.load()(*given)

    def __getattr__(self, method: str) -> Callable[[], Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda: getattr(self.load(), method)

    def load(self) -> Any:
        """Return the class."""
        return getattr(import_module(self._module), self._name)


def delegate(part: str, method: Callable[Concatenate[Any, Given], Result]) -> Callable[Concatenate[Any, Given], Result]:
    """Make a method of an object from that of one of its parts.

    Parameters
    ----------
    part
        Attribute of the object that holds the part.
    method
        The method, named at its class, for which a `Later` stands.
    """
    return _Delegated(part, method)  # type: ignore[return-value]  # it becomes that when it is asked for


class _Delegated:
    """Method that takes the place of this, with its signature and docstring, when it is asked for first."""

    def __init__(self, part: str, load: Any):
        self._part, self._load = part, load

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: Any, owner: type) -> Any:
        part, method = self._part, show_progress(self._load())

        @wraps(method)
        def call(self: Any, /, *given: Any, **named: Any) -> Any:
            return method(getattr(self, part), *given, **named)

        setattr(self._owner, self._name, call)
        return call.__get__(instance, owner)  # type: ignore[attr-defined]  # it is a function
