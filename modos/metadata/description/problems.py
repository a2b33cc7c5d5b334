"""Collect the problems of a sheet into one error."""

from __future__ import annotations

from pathlib import Path

from modos.errors import InvalidInputError
from modos.storage.given import show_path

_MAX_SHOWN = 20
_MAX_MAPS = 4


class Problems:
    """Bad cells and headers of sheets, with what `--map` could make of them."""

    def __init__(self) -> None:
        self.count = 0
        self._shown: list[tuple[Path, str]] = []
        self._maps: dict[str, None] = {}

    def add(self, path: Path, row: int, column: str, message: str, suggestion: str | None = None) -> None:
        """Add a bad cell.

        Parameters
        ----------
        row
            The first one is 1.
        suggestion
            An argument for `--map`, such as `sex:F=Female`.
        """
        self.count += 1
        if len(self._shown) < _MAX_SHOWN:
            self._shown.append((path, f"row {row}, {column}: {message}"))
        if suggestion and len(self._maps) < _MAX_MAPS:
            self._maps[suggestion] = None

    def raise_any(self) -> None:
        """Raise InvalidInputError with all that was added."""
        if not self.count:
            return
        paths = list(dict.fromkeys(path for path, _ in self._shown))
        lines = [text if len(paths) == 1 else f"{show_path(path)}, {text}" for path, text in self._shown]
        more = self.count - len(self._shown)
        raise InvalidInputError(
            (f"{show_path(paths[0])}: " if len(paths) == 1 else "")
            + f"{self.count:,} bad cell{'s' if self.count > 1 else ''}: "
            + "; ".join(lines)
            + (f"; and {more:,} more" if more else ""),
            "nothing was changed" + self._advice(),
        )

    def _advice(self) -> str:
        maps = " ".join(f"--map {_quote(text)}" for text in self._maps)
        return f"; if that is what they mean: {maps}" if maps else ""


def _quote(text: str) -> str:
    import shlex

    return shlex.quote(text)
