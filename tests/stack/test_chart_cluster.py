"""The Helm chart in its cluster: what its pods reach, whom they believe, and what upgrades leave as it is."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
import yaml

from tests.support.charts import CHART, complaints, environment, iter_containers, of_kind, render, run_helm

pytestmark = pytest.mark.stack


def test_what_is_outside_is_reached_at_its_own_port(tmp_path):
    """And not where clouds keep the credentials of nodes."""

    def ports(component: str, file: str, **settings) -> set[int]:
        documents = render(tmp_path, CHART.parent / f"examples/{file}.yaml", settings=settings)
        rules = of_kind(documents, "NetworkPolicy")[f"lab-modos-{component}"]["spec"]["egress"]
        (outside,) = [rule for rule in rules if any("ipBlock" in peer for peer in rule.get("to", []))]
        for peer in outside["to"]:
            block = ipaddress.ip_network(peer["ipBlock"]["cidr"])
            closed = [ipaddress.ip_network(one) for one in peer["ipBlock"]["except"]]
            for address in map(ipaddress.ip_address, ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd00:ec2::23")):
                assert address.version != block.version or any(address in one for one in closed), address
        return {port["port"] for port in outside["ports"]}

    keys = {"rewrapUrl": "https://keys.example.org:8443"}
    assert ports("server", "site", **keys) == {443, 8443} and ports("gateway", "site", **keys) == {443}
    public = {"publicUrl": "https://modos.example.org:9443"}
    assert ports("gateway", "internal-s3", **public) == {443, 9000, 9443}, "htsget-rs reads at the address that it signs for"
    assert ports("server", "internal-s3", **public) == {443, 9000}
    assert ports("server", "site", **{"s3.url": "http://s3.example.org"}) == {443, 80}


def test_what_a_site_opens_is_open_to_all_that_need_it(tmp_path):
    """A rule for name servers at another port is of no use if one pod has it not; the S3 of the example is one of the cluster."""
    dns = {"ports": [{"port": 5353, "protocol": "UDP"}]}
    documents = render(tmp_path, CHART.parent / "examples/demo.yaml", settings={"networkPolicy.egress": [dns]})
    for name, policy in of_kind(documents, "NetworkPolicy").items():
        assert (dns in policy["spec"]["egress"]) is (name != "lab-modos-s3"), name
    policies = of_kind(render(tmp_path, CHART.parent / "examples/internal-s3.yaml"), "NetworkPolicy")
    labels = {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}
    for name in ("lab-modos-server", "lab-modos-gateway"):
        rule = {"to": [{"namespaceSelector": labels}], "ports": [{"port": 9000}]}
        assert rule in policies[name]["spec"]["egress"], "which plug-ins that take no address for a pod need"


def test_a_volume_of_one_node_has_one_pod_at_a_time(tmp_path):
    """Or the pod of an upgrade waits for the volume, and the one before for that pod."""
    file = CHART.parent / "examples/read-log.yaml"
    for mode in ("ReadWriteOnce", "ReadWriteOncePod"):
        documents = render(tmp_path, file, settings={"readLog.volume.accessMode": mode, "server.replicas": 1})
        assert complaints(documents) == []
        assert of_kind(documents, "Deployment")["lab-modos-server"]["spec"]["strategy"] == {"type": "Recreate"}
    strategy = of_kind(render(tmp_path, file), "Deployment")["lab-modos-server"]["spec"]["strategy"]
    assert strategy == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_networks_of_trusted_proxies_are_the_gateways(tmp_path):
    file = CHART.parent / "examples/site.yaml"
    for networks in ([], ["10.244.0.0/16", "fd00:10::/64"]):
        documents = render(tmp_path, file, settings={"gateway.trustedProxies": networks})
        (gateway,) = [environment(one) for name, _, one in iter_containers(documents) if name.endswith(": gateway")]
        assert gateway["TRUSTED_PROXIES"] == " ".join(networks)


def test_an_upgrade_changes_nothing_that_is_for_good(tmp_path):
    """A next version has the selectors, claims and addresses of this one, which a cluster refuses to change, and keeps what it drew."""

    def lasting(chart: Path, **settings) -> dict[tuple[str, str], object]:
        found = {}
        values = tmp_path / "values.yaml"
        values.write_text(yaml.safe_dump(settings))
        for file in (CHART.parent / "examples/demo.yaml", CHART.parent / "examples/read-log.yaml"):
            done = run_helm("template", "lab", chart, "--values", file, "--values", values, folder=tmp_path)
            assert done.returncode == 0, done.stderr
            for one in filter(None, yaml.safe_load_all(done.stdout)):
                spec = one.get("spec", {})
                kept = {"Deployment": spec.get("selector"), "Service": spec.get("clusterIP"), "PersistentVolumeClaim": spec}
                found[file.stem, one["kind"], one["metadata"]["name"]] = kept.get(one["kind"])
        return found

    next_one = ("--version", "9.8.7-rc.1", "--app-version", "9.8.7")
    done = run_helm("package", CHART, *next_one, "--destination", tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    others = {
        "server": {"replicas": 5, "workers": 1},
        "images": {"pullPolicy": "Always"},
        "gateway": {"replicas": 1},
        "user": 1234,
    }
    assert lasting(tmp_path / "modos-9.8.7-rc.1.tgz", **others) == lasting(CHART)
