"""Turn panics of Rust libraries, which no handler of Exception catches, into errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modos.errors import IntegrityError


def is_panic(error: BaseException) -> bool:
    """Return whether an error is the panic of a library; each has a type of its own for it."""
    return type(error).__name__ == "PanicException"


@contextmanager
def translate_panics(source: object, hint: str = "copy it again") -> Iterator[None]:
    """Raise IntegrityError, with the name of the file that is read, where a library panics."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        raise IntegrityError(f"{source} is damaged", hint) from None
