"""All readers of foreign data, by name."""

from __future__ import annotations

from . import binary_readers, text_readers

TARGETS = {target.name: target for target in (*text_readers.TARGETS, *binary_readers.TARGETS)}
