"""Whether the stack opens its bucket to everybody: never where there are rules."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import commands

ROOT = Path(__file__).resolve().parents[3]


def first_step(folder: Path, **settings: str) -> subprocess.CompletedProcess:
    """What runs before all the rest, with some settings in `.env`, as docker-compose.yml passes them on."""
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["secrets"].get("environment", {})
    passed = {
        name: re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: settings.get(m[1]) or m[2], value) for name, value in described.items()
    }
    return subprocess.run(
        [sys.executable, "-m", "modos.demo.init", "secrets", folder],
        env=os.environ | passed,
        text=True,
        capture_output=True,
        timeout=60,
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
        timeout=60,
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
