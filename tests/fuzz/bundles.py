"""Several files in one, so that mutations reach them all; and steps of a reader, of which each is taken whatever the others find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from modos.errors import ModosError

from .trying import check_message

_EXITS = (2, 4, 6)
_BREAK = b"\n=== the next file ===\n"


def bundled(*files: bytes) -> bytes:
    """Some files as one."""
    return _BREAK.join(files)


def unbundled(path: Path, count: int) -> list[bytes]:
    """So many files of a bundle; empty ones where it has fewer."""
    files = path.read_bytes().split(_BREAK)[:count]
    return [*files, *(b"" for _ in range(count - len(files)))]


class Steps:
    """Takes the steps of a reader; what is wrong with the file is raised at the end, once for all.

    Parameters
    ----------
    expected
        Errors that say no more than that something else is not there.
    """

    def __init__(self, expected: tuple[type[ModosError], ...] = ()) -> None:
        self._errors: list[ModosError] = []
        self._expected = expected

    def take(self, step: Callable[[], Any]) -> Any:
        """What a step gives; None where the file is wrong."""
        try:
            found = step()
            return list(found) if isinstance(found, Iterable) and not hasattr(found, "__len__") else found
        except self._expected:
            return None
        except ModosError as error:
            check_message(error, _EXITS)
            self._errors.append(error)
            return None

    def finish(self) -> None:
        """Raise the first error."""
        if self._errors:
            raise self._errors[0]
