"""Readers of binary formats."""

from __future__ import annotations

from .trying import Target

TARGETS: list[Target] = []
