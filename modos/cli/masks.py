"""The commands `modos track mask` and `unmask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.input import check_dry_run, confirm
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import count, progress, say, show_json

if TYPE_CHECKING:
    from modos.tracks.conditions import Condition
    from modos.tracks.mask_files import MaskFile

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TRACK... [FILE | lt|le|gt|ge|eq|ne NUMBER]",
        help="Tracks; then BED, wiggle or bigWig with places, or a condition on the tracks' values.",
    ),
]


def mask(
    place: ObjectPath,
    words: WordsArgument = None,
    all_tracks: Annotated[bool, typer.Option("--all", help="All tracks; name none then.")] = False,
    scores: Annotated[
        str | None,
        typer.Option(
            "--scores",
            metavar="'lt 0.5'",
            help="Only places of the file with such a score: column 5 of BED, the value of wiggle and bigWig.",
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            "--values", metavar="'lt 0.5'", help="Where the tracks' own values are such; the same as the condition at the end."
        ),
    ] = None,
    hard: Annotated[bool, typer.Option("--hard", help="Remove the values for good, and those that are already masked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how many values are affected, and change nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result of --dry-run as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing.")] = False,
) -> None:
    """Mask places of tracks, which then have no value, in one commit; `unmask` undoes it.

    modos track mask data/ex coverage lt 0.5 --dry-run

    modos track mask data/ex coverage signal mappability.bed --scores 'lt 0.5'
    """
    from modos.errors import listing
    from modos.tracks.mask_files import MaskFile
    from modos.tracks.masking import count_masked, spans_of

    check_dry_run(json, dry_run)
    modo, verb = open_object(place), "removed" if hard else "masked"
    with progress("masking") as advance, modo.track_changes(advance) as tracks:
        names, rest = _tracks_and_rest(list(words or ()), tracks.names(), all_tracks)
        where = _parse_places(rest, scores, values)
        told, plan, found = [], [], []
        for name in names:
            track = tracks.open_track(name)
            spans = None if where is None else spans_of(track, where)
            values_in = 0 if spans is None else count_masked(track, spans)
            number = count(values_in, "value")
            unknown = where.find_unknown(track.contigs) if isinstance(where, MaskFile) else []
            found.append({"track": name, "values": values_in, "unknown_contigs": unknown})
            told.append((number, name, f"; not in the genome: {listing(unknown)}" if unknown else ""))
            plan += [f"  {number} of {name}, and those that are masked"] if hard else []
            if not dry_run:
                tracks.mask(name, spans, hard=hard)
        if not dry_run:
            confirm(plan, yes)
    if json:
        show_json(found)
        return
    for number, name, more in told:
        say(f"{number} of {name} {'would be ' if dry_run else ''}{verb}{more}")


def _tracks_and_rest(words: list[str], known: list[str], all_tracks: bool) -> tuple[list[str], list[str]]:
    """Split words into the tracks that are named and the words after them; the first word is always a track."""
    from modos.errors import InvalidInputError

    if all_tracks:
        if not known:
            raise InvalidInputError("the object has no tracks")
        return known, words
    if not words:
        raise InvalidInputError("no track is named", "name tracks, or give --all")
    named = 1
    while named < len(words) and words[named] in known:
        named += 1
    return list(dict.fromkeys(words[:named])), words[named:]


def _parse_places(words: list[str], scores: str | None, values: str | None) -> MaskFile | Condition | None:
    """Parse the places to mask: a file, with or without scores, or a condition on the tracks' values."""
    from modos.errors import InvalidInputError
    from modos.tracks.conditions import COMPARISONS, Condition
    from modos.tracks.mask_files import MaskFile

    is_condition = bool(words) and words[0] in COMPARISONS
    if len(words) > 1 and not is_condition:
        raise InvalidInputError(
            f"{' '.join(words)} is neither a file nor a condition",
            "a condition is written like: lt 0.5; tracks come first, and are named as `modos track list` does",
        )
    if values is not None and words:
        raise InvalidInputError("a file, or a condition, and --values exclude each other", "give one of them")
    if scores is not None and (is_condition or not words):
        raise InvalidInputError(
            "--scores is about the scores of a file, and none is given",
            "give a BED, wiggle or bigWig; the tracks' own values are tested by --values",
        )
    if values is not None or is_condition:
        return Condition.parse(values if values is not None else " ".join(words))
    return MaskFile(words[0], Condition.parse(scores) if scores is not None else None) if words else None


def unmask(place: ObjectPath, name: Annotated[str, typer.Argument(metavar="TRACK")]) -> None:
    """Let a track have all of its values again.

    modos track unmask data/ex coverage

    modos track unmask s3://my-bucket/ex coverage
    """
    modo = open_object(place)
    with progress("unmasking") as advance:
        modo.unmask_track(name, advance)
    say(f"{name} of {modo.storage.url} has no mask any more")
