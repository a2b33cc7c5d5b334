"""Readers of binary formats."""

from __future__ import annotations

from . import genomic_readers, sealed_readers, track_readers

TARGETS = [*genomic_readers.TARGETS, *track_readers.TARGETS, *sealed_readers.TARGETS]
