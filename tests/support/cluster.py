"""A stand-in for the API server of a cluster, as far as helm asks one while it renders: it knows kinds, and has Secrets."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_KINDS = {
    "v1": ("Secret", "ConfigMap", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod"),
    "apps/v1": ("Deployment",),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "batch/v1": ("Job",),
    "networking.k8s.io/v1": ("Ingress", "NetworkPolicy"),
    "policy/v1": ("PodDisruptionBudget",),
}


def _describe(version: str) -> dict[str, Any]:
    resources = [
        {
            "name": re.sub("ys$", "ies", f"{kind.lower()}s").replace("ingresss", "ingresses"),
            "namespaced": True,
            "kind": kind,
            "verbs": ["get"],
        }
        for kind in _KINDS[version]
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


class Cluster:
    """Answers what helm asks while it renders a chart; `secrets` are data by namespace and name."""

    def __init__(self, kubeconfig: Path, version: str):
        self.kubeconfig = kubeconfig
        self.version = version
        self.secrets: dict[tuple[str, str], dict[str, str]] = {}
        self.asked: list[str] = []

    def answer(self, path: str) -> dict[str, Any] | None:
        """What is at a path; None: nothing."""
        self.asked.append(path)
        parts = path.partition("?")[0].strip("/").split("/")
        if parts == ["version"]:
            major, minor, _ = self.version.split(".")
            return {"major": major, "minor": minor, "gitVersion": f"v{self.version}"}
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        if parts == ["apis"]:
            versions = [{"groupVersion": version, "version": version.rpartition("/")[2]} for version in _KINDS if "/" in version]
            groups = [
                {"name": one["groupVersion"].partition("/")[0], "versions": [one], "preferredVersion": one} for one in versions
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if parts[0] in ("api", "apis") and "/".join(parts[1:]) in _KINDS:
            return _describe("/".join(parts[1:]))
        if len(parts) == 6 and parts[:3] == ["api", "v1", "namespaces"] and parts[4] == "secrets":
            data = self.secrets.get((parts[3], parts[5]))
            metadata = {"name": parts[5], "namespace": parts[3]}
            return None if data is None else {"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": data}
        return None

    def __enter__(self) -> Cluster:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = outer.answer(self.path)
                missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
                body = json.dumps(missing if found is None else found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        named = {
            "clusters": {"cluster": {"server": url}},
            "users": {"user": {}},
            "contexts": {"context": {"cluster": "x", "user": "x"}},
        }
        lists = {name: [{"name": "x", **value}] for name, value in named.items()}
        self.kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "x", **lists}))
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
