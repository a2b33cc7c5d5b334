"""Get temporary credentials for part of a bucket from STS (AWS Security Token Service, AssumeRole)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modos.errors import RemoteError
from modos.storage.s3 import S3Storage

SECONDS = 3600
_OF_READERS = ["s3:GetObject"]
_OF_WRITERS = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]


@dataclass(frozen=True)
class TemporaryCredentials:
    """Temporary credentials of S3, and when they end (ISO 8601)."""

    access_key: str
    secret_key: str
    session_token: str
    expires: str


def scoped_credentials(storage: S3Storage, places: Sequence[str], *, write: bool) -> TemporaryCredentials:
    """Return credentials for some keys of a storage and all below them.

    Raises
    ------
    RemoteError
        The S3 server gives none.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from botocore.session import Session

    given = storage.credentials
    client = Session().create_client(
        "sts",
        region_name="us-east-1",
        endpoint_url=storage.server_url,
        aws_access_key_id=given.get("key"),
        aws_secret_access_key=given.get("secret"),
        aws_session_token=given.get("token"),
        config=Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2}),
    )
    bucket, prefix = storage.path.parts[0], "/".join(storage.path.parts[1:])
    try:
        answer = client.assume_role(
            RoleArn="arn:aws:iam::000000000000:role/modos",
            RoleSessionName="modos",
            DurationSeconds=SECONDS,
            Policy=json.dumps(_policy(bucket, prefix, places, write)),
        )
    except (ClientError, BotoCoreError) as error:
        raise RemoteError(
            f"the S3 server gives no temporary credentials: {error}",
            "signed addresses are there all the same: /files/ and htsget",
        ) from None
    except (ResponseParserError, ValueError):
        raise RemoteError("the S3 server gives no temporary credentials: its answer is not that of STS") from None
    try:
        found = answer["Credentials"]
        return TemporaryCredentials(
            found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], found["Expiration"].isoformat()
        )
    except (KeyError, TypeError, AttributeError):
        raise RemoteError("the S3 server gives no temporary credentials: its answer lacks them") from None


def _policy(bucket: str, prefix: str, places: Sequence[str], write: bool) -> dict[str, Any]:
    keys = ["/".join(part for part in (prefix, place) if part) for place in places]
    objects = [f"arn:aws:s3:::{bucket}/{_plain(key)}/*" if key else f"arn:aws:s3:::{bucket}/*" for key in keys]
    listed = [pattern for key in keys for pattern in ([f"{_plain(key)}/", f"{_plain(key)}/*"] if key else ["*"])]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": _OF_READERS + _OF_WRITERS * write, "Resource": objects},
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
                "Condition": {"StringLike": {"s3:prefix": listed}},
            },
            {"Effect": "Allow", "Action": ["s3:GetBucketLocation"], "Resource": [f"arn:aws:s3:::{bucket}"]},
        ],
    }


def _plain(key: str) -> str:
    """Return a key that contains no wildcard; raise RemoteError for another."""
    if any(mark in key for mark in "*?$"):
        raise RemoteError(f"there are no temporary credentials for {key}: its name has *, ? or $ in it")
    return key
