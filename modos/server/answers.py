"""JSON responses in which strangers' text cannot control a terminal."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from modos.errors.escaping import escape_text


class JsonAnswer(JSONResponse):
    r"""The same JSON, with the characters that `hidden` tells of as `\u009b`."""

    def render(self, content: Any) -> bytes:
        """Return the answer as JSON."""
        return escape_text(super().render(content).decode()).encode()
