"""The Helm chart: what helm makes of it is what Kubernetes takes, fits together, and gives no process more than it needs."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from modos.server.rules import Caller, read_access
from tests.support.charts import (
    CHART,
    EXAMPLES,
    ROOT,
    Document,
    cache,
    complaints,
    environment,
    iter_containers,
    iter_pods,
    of_kind,
    pod_of,
    render,
    run_helm,
    write_schemas,
)

pytestmark = pytest.mark.stack
ALL_AT_ONCE = {
    "trustedCAs.existingSecret": "modos-authorities",
    "server.references": "s3://lab/refs",
    "server.extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.org:3128"}],
    "codes": {"existingClaim": "modos-codes", "fuzonUrl": "https://fuzon.example.org"},
    "indexKey": {"existingSecret": "modos-index-key", "passphraseKey": "passphrase"},
    "rewrapUrl": "https://keys.example.org",
    "readLog": {"place": "/var/log/modos-reads", "key": "-----BEGIN CRYPT4GH PUBLIC KEY-----\n", "volume": {"enabled": True}},
}
CASES: dict[str, tuple[list[Path], Document]] = {file.stem: ([file], {}) for file in EXAMPLES} | {
    "everything": ([CHART.parent / "examples/site.yaml"], ALL_AT_ONCE),
    "demo with rules on port 80": (
        [CHART.parent / "examples/demo.yaml"],
        {"access.rules": '[[rule]]\nwho = ["user:alice"]\nread = ["/"]\n', "publicUrl": "http://modos.localhost"},
    ),
    "a private authority": (
        [CHART.parent / "examples/encrypted.yaml"],
        {"trustedCAs.configMap": "modos-authorities"},
    ),
    "one server": ([CHART.parent / "examples/site.yaml"], {"server.replicas": 1, "gateway.replicas": 1}),
}
GIVEN = (
    "modos-s3",
    "modos-access",
    "modos-sessions",
    "modos-index-key",
    "modos-keys",
    "modos-keys-s3",
    "modos-codes",
    "modos-authorities",
    "registry",
)


@pytest.fixture(scope="module", params=CASES)
def documents(request, tmp_path_factory) -> list[Document]:
    """What the chart makes of one set of values."""
    files, settings = CASES[request.param]
    return render(tmp_path_factory.mktemp("helm"), *files, settings=settings)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_helm_finds_nothing_to_complain_of(file, tmp_path):
    done = run_helm("lint", "--strict", CHART, "--values", file, folder=tmp_path)
    assert done.returncode == 0 and "0 chart(s) failed" in done.stdout, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout and "Fail:" not in done.stderr


def check_by_kubeconform(folder: Path, documents: list[Document]) -> subprocess.CompletedProcess[str]:
    place = write_schemas(folder, documents)
    (folder / "rendered").write_text(yaml.safe_dump_all(documents))
    words = [cache() / "bin/kubeconform", "-strict", "-summary", "-output", "json", "-schema-location", str(place), "-"]
    return subprocess.run(words, stdin=open(folder / "rendered"), capture_output=True, text=True, timeout=60)


def test_kubernetes_knows_every_field(documents, tmp_path):
    done = check_by_kubeconform(tmp_path, documents)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["summary"] == {"valid": len(documents), "invalid": 0, "errors": 0, "skipped": 0}


def test_a_field_that_kubernetes_does_not_know_is_found(tmp_path):
    """Or the schemas say nothing."""
    for spoil in (
        lambda pod: pod["spec"].update(hostAlias=[]),
        lambda pod: pod["spec"]["containers"][0]["livenessProbe"].update(periodSeconds="10"),
        lambda pod: pod["spec"]["containers"][0]["securityContext"].pop("capabilities") and pod["spec"].pop("containers"),
    ):
        documents = render(tmp_path, EXAMPLES[0])
        spoil(next(pod for name, pod in iter_pods(documents) if name == "Deployment lab-modos-server"))
        done = check_by_kubeconform(tmp_path, documents)
        assert done.returncode == 1 and json.loads(done.stdout)["summary"]["invalid"] == 1


def test_the_api_server_takes_it_with_the_strictest_standard_for_pods(documents):
    assert complaints(documents) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda spec: spec["securityContext"].pop("seccompProfile"), "not restricted: seccompProfile"),
        (lambda spec: spec["securityContext"].update(runAsNonRoot=False), "runAsNonRoot"),
        (lambda spec: spec["containers"][0]["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "capabilities"),
        (lambda spec: spec["containers"][0]["ports"][0].update(name="a-name-of-too-many-letters"), "ports[0].name"),
        (
            lambda spec: spec.update(volumes=[one for one in spec["volumes"] if one["name"] != "tmp"]),
            "volumeMounts[0].name: Not found",
        ),
        (lambda spec: spec["containers"][0]["livenessProbe"].update(exec={"command": ["true"]}), "more than 1 handler"),
        (lambda spec: spec.update(hostAlias=[]), 'unknown field "spec.template.spec.hostAlias"'),
    ],
    ids=range(7),
)
def test_the_api_server_says_what_it_does_not_take(tmp_path, spoil, complaint):
    documents = render(tmp_path, EXAMPLES[0])
    spoil(next(pod for name, pod in iter_pods(documents) if name == "Deployment lab-modos-server")["spec"])
    found = complaints(documents)
    assert len(found) == 1 and complaint in found[0], found


def test_an_older_cluster_is_refused_and_the_oldest_is_taken(tmp_path):
    assert render(tmp_path, EXAMPLES[0], cluster="1.30.0")
    with pytest.raises(AssertionError, match="kubeVersion: >=1.30.0-0"):
        render(tmp_path, EXAMPLES[0], cluster="1.29.9")


def test_every_pod_is_restricted(documents):
    """As the Pod Security Standard "restricted" has it, and a read-only file system, and no token of the cluster."""
    for name, pod in iter_pods(documents):
        spec = pod["spec"]
        assert not spec["automountServiceAccountToken"] and not spec["enableServiceLinks"], name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] > 0 and security["runAsGroup"] == security["fsGroup"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert {one["name"] for one in security.get("sysctls", [])} <= {"net.ipv4.ip_unprivileged_port_start"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(spec), name
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"}, name
    for name, _, container in iter_containers(documents):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] and security["allowPrivilegeEscalation"] is False, name
        assert security["runAsNonRoot"] and "runAsUser" not in security and "privileged" not in security, name
        assert security["capabilities"]["drop"] == ["ALL"], name
        assert security["capabilities"].get("add", []) == ["NET_BIND_SERVICE"] * name.endswith(": gateway"), name
        for amounts in ("requests", "limits"):
            assert container["resources"][amounts].keys() >= {"cpu", "memory"}, name


def test_every_image_has_a_version(documents):
    for name, _, container in iter_containers(documents):
        assert re.fullmatch(r"[a-z0-9][\w./-]*:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", container["image"]), name


def test_what_runs_on_is_probed_and_ends_in_order(documents):
    for name, spec, container in iter_containers(documents):
        if name.startswith("Deployment"):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container[probe].get("httpGet") or container[probe]["exec"]["command"], name
            ports = {port["name"] for port in container.get("ports", [])}
            assert {container[probe]["httpGet"]["port"] for probe in container if "httpGet" in container[probe]} <= ports
            pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert spec["terminationGracePeriodSeconds"] >= pause + 25, name
        else:
            assert spec["restartPolicy"] in ("Never", "OnFailure"), name


def test_selectors_find_their_pods_and_ports_are_there(documents):
    pods = dict(iter_pods(documents))
    ports = {
        name: {p["name"]: p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", [])}
        for name, pod in pods.items()
    }

    def selected(labels: dict[str, str]) -> list[str]:
        assert len(labels) == 3
        return [name for name, pod in pods.items() if labels.items() <= pod["metadata"]["labels"].items()]

    for document in documents:
        name, spec = document["metadata"]["name"], document.get("spec", {})
        kind = document["kind"]
        if kind == "Service":
            (found,) = selected(spec["selector"])
            assert {port["targetPort"] for port in spec["ports"]} <= ports[found].keys(), name
        elif kind == "Deployment":
            assert selected(spec["selector"]["matchLabels"]) == [f"Deployment {name}"]
            for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
                assert selected(spread["labelSelector"]["matchLabels"]) == [f"Deployment {name}"]
        elif kind == "PodDisruptionBudget":
            assert selected(spec["selector"]["matchLabels"]) == [f"Deployment {name}"]
        elif kind == "HorizontalPodAutoscaler":
            assert (target := of_kind(documents, "Deployment")[spec["scaleTargetRef"]["name"]])
            assert "replicas" not in target["spec"], "which an upgrade would set back"
        elif kind == "Ingress":
            (path,) = spec["rules"][0]["http"]["paths"]
            service = of_kind(documents, "Service")[path["backend"]["service"]["name"]]
            assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
        elif kind == "NetworkPolicy":
            (found,) = selected(spec["podSelector"]["matchLabels"])
            assert spec["policyTypes"] == ["Ingress", "Egress"]
            for rule in spec["ingress"]:
                assert {port["port"] for port in rule["ports"]} <= ports[found].keys(), name
            for rule in spec["ingress"] + spec["egress"]:
                for peer in rule.get("from", []) + rule.get("to", []):
                    if "podSelector" in peer and "namespaceSelector" not in peer:
                        (other,) = selected(peer["podSelector"]["matchLabels"])
                        if rule in spec["egress"]:
                            assert {port["port"] for port in rule["ports"]} <= set(ports[other].values()), name
    policies = of_kind(documents, "NetworkPolicy").values()
    closed = [name for policy in policies for name in selected(policy["spec"]["podSelector"]["matchLabels"])]
    assert sorted(closed) == sorted(pods), "a pod without a policy is open"


def test_what_connects_is_let_in_and_out(documents):
    """Each address of another component in an environment is one that the policies of both sides open."""
    policies = {name: document["spec"] for name, document in of_kind(documents, "NetworkPolicy").items()}
    services = of_kind(documents, "Service")
    for name, pod in iter_pods(documents):
        policy = policies[f"lab-modos-{pod['metadata']['labels']['app.kubernetes.io/component']}"]
        text = json.dumps([environment(container) for container in pod["spec"]["containers"]])
        for called in set(re.findall(r"lab-modos-\w+", text)):
            labels = services[called]["spec"]["selector"]
            assert any({"podSelector": {"matchLabels": labels}} in rule.get("to", []) for rule in policy["egress"]), (
                name,
                called,
            )
            mine = {key: pod["metadata"]["labels"][key] for key in labels}
            assert any(
                "from" not in rule or {"podSelector": {"matchLabels": mine}} in rule["from"]
                for rule in policies[called]["ingress"]
            ), (name, called)


def test_the_gateway_finds_each_server_and_trusts_whom_it_is_told_to(documents):
    server = of_kind(documents, "Service")["lab-modos-server"]["spec"]
    assert server["clusterIP"] == "None", "a name that leads to one address is one server for the gateway"
    (gateway,) = [environment(one) for name, _, one in iter_containers(documents) if name.endswith(": gateway")]
    (pod,) = [one for name, _, one in iter_containers(documents) if name.endswith(": modos")]
    assert (
        gateway["MODOS_NAME"] == "lab-modos-server"
        and [{"name": "http", "containerPort": int(gateway["MODOS_PORT"])}] == pod["ports"]
    )
    used = set(re.findall(r"\{\$([A-Z_]\w+)", (ROOT / "deploy/gateway/Caddyfile").read_text()))
    assert used - gateway.keys() == {"GATEWAY_HEALTH_PORT"}, "what the file takes is what the pod has"
    known = subprocess.run(
        ["caddy", "validate", "--adapter", "caddyfile", "--config", ROOT / "deploy/gateway/Caddyfile"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]} | gateway,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert known.returncode == 0, known.stderr


def test_files_that_are_named_are_mounted(documents):
    maps = of_kind(documents, "ConfigMap") | of_kind(documents, "Secret")
    claims = of_kind(documents, "PersistentVolumeClaim")
    for name, spec, container in iter_containers(documents):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert {mount["name"] for mount in mounts.values()} <= volumes.keys(), name
        assert not any("subPath" in mount for mount in mounts.values()), "which is not changed with its ConfigMap"
        named = [*container.get("command", []), *container.get("args", []), *environment(container).values()]
        for path in (word for word in named if re.match(r"/(etc|var|secrets|data)\b", word)):
            assert any(path == place or path.startswith(f"{place}/") for place in mounts), (name, path)
        assert container["image"].startswith("caddy") or "/tmp" in mounts or container["name"] == "htsget", name
    for name, pod in iter_pods(documents):
        containers = pod["spec"]["containers"]
        used = {mount["name"] for container in containers for mount in container["volumeMounts"]}
        assert used == {volume["name"] for volume in pod["spec"]["volumes"]}, name
        for volume in pod["spec"]["volumes"]:
            sources = volume.get("projected", {}).get("sources", [volume])
            for source in sources:
                for kind, field in (("configMap", "name"), ("secret", "secretName" if "secret" in volume else "name")):
                    if kind in source:
                        wanted = source[kind][field]
                        assert wanted in maps or wanted in GIVEN, (name, wanted)
                        for item in source[kind].get("items", []) if wanted in maps else ():
                            assert item["key"] in maps[wanted]["data"], (name, item)
            if claim := volume.get("persistentVolumeClaim"):
                assert claim["claimName"] in claims or claim["claimName"] in GIVEN, name
            for secret in (volume.get("secret"), volume.get("projected")):
                assert secret is None or secret["defaultMode"] == 0o440, "others would read it"


def test_nothing_secret_lies_open(documents):
    secrets = [value for document in of_kind(documents, "Secret").values() for value in document["data"].values()]
    assert all(document["immutable"] for document in of_kind(documents, "Secret").values())
    open_to_see = json.dumps([document for document in documents if document["kind"] != "Secret"])
    for value in secrets:
        plain = base64.b64decode(value).decode()
        assert value not in open_to_see and (plain == "modos-root" or plain.split()[-1] not in open_to_see)
    for name, _, container in iter_containers(documents):
        for variable, value in environment(container).items():
            if re.search("PASSWORD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|_KEY(_FILE)?$|_KEYS$", variable):
                assert re.match("/(etc|secrets)/", value), (name, variable)


def test_only_the_key_service_has_the_key(documents):
    for name, pod in iter_pods(documents):
        secrets = re.findall(r'"(?:secretName|name)": "(modos-keys(?:-s3)?)"', json.dumps(pod["spec"]["volumes"]))
        assert sorted(secrets) == ["modos-keys", "modos-keys-s3"] * (name == "Deployment lab-modos-keyserver"), name


def test_htsget_signs_for_what_the_server_names(documents):
    """Over http the gateway beside it is what it signs for, so that it reads the bucket there."""
    containers = {container["name"]: (spec, container) for _, spec, container in iter_containers(documents)}
    server, gateway = environment(containers["modos"][1]), environment(containers["gateway"][1])
    spec, htsget = containers["htsget"]
    location = environment(htsget)["HTSGET_LOCATIONS"]
    signed = re.search(r'endpoint="([^"]+)"', location)[1]
    bucket = re.search(r'bucket="([^"]+)"', location)[1]
    assert signed == server["MODOS_SERVE_S3_URL"]
    assert containers["modos"][1]["command"][:3] == ["modos", "serve", f"s3://{bucket}"]
    assert environment(htsget)["HTSGET_TICKET_SERVER_ADDR"] == gateway["HTSGET_ADDRESS"] == "127.0.0.1:8081"
    assert (gateway["MODOS_NAME"], gateway["MODOS_PORT"]) == ("lab-modos-server", "8000") and server["MODOS_SERVE_PORT"] == "8000"
    is_behind = signed == server["MODOS_SERVE_PUBLIC_URL"]
    assert gateway["MODOS_BUCKET"] == (bucket if is_behind else "-"), "a bucket called `files` would hide the server's"
    if is_behind:
        assert server["AWS_ENDPOINT_URL"] == f"http://{gateway['S3_ADDRESS']}"
        if signed.startswith("http:"):
            host, port = re.fullmatch(r"http://([^:]+)(?::(\d+))?", signed).groups()
            assert gateway["SITE_ADDRESS"] == f":{port or 80}"
            assert host == "localhost" or spec["hostAliases"] == [{"ip": "127.0.0.1", "hostnames": [host]}]
            assert bool(spec["securityContext"].get("sysctls")) == (port is None)
    else:
        assert signed == server["AWS_ENDPOINT_URL"] and gateway["S3_ADDRESS"].startswith("127.0.0.1:")


def test_the_examples_have_rules_that_the_server_reads(tmp_path):
    config = of_kind(render(tmp_path, CHART.parent / "examples/site.yaml"), "ConfigMap")["lab-modos-access"]
    (tmp_path / "access.toml").write_text(config["data"]["access.toml"])
    (tmp_path / "client-secret").write_text("a-secret")
    (tmp_path / "client-secret").chmod(0o600)
    rules = read_access(tmp_path / "access.toml").rules
    assert rules.places(Caller("alice"), "read") == ("cohort-a",)
    assert rules.places(Caller("x", frozenset({"stewards"})), "write") == ("",)


def test_files_get_there_byte_for_byte(tmp_path):
    rules = '  # begins with blanks\n\n\t[[rule]]\nwho = ["anyone"]  # {{ .Values }} $(HOME) "quoted" \\ ä\nread = ["x"]'
    documents = render(tmp_path, CHART.parent / "examples/demo.yaml", settings={"access.rules": rules})
    config = of_kind(documents, "ConfigMap")
    assert config["lab-modos-access"]["data"]["access.toml"] == rules
    for name, path in (("Caddyfile", "gateway/Caddyfile"), ("htsget.toml", "htsget/config.toml")):
        assert config["lab-modos-gateway"]["data"][name].strip() == (ROOT / "deploy" / path).read_text().strip()


def test_the_package_has_files_and_no_links(tmp_path):
    done = run_helm("package", CHART, "--destination", tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with tarfile.open(next(tmp_path.glob("modos-*.tgz"))) as package:
        assert all(member.isfile() for member in package)
        caddyfile = package.extractfile("modos/files/Caddyfile").read()
    assert caddyfile == (ROOT / "deploy/gateway/Caddyfile").read_bytes()


def test_pods_are_made_anew_for_a_new_configuration(tmp_path):
    """Of the gateway, which reads its file once; the server reads new rules by itself, and is left."""

    def annotations(component: str, **settings) -> Document:
        documents = render(tmp_path, CHART.parent / "examples/read-log.yaml", settings=settings)
        return pod_of(of_kind(documents, "Deployment")[f"lab-modos-{component}"])["metadata"]["annotations"]

    assert annotations("gateway")["checksum/config"]
    other = {"readLog.key": "-----BEGIN CRYPT4GH PUBLIC KEY-----\nanother"}
    assert annotations("server") != annotations("server", **other)
    rules = {"access": {"rules": '[[rule]]\nwho = ["anyone"]\nread = ["x"]', "existingSecret": ""}}
    assert annotations("server") == annotations("server", **rules)
