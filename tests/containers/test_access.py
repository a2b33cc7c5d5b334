"""A stack with rules of who may do what: its bucket is nobody's, and each way in asks."""

from __future__ import annotations

import json
import shutil

import pytest
import requests

pytestmark = pytest.mark.containers
SETTINGS = {"MODOS_ACCESS": "/etc/modos/access.toml", "MODOS_MAX_AGE": "0"}
ALICE, BOB = "alices-token-of-many-letters", "bobs-token-of-many-letters"


def prepare(stack) -> None:
    stack.give(
        "access.toml",
        'tokens = "tokens"\n[[rule]]\nwho = ["user:alice"]\nwrite = ["ex"]\n[[rule]]\nwho = ["user:bob"]\nread = ["other"]\n',
    )
    stack.give("tokens", f"alice {ALICE}\nbob {BOB}\n")


def get(stack, path: str, token: str | None = None) -> requests.Response:
    return requests.get(stack.url + path, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=20)


@pytest.mark.parametrize(
    "path", ["/htsget/reads/ex/demo2", "/files/ex/demo2.bam", "/modos-demo/ex/demo2.bam", "/s3/modos-demo/ex/demo2.bam"]
)
def test_nobody_gets_at_what_is_not_theirs(stack, path):
    for token in (None, BOB):
        answer = get(stack, path, token)
        assert answer.status_code in (401, 403) or (token and answer.status_code == 400), answer.status_code
        assert b"X-Amz-Signature" not in answer.content


def test_who_has_access_reads_and_writes(stack):
    mine = {"MODOS_TOKEN": ALICE}
    assert get(stack, "/list", ALICE).json() == {"data": ["s3://modos-demo/ex"]} and get(stack, "/list", BOB).json() == {
        "data": []
    }
    found = stack.modos("stream", "-c", "-r", "chr1:20,001-25,000", "s3://modos-demo/ex/demo1.cram", **mine)
    assert (found.returncode, found.stdout) == (0, "969\n"), found.stderr
    found = stack.modos("add", "s3://modos-demo/ex", "sample", "-e", json.dumps({"id": "later"}), **mine)
    assert found.returncode == 0, found.stderr
    assert "later" in stack.modos("show", "s3://modos-demo/ex", **mine).stdout
    refused = stack.modos("show", "s3://modos-demo/ex", MODOS_TOKEN=BOB)
    assert (refused.returncode, refused.stdout) == (4, "") and "Traceback" not in refused.stderr


def test_a_stack_with_rules_and_an_open_bucket_does_not_start(stack):
    stack.settings["MODOS_PUBLIC_READ"] = "1"
    try:
        stack.run("down")
        assert "secrets failed: error: " in stack.run("up", fails=True)
    finally:
        del stack.settings["MODOS_PUBLIC_READ"]
        stack.run("down")
        stack.run("up")


def test_volumes_of_root_are_named_and_can_be_handed_over(stack):
    """As those are that were written before the services ran as a user."""
    stack.run("down")
    place = stack.podman("volume", "inspect", "--format", "{{.Mountpoint}}", "modos-test_s3-data")
    shutil.chown(place, 0, 0)
    said = stack.run("up", fails=True)
    assert "the volume s3-data does not belong to user 10001" in said and "chown -R 10001:10001" in said
    stack.run("down")
    volume = "modos-test_s3-data:/s3-data"
    stack.podman(
        "run", "--rm", "--user", "0", "--volume", volume, "localhost/modos:0.1.0", "chown", "-R", "10001:10001", "/s3-data"
    )
    stack.run("up")
    assert stack.modos("show", "s3://modos-demo/ex", MODOS_TOKEN=ALICE).returncode == 0
