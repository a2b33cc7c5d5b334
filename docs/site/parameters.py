"""Parameters that share a description in a docstring have each their own type on the site; an extension of Griffe.

Griffe gives all names of `start, end` the type and default of the first.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_TOGETHER = re.compile(r"^(?P<names>[a-z_]\w*(?:, [a-z_]\w*)+)\n(?P<text>(?: {4}.*\n?|\n(?= {4}))+)", re.MULTILINE)


class OneByOne(Extension):
    """Write parameters of a docstring one by one, before it is parsed."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Look through the docstring of a class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = separate(obj.docstring.value)


def separate(docstring: str) -> str:
    """Repeat what is said of several parameters for each of them."""
    return _TOGETHER.sub(
        lambda found: "".join(f"{name}\n{found['text'].rstrip()}\n" for name in found["names"].split(", ")), docstring
    )
