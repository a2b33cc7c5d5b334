"""The commands of `modos log`, which verify a read log and tell who read what."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.output import count, options, say, show, show_json, show_lines, warn
from modos.cli.secrets import PassphraseOption

if TYPE_CHECKING:
    from modos.readlog.log_verification import Chain, Verification
    from modos.storage import Storage

app = typer.Typer()
_NAMED = ("only", "range", "via", "behalf", "purpose", "wanted", "request", "id", "broken")  # what is shown with its name

PlaceArgument = Annotated[str, typer.Argument(metavar="DIR|s3://BUCKET/PREFIX", help="The place of the log.")]
_SECRET = typer.Option("--secret-key", "-s", metavar="FILE", help="The data protection officer's secret key.")
SampleOption = Annotated[str | None, typer.Option("--sample", metavar="ID", help="Only what is, or may be, about this sample.")]
ObjectOption = Annotated[str | None, typer.Option("--object", metavar="KEY", help="Only what is about this object or file.")]
UserOption = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only what they have read, or others for them.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this time on, such as 2026-11-27 (UTC).")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time.")]


def _open(place: str) -> Storage:
    from modos.readlog.log_places import open_log_place

    return open_log_place(place.rstrip("/") or place, options.s3_kwargs)


@app.command()
def verify(
    place: PlaceArgument,
    secret_key: Annotated[Path | None, _SECRET] = None,
    passphrase_file: PassphraseOption = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head", metavar="FILE|HEAD", help="Heads that were noted before, from which the log must go on; several times."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify that nothing of a log was changed, swapped, cut off or taken away; prints the head of each chain.

    Without the officer's key only the digests are compared, which anybody who can write the log can make anew.

    modos log verify logs

    modos log verify -s dpo.sec --head heads.txt s3://audit/modos
    """
    from modos.cli.secrets import load_optional_secret
    from modos.errors import IntegrityError, NotFoundError
    from modos.readlog.heads import read_noted
    from modos.readlog.log_contents import check_sealed_for
    from modos.readlog.log_verification import verify as verify_log

    secret = load_optional_secret(secret_key, passphrase_file)
    noted = [one for given in head or () for one in read_noted(given)]
    storage = _open(place)
    if secret:
        check_sealed_for(storage, secret)
    found = verify_log(storage, secret, noted)
    if not found.chains and not found.problems:
        raise NotFoundError(f"there is no read log at {place}")
    if as_json:
        show_json(_to_json(found))
    else:
        show_lines(str(chain.head) for chain in found.chains if chain.head)
        _tell(found)
    if found.problems:
        raise IntegrityError(f"the log of {place} is not whole: {count(len(found.problems), 'problem')}")


def _tell(found: Verification) -> None:
    """Tell what was found, on stderr."""
    for chain in found.chains:
        (warn if chain.locked else say)(f"{chain.name}: {_describe(chain, found)}")
    for name, text in found.gone.items():
        say(f"{name}: {text}")
    for problem in found.problems:
        warn(problem)
    if not found.has_contents:
        say("the seals were not looked at: give the officer's key (-s)")


def _describe(chain: Chain, found: Verification) -> str:
    entries = f", {count(chain.entries, 'entry').replace('entrys', 'entries')}" if found.has_contents else ""
    ended = "closed" if chain.state == "closed" else f"not closed after frame {chain.frames - 1:,}"
    torn = f", then {count(chain.torn, 'byte')} of a write that was broken off" if chain.torn else ""
    locked = f", {count(chain.locked, 'segment')} sealed for another key" if chain.locked else ""
    deleted = f", the first {chain.deleted:,} deleted for their age" if chain.deleted else ""
    return f"{count(chain.frames, 'frame')}{deleted}{entries}, {ended}{torn}{locked}"


def _to_json(found: Verification) -> dict[str, Any]:
    chains = [vars(chain) | {"head": str(chain.head) if chain.head else None} for chain in found.chains]
    return {"problems": found.problems, "sealed": found.has_contents, "chains": chains, "gone": found.gone}


@app.command("show")
def show_reads(
    place: PlaceArgument,
    *,
    secret_key: Annotated[Path, _SECRET],
    passphrase_file: PassphraseOption = None,
    sample: SampleOption = None,
    object: ObjectOption = None,
    user: UserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an entry a line.")] = False,
) -> None:
    """Show who read what, in the order of time; the log is told of it.

    modos log show -s dpo.sec logs --sample sample/sample1

    modos log show -s dpo.sec s3://audit/modos --user alice --since 2026-11-01 --json
    """
    import json

    from modos.cli.secrets import load_secret
    from modos.readlog.log_contents import Look, Wanted
    from modos.readlog.read_entries import SHOWN

    secret = load_secret(secret_key, passphrase_file)
    look = Look(_open(place), secret, SHOWN, Wanted(sample, object, user, since, until))
    for entry in look:
        if as_json:
            show(json.dumps(entry))
        else:
            show_lines([_line_of(entry)])
    _end(place, look.found, look.damaged, look.is_logged)


@app.command()
def export(
    place: PlaceArgument,
    *,
    secret_key: Annotated[Path, _SECRET],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    passphrase_file: PassphraseOption = None,
    sample: SampleOption = None,
    object: ObjectOption = None,
    user: UserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Export entries as JSON, one a line; the log is told of it.

    modos log export -s dpo.sec logs -o reads.jsonl

    modos log export -s dpo.sec logs -o alice.jsonl --user alice
    """
    import json
    import os

    from modos.cli.secrets import load_secret
    from modos.errors import NotFoundError
    from modos.readlog.log_contents import Look, Wanted
    from modos.readlog.read_entries import EXPORTED
    from modos.storage.local_files import translate_errors
    from modos.storage.modes import replace_output

    if not output.parent.is_dir():
        raise NotFoundError(f"no folder {output.parent}")
    secret, number = load_secret(secret_key, passphrase_file), 0
    with translate_errors(output), replace_output(output) as descriptor:
        os.fchmod(descriptor, 0o600)
        look = Look(_open(place), secret, EXPORTED, Wanted(sample, object, user, since, until))
        with os.fdopen(os.dup(descriptor), "w", encoding="ascii") as file:
            for entry in look:
                file.write(json.dumps(entry) + "\n")
                number += 1
    say(f"exported {number:,} entries of {place} to {output}")
    _end(place, look.found, look.damaged, look.is_logged)


def _end(place: str, found: Verification, damaged: int, is_logged: bool) -> None:
    """Tell, after the entries, what is wrong with the log."""
    from modos.errors import IntegrityError

    if not is_logged:
        warn("the log was not told of this: its place cannot be written")
    if damaged:
        warn(f"{damaged:,} entries cannot be read")
    for problem in found.problems:
        warn(problem)
    if found.problems:
        raise IntegrityError(f"the log of {place} is not whole: {count(len(found.problems), 'problem')}", "see modos log verify")


def _line_of(entry: Mapping[str, Any]) -> str:
    """Write an entry for people; whatever stands in it, it is one line."""
    who = str(entry.get("caller") or "anybody")
    if groups := _list(entry.get("groups")):
        who += f" ({', '.join(groups)})"
    words = [str(entry.get("time")), str(entry.get("event")), who if entry.get("event") != "ended" else ""]
    words.append(str(entry.get("file") or entry.get("below") or entry.get("path") or ""))
    if isinstance(regions := entry.get("regions"), list):
        words.append(", ".join(map(_format_region, regions)) or "no region")
    unsure = " or others" if "samples" in _list(entry.get("unknown")) else ""
    words.append(", ".join(_list(entry.get("samples"))) + unsure)
    words += [f"{entry[name]:,} {name}" for name in ("records", "bytes") if isinstance(entry.get(name), int)]
    words = [_mark(word) for word in words if word]
    words += [f"{name}={_mark(_format_value(entry[name]))}" for name in _NAMED if entry.get(name)]
    return "  ".join(words)


def _mark(text: str) -> str:
    """Quote a text that could be taken for several, as blanks are between these: others say it of themselves."""
    return dumps(text, ensure_ascii=False) if text.startswith('"') or text != " ".join(text.split()) else text


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {', '.join(_list(given)) or given or 'none'}" for name, given in value.items())
    return str(value)


def _list(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _format_region(value: Any) -> str:
    """Write a region, 1-based and inclusive."""
    match value:
        case [str(contig), int(start), int(end)]:
            return f"{contig}:{start + 1:,}-{end:,}"
        case [str(contig), 0, None]:
            return contig
        case [str(contig), int(start), None]:
            return f"{contig}:{start + 1:,}-"
    return str(value)
