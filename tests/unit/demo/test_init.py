"""Whether the stack opens its bucket to everybody: never where there are rules."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from minio.error import S3Error

from tests.support import commands

ROOT = Path(__file__).resolve().parents[3]


def first_step(folder: Path, step: str = "secrets", **settings: str) -> subprocess.CompletedProcess:
    """What runs before all the rest, with some settings in `.env`, as docker-compose.yml passes them on."""
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][step].get("environment", {})
    passed = {
        name: re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: settings.get(m[1]) or m[2], value) for name, value in described.items()
    }
    return subprocess.run(
        [sys.executable, "-m", "modos.demo.init", step, folder],
        env=os.environ | passed,
        text=True,
        capture_output=True,
        timeout=180,
    )


@pytest.mark.parametrize(
    ("settings", "public"),
    [
        ({}, True),
        ({"MODOS_PUBLIC_READ": "1"}, True),
        ({"MODOS_PUBLIC_READ": "0"}, False),
        ({"MODOS_ACCESS": "/etc/modos/access.toml"}, False),
        ({"MODOS_ACCESS": "/etc/modos/access.toml", "MODOS_PUBLIC_READ": ""}, False),
        ({"MODOS_ACCESS": "/etc/modos/access.toml", "MODOS_PUBLIC_READ": "0"}, False),
    ],
)
def test_rules_close_the_bucket(settings, public):
    from modos.demo.init import is_public

    assert is_public(settings) is public


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"MODOS_ACCESS": "/etc/modos/access.toml", "MODOS_PUBLIC_READ": "1"}, "lets anybody read the bucket"),
        ({"MODOS_PUBLIC_READ": "yes"}, "'yes'"),
    ],
)
def test_settings_that_contradict_each_other_start_nothing(settings, words, tmp_path):
    done = first_step(tmp_path / "secrets", **settings)
    assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "secrets").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODOS_BUCKET", "my bucket"),
        ("MODOS_BUCKET", '"lab"'),
        ("MODOS_BUCKET", "$lab"),
        ("MODOS_BUCKET", "list"),
        ("MODOS_DEMO", "true"),
        ("PUBLIC_URL", "http://localhost/"),
        ("PUBLIC_URL", "modos.example.org"),
        ("PUBLIC_URL", "https://$HOST"),
    ],
)
def test_settings_that_are_no_such_thing_start_nothing(name, value, tmp_path):
    """Each was taken: the catalogue was empty, or of no address that a client was told anything could be had."""
    done = first_step(tmp_path, "volumes", **{name: value})
    assert done.returncode == 1 and f"{name} is {value!r}" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["https://modos.example.org", "http://localhost:8080", "http://10.0.0.1", "http://[::1]:8080"])
def test_addresses_of_sites_are_taken(url, tmp_path):
    done = first_step(tmp_path, "volumes", PUBLIC_URL=url, MODOS_BUCKET="lab.of-2026", MODOS_DEMO="0")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_bucket_has_the_name_of_an_address(tmp_path):
    """The gateway takes what begins with the bucket's name to S3, before the server sees it."""
    from modos.demo.init import check_settings
    from modos.errors import InvalidInputError
    from modos.server.app import create_app
    from modos.storage.local import LocalStorage

    app = create_app(LocalStorage(tmp_path))
    firsts = {path.strip("/").split("/")[0] for path in app.openapi()["paths"]} | {
        getattr(route, "path", "/").strip("/").split("/")[0] for route in app.routes
    }
    could_be = {one for one in firsts if re.fullmatch(r"[a-z0-9][a-z0-9.-]+[a-z0-9]", one)}
    assert len(could_be) > 5
    for name in could_be | {"minio", "htsget", "login"}:
        with pytest.raises(InvalidInputError, match="is an address of the modos server"):
            check_settings({"MODOS_BUCKET": name})


@pytest.mark.parametrize("name", ["s3-root-password", "server-credentials", "session-key"])
def test_a_secret_that_was_broken_off_is_drawn_again_and_no_other(name, tmp_path):
    """Killed between the file and its contents, as on a disk that was full: the stack never started again."""
    from modos.demo.init import make_secrets

    make_secrets(tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    (tmp_path / name).write_text("")
    make_secrets(tmp_path)
    after = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {one for one in before if before[one] != after[one]} == {name} and len(after[name]) == len(before[name])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_secret_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    from modos.demo import init

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(init.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        init.make_secrets(tmp_path)
    assert list(tmp_path.iterdir()) == []


class Buckets:
    """What an S3 server says of its buckets."""

    def __init__(self, policies):
        self.policies = policies

    def list_buckets(self):
        return [SimpleNamespace(name=name) for name in self.policies]

    def get_bucket_policy(self, bucket_name):
        if self.policies[bucket_name] is None:
            raise S3Error(None, "NoSuchBucketPolicy", "none", None, None, None)
        return json.dumps(self.policies[bucket_name])

    def delete_bucket_policy(self, bucket_name):
        self.policies[bucket_name] = None


def test_rules_close_the_bucket_of_an_earlier_start_as_well(capsys):
    """The gateway gives out /s3/BUCKET of each that is open; what a site opened itself stays, and is named."""
    from modos.demo.init import _close_former, _policy

    opened = _policy("modos-demo", write=False, principal={"AWS": ["*"]})
    for one in opened["Statement"]:
        one["Action"].reverse()  # as MinIO gives them back in an order of its own
    theirs = _policy("theirs", write=True, principal={"AWS": ["*"]})
    s3 = Buckets({"lab": None, "modos-demo": opened, "theirs": theirs, "closed": None})
    _close_former(s3, "lab")
    assert s3.policies == {"lab": None, "modos-demo": None, "theirs": theirs, "closed": None}
    said = capsys.readouterr().out
    assert "closed the bucket modos-demo" in said and "the bucket theirs has a policy of its own" in said


def test_settings_that_go_together_start(tmp_path):
    assert first_step(tmp_path / "secrets", MODOS_ACCESS="/etc/modos/access.toml").returncode == 0
    assert (tmp_path / "secrets/s3-root-password").exists()


def test_the_step_that_opens_the_bucket_knows_of_the_rules():
    """Without a setting of its own the bucket's policy follows from MODOS_ACCESS."""
    environment = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["init"]["environment"]
    assert environment["MODOS_ACCESS"] == "${MODOS_ACCESS:-}" and environment["MODOS_PUBLIC_READ"] == "${MODOS_PUBLIC_READ:-}"


def serve(folder: Path, **settings: str) -> subprocess.CompletedProcess:
    return commands.run(
        ["serve", folder, "--port", "0"],
        env=os.environ | settings,
        text=True,
        capture_output=True,
        timeout=180,
    )


def test_a_server_with_rules_does_not_start_beside_an_open_bucket(tmp_path):
    """Whoever starts it, and over whichever S3: rules in front of a bucket that all may read are none."""
    (tmp_path / "access.toml").write_text("[[rule]]\nwho = ['user:a']\nread = ['lab']\n")
    done = serve(tmp_path, MODOS_SERVE_ACCESS=str(tmp_path / "access.toml"), MODOS_PUBLIC_READ="1")
    assert done.returncode == 2 and "lets anybody read the bucket" in done.stderr and "Traceback" not in done.stderr
    assert serve(tmp_path, MODOS_PUBLIC_READ="yes").returncode == 2


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/existing-s3.yml"])
def test_the_server_of_each_deployment_is_told_both_settings(file):
    """The steps that look at them elsewhere are left out over an S3 that is there; the server's own settings are merged with those."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    base = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["modos"]["environment"]
    added = yaml.load((ROOT / file).read_text(), Loader)["services"]["modos"]["environment"]
    assert added is not None, "!reset or !override would take away what docker-compose.yml has"
    environment = base | added
    assert (
        environment["MODOS_SERVE_ACCESS"] == "${MODOS_ACCESS:-}" and environment["MODOS_PUBLIC_READ"] == "${MODOS_PUBLIC_READ:-}"
    )


def test_volumes_of_somebody_else_are_named(tmp_path):
    """Also those that were handed over without what is in them."""
    from modos.demo.init import check_volumes
    from modos.errors import AccessError

    for name in ("gateway-data", "s3-data"):
        (tmp_path / name / ".inside").mkdir(parents=True)
    check_volumes(tmp_path)
    if os.geteuid():
        pytest.skip("root alone can give files away")
    os.chown(tmp_path / "s3-data/.inside", 10001, 10001)
    with pytest.raises(AccessError, match="the volume s3-data does not belong to user 0") as refused:
        check_volumes(tmp_path)
    assert "modos_s3-data:/s3-data" in refused.value.hint and "chown -R 0:0 /s3-data" in refused.value.hint
