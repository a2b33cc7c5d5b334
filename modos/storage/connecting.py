"""Set up s3fs for a server, with the credentials at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modos.storage.s3_arguments import anonymous_arguments, as_s3fs, check_no_secrets

if TYPE_CHECKING:
    import asyncio

    from modos.storage.event_loop import Filesystem

POOL = 32  # connections to a server that are kept


def open_filesystem(endpoint_url: str | None, s3_kwargs: dict[str, Any] | None) -> Filesystem:
    """Open an s3fs.S3FileSystem that signs with v4, keeps no listings, and leaves checksums to its caller."""
    from modos.storage.event_loop import Filesystem

    filesystem = Filesystem(_Opener(endpoint_url, s3_kwargs))
    filesystem.get()  # what is wrong with the arguments is said now
    return filesystem


@dataclass(frozen=True)
class _Opener:
    """Opens a filesystem with the same arguments in each process; it is pickled where these have no secrets."""

    endpoint_url: str | None
    s3_kwargs: dict[str, Any] | None

    def __call__(self, loop: asyncio.AbstractEventLoop) -> Any:
        return _make_filesystem(self.endpoint_url, self.s3_kwargs, loop)

    def __reduce__(self) -> tuple[Any, ...]:
        check_no_secrets(self.s3_kwargs)
        return _Opener, (self.endpoint_url, self.s3_kwargs)


def _make_filesystem(endpoint_url: str | None, s3_kwargs: dict[str, Any] | None, loop: asyncio.AbstractEventLoop) -> Any:
    from s3fs import S3FileSystem

    from modos.storage.watched import S3Session

    options = as_s3fs(s3_kwargs or {})
    endpoint_url = endpoint_url or options.pop("endpoint_url", None) or _client_option(options, "endpoint_url")
    config = {
        "signature_version": "s3v4",
        "connect_timeout": 10,
        "read_timeout": 60,
        "max_pool_connections": POOL,
        "http_session_cls": S3Session,
        "retries": {"max_attempts": 2, "mode": "standard"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    } | options.pop("config_kwargs", {})
    if endpoint_url:
        config.setdefault("s3", {"addressing_style": "path"})
    if (
        "anon" not in options
        and "renew" not in options
        and not options.keys() & {"key", "secret", "token", "username", "session", "profile"}
    ):
        options["anon"] = anonymous_arguments() is not None or not has_credentials(custom_server=endpoint_url is not None)
    renew = options.pop("renew", None)
    if renew:
        options["session"] = _make_renewing_session(renew)
    options.setdefault("max_concurrency", 1)
    filesystem = S3FileSystem(
        endpoint_url=endpoint_url,
        config_kwargs=config,
        skip_instance_cache=True,
        use_listings_cache=False,
        **{"loop": loop} | options,
    )
    filesystem.client_kwargs.setdefault("endpoint_url", endpoint_url)
    filesystem.retries = 3
    return filesystem


def _make_renewing_session(renew: Callable[[], dict[str, str]]) -> Any:
    """Make a session that renews its credentials before they expire."""
    import asyncio

    from aiobotocore.credentials import AioRefreshableCredentials
    from aiobotocore.session import AioSession

    async def renew_in_thread() -> dict[str, str]:
        return await asyncio.to_thread(renew)

    session = AioSession()
    session._credentials = AioRefreshableCredentials.create_from_metadata(renew(), renew_in_thread, "modos")
    return session


def renew_now(filesystem: Any) -> bool:
    """Ask for new credentials at the next request; returns whether that is possible."""
    from aiobotocore.credentials import AioRefreshableCredentials

    credentials = getattr(filesystem.session, "_credentials", None)
    if not isinstance(credentials, AioRefreshableCredentials):
        return False
    credentials._expiry_time = datetime.now(UTC)
    return True


def _client_option(options: dict[str, Any], name: str) -> str | None:
    value: str | None = options.get("client_kwargs", {}).pop(name, None)
    return value


def has_credentials(custom_server: bool) -> bool:
    """Return whether the standard AWS places hold credentials; asks the network only where AWS itself is meant."""
    from botocore.session import Session

    session = Session()
    if custom_server:
        session.get_component("credential_provider").remove("iam-role")
    try:
        return session.get_credentials() is not None
    except Exception:  # a broken profile is reported by the first request, with its own words
        return True
