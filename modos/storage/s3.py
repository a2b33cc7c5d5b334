"""A prefix of an S3 bucket, through s3fs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modos.errors import (
    AccessError, ConflictError, InvalidInputError, ModosError, NotFoundError, RemoteError, TransportError,
    TruncatedStream,
)
from modos.prefetch import fetch_ahead
from modos.storage.base import INTERRUPTIONS, MAX_READ, ObjectInfo, Partial, Storage, check_key, piece_size

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_LEAST_PART = 5 << 20  # bytes of a part that is not the last
_COPY_PART = 512 << 20  # bytes that the server copies at once
_MAX_PARTS = 10_000  # S3's limit for one upload
_CHUNK = 4 << 20  # bytes per piece when a file is read as a stream
_PART = 6 << 20  # bytes per piece when a file is written
_IN_FLIGHT = 24 << 20  # bytes of parts that are sent at once, at most; one part of a file of terabytes is larger
_WORKERS = 4
_CLOCK = ("RequestTimeTooSkewed", "RequestExpired")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidTokenId")


def split_url(url: str) -> tuple[str, str]:
    """`s3://bucket/some/prefix/` -> (`bucket`, `some/prefix`)."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidInputError(f"{bucket!r} in {url} is not the name of an S3 bucket", "write s3://bucket/object")
    if prefix:
        check_key(prefix)
    return bucket, prefix


class S3Storage(Storage):
    """Objects below `s3://bucket/prefix`.

    Parameters
    ----------
    bucket, prefix
        Where; the prefix has no slash at its ends.
    filesystem
        An s3fs.S3FileSystem.
    public_filesystem
        The same store as clients reach it, to sign URLs for them.
    """

    def __init__(self, bucket: str, prefix: str, filesystem: Any, public_filesystem: Any = None):
        self._bucket = bucket
        self._prefix = prefix
        self._fs = filesystem
        self._public_fs = public_filesystem or filesystem

    @classmethod
    def from_url(cls, url: str, *, endpoint_url: str | None = None, s3_kwargs: dict | None = None,
                 public_url: str | None = None) -> S3Storage:
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
        filesystem = _filesystem(endpoint_url, s3_kwargs)
        public = _filesystem(public_url, s3_kwargs) if public_url and public_url != endpoint_url else filesystem
        return cls(bucket, prefix, filesystem, public)

    @property
    def url(self) -> str:
        return "s3://" + str(self.path)

    @property
    def path(self) -> Path:
        return Path(self._bucket, self._prefix)

    @property
    def endpoint_url(self) -> str:
        """The server that clients are told."""
        return self._public_fs.s3.meta.endpoint_url

    @property
    def server_url(self) -> str | None:
        """The server that is asked; None for AWS."""
        return self._fs.client_kwargs.get("endpoint_url")

    @property
    def credentials(self) -> dict[str, str]:
        """`key`, `secret` and `token`, where they were given rather than found in the environment."""
        found = {name: getattr(self._fs, name) for name in ("key", "secret", "token")}
        return {name: value for name, value in found.items() if value}

    def child(self, prefix: str) -> S3Storage:
        return S3Storage(self._bucket, self._full(prefix), self._fs, self._public_fs)

    def stat(self, key: str) -> ObjectInfo:
        answer = self._call("head_object", key)
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"])

    def read(self, key: str) -> tuple[bytes, str]:
        answer, data = self._get(key)
        return data, answer["ETag"]

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        if end <= start:
            return b"", self.stat(key)
        try:
            answer, data = self._get(key, Range=f"bytes={start}-{end - 1}", **_conditions(if_match, False))
        except _RangeBeyondEnd:
            return b"", self.stat(key)
        if if_match is not None and answer["ETag"] != if_match:
            raise ConflictError(f"{self.url}/{key} was changed while it was read")
        declared = answer.get("ContentRange")
        if declared is None:  # the server does not know ranges
            return data[start:end], ObjectInfo(key, len(data), answer["ETag"])
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", declared)
        if not match or int(match[1]) != start:
            raise RemoteError(f"{self._server} answered {declared} when asked for bytes {start}-{end - 1} of {key}")
        return data, ObjectInfo(key, int(match[2]), answer["ETag"])

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Pieces in order, a few fetched ahead."""
        step = piece_size(_CHUNK, unit)
        bounds = [(at, min(at + step, end)) for at in range(start, end, step)]
        for (at, stop), piece in zip(bounds, fetch_ahead(lambda b, _: self.read_range(key, *b), bounds, _WORKERS)):
            if len(piece) != stop - at:
                raise TruncatedStream(f"{self.url}/{key} ends at byte {at + len(piece):,}, before {end:,}")
            yield piece

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False,
              durable: bool = True) -> str:
        return self._call("put_object", key, Body=data, **_conditions(if_match, if_absent))["ETag"]

    def write_stream(self, key: str, pieces: Iterable[bytes], *, size: int, resume: bool = False) -> None:
        part_size = max(_PART, -(-size // _MAX_PARTS))
        parts = _rechunk(pieces, part_size)
        if size <= part_size:
            data = b"".join(parts)
            _check_size(self, key, len(data), size)
            self._call("put_object", key, Body=data, ChecksumCRC32=_crc32(data), **_conditions(None, True))
            return
        if self.exists(key):
            raise ConflictError(f"{self.url}/{key} exists already")
        upload, there = self._open_upload(key) if resume else (None, {})
        if upload is None:
            upload = self._call("create_multipart_upload", key, ChecksumAlgorithm="CRC32")["UploadId"]
            if resume:
                self.write(_record_of(key), upload.encode())
        try:
            self._upload_parts(key, upload, parts, size, there)
        except BaseException as error:
            if not (resume and isinstance(error, INTERRUPTIONS)):
                self._abort(key, upload)
            raise
        if resume:
            self.delete(_record_of(key))

    def drop_kept(self, key: str) -> None:
        with suppress(NotFoundError):
            self._abort(key, self.read(_record_of(key))[0].decode())

    def _abort(self, key: str, upload: str) -> None:
        """Give an upload up; where that fails, `modos check` finds it."""
        with suppress(ModosError):
            self._call("abort_multipart_upload", key, UploadId=upload)
            self.delete(_record_of(key))

    def _open_upload(self, key: str) -> tuple[str | None, dict[int, dict]]:
        """The upload of a file that was begun and did not end, and its parts by their numbers.

        It is on record beside the object: who may write a prefix alone is
        not told which uploads a bucket has.
        """
        parts: dict[int, dict] = {}
        try:
            upload = self.read(_record_of(key))[0].decode()
            page: dict = {"NextPartNumberMarker": 0, "IsTruncated": True}
            while page.get("IsTruncated"):
                page = self._call("list_parts", key, UploadId=upload, PartNumberMarker=page["NextPartNumberMarker"])
                parts |= {part["PartNumber"]: part for part in page.get("Parts", ())}
        except (NotFoundError, RemoteError) as error:
            if isinstance(error, TransportError):
                raise
            return None, {}
        return upload, parts

    def _upload_parts(self, key: str, upload: str, parts: Iterator[bytes], size: int, there: dict[int, dict]) -> None:
        def put(numbered: tuple[int, bytes], _: object) -> tuple[dict, int]:
            (number, data), known = numbered, there.get(numbered[0])
            part = {"PartNumber": number, "ChecksumCRC32": _crc32(data)}
            if known and known["Size"] == len(data) and _has_md5(known["ETag"], hashlib.md5(data, usedforsecurity=False)):
                return part | {"ETag": known["ETag"]}, len(data)
            answer = self._call("upload_part", key, UploadId=upload, Body=data, **part)
            return part | {"ETag": answer["ETag"]}, len(data)

        workers = max(1, min(_WORKERS, _IN_FLIGHT // max(_PART, size // _MAX_PARTS)))
        done = list(fetch_ahead(put, enumerate(parts, 1), workers))
        _check_size(self, key, sum(length for _, length in done), size)
        self._call("complete_multipart_upload", key, UploadId=upload, **_conditions(None, True),
                   MultipartUpload={"Parts": [part for part, _ in done]})

    def matches(self, key: str, pieces: Iterable[bytes]) -> bool:
        info = self.stat(key)
        part_size = max(_PART, -(-info.size // _MAX_PARTS))
        md5s, length = [], 0
        for part in _rechunk(pieces, part_size):
            md5s.append(hashlib.md5(part, usedforsecurity=False))
            length += len(part)
        if length != info.size:
            return False
        if length <= part_size:
            return bool(md5s) and _has_md5(info.etag, md5s[0])
        joined = hashlib.md5(b"".join(md5.digest() for md5 in md5s), usedforsecurity=False)
        return info.etag.strip('"') == f"{joined.hexdigest()}-{len(md5s)}"

    def splice(self, key: str, head: bytes, source: str, start: int) -> None:
        """The server copies what it has; about 5 MiB pass through here."""
        info = self.stat(source)
        first = max(_LEAST_PART - len(head), 0)
        if info.size - start - first < _LEAST_PART:
            super().splice(key, head, source, start)
            return
        if self.exists(key):
            raise ConflictError(f"{self.url}/{key} exists already")
        begin, _ = self.read_part(source, start, start + first, if_match=info.etag)
        upload = self._call("create_multipart_upload", key)["UploadId"]
        try:
            answer = self._call("upload_part", key, UploadId=upload, PartNumber=1, Body=head + begin)
            parts = [{"PartNumber": 1, "ETag": answer["ETag"]}]
            parts += self._copy_parts(key, upload, info, start + first)
            self._call("complete_multipart_upload", key, UploadId=upload, **_conditions(None, True),
                       MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(key, upload)
            raise
        _check_size(self, key, self.stat(key).size, len(head) + info.size - start)

    def _copy_parts(self, key: str, upload: str, source: ObjectInfo, start: int) -> list[dict]:
        count = max((source.size - start) // _COPY_PART, 1)
        bounds = [start + number * _COPY_PART for number in range(count)] + [source.size]

        def copy(numbered: tuple[int, tuple[int, int]], _: object) -> dict:
            number, (low, high) = numbered
            answer = self._call("upload_part_copy", key, UploadId=upload, PartNumber=number,
                                CopySource={"Bucket": self._bucket, "Key": self._full(source.key)},
                                CopySourceRange=f"bytes={low}-{high - 1}", CopySourceIfMatch=source.etag)
            return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

        return list(fetch_ahead(copy, enumerate(zip(bounds, bounds[1:]), 2), _WORKERS))

    def delete(self, key: str) -> None:
        self._call("delete_object", key)

    def partial_writes(self) -> list[Partial]:
        skip = len(self._prefix) + 1 if self._prefix else 0
        try:
            answer = self._call("list_multipart_uploads", None, Prefix=self._prefix + "/" if self._prefix else "")
        except AccessError:  # it takes rights on the whole bucket
            return []
        now = datetime.now(UTC)
        return [Partial(f"{upload['Key'][skip:]}?uploadId={upload['UploadId']}", "",
                        (now - upload["Initiated"]).total_seconds()) for upload in answer.get("Uploads", ())]

    def drop_partial(self, partial: Partial) -> None:
        key, _, upload = partial.name.rpartition("?uploadId=")
        self._call("abort_multipart_upload", key, UploadId=upload)

    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for page in self._pages(prefix):
            for item in page.get("Contents", ()):
                key = item["Key"][len(self._prefix) + 1:] if self._prefix else item["Key"]
                if not key.endswith("/"):
                    yield ObjectInfo(key, item["Size"], item["ETag"])

    def find(self, name: str) -> Iterator[ObjectInfo]:
        return (info for info in self.iter_files() if info.key == name or info.key.endswith(f"/{name}"))

    def list_folders(self, prefix: str = "") -> list[str]:
        skip = len(self._prefix) + 1 if self._prefix else 0
        return [folder["Prefix"][skip:-1] for page in self._pages(prefix, Delimiter="/")
                for folder in page.get("CommonPrefixes", ())]

    def _pages(self, prefix: str, **options: str) -> Iterator[dict]:
        full = self._full(prefix) if prefix else self._prefix
        options["Prefix"] = full + "/" if full else ""
        while True:
            page = self._call("list_objects_v2", None, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def presign(self, key: str, expires: int) -> str | None:
        full = self._full(key)
        if self._public_fs.anon:
            return f"{self.endpoint_url}/{self._bucket}/{quote(full)}"
        return self._public_fs.url(f"{self._bucket}/{full}", expires=expires)

    def create_bucket(self, acl: str = "private") -> None:
        """Make the bucket, with a canned ACL; nothing happens where it is there."""
        try:
            self._call("create_bucket", None, ACL=acl)
        except ConflictError:
            pass

    def _full(self, key: str) -> str:
        check_key(key)
        return f"{self._prefix}/{key}" if self._prefix else key

    @property
    def _server(self) -> str:
        return self.server_url or "AWS S3"

    def _call(self, method: str, key: str | None, **arguments: Any) -> dict:
        if key is not None:
            arguments["Key"] = self._full(key)
        return self._translated(key, lambda: self._fs.call_s3(method, Bucket=self._bucket, **arguments))

    def _get(self, key: str, **arguments: Any) -> tuple[dict, bytes]:
        from fsspec.asyn import sync

        async def get() -> tuple[dict, bytes]:
            answer = await self._fs._call_s3("get_object", Bucket=self._bucket, Key=full, **arguments)
            async with answer["Body"] as body:
                if answer["ContentLength"] > MAX_READ:
                    raise RemoteError(f"{self.url}/{key} has {answer['ContentLength']:,} bytes, too many to read at once")
                return answer, await body.read()

        full = self._full(key)
        return self._translated(key, lambda: sync(self._fs.loop, get))

    def _translated(self, key: str | None, call: Callable[[], Any]) -> Any:
        """Run a call and turn what s3fs and botocore raise into our errors; once again where the credentials have ended."""
        for again in (True, False):
            try:
                return call()
            except ModosError:
                raise
            except Exception as error:
                if again and _code(error) in _EXPIRED and _renew_now(self._fs):
                    continue
                where = f"{self.url}/{key}" if key else self.url
                raise self._error(error, where) from error

    def _error(self, error: Exception, where: str) -> ModosError:
        from botocore.exceptions import NoCredentialsError, PartialCredentialsError

        code = _code(error)
        if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409", "BucketAlreadyExists",
                    "BucketAlreadyOwnedByYou", "OperationAborted"):
            return ConflictError(f"{where} exists already or was changed by somebody else")
        if code in _CLOCK:
            return AccessError(f"{self._server} refuses what this machine signs: their clocks are too far apart",
                               "set the clock, or start NTP; `modos doctor` shows by how much it is off")
        if code in ("InvalidRange", "416"):
            return _RangeBeyondEnd(f"{where} is shorter than the range asked for")
        if code == "NoSuchBucket":
            return NotFoundError(f"there is no bucket {self._bucket} at {self._server}",
                                 "create it first, or check the name and the endpoint")
        if isinstance(error, FileNotFoundError):
            return NotFoundError(f"no file {where}")
        if isinstance(error, (PermissionError, NoCredentialsError, PartialCredentialsError)):
            return self._access_error(where, code or str(error))
        if _is_transport(error):
            return TransportError(f"cannot reach the S3 server {self._server}: {_reason(error)}",
                                  "is it running, and is the endpoint right?")
        return RemoteError(f"{self._server} failed on {where}: {code or _reason(error)}")

    def _access_error(self, where: str, reason: str) -> AccessError:
        if self._fs.anon:
            hint = "the request was anonymous: log in with `modos login`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        else:
            hint = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --anon for a public bucket"
        return AccessError(f"{self._server} refuses access to {where} ({reason})", hint)


class _RangeBeyondEnd(RemoteError):
    """The range begins after the file's last byte."""


def _filesystem(endpoint_url: str | None, s3_kwargs: dict | None) -> Any:
    from s3fs import S3FileSystem

    options = dict(s3_kwargs or {})
    endpoint_url = endpoint_url or options.pop("endpoint_url", None) or _client_option(options, "endpoint_url")
    config = {
        "signature_version": "s3v4",
        "connect_timeout": 10,
        "read_timeout": 60,
        "max_pool_connections": 32,
        "retries": {"max_attempts": 2, "mode": "standard"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    } | options.pop("config_kwargs", {})
    if endpoint_url:
        config.setdefault("s3", {"addressing_style": "path"})
    if "anon" not in options and "renew" not in options and not options.keys() & {"key", "secret", "token", "username", "session", "profile"}:
        options["anon"] = not _has_credentials(custom_server=endpoint_url is not None)
    renew = options.pop("renew", None)
    if renew:
        options["session"] = _renewing_session(renew)
    options.setdefault("max_concurrency", 1)
    filesystem = S3FileSystem(endpoint_url=endpoint_url, config_kwargs=config, skip_instance_cache=True,
                              use_listings_cache=False, **options)
    filesystem.client_kwargs.setdefault("endpoint_url", endpoint_url)
    filesystem.retries = 3
    return filesystem


def _renewing_session(renew: Callable[[], dict[str, str]]) -> Any:
    """A session whose credentials are asked for anew before they end."""
    from aiobotocore.credentials import AioRefreshableCredentials
    from aiobotocore.session import AioSession

    async def renewed() -> dict[str, str]:
        return await asyncio.to_thread(renew)

    session = AioSession()
    session._credentials = AioRefreshableCredentials.create_from_metadata(renew(), renewed, "modos")
    return session


def _renew_now(filesystem: Any) -> bool:
    """Have the credentials asked for anew at the next request; whether they can be."""
    from aiobotocore.credentials import AioRefreshableCredentials

    credentials = getattr(filesystem.session, "_credentials", None)
    if not isinstance(credentials, AioRefreshableCredentials):
        return False
    credentials._expiry_time = datetime.now(UTC)
    return True


def _code(error: BaseException) -> str:
    """What S3 calls an error."""
    from botocore.exceptions import ClientError

    cause = error if isinstance(error, ClientError) else error.__cause__
    return cause.response.get("Error", {}).get("Code", "") if isinstance(cause, ClientError) else ""


def _client_option(options: dict, name: str) -> str | None:
    return options.get("client_kwargs", {}).pop(name, None)


def _has_credentials(custom_server: bool) -> bool:
    """Whether the standard AWS places hold credentials; asks the network only where AWS itself is meant."""
    from botocore.session import Session

    session = Session()
    if custom_server:
        session.get_component("credential_provider").remove("iam-role")
    try:
        return session.get_credentials() is not None
    except Exception:  # a broken profile is reported by the first request, with its own words
        return True


def _conditions(if_match: str | None, if_absent: bool) -> dict[str, str]:
    conditions = {"IfMatch": if_match} if if_match else {}
    return conditions | ({"IfNoneMatch": "*"} if if_absent else {})


def _record_of(key: str) -> str:
    """Where the id of an upload is kept."""
    return f".modos/uploads/{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"


def _crc32(data: bytes) -> str:
    """CRC-32 as S3 wants to have it, which compares it with what arrives."""
    from isal.isal_zlib import crc32

    return base64.b64encode(crc32(data).to_bytes(4, "big")).decode()


def _has_md5(tag: str, md5: Any) -> bool:
    """Whether an ETag is an MD5: of files that S3 encrypts, it is something else."""
    return tag.strip('"') == md5.hexdigest()


def _check_size(storage: S3Storage, key: str, got: int, size: int) -> None:
    if got != size:
        raise TruncatedStream(f"{storage.url}/{key}: {got:,} bytes arrived, {size:,} were announced")


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
    return text.splitlines()[0][:200]


def _rechunk(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly `size`, the last one shorter."""
    held: list[bytes | memoryview] = []
    length = 0
    for piece in pieces:
        rest = memoryview(piece)
        while length + len(rest) >= size:
            whole = b"".join([*held, rest[:size - length]])
            rest = rest[size - length:]
            held, length = [], 0  # nothing is held twice
            yield whole
            del whole
        if rest:
            held.append(rest)
            length += len(rest)
    if held:
        yield b"".join(held)
