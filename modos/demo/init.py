"""Prepare a stack before it starts: its volumes, passwords, a bucket, S3 users and the demo object.

`python -m modos.demo.init volumes FOLDER`, `... secrets FOLDER` and `... s3 FOLDER`; what is there already stays as it is.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modos.errors import AccessError, InvalidInputError
from modos.server.rules import is_public
from modos.storage.system import sync_file

_WAIT = 60.0  # seconds for S3 to answer
_USERS = {"server-credentials": "modos-server", "demo-credentials": "modos-demo"}
_OWN_PATHS = re.compile(  # of one origin with the bucket, and first in the gateway
    "assets|authorize|bins|codes|collections|contigs|coverage|credentials|docs|elements|features|files|find|ga4gh|genes|genome|get"
    r"|healthz|htsget|list|login|logout|meta|metrics|minio|objects|openapi\.json|readyz|references|refget|sequence|slices|tables|whoami"
)


def check_settings(setting: Mapping[str, str]) -> bool:
    """Refuse settings with which a stack would start, and serve something else than was meant.

    Parameters
    ----------
    setting
        The environment: MODOS_BUCKET, MODOS_DEMO, PUBLIC_URL, MODOS_ACCESS, MODOS_PUBLIC_READ, where they are set.

    Returns
    -------
    bool
        Whether everybody may read the bucket.

    Raises
    ------
    InvalidInputError
        One that is no such thing, or two that contradict each other.
    """
    bucket, demo, url = setting.get("MODOS_BUCKET", ""), setting.get("MODOS_DEMO", ""), setting.get("PUBLIC_URL", "")
    if bucket and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise InvalidInputError(
            f"MODOS_BUCKET is {bucket!r}, which is no name of a bucket",
            "3 to 63 lower-case letters, digits, hyphens and dots, without quotes around them",
        )
    if _OWN_PATHS.fullmatch(bucket):
        raise InvalidInputError(
            f"MODOS_BUCKET is {bucket!r}, and /{bucket} is an address of the modos server", "give the bucket another name"
        )
    if demo not in ("", "0", "1"):
        raise InvalidInputError(f"MODOS_DEMO is {demo!r}", "it is 0 or 1")
    if url and not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?", url):
        raise InvalidInputError(
            f"PUBLIC_URL is {url!r}", "it is http:// or https://, a host name and perhaps a port, with no slash at the end"
        )
    return is_public(setting)


def check_volumes(folder: Path) -> None:
    """Refuse volumes of another user, as those are that services wrote as root, and take the gateway's.

    An engine gives an empty volume the contents and the owner that its folder has in the image of the service; in that of Caddy
    this is root's, so that there is something before it starts.

    Parameters
    ----------
    folder
        Where the volumes are mounted, each under its name.

    Raises
    ------
    AccessError
        If one belongs to another user, or what is in it at the top.
    """
    for volume in sorted(folder.iterdir()):
        if volume.name == "gateway-data" and os.access(volume, os.W_OK | os.X_OK):
            (volume / "caddy").mkdir(mode=0o700, exist_ok=True)
        for path in (volume, *volume.iterdir()) if os.access(volume, os.R_OK | os.X_OK) else (volume,):
            if path.lstat().st_uid != os.geteuid():
                raise AccessError(
                    f"the volume {volume.name} does not belong to user {os.geteuid()}, as whom the services run",
                    f"hand it over once: docker run --rm --user 0 --volume modos_{volume.name}:/{volume.name} IMAGE-OF-MODOS "
                    f"chown -R {os.geteuid()}:{os.getegid()} /{volume.name}",
                )


def make_secrets(folder: Path) -> None:
    """Draw the passwords and keys that are not there: files that their owner alone reads."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    os.fchmod(descriptor, 0o700)
    os.close(descriptor)
    _write_new(folder / "s3-root-user", "modos-root")
    _write_new(folder / "s3-root-password", secrets.token_urlsafe(32))
    _write_new(folder / "session-key", secrets.token_hex(32))
    for name, user in _USERS.items():
        _write_new(folder / name, f"[default]\naws_access_key_id = {user}\naws_secret_access_key = {secrets.token_urlsafe(30)}\n")


def prepare_s3(folder: Path, url: str, bucket: str, demo: bool, public: bool) -> None:
    """Make the bucket, the users, and the demo object.

    Parameters
    ----------
    folder
        Holds the passwords.
    url
        The S3 server, a MinIO.
    demo
        Whether the demo object is loaded.
    public
        Whether anybody may read the bucket.
    """
    from minio import Minio, MinioAdmin
    from minio.credentials.providers import StaticProvider

    root = (folder / "s3-root-user").read_text(), (folder / "s3-root-password").read_text()
    host, secure = urlsplit(url).netloc, url.startswith("https:")
    client = Minio(endpoint=host, access_key=root[0], secret_key=root[1], secure=secure)
    _wait_for(client.list_buckets)
    if not client.bucket_exists(bucket_name=bucket):
        client.make_bucket(bucket_name=bucket)
    if public:
        client.set_bucket_policy(bucket_name=bucket, policy=json.dumps(_policy(bucket, write=False, principal={"AWS": ["*"]})))
    else:
        client.delete_bucket_policy(bucket_name=bucket)
        _close_former(client, bucket)
    admin = MinioAdmin(endpoint=host, credentials=StaticProvider(*root), secure=secure)
    for name, user in _USERS.items():
        admin.user_add(user, _credentials(folder / name)["secret"])
        admin.policy_add(f"{user}-{bucket}", policy=_policy(bucket, write=user == "modos-server"))
        if f"{user}-{bucket}" not in json.loads(admin.user_info(user)).get("policyName", "").split(","):
            admin.attach_policy([f"{user}-{bucket}"], user=user)
    if demo:
        _load_demo(url, bucket, _credentials(folder / "server-credentials"))


def _close_former(client: Any, bucket: str) -> None:
    """Close buckets of earlier settings, which this step opened: the gateway gives them out past all rules."""
    from minio.error import S3Error

    for other in client.list_buckets():
        name = other.name
        if name == bucket:
            continue
        try:
            found = json.loads(client.get_bucket_policy(bucket_name=name))
        except S3Error as error:
            if error.code != "NoSuchBucketPolicy":
                raise
            continue
        ours = _policy(name, write=False, principal={"AWS": ["*"]})
        if _list_allowed(found) == _list_allowed(ours):
            client.delete_bucket_policy(bucket_name=name)
            print(f"closed the bucket {name}, which everybody could read as MODOS_BUCKET of an earlier start", flush=True)
        else:
            print(f"the bucket {name} has a policy of its own, which the rules of {bucket} do not change", flush=True)


def _list_allowed(policy: dict[str, Any]) -> set[str]:
    """Return what a policy says, whatever the order of its words."""
    return {
        json.dumps({key: sorted(value) if isinstance(value, list) else value for key, value in one.items()}, sort_keys=True)
        for one in policy["Statement"]
    }


def _load_demo(url: str, bucket: str, credentials: dict[str, str]) -> None:
    from modos.demo.dataset import generate
    from modos.object.modo import MODO

    target, services = f"s3://{bucket}/ex", {"s3": url}
    if MODO.exists(target, services=services, s3_kwargs=credentials):
        return
    with tempfile.TemporaryDirectory(prefix="modos-demo-") as name:
        local = MODO.from_file(generate(Path(name) / "source"), Path(name) / "ex")
        local.upload(target, services=services, s3_kwargs=credentials)


def _policy(bucket: str, *, write: bool, principal: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what may be done in a bucket, as an IAM policy."""
    of_bucket = ["s3:GetBucketLocation", "s3:ListBucket"] + ["s3:ListBucketMultipartUploads"] * write
    of_objects = ["s3:GetObject"]
    if write:
        of_objects += ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    whom = {"Principal": principal} if principal else {}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", **whom, "Action": of_bucket, "Resource": [f"arn:aws:s3:::{bucket}"]},
            {"Effect": "Allow", **whom, "Action": of_objects, "Resource": [f"arn:aws:s3:::{bucket}/*"]},
        ],
    }


def _credentials(file: Path) -> dict[str, str]:
    values = dict(line.split(" = ", 1) for line in file.read_text().splitlines() if " = " in line)
    return {"key": values["aws_access_key_id"], "secret": values["aws_secret_access_key"]}


def _write_new(path: Path, text: str) -> None:
    """Write a secret whole or not at all; what is there stays, unless it was broken off before anything was in it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        status = None
    if status is not None:
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise AccessError(
                f"{path} is not a file that its owner alone reads: it may be known to others", "remove it, and another is drawn"
            )
        if status.st_size:
            return
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            sync_file(file.fileno())
        if status is not None:
            os.replace(unfinished, path)
            return
        with suppress(FileExistsError):  # of another start at the same time
            os.link(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _wait_for(call: Any) -> None:
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            call()
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main() -> None:
    """Run one of the steps; the settings are in the environment."""
    from modos.errors import ModosError

    step, folder, setting = sys.argv[1], Path(sys.argv[2]), os.environ
    try:
        public = check_settings(setting)
        if step == "volumes":
            check_volumes(folder)
        elif step == "secrets":
            make_secrets(folder)
        else:
            prepare_s3(folder, setting["S3_URL"], setting["MODOS_BUCKET"], setting.get("MODOS_DEMO", "1") == "1", public)
    except ModosError as error:
        sys.exit(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))


if __name__ == "__main__":
    main()
