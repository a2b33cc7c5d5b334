"""A storage in a prefix of an S3 bucket, through s3fs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from modos.errors import (
    AccessError,
    BucketNotFoundError,
    ConflictError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    ProtocolError,
    RemoteError,
    TransportError,
)
from modos.storage.base import MAX_READ, ObjectInfo, Partial, check_key, piece_size, pieces_ahead
from modos.storage.connecting import open_filesystem, renew_now
from modos.storage.event_loop import Filesystem
from modos.storage.http.asking import certificate_fault
from modos.storage.uploading import Uploads, conditions

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_CHUNK = 4 << 20  # bytes per piece when a file is read as a stream
_WORKERS = 4
_FEW, _MOST_DELETED = 8, 1000  # files that are deleted one by one, and by one request
_WITHOUT_RANGES = 64 << 20  # bytes that are taken of a server that gives all of a file where a range was asked for
_CLOCK = ("RequestTimeTooSkewed", "RequestExpired")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidTokenId")


def split_url(url: str) -> tuple[str, str]:
    """Split `s3://bucket/some/prefix/` into (`bucket`, `some/prefix`)."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidInputError(f"{bucket!r} in {url} is not the name of an S3 bucket", "write s3://bucket/object")
    if prefix:
        check_key(prefix)
    return bucket, prefix


class S3Storage(Uploads):
    """Objects below `s3://bucket/prefix`.

    Parameters
    ----------
    bucket, prefix
        Where; the prefix has no slash at its ends.
    filesystem
        With an s3fs.S3FileSystem in it.
    public_filesystem
        The same store as clients reach it, to sign URLs for them.
    """

    def __init__(self, bucket: str, prefix: str, filesystem: Filesystem, public_filesystem: Filesystem | None = None):
        self._bucket = bucket
        self._prefix = prefix
        self._filesystem = filesystem
        self._public_filesystem = public_filesystem or filesystem

    @classmethod
    def from_url(
        cls, url: str, *, endpoint_url: str | None = None, s3_kwargs: dict[str, Any] | None = None, public_url: str | None = None
    ) -> S3Storage:
        """Open `s3://bucket/prefix`; nothing is sent yet.

        Parameters
        ----------
        endpoint_url
            The S3 server; AWS where it is None.
        s3_kwargs
            Further arguments of s3fs.S3FileSystem.
        public_url
            The S3 server as clients reach it, where that is another address.
        """
        bucket, prefix = split_url(url)
        filesystem = open_filesystem(endpoint_url, s3_kwargs)
        public = open_filesystem(public_url, s3_kwargs) if public_url and public_url != endpoint_url else filesystem
        return cls(bucket, prefix, filesystem, public)

    @property
    def _fs(self) -> Any:
        return self._filesystem.get()

    @property
    def _public_fs(self) -> Any:
        return self._public_filesystem.get()

    @property
    def url(self) -> str:
        """Root as a user would write it, without a trailing slash."""
        return "s3://" + str(self.path)

    @property
    def path(self) -> Path:
        """Root as listings show it: the folder, or `bucket/prefix`."""
        return Path(self._bucket, self._prefix)

    @property
    def endpoint_url(self) -> str:
        """The server that clients are told."""
        return str(self._public_fs.s3.meta.endpoint_url)

    @property
    def server_url(self) -> str | None:
        """The server that is asked; None for AWS."""
        url: str | None = self._fs.client_kwargs.get("endpoint_url")
        return url

    @property
    def credentials(self) -> dict[str, str]:
        """`key`, `secret` and `token`, where they were given rather than found in the environment."""
        found = {name: getattr(self._fs, name) for name in ("key", "secret", "token")}
        return {name: value for name, value in found.items() if value}

    def child(self, prefix: str) -> S3Storage:
        """Return the storage of a folder below this one; see `Storage.child`."""
        return S3Storage(self._bucket, self._full_key(prefix), self._filesystem, self._public_filesystem)

    def as_file(self) -> tuple[S3Storage, str] | None:
        """Return the storage above this one, and the key of the root in it; see `Storage.as_file`."""
        if not self._prefix:
            return None
        above, _, key = self._prefix.rpartition("/")
        return S3Storage(self._bucket, above, self._filesystem, self._public_filesystem), key

    def for_many(self) -> S3Storage:
        """Return the same files, read more quickly; see `Storage.for_many`."""
        from modos.storage.quick_s3 import QuickS3Storage

        return QuickS3Storage.of(self)

    def stat(self, key: str) -> ObjectInfo:
        """Return size, tag and time of a file; see `Storage.stat`."""
        answer = self._call("head_object", key)
        return ObjectInfo(
            key, self._require(answer, "ContentLength"), self._require(answer, "ETag"), _seconds(answer.get("LastModified"))
        )

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file and its tag; see `Storage.read`."""
        answer, data = self._get(key)
        return data, self._require(answer, "ETag")

    def read_changed(self, key: str, tag: str) -> tuple[bytes, str] | None:
        """Read a file if its tag has changed; see `Storage.read_changed`."""
        try:
            answer, data = self._get(key, IfNoneMatch=tag)
        except _NotModified:
            return None
        return None if self._require(answer, "ETag") == tag else (data, self._require(answer, "ETag"))

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Storage.read_part`."""
        if end <= start:
            return b"", self.stat(key)
        try:
            answer, data = self._get(
                key, max(end - start, _WITHOUT_RANGES), Range=f"bytes={start}-{end - 1}", **conditions(if_match, False)
            )
        except _RangeBeyondEnd:
            return b"", self.stat(key)
        if if_match is not None and self._require(answer, "ETag") != if_match:
            raise ConflictError(f"{self.url}/{key} was changed while it was read")
        declared = answer.get("ContentRange")
        if declared is None:  # the server does not know ranges
            return data[start:end], ObjectInfo(key, len(data), self._require(answer, "ETag"))
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", declared)
        if not match or int(match[1]) != start:
            raise RemoteError(f"{self._server} answered {declared} when asked for bytes {start}-{end - 1} of {key}")
        return data, ObjectInfo(key, int(match[2]), self._require(answer, "ETag"))

    def _require(self, answer: Mapping[str, Any], name: str) -> Any:
        """Return a field that a server gives for each object; raise ProtocolError if it is missing."""
        if answer.get(name) is None:
            raise ProtocolError(f"{self._server} answers without {name}: it is no S3 server", "check AWS_ENDPOINT_URL")
        return answer[name]

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Iterate over pieces in order, a few fetched ahead."""
        return pieces_ahead(self, key, start, end, piece_size(_CHUNK, unit), _WORKERS)

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, durable: bool = True) -> str:
        """Write a small file and return its tag; see `Storage.write`."""
        return str(self._require(self._call("put_object", key, Body=data, **conditions(if_match, if_absent)), "ETag"))

    def delete(self, key: str) -> None:
        """Delete a file; see `Storage.delete`."""
        self._call("delete_object", key)

    def delete_all(self, keys: Iterable[str]) -> None:
        """Delete files, many with each request; see `Storage.delete_all`."""
        left = list(keys)
        for at in range(0, len(left), _MOST_DELETED):
            batch = {self._full_key(key): key for key in left[at : at + _MOST_DELETED]}
            if len(batch) < _FEW:
                super().delete_all(batch.values())
                continue
            wanted = {"Objects": [{"Key": full} for full in batch], "Quiet": True}
            try:
                refused = [batch[one["Key"]] for one in self._call("delete_objects", None, Delete=wanted).get("Errors", ())]
            except (RemoteError, KeyError):  # a server without this request
                refused = list(batch.values())
            super().delete_all(refused)  # one by one, which also tells what is wrong

    def partial_writes(self) -> list[Partial]:
        """List the remains of writes that did not end; see `Storage.partial_writes`."""
        skip = len(self._prefix) + 1 if self._prefix else 0
        where, found = {"Prefix": self._prefix + "/" if self._prefix else ""}, dict[str, Partial]()
        while True:
            try:
                answer = self._call("list_multipart_uploads", None, **where)
            except AccessError:  # it takes rights on the whole bucket
                return list(found.values())
            before, now = len(found), _time_of(answer)
            for upload in answer.get("Uploads", ()):
                name = f"{upload['Key'][skip:]}?uploadId={upload['UploadId']}"
                found[name] = Partial(name, "", now - upload["Initiated"].timestamp())
            if not answer.get("IsTruncated") or len(found) == before:  # a server that goes in a circle has no more to say
                return list(found.values())
            where |= {"KeyMarker": answer.get("NextKeyMarker", ""), "UploadIdMarker": answer.get("NextUploadIdMarker", "")}

    def drop_partial(self, partial: Partial) -> None:
        """Remove the remains of a write; see `Storage.drop_partial`."""
        self._drop_upload(*partial.name.rsplit("?uploadId=", 1))

    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List files with their sizes and tags; see `Storage.iter_files`."""
        for page in self._pages(prefix):
            for item in page.get("Contents", ()):
                key = item["Key"][len(self._prefix) + 1 :] if self._prefix else item["Key"]
                if not key.endswith("/"):
                    yield ObjectInfo(
                        key, self._require(item, "Size"), self._require(item, "ETag"), _seconds(item.get("LastModified"))
                    )

    def list_folders(self, prefix: str = "") -> list[str]:
        """List folders; see `Storage.list_folders`."""
        skip = len(self._prefix) + 1 if self._prefix else 0
        return [
            folder["Prefix"][skip:-1] for page in self._pages(prefix, Delimiter="/") for folder in page.get("CommonPrefixes", ())
        ]

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        full = self._full_key(prefix) if prefix else self._prefix
        options["Prefix"] = full + "/" if full else ""
        seen: set[str] = set()
        while True:
            page = self._call("list_objects_v2", None, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            token = options["ContinuationToken"] = self._require(page, "NextContinuationToken")
            if token in seen:
                raise ProtocolError(f"{self._server} lists {self.url} in a circle: it is no S3 server", "check AWS_ENDPOINT_URL")
            seen.add(token)

    def now(self) -> float:
        """Return the time of the server's clock, which gives files their LastModified."""
        return _time_of(self._call("list_objects_v2", None, Prefix=f"{self._prefix}/" if self._prefix else "", MaxKeys=1))

    def presign(self, key: str, expires: int) -> str | None:
        """Return a URL that anybody may GET for a time, or None; see `Storage.presign`."""
        full = self._full_key(key)
        if self._public_fs.anon:
            return f"{self.endpoint_url}/{self._bucket}/{quote(full)}"
        return str(self._public_fs.url(f"{self._bucket}/{full}", expires=expires))

    def create_bucket(self, acl: str = "private") -> None:
        """Make the bucket, with a canned ACL; nothing happens where it is there."""
        with contextlib.suppress(ConflictError):
            self._call("create_bucket", None, ACL=acl)

    def _full_key(self, key: str) -> str:
        check_key(key)
        return f"{self._prefix}/{key}" if self._prefix else key

    @property
    def _server(self) -> str:
        client = getattr(self._fs, "_s3", None)  # it knows what AWS_ENDPOINT_URL and the AWS files say
        url = self.server_url or (client.meta.endpoint_url if client else "")
        return "AWS S3" if not url or str(urlsplit(url).hostname).endswith(".amazonaws.com") else url

    def _call(self, method: str, key: str | None, **arguments: Any) -> dict[str, Any]:
        if key is not None:
            arguments["Key"] = self._full_key(key)
        answer: dict[str, Any] = self._translate_errors(key, lambda: self._fs.call_s3(method, Bucket=self._bucket, **arguments))
        return answer

    def _get(self, key: str, most: int = MAX_READ, **arguments: Any) -> tuple[dict[str, Any], bytes]:
        from fsspec.asyn import sync

        async def get() -> tuple[dict[str, Any], bytes]:
            answer = await self._fs._call_s3("get_object", Bucket=self._bucket, Key=full, **arguments)
            async with answer["Body"] as body:
                if self._require(answer, "ContentLength") > most:
                    raise RemoteError(
                        f"{self.url}/{key} has {answer['ContentLength']:,} bytes, too many to read at once",
                        "the S3 server has to support ranges" if "Range" in arguments else None,
                    )
                return answer, await body.read()

        full = self._full_key(key)
        answer: tuple[dict[str, Any], bytes] = self._translate_errors(key, lambda: sync(self._fs.loop, get))
        return answer

    def _translate_errors(self, key: str | None, call: Callable[[], Any]) -> Any:
        """Run a call and turn what s3fs and botocore raise into our errors; once again where the credentials have ended."""
        for again in (True, False):
            try:
                return call()
            except ModosError:
                raise
            except Exception as error:
                if again and _code(error) in _EXPIRED and renew_now(self._fs):
                    continue
                where = f"{self.url}/{key}" if key else self.url
                raise self._error(error, where) from error
        raise AssertionError("unreachable: the second time returns or raises")

    def _error(self, error: Exception, where: str) -> ModosError:
        from botocore.exceptions import NoCredentialsError, PartialCredentialsError

        code = _code(error)
        if code in (
            "PreconditionFailed",
            "ConditionalRequestConflict",
            "412",
            "409",
            "BucketAlreadyExists",
            "BucketAlreadyOwnedByYou",
            "OperationAborted",
        ):
            return ConflictError(f"{where} exists already or was changed by somebody else")
        if code in ("304", "NotModified"):
            return _NotModified(f"{where} is what it was")
        if code in _CLOCK:
            return AccessError(
                f"{self._server} refuses what this machine signs: their clocks are too far apart",
                "set the clock, or start NTP; `modos doctor` shows by how much it is off",
            )
        if code in ("InvalidRange", "416"):
            return _RangeBeyondEnd(f"{where} is shorter than the range asked for")
        if code == "NoSuchBucket":
            return BucketNotFoundError(
                f"there is no bucket {self._bucket} at {self._server}", "create it first, or check the name and the endpoint"
            )
        if isinstance(error, FileNotFoundError):
            return NotFoundError(f"no file {where}")
        if isinstance(error, (PermissionError, NoCredentialsError, PartialCredentialsError)):
            return self._access_error(where, code or str(error))
        if _is_transport(error):
            reason = _reason(error)
            return TransportError(f"cannot reach the S3 server {self._server}: {reason}", _hint(reason))
        return RemoteError(f"{self._server} failed on {where}: {code or _reason(error)}")

    def _access_error(self, where: str, reason: str) -> AccessError:
        if self._fs.anon:
            hint = "the request was anonymous: log in with `modos login`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        else:
            hint = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --anon for a public bucket"
        return AccessError(f"{self._server} refuses access to {where} ({reason})", hint)


class _RangeBeyondEnd(RemoteError):
    """The range begins after the file's last byte."""


class _NotModified(RemoteError):
    """The file still has the tag that was given."""


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time else None


def _time_of(answer: dict[str, Any]) -> float:
    """Return the time of the server's answer, by its own clock."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return (parsedate_to_datetime(date) if date else datetime.now(UTC)).timestamp()


def _code(error: BaseException) -> str:
    """Return the code that S3 gives an error."""
    from botocore.exceptions import ClientError

    cause = error if isinstance(error, ClientError) else error.__cause__
    return cause.response.get("Error", {}).get("Code", "") if isinstance(cause, ClientError) else ""


def _is_transport(error: BaseException | None) -> bool:
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import ConnectionError as BotoConnectionError
    from botocore.exceptions import HTTPClientError

    # s3fs wraps errors it knows in OSError and keeps the original as the cause
    return error is not None and (
        isinstance(error, (BotoConnectionError, HTTPClientError, HttpError, TimeoutError, ConnectionError))
        or _is_transport(error.__cause__)
    )


def _reason(error: BaseException) -> str:
    text = str(error.__cause__ or error) or type(error).__name__
    return certificate_fault(text) or text.splitlines()[0][:200]


def _hint(reason: str) -> str:
    """Say what to do where a server cannot be reached."""
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle and re.search(r"\[(X509|Errno)\b", reason):
        return f"is AWS_CA_BUNDLE, which is {bundle}, a file with the certificates of authorities?"
    if "certificate" in reason:
        return "AWS_CA_BUNDLE names a file with the certificates of the authorities that are trusted; is the endpoint right?"
    return "is it running, and is the endpoint right?"
