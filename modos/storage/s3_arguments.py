"""Arguments of s3fs, also under the names that obstore has for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from modos.errors import AccessError, InvalidInputError, did_you_mean

SKIP_SIGNATURE_VARIABLE = "AWS_SKIP_SIGNATURE"
_OBSTORE = {
    "access_key_id": "key",
    "secret_access_key": "secret",
    "session_token": "token",
    "skip_signature": "anon",
    "endpoint": "endpoint_url",
    "region": "region",
    "allow_http": "allow_http",
}
_SECRETS = ("secret", "token", "password", "session", "renew", "customerkey")  # in names of what is not pickled
_OTHER = {"renew", "profile", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def as_s3fs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of s3fs.S3FileSystem from its own or obstore's; `region` and `allow_http` among them.

    Raises
    ------
    InvalidInputError
        One is known to neither, or is given by both names.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        plain = _plain(name)
        ours = _OBSTORE.get(plain, str(name))
        if ours in found:
            raise InvalidInputError(f"{name} is given twice among the arguments of S3: it is {ours}", "give one of them")
        if plain == "skip_signature" and not is_true(value, plain):
            continue  # there may be no keys all the same
        found[ours] = True if plain == "skip_signature" else value
    if is_true(found.get("allow_http", ""), "allow_http"):
        del found["allow_http"]  # the address says it
    if region := found.pop("region", None):
        found["client_kwargs"] = {**(found.get("client_kwargs") or {}), "region_name": region}
    _check_known(found)
    return found


def _check_known(names: Iterable[str]) -> None:
    import inspect

    from s3fs import S3FileSystem

    known = {name for name in inspect.signature(S3FileSystem.__init__).parameters if name not in ("self", "kwargs")} | _OTHER
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise InvalidInputError(
                f"there is no argument {name} of S3", f"did you mean {near}?" if near else "s3_kwargs are those of s3fs"
            )


def check_no_secrets(given: Mapping[str, Any] | None) -> None:
    """Refuse arguments of s3fs that are not to be in a pickle.

    Raises
    ------
    AccessError
        There are secrets in them.
    """
    kept = {name: value for name, value in (given or {}).items() if not getattr(value, "is_pickled_without_secrets", False)}
    parts = (kept, *(kept.get(name) or {} for name in ("client_kwargs", "s3_additional_kwargs")))
    names = {str(name).lower() for part in parts for name in part}
    if any(word in name for name in names for word in _SECRETS):
        raise AccessError(
            "what was opened with keys of S3 is not pickled: they would be in the pickle",
            "open it without s3_kwargs, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which the "
            "processes inherit that are started",
        )


def anonymous_arguments() -> dict[str, Any] | None:
    """Return the arguments that `AWS_SKIP_SIGNATURE` asks for; None if it does not."""
    return {"anon": True} if is_true(os.environ.get(SKIP_SIGNATURE_VARIABLE, ""), SKIP_SIGNATURE_VARIABLE) else None


def is_s3_argument(name: Any) -> bool:
    """Return whether something is called so among the arguments of S3, and is no service."""
    return _plain(name) in {*_OBSTORE, *_OBSTORE.values(), "client_kwargs", "config_kwargs", "profile"}


def is_true(value: Any, name: str) -> bool:
    """Return the truth that a text, or a truth value, stands for."""
    text = str(value).strip().lower()
    if text not in _TRUE + _FALSE:
        raise InvalidInputError(f"{name} is {text[:40]!r}, which is neither true nor false", "write true or false")
    return text in _TRUE


def _plain(name: Any) -> str:
    return str(name).lower().removeprefix("aws_")
