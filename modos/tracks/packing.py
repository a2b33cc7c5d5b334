"""Pack values into small integers where that loses nothing.

Values that are all k/10^d are kept as the integers k, and read as k divided
by 10^d in single precision: division rounds correctly, so what comes out is
the float that the decimal text stands for; multiplication by 10^-d would not be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modos.storage.processes.forking import cached_property
from modos.tracks.data import Floats

_MAX_DECIMALS = 6


@dataclass(frozen=True)
class Packing:
    """Encoding of the values of a track as numbers.

    Parameters
    ----------
    dtype
        `int8`, `int16` or `float32`; `int32` for runs.
    decimals
        Values are integers divided by 10^decimals; without meaning for
        `float32`.
    """

    dtype: str
    decimals: int = 0

    @property
    def is_integer(self) -> bool:
        """Return whether integers stand for the values."""
        return self.dtype != "float32"

    @property
    def missing(self) -> int | float:
        """Number that stands for no value: the least integer, or NaN."""
        return int(np.iinfo(self.dtype).min) if self.is_integer else np.nan

    @property
    def negative_zero(self) -> int:
        """The integer that stands for -0.0: the second least."""
        return int(np.iinfo(self.dtype).min) + 1

    @property
    def limit(self) -> int:
        """The largest integer that is used, by magnitude."""
        return int(np.iinfo(self.dtype).max) - 1

    def to_attributes(self) -> dict[str, Any]:
        """Return the attributes that a reader needs."""
        if not self.is_integer:
            return {}
        return {"divisor": 10**self.decimals, "missing": self.missing, "negative_zero": self.negative_zero}

    @classmethod
    def from_attributes(cls, dtype: str, attributes: Mapping[str, Any]) -> Packing:
        """Read what `to_attributes` gives."""
        return cls(dtype, len(str(attributes["divisor"])) - 1) if "divisor" in attributes else cls("float32")

    @cached_property
    def _table(self) -> Floats:
        count = 1 << 8 * np.dtype(self.dtype).itemsize
        return self._divide(np.arange(count, dtype=f"u{self.dtype}").view(self.dtype))

    def _divide(self, numbers: np.ndarray) -> Floats:
        if self.dtype == "int32":
            values = (numbers / 10.0**self.decimals).astype(np.float32)
        else:
            values = numbers.astype(np.float32) / np.float32(10**self.decimals)
        values[numbers == self.missing] = np.nan
        values[numbers == self.negative_zero] = -0.0
        return values

    def unpack(self, numbers: np.ndarray, out: Floats | None = None) -> Floats:
        """Decode stored numbers to the values they stand for: the same shape, float32, NaN if there is none."""
        if not self.is_integer:
            if out is None:
                return numbers
            out[:] = numbers
            return out
        values: Floats
        if self.dtype == "int32":
            values = self._divide(numbers)
            if out is None:
                return values
            out[:] = values
            return out
        if numbers.size and numbers.min() > self.negative_zero:
            values = np.divide(numbers, np.float32(10**self.decimals), out=out)
            return values
        return np.take(self._table, numbers.view(f"u{self.dtype}"), out=out, mode="clip")

    def pack(self, values: Floats) -> np.ndarray | None:
        """Encode float32 values as numbers of the packing's dtype, in the same shape; None if they do not fit without loss."""
        if not self.is_integer:
            return values.astype(np.float32, copy=False)
        scaled = np.multiply(values, 10.0**self.decimals, dtype=np.float64)
        np.rint(scaled, out=scaled)
        absent = np.isnan(values)
        scaled[absent] = 0
        if len(scaled) and not max(scaled.max(), -scaled.min()) <= self.limit:
            return None
        numbers = scaled.astype(self.dtype)
        numbers[(values == 0) & np.signbit(values)] = self.negative_zero
        numbers[absent] = self.missing
        return numbers if are_same_values(self.unpack(numbers), values) else None

    def pack_fitting(self, values: Floats) -> np.ndarray:
        """Encode values that are known to fit as numbers of the packing's dtype, in the same shape; see `pack`."""
        numbers = self.pack(values)
        assert numbers is not None
        return numbers


def are_same_values(left: Floats, right: Floats) -> bool:
    """Return whether two arrays of float32 have the same bits; one NaN is as good as another."""
    differing = left.view(np.uint32) != right.view(np.uint32)
    return not differing.any() or bool(np.isnan(left[differing]).all() and np.isnan(right[differing]).all())


def find_packing(values: Floats, known: Packing | None = None, widths: tuple[str, ...] = ("int8", "int16")) -> Packing:
    """Find the smallest packing that fits some values, and those that had another packing before.

    Parameters
    ----------
    values
        float32, (n,).
    known
        That of the values before these.
    widths
        The integers that may be used, smallest first.
    """
    if known and not known.is_integer:
        return known
    first = known.decimals if known else 0
    sample = values[:: max(len(values) // 256, 1)]
    for decimals in range(first, _MAX_DECIMALS + 1):
        for width in widths:
            packing = Packing(width, decimals)
            if packing.pack(sample) is not None and packing.pack(values) is not None:
                return packing
    return Packing("float32")
