"""Settings of the Helm chart that are wrong, or look like something else: refused in one sentence, or taken as they are written."""

from __future__ import annotations

import pytest
import yaml

from tests.support.charts import CHART, complaints, environment, iter_containers, iter_pods, render, try_render

from .test_chart_values import VALUES, iter_paths

pytestmark = pytest.mark.stack
DEMO, SITE, INTERNAL = (CHART.parent / f"examples/{name}.yaml" for name in ("demo", "site", "internal-s3"))
OFFICER = "-----BEGIN CRYPT4GH PUBLIC KEY-----\nx"
SECRET = "-----BEGIN CRYPT4GH PRIVATE KEY-----\nsealed"

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
    (SITE, {"trustedCAs": {"configMap": "a", "existingSecret": "b"}}, "trustedCAs.configMap and trustedCAs.existingSecret"),
    (SITE, {"trustedCAs": {"configMap": "a", "key": ""}}, "/trustedCAs/key"),
    (SITE, {"trustedCAs": {"configmap": "a"}}, "'configmap' not allowed"),
    (
        SITE,
        {"trustedCAs.configMap": "a", "server.extraEnv": [{"name": "AWS_CA_BUNDLE", "value": "/x"}]},
        "AWS_CA_BUNDLE is set by the chart, from trustedCAs",
    ),
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
