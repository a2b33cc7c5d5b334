"""The settings of the Helm chart: each is described and checked, what contradicts itself is refused, secrets are drawn once."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
import typer
import yaml

from modos.cli.keyserver import keyserver
from modos.cli.serve import serve
from modos.server.app import create_app
from modos.storage import open_storage
from tests.support.charts import (
    CHART,
    EXAMPLES,
    NEWEST,
    ROOT,
    complaints,
    environment,
    iter_containers,
    render,
    run_helm,
    try_render,
)
from tests.support.cluster import Cluster

pytestmark = pytest.mark.stack
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEMO, SITE = CHART.parent / "examples/demo.yaml", CHART.parent / "examples/site.yaml"
OFFICER = "-----BEGIN CRYPT4GH PUBLIC KEY-----\nx"

SETTINGS = {  # of .env.example, and where they are here
    "PUBLIC_URL": "publicUrl",
    "MODOS_BUCKET": "s3.bucket",
    "MODOS_DEMO": "demo.load",
    "MODOS_PUBLIC_READ": "access.open",
    "MODOS_ACCESS": "access.rules",
    "MODOS_REFERENCES": "server.references",
    "MODOS_CODES_INDEX": "codes.file",
    "MODOS_FUZON_URL": "codes.fuzonUrl",
    "MODOS_WORKERS": "server.workers",
    "MODOS_MAX_AGE": "server.maxAge",
    "MODOS_LOG": "server.log",
    "MODOS_READ_LOG": "readLog.place",
    "MODOS_READ_LOG_KEY": "readLog.key",
    "MODOS_READ_LOG_REQUIRED": "readLog.required",
    "MODOS_SESSION_KEY": "session.existingSecret",
    "MODOS_VERSION": "images.modos.tag",
    "MODOS_INDEX_KEY": "indexKey.existingSecret",
    "COMPOSE_PROFILES": "keyserver.enabled",
    "MODOS_REWRAP": "rewrapUrl",
    "KEYSERVER_KEY": "keyserver.existingSecret",
    "KEYSERVER_PEOPLE": "keyserver.people",
    "KEYSERVER_CPUS": "keyserver.resources",
    "KEYSERVER_MEMORY": "keyserver.resources",
    "S3_ADDRESS": "s3.internalAddress",
    "TRUSTED_PROXIES": "gateway.trustedProxies",
    "HTSGET_LOG": "htsget.log",
    "S3_IMAGE": "images.s3",
    "GATEWAY_IMAGE": "images.gateway",
    "MODOS_CPUS": "server.resources",
    "MODOS_MEMORY": "server.resources",
    "GATEWAY_CPUS": "gateway.resources",
    "GATEWAY_MEMORY": "gateway.resources",
    "HTSGET_CPUS": "htsget.resources",
    "HTSGET_MEMORY": "htsget.resources",
}
NOT_HERE = {
    "PUBLIC_HOST": "it is that of publicUrl",
    "SITE_ADDRESS": "the ingress speaks TLS",
    "PUBLISH": "a Service and an Ingress lead in",
    "PUBLISH_TLS": "a Service and an Ingress lead in",
    "GATEWAY_PORT": "a pod has its ports for itself",
    "GATEWAY_BIND": "a pod has its ports for itself",
    "MODOS_HOST": "a pod has its ports for itself",
    "MODOS_PORT": "a pod has its ports for itself",
    "KEYSERVER_HOST": "a pod has its ports for itself",
    "KEYSERVER_PORT": "a pod has its ports for itself",
    "S3_LISTEN": "a pod has its ports for itself",
    "MODOS_NAME": "it is that of the Service",
    "HTSGET_ADDRESS": "it is beside the gateway",
    "KEYSERVER_ACCESS": "it is that of the server",
    "S3_CPUS": "the S3 is the site's own",
    "S3_MEMORY": "the S3 is the site's own",
}


def iter_paths(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The settings and their defaults; an empty table is one."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from iter_paths(value, f"{path}.{name}".lstrip("."))
    else:
        yield path, values


def described(path: str) -> dict[str, Any]:
    """What the schema says of a setting."""
    found = SCHEMA
    for name in path.split("."):
        found = found["properties"][name]
        while "$ref" in found:
            found = SCHEMA["definitions"][found["$ref"].rpartition("/")[2]]
    return found


def iter_schema(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every setting that the schema has, and its description."""
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        assert schema["additionalProperties"] is False, f"{path} takes whatever is misspelt"
        for name, one in schema["properties"].items():
            yield from iter_schema(one, f"{path}.{name}".lstrip("."))
    else:
        yield path, schema


def test_the_schema_has_every_setting_and_the_defaults_fit():
    defaults = dict(iter_paths(VALUES))
    for path in defaults:
        assert described(path), path
    unset = {path for path, _ in iter_schema(SCHEMA)} - defaults.keys()
    of_kubernetes = {path for path in unset if path.endswith("ephemeral-storage") or path.startswith("affinity.")}
    assert unset == {"global"} | of_kubernetes, "a setting that values.yaml has not"


def test_every_setting_is_used():
    templates = "".join(file.read_text() for file in (CHART / "templates").rglob("*.*"))
    for path, _ in iter_paths(VALUES):
        assert (
            re.search(rf"\.{path.rpartition('.')[2]}\b", templates) or path.split(".")[0] in ("images",) or "resources" in path
        ), path


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]


def test_the_images_are_those_of_the_compose_file():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"]) for name, service in services.items()}
    ours = {
        name: f"{image['repository']}:{image['tag'] or '0.1.0'}" for name, image in VALUES["images"].items() if "pull" not in name
    }
    assert ours == {name: images[name] for name in ours}


def test_each_setting_of_the_compose_file_is_here_or_has_no_place_here():
    wanted = set(re.findall(r"(?m)^#?([A-Z]\w+)=", (ROOT / ".env.example").read_text()))
    assert wanted == SETTINGS.keys() | NOT_HERE.keys() and not SETTINGS.keys() & NOT_HERE.keys()
    for path in SETTINGS.values():
        assert described(path), path


def test_the_installer_has_the_kubernetes_that_is_rendered_for():
    script = CHART.parent / "install"
    subprocess.run(["bash", "-n", script], check=True)
    assert re.search(r"(?m)^KUBERNETES=v(.*)$", script.read_text())[1] == NEWEST


def options_of(command: Any) -> set[str]:
    """The variables that a command takes."""
    app = typer.Typer()
    app.command()(command)
    return {option.envvar for option in typer.main.get_command(app).params if option.envvar}


def test_the_commands_know_the_variables(tmp_path):
    """Those of the server are all that there are, but for one that excludes the access file."""
    settings = {
        "server.references": "s3://lab/refs",
        "codes": {"existingClaim": "c", "fuzonUrl": "https://fuzon.example.org"},
        "indexKey.existingSecret": "i",
        "readLog": {"place": "s3://log/x", "key": OFFICER},
    }
    found: dict[str, set[str]] = {}
    for file in (SITE, CHART.parent / "examples/encrypted.yaml"):
        for name, _, container in iter_containers(render(tmp_path, file, settings=settings)):
            names = [one["name"] for one in container["env"]]
            assert len(names) == len(set(names)), "given twice"
            found.setdefault(name.rpartition(" ")[2], set()).update(names)
    served = {name for name in found["modos"] if name.startswith("MODOS_SERVE_")}
    assert served == options_of(serve) - {"MODOS_SERVE_TOKENS"}
    assert {name for name in found["keyserver"] if name.startswith("MODOS_")} == options_of(keyserver)
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for ours, theirs in (("modos", "modos"), ("gateway", "gateway"), ("htsget", "htsget"), ("keyserver", "keyserver")):
        assert set(services[theirs]["environment"]) <= found[ours], ours


def test_what_goes_together_is_taken(tmp_path):
    environments = [
        {"server.extraEnv": [{"name": "S3_SECRET", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]},
        {"readLog": {"place": "s3://log/x", "key": OFFICER}},
        {"readLog.volume": {"enabled": True, "accessMode": "ReadWriteOnce"}, "server.replicas": 1},
        {"access": {"rules": "", "existingSecret": "modos-access", "keys": ["access.toml", "tokens"]}},
    ]
    for settings in environments:
        assert render(tmp_path, SITE, settings=settings)


@pytest.mark.parametrize("release", ["a" * 53, "modos-" + "b" * 47, "of.a.lab", "1", "true", "a-" * 20 + "b"])
def test_whatever_a_release_is_called_kubernetes_takes_its_names(tmp_path, release):
    for file in (DEMO, CHART.parent / "examples/encrypted.yaml"):
        documents = render(tmp_path, file, release=release)
        assert complaints(documents) == []
        assert all("." not in document["metadata"]["name"] for document in documents)
        services = [document["metadata"]["name"] for document in documents if document["kind"] == "Service"]
        assert services and all(re.fullmatch("[a-z]([-a-z0-9]{,61}[a-z0-9])?", name) for name in services), "for Kubernetes 1.30"


def test_a_bucket_that_hides_a_path_of_the_server_is_known():
    app = create_app(open_storage(str(CHART)), references=MagicMock(), index=MagicMock())

    def iter_routes(routes: Any) -> Iterator[str]:
        for route in routes:
            yield getattr(route, "path", "")
            yield from iter_routes(getattr(getattr(route, "original_router", None), "routes", ()))

    wanted = {path.split("/")[1] for path in iter_routes(app.routes) if path.count("/")} - {""}
    helpers = (CHART / "templates/_helpers.tpl").read_text()
    listed = set(re.search(r'define "modos.paths" -}}\n(.*)\n', helpers)[1].split())
    assert listed == wanted | {"minio"} and len(wanted) > 20


def test_a_digest_needs_no_tag(tmp_path):
    digest = f"sha256:{'0' * 64}"
    documents = render(
        tmp_path, SITE, settings={"images.htsget": {"repository": "r.example.org:5000/htsget", "digest": digest, "tag": ""}}
    )
    assert f"r.example.org:5000/htsget@{digest}" in [one["image"] for _, _, one in iter_containers(documents)]


def drawn(text: str) -> dict[str, dict[str, str]]:
    documents = filter(None, yaml.safe_load_all(text))
    return {one["metadata"]["name"]: one["data"] for one in documents if one["kind"] == "Secret"}


def test_secrets_are_drawn_once(tmp_path):
    """What the cluster has is taken at an upgrade; a cluster that has none gets others each time."""
    words = ["template", "lab", CHART, "--namespace", "genomics", "--values", DEMO, "--dry-run=server"]
    with Cluster(tmp_path / "kubeconfig", version=NEWEST) as cluster:

        def upgrade() -> dict[str, dict[str, str]]:
            done = run_helm(*words, "--kubeconfig", cluster.kubeconfig, folder=tmp_path)
            assert done.returncode == 0, done.stderr
            return drawn(done.stdout)

        first, second = upgrade(), upgrade()
        assert first.keys() == second.keys() == {"lab-modos-session", "lab-modos-demo"}
        for name, data in first.items():
            for key, value in data.items():
                assert (second[name][key] != value) is (key != "s3-root-user"), key
                assert len(base64.b64decode(value)) >= 40 or key == "s3-root-user"
        cluster.secrets = {("genomics", name): data for name, data in first.items()}
        assert upgrade() == first
        cluster.secrets = {("elsewhere", name): data for name, data in first.items()}
        assert upgrade() != first, "a Secret of another namespace"


def test_the_files_of_the_demo_are_as_the_services_read_them(tmp_path):
    from modos.demo.init import _credentials, make_secrets

    secrets = drawn(try_render(tmp_path, DEMO).stdout)
    make_secrets(tmp_path / "compose")
    files = {path.name for path in (tmp_path / "compose").iterdir()}
    assert secrets["lab-modos-demo"].keys() | secrets["lab-modos-session"].keys() == files
    for name, user in (("server-credentials", "modos-server"), ("demo-credentials", "modos-demo")):
        (tmp_path / name).write_bytes(base64.b64decode(secrets["lab-modos-demo"][name]))
        ours, theirs = _credentials(tmp_path / name), _credentials(tmp_path / "compose" / name)
        assert ours["key"] == theirs["key"] == user and len(ours["secret"]) >= len(theirs["secret"])


def test_what_is_said_after_the_installation(tmp_path):
    words = ["install", "lab", CHART, "--namespace", "genomics", "--dry-run=client", "--disable-openapi-validation"]
    for file in EXAMPLES:
        with Cluster(tmp_path / "kubeconfig", version=NEWEST) as cluster:
            done = run_helm(*words, "--values", file, "--kubeconfig", cluster.kubeconfig, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        notes = done.stdout.partition("NOTES:")[2]
        assert "helm test lab --namespace genomics" in notes and "{{" not in notes and "<no value>" not in notes
        assert ("What the Ingress says of clients is not believed" in notes) is (file.stem == "site")
        assert ("Everybody who reaches it reads everything" in notes) is (file.stem in ("demo", "many"))
        environments = [environment(container) for _, _, container in iter_containers(render(tmp_path, file))]
        (url,) = {one["MODOS_SERVE_PUBLIC_URL"] for one in environments if "MODOS_SERVE_PUBLIC_URL" in one}
        assert url in notes
