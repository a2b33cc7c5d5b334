"""Upload files to S3 in parts, several at once, and resume after an interruption."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from modos.errors import ConflictError, ModosError, NotFoundError, RemoteError, TransportError, TruncatedStream
from modos.storage.base import INTERRUPTIONS, ByteRange, ObjectInfo, Storage
from modos.storage.patching import compose, plan_parts
from modos.storage.prefetch import fetch_ahead

_LEAST_PART = 5 << 20  # bytes of a part that is not the last
_COPY_PART = 512 << 20  # bytes that the server copies at once
_MAX_PARTS = 10_000  # S3's limit for one upload
_PART = 16 << 20  # bytes per piece when a file is written
_IN_FLIGHT = 48 << 20  # bytes of parts that are sent at once, at most; one part of a file of terabytes is larger
_WORKERS = 4


class Uploads(Storage):
    """Writes of large files to S3, in parts."""

    _bucket: str
    _call: Callable[..., dict[str, Any]]
    _full_key: Callable[[str], str]

    def write_stream(
        self, key: str, pieces: Iterable[bytes], *, size: int, resume: bool = False, like: str | None = None
    ) -> None:
        """Write a file from pieces; see `Storage.write_stream`."""
        part_size = _part_size(size)
        if size <= part_size:
            data = b"".join(pieces)
            _check_size(self, key, len(data), size)
            self._call("put_object", key, Body=data, ChecksumCRC32=_crc32(data), **conditions(None, True))
            return
        if self.exists(key):
            raise ConflictError(f"{self.url}/{key} exists already")
        upload, there = self._open_upload(key) if resume else (None, {})
        if upload is None:
            upload = self._call("create_multipart_upload", key, ChecksumAlgorithm="CRC32")["UploadId"]
            if resume:
                self.write(_record_of(key), upload.encode())
        try:
            self._upload_parts(key, upload, pieces, size, there)
        except BaseException as error:
            if not (resume and isinstance(error, INTERRUPTIONS)):
                self._abort(key, upload)
            raise
        if resume:
            self.delete(_record_of(key))

    def drop_kept(self, key: str) -> None:
        """Remove what an interrupted write has left; see `Storage.drop_kept`."""
        with suppress(NotFoundError):
            self._abort(key, self.read(_record_of(key))[0].decode())

    def _abort(self, key: str, upload: str) -> None:
        """Give an upload up; where that fails, `modos check` finds it."""
        with suppress(ModosError):
            self._drop_upload(key, upload)

    def _drop_upload(self, key: str, upload: str) -> None:
        self._call("abort_multipart_upload", key, UploadId=upload)
        self.delete(_record_of(key))

    def _open_upload(self, key: str) -> tuple[str | None, dict[int, dict[str, Any]]]:
        """Find the unfinished upload of a file, and its parts by number.

        It is on record beside the object: who may write a prefix alone is
        not told which uploads a bucket has.
        """
        parts: dict[int, dict[str, Any]] = {}
        try:
            upload = self.read(_record_of(key))[0].decode()
            last, following = -1, 0
            while following > last:  # a server that goes in a circle has no more to say
                page = self._call("list_parts", key, UploadId=upload, PartNumberMarker=following)
                parts |= {part["PartNumber"]: part for part in page.get("Parts", ())}
                last, following = following, page.get("NextPartNumberMarker", 0) if page.get("IsTruncated") else 0
        except (NotFoundError, RemoteError) as error:
            if isinstance(error, TransportError):
                raise
            return None, {}
        return upload, parts

    def _upload_parts(self, key: str, upload: str, pieces: Iterable[bytes], size: int, there: dict[int, dict[str, Any]]) -> None:
        part_size = _part_size(size)
        workers = max(1, min(_WORKERS, _IN_FLIGHT // part_size))

        def put(numbered: tuple[int, bytearray | bytes], _: object) -> tuple[dict[str, Any], int]:
            (number, data), known = numbered, there.get(numbered[0])
            part = {"PartNumber": number, "ChecksumCRC32": _crc32(data)}
            if known and known["Size"] == len(data) and _has_md5(known["ETag"], hashlib.md5(data, usedforsecurity=False)):
                return part | {"ETag": known["ETag"]}, len(data)
            answer = self._call("upload_part", key, UploadId=upload, Body=_Body(data), **part)
            return part | {"ETag": answer["ETag"]}, len(data)

        done = list(fetch_ahead(put, enumerate(_rechunk(pieces, part_size, workers), 1), workers))
        _check_size(self, key, sum(length for _, length in done), size)
        self._call(
            "complete_multipart_upload",
            key,
            UploadId=upload,
            **conditions(None, True),
            MultipartUpload={"Parts": [part for part, _ in done]},
        )

    def matches(self, key: str, pieces: Iterable[bytes]) -> bool:
        """Return whether a file is known to have just these bytes; see `Storage.matches`.

        Its CRC-32 is compared where the server has it, else the MD5 that most servers give as its tag.
        """
        answer = self._call("head_object", key, ChecksumMode="ENABLED")
        size, crc, tag = answer.get("ContentLength") or 0, answer.get("ChecksumCRC32"), str(answer.get("ETag", "")).strip('"')
        in_parts = "-" in (crc or tag)
        part_size = self._find_part_size(key, size, (crc or tag).rpartition("-")[2]) if in_parts else size
        sums, length = _sum_parts(pieces, part_size, _Crc32 if crc else partial(hashlib.md5, usedforsecurity=False))
        if length != size or not sums:
            return False
        if not in_parts:
            return bool(base64.b64encode(sums[0]).decode() == crc if crc else sums[0].hex() == tag)
        joined = b"".join(sums)
        if crc:
            return bool(crc == f"{base64.b64encode(_crc32_of(joined)).decode()}-{len(sums)}")
        return tag == f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(sums)}"

    def _find_part_size(self, key: str, size: int, count: str) -> int:
        """Find how large the parts of a file were, which somebody else may have chosen."""
        ours = _part_size(size)
        if count == str(-(-size // ours)):
            return ours
        first: int = self._call("head_object", key, PartNumber=1).get("ContentLength") or ours
        return first

    def splice(self, key: str, head: bytes, source: str, start: int) -> None:
        """Splice files on the server, which copies its own; about 5 MiB pass through here."""
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
            self._call(
                "complete_multipart_upload", key, UploadId=upload, **conditions(None, True), MultipartUpload={"Parts": parts}
            )
        except BaseException:
            self._abort(key, upload)
            raise
        _check_size(self, key, self.stat(key).size, len(head) + info.size - start)

    def copy(self, key: str, source: str) -> None:
        """Copy a file on the server, whatever its size; no byte of it passes through here."""
        info = self.stat(source)
        if not info.size:
            super().copy(key, source)
            return
        upload = self._call("create_multipart_upload", key)["UploadId"]
        try:
            parts = self._copy_parts(key, upload, info, 0)
            answer = {"Parts": parts}
            self._call("complete_multipart_upload", key, UploadId=upload, **conditions(None, True), MultipartUpload=answer)
        except BaseException:
            self._abort(key, upload)
            raise

    def _copy_parts(self, key: str, upload: str, source: ObjectInfo, start: int) -> list[dict[str, Any]]:
        count = max((source.size - start) // _COPY_PART, 1)
        bounds = [start + number * _COPY_PART for number in range(count)] + [source.size]
        return list(
            fetch_ahead(
                lambda numbered, _: self._copy_part(key, upload, numbered[0], source, *numbered[1]),
                enumerate(itertools.pairwise(bounds), 2),
                _WORKERS,
            )
        )

    def _copy_part(self, key: str, upload: str, number: int, source: ObjectInfo, low: int, high: int) -> dict[str, Any]:
        answer = self._call(
            "upload_part_copy",
            key,
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": self._bucket, "Key": self._full_key(source.key)},
            CopySourceRange=f"bytes={low}-{high - 1}",
            CopySourceIfMatch=source.etag,
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    def patch(
        self,
        key: str,
        ranges: Sequence[ByteRange],
        fetch: Callable[[int, int], bytes],
        *,
        size: int,
        if_match: str,
        watch: Callable[[Iterator[bytes]], Iterator[bytes]] = iter,
    ) -> None:
        """Replace ranges of a file in a new upload, for which the server copies the other parts; see `Storage.patch`."""
        part_size = _part_size(size)
        if size <= part_size:
            data = b"".join(watch(compose(self, key, ranges, fetch, ByteRange(0, size), if_match)))
            _check_size(self, key, len(data), size)
            self._call("put_object", key, Body=data, ChecksumCRC32=_crc32(data), **conditions(if_match, False))
            return
        info = self.stat(key)
        if info.etag != if_match:
            raise ConflictError(f"{self.url}/{key} was changed by somebody else", "nothing was changed: try again")
        upload = self._call("create_multipart_upload", key)["UploadId"]

        def put(numbered: tuple[int, tuple[ByteRange, bool]], _: object) -> dict[str, Any]:
            number, (bounds, is_copied) = numbered
            if is_copied:
                return self._copy_part(key, upload, number, info, *bounds)
            data = b"".join(compose(self, key, ranges, fetch, bounds, if_match))
            md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
            answer = self._call("upload_part", key, UploadId=upload, PartNumber=number, Body=data, ContentMD5=md5)
            return {"PartNumber": number, "ETag": answer["ETag"]}

        try:
            planned = enumerate(plan_parts(ranges, size, part_size, _COPY_PART), 1)
            parts = list(fetch_ahead(put, planned, max(1, min(_WORKERS, _IN_FLIGHT // part_size))))
            self._call(
                "complete_multipart_upload",
                key,
                UploadId=upload,
                **conditions(if_match, False),
                MultipartUpload={"Parts": parts},
            )
        except BaseException:
            self._abort(key, upload)
            raise


def conditions(if_match: str | None, if_absent: bool) -> dict[str, str]:
    """Return the arguments of S3 for a conditional write."""
    conditions = {"IfMatch": if_match} if if_match else {}
    return conditions | ({"IfNoneMatch": "*"} if if_absent else {})


def _part_size(size: int) -> int:
    """Return the part size for a file of some bytes: always the same, so that parts can be compared later."""
    return max(_PART, -(-size // _MAX_PARTS))


def _record_of(key: str) -> str:
    """Return the key where the id of an upload is kept."""
    return f".modos/uploads/{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"


def _crc32(data: bytes) -> str:
    """Return CRC-32 in the form of S3, which compares it with what arrives."""
    return base64.b64encode(_crc32_of(data)).decode()


def _crc32_of(data: bytes) -> bytes:
    total = _Crc32()
    total.update(data)
    return total.digest()


class _Crc32:
    """CRC-32 of bytes that come in pieces."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take in a piece."""
        from isal.isal_zlib import crc32

        self._value = crc32(data, self._value)

    def digest(self) -> bytes:
        """Return the CRC of all that came."""
        return self._value.to_bytes(4, "big")


def _sum_parts(pieces: Iterable[bytes], size: int, new: Callable[[], Any]) -> tuple[list[bytes], int]:
    """Return the sum of each part of `size` bytes, and the number of bytes in all."""
    sums: list[bytes] = []
    length, part = 0, None
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            part = part or new()
            taken = rest[: size - length % size] if size else rest
            part.update(taken)
            rest = rest[len(taken) :]
            length += len(taken)
            if size and length % size == 0:
                sums.append(part.digest())
                part = None
    return ([*sums, part.digest()] if part else sums), length


def _has_md5(tag: str, md5: Any) -> bool:
    """Return whether an ETag is an MD5: of files that S3 encrypts, it is something else."""
    return bool(tag.strip('"') == md5.hexdigest())


def _check_size(storage: Storage, key: str, got: int, size: int) -> None:
    if got != size:
        raise TruncatedStream(f"{storage.url}/{key}: {got:,} bytes arrived, {size:,} were announced")


class _Body(io.RawIOBase):
    """Bytes as a file, of which little is copied at once on its way: of what is no file, all that a socket does not take yet."""

    def __init__(self, data: bytes | bytearray):
        self._view = memoryview(data)
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        self._at = max(offset + (0, self._at, len(self._view))[whence], 0)
        return self._at

    def read(self, size: int = -1) -> memoryview:
        """Return the next bytes, which are not copied."""
        end = len(self._view) if size < 0 else self._at + size
        piece = self._view[self._at : end]
        self._at += len(piece)
        return piece


def _rechunk(pieces: Iterable[bytes], size: int, held: int) -> Iterator[bytearray | bytes]:
    """Regroup the bytes into pieces of exactly `size`, the last one shorter.

    Each is overwritten when the piece `held` places further on is asked for.
    """
    buffers, number, filled = [bytearray(size) for _ in range(held)], 0, 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            taken = rest[: size - filled]
            buffers[number % held][filled : filled + len(taken)] = taken
            rest, filled = rest[len(taken) :], filled + len(taken)
            if filled == size:
                yield buffers[number % held]
                number, filled = number + 1, 0
    if filled:
        yield bytes(memoryview(buffers[number % held])[:filled])
