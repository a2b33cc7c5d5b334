"""Render the Helm chart with helm, and make schemas for kubeconform from what Kubernetes says of its objects."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/modos"
EXAMPLES = sorted((ROOT / "deploy/helm/examples").glob("*.yaml"))
Document = dict[str, Any]
NEWEST = "1.37.2"  # Kubernetes, of which deploy/helm/install has the schemas


def cache() -> Path:
    """Where deploy/helm/install puts the programs; a test that finds none fails."""
    folder = Path(os.environ.get("HELM_CACHE") or Path(os.environ["HOME"]) / ".cache/modos/helm")
    assert (folder / "bin/helm").exists(), "helm is not installed: run deploy/helm/install"
    return folder


def run_helm(*words: str | Path, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Call helm, with its own files in a folder."""
    homes = {name: str(folder) for name in ("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    return subprocess.run(
        [cache() / "bin/helm", *words],
        env={"PATH": os.environ["PATH"]} | homes | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )


def render(
    folder: Path, *values: Path, settings: Document | None = None, cluster: str = NEWEST, release: str = "lab"
) -> list[Document]:
    """What the chart makes of files of values, and of settings besides."""
    done = try_render(folder, *values, settings=settings, cluster=cluster, release=release)
    assert done.returncode == 0, done.stderr
    return list(filter(None, yaml.safe_load_all(done.stdout)))


def try_render(
    folder: Path, *values: Path, settings: Document | None = None, cluster: str = NEWEST, release: str = "lab"
) -> subprocess.CompletedProcess[str]:
    """As `render`, with helm's exit code and what it writes."""
    words: list[str | Path] = ["template", release, CHART, "--namespace", "genomics", "--kube-version", cluster]
    for file in values:
        words += ["--values", file]
    for name, value in (settings or {}).items():
        words += ["--set-json", f"{name}={json.dumps(value)}"]
    return run_helm(*words, folder=folder)


def pod_of(document: Document) -> Document | None:
    """The pod of a workload, or None."""
    return document if document["kind"] == "Pod" else document.get("spec", {}).get("template")


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    """The documents of a kind by name."""
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def iter_pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """The workloads and their pods, with labels and spec."""
    for document in documents:
        if pod := pod_of(document):
            yield f"{document['kind']} {document['metadata']['name']}", pod


def iter_containers(documents: list[Document]) -> Iterator[tuple[str, Document, Document]]:
    """Each container with its workload and its pod's spec."""
    for name, pod in iter_pods(documents):
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            yield f"{name}: {container['name']}", pod["spec"], container


def environment(container: Document) -> dict[str, str]:
    """Its variables with plain values."""
    return {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}


def complaints(documents: list[Document]) -> list[str]:
    """What the API server's own code says against some documents, and against their pods as the cluster's strictest standard has it."""
    done = subprocess.run([cache() / "bin/validate"], input=json.dumps(documents), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == f"{len(documents)} objects"
    return lines


def write_schemas(folder: Path, documents: list[Document]) -> Path:
    """Write JSON schemas of the kinds of some documents, and say how kubeconform finds them.

    Each has the definitions that it needs in itself. As kubeconform's own for `-strict`, they take no property that is not
    named, and quantities as numbers as well.
    """
    described = json.loads((cache() / "kubernetes.json").read_text())["definitions"]
    wanted = {(document["apiVersion"], document["kind"]) for document in documents}
    for name, definition in described.items():
        for of in definition.get("x-kubernetes-group-version-kind", []):
            version = f"{of['group']}/{of['version']}" if of["group"] else of["version"]
            if (version, of["kind"]) in wanted:
                schema = {"$ref": f"#/definitions/{name}", "definitions": _with_needed(name, described)}
                suffix = "-".join(filter(None, (of["group"].partition(".")[0], of["version"])))
                (folder / f"{of['kind'].lower()}-{suffix}.json").write_text(json.dumps(schema))
    return folder / "{{ .ResourceKind }}{{ .KindSuffix }}.json"


def _with_needed(name: str, described: Document) -> Document:
    found: Document = {}
    ahead = [name]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found[name] = definition = copy.deepcopy(described[name])
        if name.endswith(".api.resource.Quantity"):
            found[name] = {"type": ["string", "number"]}
        elif name.endswith(".util.intstr.IntOrString"):
            found[name] = {"type": ["string", "integer"]}
        elif "properties" in definition:
            definition["additionalProperties"] = False
        ahead += [one.rpartition("/")[2] for one in _references(definition)]
    return found


def _references(value: Any) -> Iterator[str]:
    for name, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if name == "$ref" and isinstance(one, str):
            yield one
        else:
            yield from _references(one)
