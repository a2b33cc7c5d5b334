"""The commands `modos check` and `upgrade`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modos.cli.completion import complete_object
from modos.cli.input import confirm
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import count, options, progress, say, show_json, show_lines, size, warn
from modos.cli.secrets import PassphraseOption, load_optional_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modos.errors import NotFoundError
    from modos.object.findings import Finding
    from modos.object.modo import MODO
    from modos.object.recording import Recording
    from modos.object.repair_plan import RepairPlan
    from modos.object.sampling import Sampler

_RESTORE = "heal it from a copy (`modos check {} --repair-from COPY`), restore files, or correct elements with `modos update`"


def check(
    path: ObjectPath,
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove what interrupted changes left, and write lists of digests anew; nothing else.")
    ] = False,
    checksums: Annotated[
        bool, typer.Option("--checksums/--quick", help="Read every file, or some parts of each, chosen at random.")
    ] = True,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=0, help="With --quick: parts of each file to read (default 200).")
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Read all records, and verify that the indexes find each.")
    ] = False,
    repair_from: Annotated[
        str | None,
        typer.Option(
            "--repair-from",
            metavar="COPY",
            autocompletion=complete_object,
            help="Heal what is damaged or missing from a copy: an object, a folder or a prefix.",
        ),
    ] = None,
    digests: Annotated[
        bool,
        typer.Option("--digests", help="Record digests of files and arrays that have none, if they are what the object says."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair-from: show what would be healed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --repair-from: do not ask.")] = False,
    secret_key: Annotated[
        Path | None,
        typer.Option("--secret-key", metavar="FILE", help="Secret key to check the indexes of encrypted files with."),
    ] = None,
    passphrase_file: PassphraseOption = None,
    hours: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="HOURS",
            min=0,
            help="Count changes of other machines and containers as interrupted after so many hours without a sign.",
        ),
    ] = 24.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check an object: its metadata, every byte of its files, and what interrupted changes left.

    modos check data/ex

    modos check s3://my-bucket/ex --quick --fix

    modos check data/ex --repair-from s3://my-bucket/ex
    """
    from modos.errors import NotFoundError

    _refuse_misfits(checksums, sample, repair_from, digests, dry_run, yes)
    try:
        modo = open_object(path)
    except NotFoundError as error:
        _check_rest(path, fix, hours, json, error)
        return
    sampler = None if checksums or sample == 0 else _make_sampler(sample)
    told: dict[str, Any] = {}
    plan = _repair(modo, repair_from, dry_run, yes, json, told) if repair_from else None
    if dry_run:
        return
    recording = _record(modo, told) if digests else None
    with progress("reading files") as advance:
        findings = modo.find_problems(
            checksums=checksums,
            thorough=thorough,
            limit=hours * 3600,
            progress=advance,
            secret_key=load_optional_secret(secret_key, passphrase_file),
            sampler=sampler,
            verified=_verified(plan, recording),
        )
    if sampler:
        told["sample"] = sampler.to_dict()
    if json:
        listed = [finding.to_dict() for finding in findings]
        show_json(told | {"findings": listed} if told else listed)
    elif findings:
        show_lines(findings)
    if sampler:
        _tell_sample(sampler)
    _conclude(modo, findings, fix, hours, is_whole=sampler.is_whole if sampler else checksums)


def _refuse_misfits(
    checksums: bool, sample: int | None, repair_from: str | None, digests: bool, dry_run: bool, yes: bool
) -> None:
    from modos.errors import InvalidInputError

    if sample is not None and checksums:
        raise InvalidInputError("--sample goes with --quick")
    if (dry_run or yes) and not repair_from:
        raise InvalidInputError(f"{'--dry-run' if dry_run else '--yes'} goes with --repair-from")
    if repair_from and digests:
        raise InvalidInputError("--repair-from and --digests exclude each other", "heal first, by the digests that are recorded")


def _make_sampler(parts: int | None) -> Sampler:
    from modos.object.sampling import PARTS, Sampler

    return Sampler(parts or PARTS)


def _verified(plan: RepairPlan | None, recording: Recording | None) -> set[str]:
    """Return the elements whose files have just been read, and fit."""
    return (plan.compared if plan else set()) | set(recording.recorded if recording else ())


def _repair(modo: MODO, copy: str, dry_run: bool, yes: bool, json: bool, told: dict[str, Any]) -> RepairPlan:
    """Heal an object from a copy, after asking."""
    from modos.errors import IntegrityError

    with progress("comparing files") as advance:
        plan = modo.plan_repair(copy, **options.where, progress=advance)
    lines = [f"heal {mending}" for mending in plan.mendings]
    if dry_run:
        show_json(plan.to_dict()) if json else show_lines(lines)
        _tell_left(plan)
        if not lines and not plan.left:
            say(f"nothing to heal in {modo.storage.url}")
        if plan.left:
            raise IntegrityError(f"not all of {modo.storage.url} can be healed from {copy}", "try another copy for the rest")
        return plan
    confirm(lines, yes, verbs=("heal", "healed"))
    with progress("healing") as advance:
        healed = plan.heal(advance)
    told |= plan.to_dict() | {"repairs": [mending.to_dict() for mending in healed]}
    for mending in healed:
        say(f"healed {mending}")
    _tell_left(plan)
    if not lines and not plan.left:
        say(f"nothing to heal in {modo.storage.url}")
    return plan


def _tell_left(plan: RepairPlan) -> None:
    for element_id, message in plan.left:
        warn(f"{element_id}: {message}")
    for element_id in plan.skipped:
        say(f"{element_id} has no digests, by which it could be healed")


def _record(modo: MODO, told: dict[str, Any]) -> Recording:
    with progress("reading files") as advance:
        recording = modo.record_digests(advance)
    told |= {name: value for name, value in recording.to_dict().items() if name != "findings"}
    _tell_recorded(recording)
    return recording


def _tell_recorded(recording: Recording) -> None:
    for element_id, message in recording.unproven:
        warn(f"{element_id}: {message}")
    for element_id in recording.recorded:
        say(f"recorded digests of {element_id}")


def _tell_sample(sampler: Sampler) -> None:
    """Say what was read, and what may have been missed."""
    what = (
        " and ".join(
            count(n, kind) for n, kind in ((sampler.files, "file"), (sampler.arrays, "array"), (sampler.trees, "tree")) if n
        )
        or "0 files"
    )
    say(f"read {count(sampler.read, 'part')} of {what}, {size(sampler.size)}")
    for element_id in sampler.skipped:
        say(f"{element_id} was not sampled: no digests of its parts are recorded (`modos check --digests` records them)")
    if sampler.is_whole:
        return
    chance = 100 * sampler.chance_missed(0.01)
    say(f"damage of 1 % of a file is missed with a chance of {chance:.2g} %")


def _conclude(modo: MODO, findings: Sequence[Finding], fix: bool, hours: float, *, is_whole: bool) -> None:
    """Mend what can be mended, and say what the object is now; raise IntegrityError if it is not whole.

    Parameters
    ----------
    is_whole
        Whether all bytes were compared.
    """
    from modos.errors import IntegrityError

    fixable = [finding for finding in findings if finding.fixable]
    damaged = [finding for finding in findings if not finding.harmless]
    if fix and fixable:
        with progress("reading files") as advance:
            left = modo.mend(fixable, advance, limit=hours * 3600)
        damaged = [finding for finding in damaged if not finding.fixable] + left
        say(f"mended {count(len(fixable) - len(left), 'finding')}")
        for finding in left:
            say(str(finding))
    if damaged:
        can_fix = all(finding.fixable for finding in damaged)
        raise IntegrityError(
            f"{modo.storage.url} is not what its metadata say: {count(len(damaged), 'problem')}",
            "--fix mends that" if can_fix else _RESTORE.format(modo.storage.url),
        )
    if fixable and not fix:
        say("the object is whole; --fix removes what interrupted changes left")
    elif not findings:
        state, what = "is whole" if is_whole else "shows no damage", [count(len(modo.metadata) - 1, "element")]
        if modo.storage.can_list:
            what.append(count(len(modo.list_files()), "file"))
        say(f"{modo.storage.url} {state}: {', '.join(what)}")


def _check_rest(path: str, fix: bool, hours: float, json: bool, missing: NotFoundError) -> None:
    """Show, and remove, what was left if there is no object."""
    from modos.object.modo import MODO

    findings = MODO.find_rest(path, options.endpoint, None, options.s3_kwargs, older_than=hours, fix=fix)
    if not findings:
        raise missing
    if json:
        show_json([finding.to_dict() for finding in findings])
    else:
        show_lines(findings)
    if not fix:
        missing.hint = "making, copying or removing it was interrupted: do that again, or remove what was left with --fix"
        raise missing
    say(f"removed what was left of an object at {path}")


def upgrade(path: ObjectPath) -> None:
    """Upgrade an object to this version: the layout of Zarr v2, and digests of its files and arrays.

    Programs that read only Zarr v2, such as sdsc-ordes modos 0.3.4, can no longer read it.

    modos upgrade data/old

    modos --endpoint http://localhost upgrade s3://modos-demo/old
    """
    from modos.errors import IntegrityError

    modo = open_object(path)
    with progress("reading files") as advance:
        recording = modo.upgrade(advance)
    _tell_recorded(recording)
    say(f"{modo.storage.url} has the layout of this version")
    if recording.findings:
        show_lines(recording.findings)
        raise IntegrityError(
            f"no digests of {count(len(recording.findings), 'file')} were recorded, as they are not what the metadata say",
            "restore the files, and record them with `modos check --digests`",
        )
