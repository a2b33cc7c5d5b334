"""Entries of the log: a read that began, what it came to, and who looked at the log itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

SENT, GRANTED, ENDED, REFUSED = "sent", "granted", "ended", "refused"
SHOWN, EXPORTED = "shown", "exported"

_encode = json.JSONEncoder(separators=(",", ":")).encode
Entry = dict[str, Any]
Region = tuple[str, int, int | None]  # contig, start, end; 0-based, half-open, without an end to that of the contig


def entry_to_line(entry: Mapping[str, Any]) -> bytes:
    """Format an entry as a line of JSON in ASCII, without its line end; what is None is left out."""
    present = {name: value for name, value in entry.items() if value is not None}
    return _encode(present).encode("ascii")


def iter_entries_of(content: bytes) -> Iterator[Entry | None]:
    """Iterate over the entries of a frame; None stands for a line that is none."""
    for line in content.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            yield None
            continue
        yield found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def now_in_text() -> str:
    """Return the time by this machine's clock (UTC), to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def concerns_sample(entry: Mapping[str, Any], sample: str) -> bool:
    """Return whether an entry is about a sample: its samples name it, or it may be about any below a place."""
    samples = _texts(entry.get("samples"))
    named = sample in (*samples, *_texts(entry.get("names"))) or any(one.endswith(f"/{sample}") for one in samples)
    return named or (entry.get("samples") is None and "samples" in _texts(entry.get("unknown")) and entry.get("event") != ENDED)


def concerns_object(entry: Mapping[str, Any], key: str) -> bool:
    """Return whether an entry is about an object or a file, or about a place that it is in."""
    key = key.strip("/")
    for place in (entry.get("object"), entry.get("file"), entry.get("below")):
        if isinstance(place, str) and (key == place or place.startswith(f"{key}/")):
            return True
    below = entry.get("below")
    return isinstance(below, str) and (not below or key.startswith(f"{below}/"))


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
