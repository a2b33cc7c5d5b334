"""Set the permissions of new files and folders like those of what is there, whatever the umask.

Colleagues who share a folder have set its mode and group, and would be locked
out by the umask of one of them. Where a system does not take modes or groups
(exFAT, CIFS, a root that is squashed), its own choice stays.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from modos.errors import ConflictError
from modos.storage.system import read_attribute, sync_file, write_attribute

_ACL, _DEFAULT_ACL = "system.posix_acl_access", "system.posix_acl_default"
_PRUNED_MEANWHILE = 100  # times that the folder of a new file is made again, as others have removed it

Made = TypeVar("Made")


def create_file(path: Path, like: Path | None = None, *, flags: int = os.O_EXCL) -> int:
    """Open a new file to write; nobody else can read it before it has the mode that it keeps.

    Parameters
    ----------
    like
        The file that it is to replace: it gets that one's mode and group, and
        its owner where we may. Where there is none it follows its folder.
    flags
        Further ones of `os.open`.
    """
    model = _stat_file(like) if like is not None else None
    by_system = model is None and _has_default_acl(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o666 if by_system else 0o600)
    try:
        if not flags & os.O_EXCL and not may_go_on(os.fstat(descriptor), path.parent):
            raise ConflictError(f"{path} was replaced by somebody else meanwhile", "nothing was changed: try again")
        if model is not None and like is not None:
            _make_like(descriptor, like, model)
        elif not by_system:
            folder = os.stat(path.parent)
            _settle(descriptor, folder, file_mode(folder.st_mode))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def create_in(folder: Path) -> Iterator[tuple[int, Callable[[str], int]]]:
    """Open a folder, and give what creates files in it by their names, each as `create_file` does."""
    by_system = _has_default_acl(folder)
    with open_folder(folder) as opened:
        model = os.stat(opened)
        mode = file_mode(model.st_mode)

        def create(name: str) -> int:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_EXCL
            descriptor = os.open(name, flags, 0o666 if by_system else 0o600, dir_fd=opened)
            if not by_system:
                _settle(descriptor, model, mode)
            return descriptor

        yield opened, create


def may_go_on(status: os.stat_result, folder: Path) -> bool:
    """Return whether a part is a file, not a link, of ours or of the folder's owner, and has no other name."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid in (os.geteuid(), os.stat(folder).st_uid)


def create_output(path: Path, target: Path) -> int:
    """Open a new file that will be renamed to a target outside of objects: like that one, else by the umask."""
    if _stat_file(target) is not None:
        return create_file(path, target)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


@contextmanager
def replace_output(target: Path) -> Iterator[int]:
    """Replace a file outside of objects once it is complete; an existing file is replaced, and no link is followed."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    descriptor = create_output(part, target)
    try:
        yield descriptor
        sync_file(descriptor)
        os.replace(part, target)
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)


def file_mode(folder_mode: int) -> int:
    """Return the mode of a new file in a folder: readable and writable by those who can list and change that one."""
    mode = 0o600
    for shift in (3, 0):
        allowed = folder_mode >> shift & 7
        if allowed & 5 == 5:
            writes = allowed & 2 and not folder_mode & stat.S_ISVTX  # else what is in it is its owners' alone
            mode |= (6 if writes else 4) << shift
    return mode


def lock_mode(folder: Path) -> int:
    """Return the mode of a file that all who can write into a folder have to open."""
    return file_mode(os.stat(folder).st_mode & ~stat.S_ISVTX)


def _make_folders(folder: Path, root: Path) -> None:
    """Make a folder and those above it that are missing; each follows the one that it is in.

    The first that is made at or above the root follows the umask, as mkdir
    has it. But in one that a group shares (setgid, and it may write), that
    group may do in the new one what it may do there.

    Raises
    ------
    FileNotFoundError
        Somebody removed one of them meanwhile.
    """
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        is_top = path == missing[-1] and (path == root or path in root.parents)
        try:
            if is_top or _has_default_acl(path.parent):
                os.mkdir(path)
            else:
                _make_following(path)
        except FileExistsError:  # somebody else was faster
            if not stat.S_ISDIR(os.stat(path).st_mode):
                raise
        else:
            if is_top:
                _share_with_group(path)


def make_in_folder(path: Path, root: Path, make: Callable[[], Made]) -> Made:
    """Make a file and the folders that it is in; others may prune those while they are empty, so more than once."""
    for _ in range(_PRUNED_MEANWHILE):
        with suppress(FileNotFoundError):
            _make_folders(path.parent, root)
            return make()
    _make_folders(path.parent, root)
    return make()


def _make_following(path: Path) -> None:
    """Make a folder like the one that it is in; it is there with its mode or not at all, as others put files into it."""
    new = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.new")
    os.mkdir(new, 0o700)
    try:
        with open_folder(new) as descriptor:
            above = os.stat(path.parent)
            _settle(descriptor, above, above.st_mode & 0o3777)
        os.rename(new, path)
    except BaseException as error:
        os.rmdir(new)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        raise


def _share_with_group(path: Path) -> None:
    above = os.stat(path.parent)
    if above.st_mode & (stat.S_ISGID | stat.S_IWGRP) != stat.S_ISGID | stat.S_IWGRP or _has_default_acl(path.parent):
        return
    with open_folder(path) as descriptor:
        made = os.stat(descriptor)
        if made.st_gid == above.st_gid:
            _set_mode(descriptor, stat.S_IMODE(made.st_mode) & ~0o070 | above.st_mode & 0o2070, True)


@contextmanager
def open_folder(folder: Path) -> Iterator[int]:
    """Open a folder, which is no link, to work with what is in it by names."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_like(descriptor: int, other: Path, model: os.stat_result) -> None:
    acl = read_attribute(other, _ACL)
    keeps_group = _give(descriptor, model)
    if acl is not None and keeps_group and write_attribute(descriptor, _ACL, acl):
        return
    if read_attribute(descriptor, _ACL) is not None:  # of the folder
        write_attribute(descriptor, _ACL, None)
    _set_mode(descriptor, stat.S_IMODE(model.st_mode) & 0o777, keeps_group)


def _settle(descriptor: int, model: os.stat_result, mode: int) -> None:
    _set_mode(descriptor, mode, _give(descriptor, model))


def _give(descriptor: int, model: os.stat_result) -> bool:
    """Hand something over to an owner, where we may, and to a group; whether it is the group's now."""
    found = os.stat(descriptor)
    if found.st_uid != model.st_uid:
        with suppress(OSError):
            os.chown(descriptor, model.st_uid, model.st_gid)
            return True
    if found.st_gid != model.st_gid:
        try:
            os.chown(descriptor, -1, model.st_gid)
        except OSError:
            return False
    return True


def _set_mode(descriptor: int, mode: int, is_of_group: bool) -> None:
    """Set a mode; another group than the one that it was meant for gets no more than all others."""
    if not is_of_group:
        mode &= ~0o2070 | (mode & 0o007) << 3
    with suppress(OSError):
        os.chmod(descriptor, mode)


def _stat_file(path: Path) -> os.stat_result | None:
    with suppress(OSError):
        found = os.stat(path)
        return found if stat.S_ISREG(found.st_mode) else None
    return None


def _has_default_acl(folder: Path) -> bool:
    return read_attribute(folder, _DEFAULT_ACL) is not None
