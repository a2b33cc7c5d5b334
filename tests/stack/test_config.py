"""The files of the stack: what Compose and Caddy make of them, and that the native stack means the same."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import requests
import yaml

from modos.server.rules import Caller, read_access
from tests.support.caddy import caddy

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.stack
LOADER = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"  # the reference implementation of the Compose Specification


@pytest.fixture(scope="module")
def compose(tmp_path_factory) -> dict:
    """docker-compose.yml as Compose reads it, without any setting."""
    folder = tmp_path_factory.mktemp("compose")
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    subprocess.run(["go", "install", LOADER], check=True, env=bare | {"GOBIN": str(folder)}, capture_output=True, timeout=300)
    found = subprocess.run(
        [folder / "cmd", "-format", "json", ROOT / "docker-compose.yml"], env=bare, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.fixture(scope="module")
def native():
    """The supervisor as a module."""
    loader = importlib.machinery.SourceFileLoader("native_stack", str(ROOT / "deploy/native/stack"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("native_stack", loader))
    loader.exec_module(module)
    return module


def variables(text: str) -> dict[str, str]:
    """The ${NAME:-default} of a text."""
    return dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", text))


def test_compose_takes_the_file(compose):
    assert set(compose["services"]) == {"volumes", "secrets", "s3", "init", "modos", "network", "gateway", "htsget", "keyserver"}
    assert [name for name, service in compose["services"].items() if service.get("profiles")] == ["keyserver"]
    for name, service in compose["services"].items():
        assert service["user"] == "10001:10001" and service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service.get("cap_add") == (["NET_BIND_SERVICE"] if name == "gateway" else None), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name in ("volumes", "secrets", "init"):
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped" and service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
        assert re.search(r":[\w.-]*\d[\w.-]*$", service["image"]), "an image without a version"
    for name in ("s3", "modos", "gateway", "htsget", "keyserver"):
        assert compose["services"][name]["healthcheck"]["test"]
    volumes = {name: json.dumps(service.get("volumes")) for name, service in compose["services"].items()}
    assert [name for name, of in volumes.items() if "deploy/keys" in of] == ["keyserver"], "no other has a key to the files"
    assert {port["host_ip"] for port in compose["services"]["network"]["ports"]} == {"127.0.0.1"}
    assert all("ports" not in service for name, service in compose["services"].items() if name != "network")
    assert {compose["services"][name]["network_mode"] for name in ("gateway", "htsget")} == {"service:network"}


def test_compose_takes_the_file_for_an_existing_s3(compose, tmp_path_factory, tmp_path):
    loader = next(tmp_path_factory.getbasetemp().glob("compose*/cmd"))
    (tmp_path / "deploy").mkdir()
    files = [tmp_path / "docker-compose.yml", tmp_path / "deploy/existing-s3.yml"]
    for file in files:
        file.write_text((ROOT / file.relative_to(tmp_path)).read_text())
    words = [loader, "-format", "json", *files]
    without = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert without.returncode and "S3_URL" in without.stderr
    files[1].write_text(
        re.sub(r"\$\{S3_URL(:\?[^}]*)?\}", "https://s3.example.org", files[1].read_text())
    )  # the loader alone reads no settings
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    services = json.loads(found.stdout)["services"]
    assert set(services) == {"volumes", "modos", "network", "gateway", "htsget", "keyserver"} and not services["keyserver"].get(
        "depends_on"
    )
    assert not services["modos"].get("depends_on") and set(services["gateway"]["depends_on"]) == {"volumes", "modos", "network"}
    shown = json.dumps(services["modos"]["environment"]), json.dumps(services["htsget"]["environment"])
    assert "https://s3.example.org" in shown[0] and "s3:9000" not in shown[0]
    assert "https://s3.example.org" in shown[1] and "http://localhost" not in shown[1]
    assert "/secrets" not in json.dumps(services) and "/etc/modos/credentials" in shown[0]


def test_there_is_no_secret_in_the_files(compose):
    for service in compose["services"].values():
        for name in service.get("environment") or {}:
            assert not re.search("PASSWORD|SECRET|TOKEN", name) or name.endswith("_FILE"), name
    assert not re.search(r"(?im)^[^#]*(password|secret|token)\w*=\S", (ROOT / ".env.example").read_text())


def test_the_example_has_every_setting_with_its_default():
    wanted = variables((ROOT / "docker-compose.yml").read_text())
    given = dict(re.findall(r"(?m)^#?(\w+)=(.*)$", (ROOT / ".env.example").read_text()))
    assert given == wanted | {
        "MODOS_ACCESS": "/etc/modos/access.toml",
        "MODOS_REFERENCES": "s3://modos-demo/refs",
        "MODOS_CODES_INDEX": "/etc/modos/codes.index",
        "MODOS_FUZON_URL": "https://fuzon.example.org",
        "MODOS_INDEX_KEY": "/etc/modos/server.sec",
        "MODOS_REWRAP": "http://keyserver:8090",
        "MODOS_READ_LOG": "/var/log/modos-reads",
        "MODOS_READ_LOG_KEY": "/etc/modos/dpo.pub",
        "COMPOSE_PROFILES": "keys",
        "TRUSTED_PROXIES": "10.0.0.5/32",
    }


def test_the_native_stack_reads_the_file_as_compose_does(compose, native, monkeypatch, tmp_path):
    """With the same values both have the same commands and environments."""
    monkeypatch.setattr(native, "STATE", tmp_path)
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    values = variables((ROOT / "docker-compose.yml").read_text()) | {"GATEWAY_HEALTH_PORT": "2020"}
    for name, theirs in compose["services"].items():
        service = dict(described[name], volumes=[])  # so that no path is another
        ours = native.Service(name, service, values)
        assert [word for word in ours.command if word != "minio"] == theirs["command"]
        environment = theirs.get("environment") or {}
        assert {key: ours.environment[key] for key in environment} == {
            key: value.replace("$$", "$") for key, value in environment.items()
        }


def test_caddy_takes_the_file():
    for settings in (
        {},
        {"SITE_ADDRESS": "modos.example.org"},
        {"SITE_ADDRESS": ":8080", "GATEWAY_BIND": "127.0.0.1", "TRUSTED_PROXIES": "10.0.0.0/8 fd00::/8"},
    ):
        found = subprocess.run(
            ["caddy", "validate", "--adapter", "caddyfile", "--config", ROOT / "deploy/gateway/Caddyfile"],
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]} | settings,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert found.returncode == 0, found.stderr


def test_checks_ask_at_the_ports_that_are_set():
    """A server at another port than the default's was never healthy, and the stack never started."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, setting in {"modos": "MODOS_PORT", "keyserver": "KEYSERVER_PORT"}.items():
        assert f"${{{setting}:-" in services[name]["healthcheck"]["test"][-1]


def test_the_gateway_logs_no_signatures(tmp_path):
    """Of a request that fails it logs the path: the query of a presigned URL gives access for as long as it is valid."""
    headers = {"X-Amz-Security-Token": "HIDDEN-2", "X-Amz-Server-Side-Encryption-Customer-Key": "HIDDEN-3"}
    with open(tmp_path / "log", "wb") as log, caddy(tmp_path, {"S3_ADDRESS": "127.0.0.1:1"}, log) as url:
        path = "/modos-demo/a.bam?X-Amz-Signature=HIDDEN-1"
        assert requests.get(url + path, headers=headers, timeout=60).status_code == 502
    said = (tmp_path / "log").read_text()
    assert '"uri":"/modos-demo/a.bam"' in said and "HIDDEN" not in said


def test_the_other_files_can_be_read():
    tomllib.loads((ROOT / "deploy/htsget/config.toml").read_text())
    rules = read_access(ROOT / "deploy/access/access.example.toml").rules
    assert rules.places(Caller(), "read") == ("public",)
    assert rules.places(Caller("alice"), "read") == ("public", "cohort-a")
    assert rules.places(Caller("x", frozenset({"stewards"})), "write") == ("",)
    for script in ("deploy/native/install", "deploy/containers/build", "deploy/containers/environment", ".ci/run"):
        subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_what_the_installer_pins_is_what_the_images_pin():
    pins = dict(re.findall(r"(?m)^(MINIO|HTSGET)=(\S+)", (ROOT / "deploy/native/install").read_text()))
    assert f"--version {pins['HTSGET']} " in (ROOT / "deploy/htsget/Containerfile").read_text()
    assert f"modos-htsget:{pins['HTSGET']}" in (ROOT / "docker-compose.yml").read_text()
