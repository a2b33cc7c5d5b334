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
    iter_pods,
    render,
    run_helm,
    try_render,
)
from tests.support.cluster import Cluster

pytestmark = pytest.mark.stack
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEMO, SITE = CHART.parent / "examples/demo.yaml", CHART.parent / "examples/site.yaml"
INTERNAL = CHART.parent / "examples/internal-s3.yaml"
SECRET = "-----BEGIN CRYPT4GH PRIVATE KEY-----\nsealed"
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


REFUSED = [
    (None, {}, "publicUrl is empty: set the address that clients use"),
    (None, {"publicUrl": "https://x.org"}, "set one of s3.url"),
    (None, {"publicUrl": "https://x.org", "s3.url": "https://s3.x.org"}, "s3.bucket is empty"),
    (None, {"publicUrl": "https://x.org", "s3": {"url": "https://s3.x.org", "bucket": "lab"}}, "s3.existingSecret is empty"),
    (SITE, {"s3.internalAddress": "minio:9000"}, "set one of s3.url"),
    (SITE, {"s3.url": "https://modos.example.org"}, "are the same address"),
    (SITE, {"demo.enabled": True}, "brings an S3 of its own"),
    (SITE, {"publicUrl": "http://modos.example.org"}, "tokens would be readable on the way"),
    (SITE, {"publicUrl": "http://localhost:8080"}, "nobody elsewhere gets there"),
    (SITE, {"publicUrl": "https://modos.example.org/"}, "/publicUrl"),
    (SITE, {"publicUrl": "https://modos.example.org/modos"}, "/publicUrl"),
    (SITE, {"publicUrl": "modos.example.org"}, "/publicUrl"),
    (SITE, {"access.open": True}, "access.open lets everybody read everything, whatever"),
    (SITE, {"access": {"rules": "", "existingSecret": "", "keys": []}}, "who may read?"),
    (SITE, {"access.keys": []}, "name the keys of the Secret"),
    (SITE, {"access.existingSecret": ""}, "access.keys are those of a Secret"),
    (SITE, {"access.keys": ["access.toml", "tokens"]}, "access.toml is in access.rules and in access.keys"),
    (SITE, {"access.rules": ""}, "access.keys has no access.toml"),
    (SITE, {"keyserver.enabled": True}, "keyserver.existingSecret is empty"),
    (SITE, {"keyserver": {"enabled": True, "existingSecret": "k"}}, "keyserver.people is empty"),
    (
        SITE,
        {"keyserver": {"enabled": True, "existingSecret": "k", "people": {"a": OFFICER}}},
        "keyserver.s3ExistingSecret is empty",
    ),
    (DEMO, {"keyserver": {"enabled": True, "existingSecret": "k", "people": {"a": OFFICER}}}, "keyserver.enabled without rules"),
    (SITE, {"keyserver.enabled": True, "rewrapUrl": "https://keys.x.org"}, "leave one out"),
    (SITE, {"rewrapUrl": "http://keys.x.org"}, "/rewrapUrl"),
    (SITE, {"readLog.place": "s3://log/x"}, "for whom is the read log?"),
    (SITE, {"readLog.key": OFFICER}, "where is the read log to be?"),
    (SITE, {"readLog": {"place": "/var/log/modos-reads", "key": OFFICER}}, "lost with its pod"),
    (SITE, {"readLog": {"place": "/tmp/reads", "key": OFFICER}}, "/readLog/place"),
    (SITE, {"readLog": {"place": "s3://log/x", "key": SECRET}}, "readLog.key has a secret key"),
    (SITE, {"readLog": {"place": "s3://log/x", "key": OFFICER + SECRET}}, "readLog.key has a secret key"),
    (SITE, {"readLog": {"place": "s3://log/x", "key": "x"}}, "readLog.key is not the text of a public key"),
    (SITE, {"keyserver.people": {"a": SECRET}}, "keyserver.people.a has a secret key"),
    (SITE, {"access.rules": f"# {SECRET}"}, "access.rules has a secret key"),
    (SITE, {"readLog.volume": {"enabled": True, "accessMode": "ReadWriteOnce"}}, "that of one node"),
    (SITE, {"gateway.autoscaling": {"minReplicas": 9, "maxReplicas": 2}}, "minReplicas is more than maxReplicas"),
    (SITE, {"images.gateway.tag": "latest"}, "another image each day"),
    (SITE, {"images.modos.digest": "sha256:short"}, "/images/modos/digest"),
    (SITE, {"server.replica": 3}, "'replica' not allowed"),
    (SITE, {"server.replicas": 0}, "/server/replicas"),
    (SITE, {"server.replicas": "3"}, "/server/replicas"),
    (SITE, {"server.workers": 65}, "/server/workers"),
    (SITE, {"server.log": "debug"}, "/server/log"),
    (SITE, {"server.resources.limits.memory": "1 GB"}, "/server/resources/limits/memory"),
    (SITE, {"server.extraEnv": [{"name": "S3_SECRET", "value": "in plain sight"}]}, "use valueFrom.secretKeyRef"),
    (SITE, {"server.extraEnv": [{"name": "MODOS_SERVE_ACCESS", "value": "/tmp/x"}]}, "is set by the chart"),
    (SITE, {"server.extraEnv": [{"name": "X"}]}, "/server/extraEnv/0"),
    (SITE, {"user": 0}, "/user"),
    (SITE, {"s3.bucket": "Lab_"}, "/s3/bucket"),
    (SITE, {"s3.secretKey": "../x"}, "/s3/secretKey"),
    *(
        (SITE, {"publicUrl": f"https://{host}"}, "/publicUrl")
        for host in (
            "Modos.example.org",
            "a..b",
            "a-.b",
            "-a",
            "a_b",
            "[::1]",
            "x.org:0",
            "x.org:65536",
            "x.org:080",
            "a@b",
            "a\nb",
        )
    ),
    (SITE, {"publicUrl": "https://modos.example.org:443"}, "leave out the port"),
    (DEMO, {"publicUrl": "http://modos.localhost:80"}, "leave out the port"),
    (SITE, {"publicUrl": "https://10.0.0.1"}, "an Ingress has a name"),
    (DEMO, {"publicUrl": "http://localhost:2020"}, "uses that port itself"),
    (DEMO, {"publicUrl": "http://localhost:8081"}, "uses that port itself"),
    (INTERNAL, {"gateway.publicAddress": "999.1.1.1"}, "/gateway/publicAddress"),
    (SITE, {"gateway.publicAddress": "10.0.0.1"}, "gateway.publicAddress is for s3.internalAddress"),
    (INTERNAL, {"gateway.trustedProxies": ["10.0.0.0/33"]}, "/gateway/trustedProxies/0"),
    (INTERNAL, {"gateway.trustedProxies": ["10.0.0.0/8 0.0.0.0/0"]}, "/gateway/trustedProxies/0"),
    (INTERNAL, {"s3.internalAddress": "minio:65536"}, "/s3/internalAddress"),
    (INTERNAL, {"s3.bucket": "files"}, "the server has a path of that name"),
    (SITE, {"s3.bucket": "a..b"}, "/s3/bucket"),
    (SITE, {"s3.url": "https://s3.x.org:0"}, "/s3/url"),
    (SITE, {"s3.secretKey": ".."}, "/s3/secretKey"),
    (SITE, {"s3.existingSecret": "a..b"}, "/s3/existingSecret"),
    *(
        (SITE, {"images.modos.repository": repository}, "/images/modos/repository")
        for repository in ("registry.example.org/modos:0.1.0", "registry.example.org/Modos", "registry//modos", "modos@sha256")
    ),
    (SITE, {"images.htsget.tag": ""}, "images.htsget has neither a tag nor a digest"),
    (SITE, {"images.pullSecrets": [""]}, "/images/pullSecrets/0"),
    (SITE, {"server.extraEnv": [{"name": "HTTPS_PROXY", "value": "http://a:b@proxy:1"}]}, "has a password in its address"),
    *(
        (SITE, {"server.extraEnv": [{"name": name, "value": "x"}]}, "is set by the chart")
        for name in ("AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_EC2_METADATA_DISABLED", "AWS_PROFILE")
    ),
    (SITE, {"server.extraEnv": [{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]}, "X is there twice"),
    (SITE, {"server.extraEnv": [{"name": "X", "valueFrom": {"secret": "x"}}]}, "/server/extraEnv/0/valueFrom"),
    (SITE, {"server.resources.limits.memory": "512m"}, "/server/resources/limits/memory"),
    (SITE, {"server.resources.limits.memory": 512}, "/server/resources/limits/memory"),
    (SITE, {"server.podAnnotations": {"checksum/officer": "x"}}, "is the chart's own"),
    (SITE, {"readLog.volume": {"enabled": True, "existingClaim": "c", "accessMode": "ReadWriteOnce"}}, "that of one node"),
    (SITE, {"user": 2**31}, "/user"),
    (SITE, {"networkPolicy.ingressFrom": [{}]}, "/networkPolicy/ingressFrom/0"),
    (SITE, {"networkPolicy.egress": [{"from": []}]}, "/networkPolicy/egress/0"),
    (SITE, {"tolerations": [{"keys": "x"}]}, "/tolerations/0"),
    (SITE, {"affinity": {"node": {}}}, "/affinity"),
    (SITE, {"server": None}, "missing property 'server'"),
    (SITE, {"access.keys": None}, "missing property 'keys'"),
    (SITE, {"server.resources": None}, "missing property 'resources'"),
]


@pytest.mark.parametrize(("file", "settings", "message"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_contradicts_itself_is_refused_in_one_sentence(tmp_path, file, settings, message):
    done = try_render(tmp_path, *([file] if file else []), settings=settings)
    assert done.returncode == 1 and message in done.stderr and not done.stdout.strip()
    said = [line for line in done.stderr.splitlines() if message in line]
    assert len(said) == 1 and "map[" not in said[0] and "nil pointer" not in done.stderr
    assert "PRIVATE" not in done.stderr, "a secret key would be in the log of what renders the chart"


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


@pytest.mark.parametrize("name", ["123", "true", "null", "1e3", "0x1f", "on"])
def test_names_are_text_whatever_they_look_like(tmp_path, name):
    settings = {
        **dict.fromkeys(
            ("s3.existingSecret", "s3.secretKey", "session.existingSecret", "codes.existingClaim", "codes.file"), name
        ),
        **dict.fromkeys(("ingress.className", "ingress.tlsSecret", "priorityClassName", "serviceAccount.name"), name),
        "access.existingSecret": name,
        "access.keys": [name],
        "indexKey": {"existingSecret": name, "key": name, "passphraseKey": f"{name}2"},
        "keyserver": {
            **dict.fromkeys(("existingSecret", "key", "s3ExistingSecret", "s3SecretKey"), name),
            "enabled": True,
            "people": {name: OFFICER},
        },
        "readLog.volume": {"enabled": True, "storageClassName": name},
        "images.pullSecrets": [name],
    }
    assert complaints(render(tmp_path, SITE, settings=settings)) == []
    assert complaints(render(tmp_path, SITE, settings={"readLog.volume": {"enabled": True, "existingClaim": name}})) == []


@pytest.mark.parametrize("host", ["null", "true", "123", "1e3", "10.0.0.1", "0x1f"])
def test_a_host_is_text_whatever_it_looks_like(tmp_path, host):
    documents = render(tmp_path, INTERNAL, settings={"publicUrl": f"https://{host}", "ingress.enabled": host != "10.0.0.1"})
    assert complaints(documents) == []
    pods = {name: pod["spec"] for name, pod in iter_pods(documents)}
    assert pods["Deployment lab-modos-gateway"]["hostAliases"] == [{"ip": "10.96.0.80", "hostnames": [host]}]
    for ingress in (one["spec"] for one in documents if one["kind"] == "Ingress"):
        assert ingress["rules"][0]["host"] == host and ingress["tls"][0]["hosts"] == [host]


NASTY = ('x"\n  y: 1', "x'\n---\nkind: Secret\n", "{{ .Values }}", "x # y", "x: y", "*x", "!!int 3", "a\x00b", "\u2028", "é" * 70)


def test_no_text_is_anything_but_a_text(tmp_path):
    """Whatever stands in a setting is refused, or changes the text of one field, and no document."""
    everything = {
        "codes": {"existingClaim": "modos-codes", "fuzonUrl": "https://fuzon.example.org"},
        "indexKey": {"existingSecret": "i", "passphraseKey": "p"},
        "readLog": {"place": "/var/log/modos-reads", "key": OFFICER, "volume": {"enabled": True}},
    }
    plain = render(tmp_path, INTERNAL, settings=everything)
    texts = [path for path, value in iter_paths(VALUES) if isinstance(value, str)]
    free = ("ingress.annotations", "gateway.service.annotations", "server.podAnnotations", "nodeSelector")
    found = set()
    for number, path in enumerate((*texts, *free)):
        nasty = NASTY[number % len(NASTY)]
        done = try_render(tmp_path, INTERNAL, settings=everything | {path: {"example.org/x": nasty} if path in free else nasty})
        if done.returncode == 0:
            documents = list(filter(None, yaml.safe_load_all(done.stdout)))
            names = [(one["kind"], one["metadata"]["name"], one["apiVersion"]) for one in documents]
            assert names == [(one["kind"], one["metadata"]["name"], one["apiVersion"]) for one in plain], path
            found.add(path)
        else:
            assert "Error" in done.stderr and "nil pointer" not in done.stderr and "converting YAML" not in done.stderr, path
    assert found <= {*free, "access.rules", "codes.fuzonUrl"}, "which have a form"


def test_free_texts_get_there_as_they_are(tmp_path):
    for nasty in NASTY:
        settings = {"ingress.annotations": {"example.org/x": nasty}, "server.extraEnv": [{"name": "X", "value": nasty}]}
        done = try_render(tmp_path, INTERNAL, settings=settings | {"access": {"rules": nasty, "existingSecret": ""}})
        assert done.returncode == 0, done.stderr
        documents = list(yaml.safe_load_all(done.stdout))
        by_kind = {one["kind"]: one for one in documents if one}
        assert by_kind["Ingress"]["metadata"]["annotations"] == {"example.org/x": nasty}
        assert [one["data"]["access.toml"] for one in documents if "access" in one["metadata"]["name"]] == [nasty]
        (server,) = [environment(one) for name, _, one in iter_containers(documents) if name.endswith(": modos")]
        assert server["X"] == nasty


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
