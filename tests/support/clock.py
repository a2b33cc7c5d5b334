"""The time of day of this process, which a test moves instead of waiting; what is measured in it goes on as it does."""

from __future__ import annotations

import time
from datetime import datetime

import pytest


class Clock:
    """Clock that is so many seconds `ahead`, for what asks `time.time` and for what PyJWT takes for now."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.ahead = 0.0
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)

        class Moved(datetime):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(time.time(), tz)

        monkeypatch.setattr("jwt.api_jwt.datetime", Moved)
