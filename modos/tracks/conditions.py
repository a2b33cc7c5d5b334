"""Conditions on numbers, such as less than or at most another number."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modos.errors import InvalidInputError

COMPARISONS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne}
_TEXT = re.compile(rf"({'|'.join(COMPARISONS)})\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True)
class Condition:
    """Values that are less than, at most, ... a number: `lt`, `le`, `gt`, `ge`, `eq`, `ne`."""

    comparison: str
    number: float

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            raise InvalidInputError(f"there is no comparison {self.comparison}", f"there are {', '.join(COMPARISONS)}")

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read `lt 0.5` or `lt0.5`; raise InvalidInputError for anything else."""
        found = _TEXT.fullmatch(text.strip())
        if not found:
            raise InvalidInputError(f"{text} is no condition", "write it like: lt 0.5 (for a negative number: -- lt -0.5)")
        number = float(found[2])
        if not math.isfinite(number):
            raise InvalidInputError(f"{text} is no condition: its number is too large")
        return cls(found[1], number)

    def test(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.bool]:
        """Return for which values the condition holds, in their precision, as bool of the same shape; not for NaN."""
        chosen: npt.NDArray[np.bool] = COMPARISONS[self.comparison](values, values.dtype.type(self.number)) & ~np.isnan(values)
        return chosen
