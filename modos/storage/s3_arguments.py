"""The arguments of s3fs, also by the names that obstore has for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from modos.errors import InvalidInputError, did_you_mean

SKIP_SIGNATURE_VARIABLE = "AWS_SKIP_SIGNATURE"
_OBSTORE = {"access_key_id": "key", "secret_access_key": "secret", "session_token": "token", "skip_signature": "anon",
            "endpoint": "endpoint_url"}
_OTHER = {"renew", "profile", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def as_s3fs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of s3fs.S3FileSystem, of its own or of obstore's; `region` and `allow_http` among them.

    Raises
    ------
    InvalidInputError
        One is known to neither, or is given by both names.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        plain = str(name).lower().removeprefix("aws_")
        if plain == "allow_http" and is_true(value, plain):
            continue  # the address says it
        if plain == "region":
            found["client_kwargs"] = dict(given.get("client_kwargs") or {}, region_name=value)
            continue
        ours = _OBSTORE.get(plain, str(name))
        if ours == "client_kwargs" and "client_kwargs" in found:
            continue
        if ours in found:
            raise InvalidInputError(f"{name} is given twice among the arguments of S3: it is {ours}", "give one of them")
        if ours not in _known():
            near = did_you_mean(ours, _known())
            raise InvalidInputError(f"there is no argument {name} of S3", f"did you mean {near}?" if near else "s3_kwargs are those of s3fs")
        found[ours] = is_true(value, plain) if plain == "skip_signature" else value
    if "skip_signature" in {str(name).lower().removeprefix("aws_") for name in given} and not found["anon"]:
        del found["anon"]  # as if nothing was said: there may be no keys all the same
    return found


def anonymous_arguments() -> dict[str, Any] | None:
    """What `AWS_SKIP_SIGNATURE` asks for; None where it does not."""
    return {"anon": True} if is_true(os.environ.get(SKIP_SIGNATURE_VARIABLE, ""), SKIP_SIGNATURE_VARIABLE) else None


def is_s3_argument(name: Any) -> bool:
    """Whether something is called so among the arguments of S3."""
    plain = str(name).lower().removeprefix("aws_")
    return plain in _OBSTORE or plain in ("region", "allow_http", "key", "secret", "token", "anon", "endpoint_url", "client_kwargs", "config_kwargs")


def is_true(value: Any, name: str) -> bool:
    """The truth that a text, or a truth value, stands for."""
    text = str(value).strip().lower()
    if text not in _TRUE + _FALSE:
        raise InvalidInputError(f"{name} is {text[:40]!r}, which is neither true nor false", "write true or false")
    return text in _TRUE


def _known() -> set[str]:
    import inspect

    from s3fs import S3FileSystem

    return {name for name in inspect.signature(S3FileSystem.__init__).parameters if name not in ("self", "kwargs")} | _OTHER
