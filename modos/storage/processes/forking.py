"""Renew state that a forked process must not share with its parent, such as locks and connections."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload
from weakref import WeakKeyDictionary

from modos.errors import ModosError

Holder = TypeVar("Holder")
Value = TypeVar("Value")

_starts: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()


def begin(holder: Holder, start: Callable[[Holder], object]) -> None:
    """Call `start` with an object: now, and in every child that is forked while the object is there.

    A child has none of its parent's threads: a lock that one of them held is
    never released in it, and nobody serves what waits for them. Connections
    would have two processes reading from them.
    """
    start(holder)
    _starts[holder] = start


def check_same_process(home: int) -> None:
    """Raise ModosError where this is not the process of a number, but a child of it."""
    if os.getpid() != home:
        raise ModosError(
            "a stream that was begun before a fork cannot be gone on with in the child", "begin it anew in the child"
        )


def _begin_anew() -> None:
    for holder, start in list(_starts.items()):
        start(holder)


os.register_at_fork(after_in_child=_begin_anew)


class cached_property(Generic[Value]):  # noqa: N801 - as functools has it
    """A property that is computed once for each object, as functools has it from Python 3.12 on.

    That of 3.11 has one lock for all objects of a class, held while one of
    them computes: a child that is forked meanwhile would wait for it forever.
    """

    def __init__(self, compute: Callable[[Any], Value]):
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> cached_property[Value]: ...

    @overload
    def __get__(self, instance: Any, owner: type) -> Value: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        value = self._compute(instance)
        return instance.__dict__.setdefault(self._name, value)
