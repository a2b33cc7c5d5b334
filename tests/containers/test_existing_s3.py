"""deploy/existing-s3.yml over a MinIO that is no part of the stack, and that clients reach themselves."""

from __future__ import annotations

import time

import pytest
import requests
from minio import Minio

from modos.api import MODO

pytestmark = pytest.mark.containers
SETTINGS = {"COMPOSE_FILE": "docker-compose.yml:deploy/existing-s3.yml", "MODOS_BUCKET": "lab"}
NAME, USER, PASSWORD = "modos-test-elsewhere", "elsewhere-user", "elsewhere-password"


def other(stack) -> Minio:
    """The S3 that is there already."""
    return Minio(endpoint=stack.settings["S3_URL"].removeprefix("http://"), access_key=USER, secret_key=PASSWORD, secure=False)


def prepare(stack) -> None:
    stack.podman("rm", "--force", "--ignore", "--volumes", NAME)
    image = next(
        line.split(":-")[1].rstrip("}")
        for line in (stack.root / "docker-compose.yml").read_text().splitlines()
        if "S3_IMAGE:-" in line
    )
    root = ["--env", f"MINIO_ROOT_USER={USER}", "--env", f"MINIO_ROOT_PASSWORD={PASSWORD}"]
    stack.besides.append(NAME)
    stack.podman("run", "--detach", "--name", NAME, *root, image, "server", "/data")
    address = stack.podman("inspect", "--format", "{{.NetworkSettings.IPAddress}}", NAME)
    stack.settings["S3_URL"] = f"http://{address}:9000"
    client, deadline = other(stack), time.monotonic() + 60
    while True:
        try:
            client.make_bucket(bucket_name="lab")
            break
        except Exception:  # until it has started
            assert time.monotonic() < deadline
            time.sleep(0.5)
    stack.give("credentials", f"[default]\naws_access_key_id = {USER}\naws_secret_access_key = {PASSWORD}\n")


@pytest.fixture(scope="module")
def filled(stack, example):
    """The demo object in its bucket."""
    s3 = stack.settings["S3_URL"]
    MODO.open(example / "ex").upload("s3://lab/ex", services={"s3": s3}, s3_kwargs={"key": USER, "secret": PASSWORD})
    return {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD}


def test_there_is_no_s3_of_its_own(stack):
    assert set(stack.podman("ps", "--all", "--format", "{{.Names}}").split()) == {
        NAME, *(f"modos-test_{one}_1" for one in ("volumes", "modos", "network", "gateway", "htsget"))
    }  # fmt: skip


def test_clients_are_told_of_it_and_stream_from_it(stack, filled):
    assert requests.get(f"{stack.url}/", timeout=20).json()["s3"] == stack.settings["S3_URL"]
    found = stack.modos("stream", "-c", "-r", "chr1:20,001-25,000", "s3://lab/ex/demo1.cram", **filled)
    assert (found.returncode, found.stdout) == (0, "969\n"), found.stderr
    ticket = requests.get(f"{stack.url}/htsget/reads/ex/demo2", timeout=20).json()["htsget"]
    assert ticket["urls"][0]["url"].startswith(stack.settings["S3_URL"])
