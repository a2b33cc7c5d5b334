"""Show members of classes that are made by a call with their text on the site: an extension of Griffe, which runs no code.

`means = property(lambda self: ..., doc="Means, (tracks,).")` is a property with that text. A method that is handed on
to a part of the object, `add_track = delegate("_genomes", Genomes.add_track)`, is shown as that method.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterator
from copy import copy
from typing import Any

from griffe import (
    Attribute,
    Class,
    Docstring,
    ExprCall,
    ExprKeyword,
    Extension,
    Function,
    GriffeLoader,
    Module,
    NameResolutionError,
)

_DELEGATE = "delegate"


class Members(Extension):
    """Look through the classes of a package when it was loaded."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_: Any) -> None:
        """Give such members their text, or put what they stand for in their place."""
        for owner in iter_classes(pkg):
            for name, member in list(owner.members.items()):
                if not isinstance(member, Attribute) or not isinstance(member.value, ExprCall):
                    continue
                if str(member.value.function) == "property":
                    member.docstring, member.labels, member.value = find_text(member, member.value), {"property"}, None
                elif str(member.value.function) == _DELEGATE:
                    owner.members[name] = find_method(member, member.value, loader)


def iter_classes(module: Module) -> Iterator[Class]:
    """The classes of a module and of those below it."""
    for member in module.members.values():
        if isinstance(member, Class):
            yield member
        elif isinstance(member, Module):
            yield from iter_classes(member)


def find_text(attribute: Attribute, call: ExprCall) -> Docstring | None:
    """What `doc` says of a property."""
    for given in call.arguments:
        if isinstance(given, ExprKeyword) and given.name == "doc":
            return Docstring(literal_eval(str(given.value)), parent=attribute)
    return attribute.docstring


def find_method(attribute: Attribute, call: ExprCall, loader: GriffeLoader) -> Function | Attribute:
    """The method that an attribute stands for; the attribute itself where it cannot be found."""
    part, _, name = str(call.arguments[-1]).rpartition(".")
    try:
        found = loader.modules_collection[attribute.module.resolve(part)].members[name]
    except (KeyError, NameResolutionError):
        return attribute
    if not isinstance(found, Function):
        return attribute
    shown = copy(found)
    shown.name, shown.parent = attribute.name, attribute.parent
    return shown
