"""Every error of modos is an OSError for users of fsspec, with its message, its hint and a number."""

from __future__ import annotations

import errno

import pytest

from modos import errors
from modos.filesystem.failures import as_os_error, translate

KINDS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ModosError)]
NUMBERS = {
    errors.NotFoundError: errno.ENOENT,
    errors.ConflictError: errno.ESTALE,
    errors.IntegrityError: errno.EIO,
    errors.InvalidInputError: errno.EINVAL,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_one_of_the_system(kind):
    with pytest.raises(OSError) as caught, translate():
        raise kind("what is wrong", "what to do")
    raised = caught.value
    assert isinstance(raised, errors.ModosError) and (raised.message, raised.hint) == ("what is wrong", "what to do")
    assert str(raised) == "what is wrong (what to do)"
    for base, number in NUMBERS.items():
        if issubclass(kind, base):
            assert raised.errno == number and isinstance(raised, base) and isinstance(raised.__cause__, kind)
    if issubclass(kind, errors.NotFoundError):
        assert isinstance(raised, FileNotFoundError)
    else:
        assert not isinstance(raised, KeyError | FileNotFoundError)  # which zarr takes for a chunk that was left out
    if issubclass(kind, errors.AccessError):
        assert isinstance(raised, PermissionError)


def test_an_error_of_the_system_stays_what_it_is():
    error = errors.TransportError("gone")
    assert as_os_error(error) is error
    with pytest.raises(ZeroDivisionError), translate():
        raise ZeroDivisionError
