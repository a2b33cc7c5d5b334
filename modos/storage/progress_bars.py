"""Show how far something has come, in a notebook or a terminal, to who asks for it by `progress=True`."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar, cast

from modos.errors import InvalidInputError

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class ProgressBar:
    """Bar of tqdm for bytes, which is drawn when the first arrive; several threads may advance it.

    Parameters
    ----------
    title
        Before the bar.
    """

    def __init__(self, title: str):
        self._make = _load_tqdm()
        self._title = title
        self._total: int | None = None
        self._bar: Any = None
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Advance by a number of bytes."""
        with self._lock:
            if self._bar is None:
                self._bar = self._make(desc=self._title, total=self._total, unit="B", unit_scale=True)
            self._bar.update(count)

    def expect(self, total: int) -> None:
        """Tell how many bytes there will be."""
        with self._lock:
            self._total = total
            if self._bar is not None:
                self._bar.total = total
                self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None


def show_progress(call: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Make a function whose `progress` may also be True, for a bar, or False, for none.

    Raises
    ------
    InvalidInputError
        tqdm is not installed (extra `notebook`).
    """
    names = list(signature(call).parameters)
    place = names.index("progress") if "progress" in names else None
    if place is None:
        return call

    @wraps(call)
    def call_with_bar(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        asked = named.get("progress", given[place] if len(given) > place else None)
        if not isinstance(asked, bool):
            return call(*given, **named)
        bar = ProgressBar(getattr(call, "__name__", "progress").replace("_", " ")) if asked else None
        result: _Result = _replace(call, given, named, place, bar)
        if bar is None:
            return result
        if isinstance(result, AbstractContextManager) and hasattr(result, "gen"):  # it works at the end of its block
            return cast(_Result, _close_after(result, bar))
        if isinstance(result, Iterator):
            return cast(_Result, _close_at_end(result, bar))
        bar.close()
        return result

    return call_with_bar


def _replace(call: Any, given: tuple[Any, ...], named: dict[str, Any], place: int, bar: ProgressBar | None) -> Any:
    """Call with a bar in the place of what was asked for; it is closed where that fails."""
    try:
        if len(given) > place:
            return call(*given[:place], bar, *given[place + 1 :], **named)
        return call(*given, **{**named, "progress": bar})
    except BaseException:
        if bar is not None:
            bar.close()
        raise


@contextmanager
def _close_after(block: AbstractContextManager[Any], bar: ProgressBar) -> Iterator[Any]:
    try:
        with block as value:
            yield value
    finally:
        bar.close()


def _close_at_end(found: Iterator[Any], bar: ProgressBar) -> Iterator[Any]:
    try:
        yield from found
    finally:
        bar.close()


def _load_tqdm() -> Any:
    """Load what draws: as a widget where the notebook has ipywidgets, else as text, and without a word about that."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        raise InvalidInputError(
            "tqdm is not installed", "pip install 'modos-store[notebook]', or give a function that takes numbers of bytes"
        ) from None
    return tqdm
