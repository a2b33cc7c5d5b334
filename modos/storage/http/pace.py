"""Give up on answers that come too slowly."""

from __future__ import annotations

PATIENCE = 60.0  # seconds of waiting, in which
LEAST = 1 << 16  # bytes have to come; a whole answer that is smaller has to come in that time


class Pace:
    """Bytes that came of an answer and the seconds spent waiting for them; time spent on processing them does not count."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Count from here on."""
        self._waited, self._came = 0.0, 0

    def note(self, came: int, waited: float) -> None:
        """Count bytes and seconds; raise TimeoutError if it is too slow."""
        self._came += came
        self._waited += waited
        if self._waited < PATIENCE:
            return
        if self._came < LEAST:
            raise TimeoutError(f"only {self._came:,} bytes came in {self._waited:.0f} s")
        self.begin()
