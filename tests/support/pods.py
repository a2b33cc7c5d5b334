"""Run the pods of a chart as programs of this machine, shut in as a cluster would.

Each container has the command, the variables, the user, the capabilities and the files that its document gives it, on a
file system that is read-only. All pods share one network, which leads nowhere, and have an address of their own in it beside
the loopback address. Images are this machine's programs. It needs root.
"""

from __future__ import annotations

import base64
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.charts import Document, environment, iter_pods
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
_ADDRESS = "10.96.0.1"  # of all Services, and of all pods
_UP = f"""
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    flags = struct.unpack("16sh", fcntl.ioctl(one, 0x8913, struct.pack("16sh", b"lo", 0)))[1]
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", flags | 1))
    address = struct.pack("=16sH2x4s8x", b"lo:1", socket.AF_INET, socket.inet_aton("{_ADDRESS}"))
    fcntl.ioctl(one, 0x8916, address)
print("up", flush=True)
sys.stdin.read()
"""


class Pods:
    """The pods of rendered documents.

    Parameters
    ----------
    folder
        For volumes and logs.
    programs
        Folders with the programs that images have.
    secrets
        Of those that the documents name and do not have: files by name.
    """

    def __init__(
        self, folder: Path, documents: list[Document], programs: list[Path], secrets: dict[str, dict[str, bytes]] | None = None
    ):
        self.folder = folder
        self._files = dict(secrets or {})
        for document in documents:
            if document["kind"] == "Secret":
                self._files[document["metadata"]["name"]] = {k: base64.b64decode(v) for k, v in document["data"].items()}
            elif document["kind"] == "ConfigMap":
                self._files[document["metadata"]["name"]] = {k: v.encode() for k, v in document["data"].items()}
        self._pods = {name.rpartition(" ")[2]: pod["spec"] for name, pod in iter_pods(documents)}
        self._services = [one["metadata"]["name"] for one in documents if one["kind"] == "Service"]
        places = [str(Path(sys.executable).parent), *map(str, programs), "/usr/local/bin", "/usr/bin", "/bin"]
        self._image = {"PATH": ":".join(places), "HOME": "/", "PYTHONUNBUFFERED": "1", "MODOS_CACHE_DIR": "/tmp/cache"}
        self._image["PYTHONPATH"] = str(ROOT)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Pods:
        words = ["unshare", "--net", sys.executable, "-c", _UP]
        self._network = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._network.stdout and self._network.stdout.readline() == b"up\n", "no network namespace: is this root?"
        return self

    def __exit__(self, *error: object) -> None:
        for name in list(self._running):
            self.stop(name)
        self._network.communicate()

    def start(self, pod: str) -> None:
        """Start all containers of a pod, and wait until their probes say that it is ready."""
        for one in self._pods[pod]["securityContext"].get("sysctls", []):
            place = "/proc/sys/" + one["name"].replace(".", "/")
            self.ask("sh", "-c", 'echo "$0" > "$1"', one["value"], place).check_returncode()
        for container in self._pods[pod]["containers"]:
            name = f"{pod}.{container['name']}"
            with open(self._log(name), "ab") as log:
                self._running[name] = subprocess.Popen(
                    self._words(pod, container), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        for container in self._pods[pod]["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self._wait_for(pod, container, container[probe])

    def run(self, pod: str, **settings: str) -> str:
        """Run a pod that ends, and return what it says; an error of it fails the test."""
        (container,) = self._pods[pod]["containers"]
        done = subprocess.run(self._words(pod, container, settings), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{pod}: {done.stdout}{done.stderr}"
        return done.stdout

    def stop(self, name: str) -> int:
        """Ask a container to end, as the kubelet does; its exit code."""
        process = self._running.pop(name)
        if process.poll() is not None:
            return process.returncode
        os.killpg(process.pid, signal.SIGTERM)
        try:
            return process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise

    def ask(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of a client in the network of the pods."""
        return subprocess.run(
            [*self._enter(), *words], env=os.environ | self._image | settings, capture_output=True, text=True, timeout=120
        )

    def begin(self, name: str, *words: str, **settings: str) -> None:
        """Start a program that is no pod, as one outside of the cluster, in the network of the pods; it ends with them."""
        with open(self._log(name), "ab") as log:
            self._running[name] = subprocess.Popen(
                [*self._enter(), *words],
                env=os.environ | self._image | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def tell(self, name: str) -> str:
        """What a container has written."""
        return self._log(name).read_text(errors="replace")

    def processes(self, name: str) -> Iterator[dict[str, str]]:
        """What the kernel says of the processes of a container: fields of /proc/PID/status."""
        ahead = [self._running[name].pid]
        while ahead:
            pid = ahead.pop()
            ahead += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            yield {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._network.pid}/ns/net"]

    def _wait_for(self, pod: str, container: Document, probe: Document) -> None:
        name = f"{pod}.{container['name']}"
        if "exec" in probe:
            words = self._words(pod, container, command=probe["exec"]["command"])
        else:
            (port,) = [one["containerPort"] for one in container["ports"] if one["name"] == probe["httpGet"]["port"]]
            words = [*self._enter(), "curl", "-sf", "-o", "/dev/null", f"http://{_ADDRESS}:{port}{probe['httpGet']['path']}"]

        def is_ready() -> bool:
            assert self._running[name].poll() is None, f"{name} has ended: {self.tell(name)[-2000:]}"
            return _succeeds(words)

        wait_until(is_ready, 90, lambda: f"{name} is not ready: {self.tell(name)[-2000:]}")

    def _words(
        self, pod: str, container: Document, settings: dict[str, Any] | None = None, command: list[str] | None = None
    ) -> list[str]:
        """The command of a container, or another one in it, in its network, mounts, user and capabilities."""
        spec = self._pods[pod]
        user, capabilities = spec["securityContext"], container["securityContext"]["capabilities"]
        assert capabilities["drop"] == ["ALL"] and container["securityContext"]["readOnlyRootFilesystem"]
        kept = "".join(f",+{one.lower()}" for one in capabilities.get("add", []))
        words = command or container.get("command") or ["minio"]
        words = words + container.get("args", []) if command is None else words
        variables = self._image | environment(container) | (settings or {})
        shut_in = [
            "setpriv", f"--reuid={user['runAsUser']}", f"--regid={user['runAsGroup']}", f"--groups={user['fsGroup']}",
            f"--bounding-set=-all{kept}", "--inh-caps=-all", "--no-new-privs",
            "env", "-i", *(f"{name}={value}" for name, value in variables.items()), *words,
        ]  # fmt: skip
        script = "\n".join([*self._mounts(pod, container), f'exec chroot "$root" {shlex.join(shut_in)}'])
        return [*self._enter(), "unshare", "--mount", "bash", "-euc", script]

    def _mounts(self, pod: str, container: Document) -> Iterator[str]:
        spec = self._pods[pod]
        hosts = self.folder / f"{pod}.hosts"
        aliases = [f"{one['ip']} {' '.join(one['hostnames'])}\n" for one in spec.get("hostAliases", [])]
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{_ADDRESS} {name}\n" for name in self._services) + "".join(aliases))
        hosts.chmod(0o644)
        yield f"root={shlex.quote(str(self.folder))}/root; mkdir -p $root"
        yield "mount -t tmpfs tmpfs $root; mkdir $root/upper $root/work $root/merged"
        yield "mount -t overlay overlay -o lowerdir=/,upperdir=$root/upper,workdir=$root/work $root/merged"
        yield "root=$root/merged; mount --rbind /proc $root/proc; mount --rbind /dev $root/dev"
        yield "chmod a+rx $root/root"  # where this machine's Python may be
        yield f"mount --bind {shlex.quote(str(hosts))} $root/etc/hosts"
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            source, place = self._volume(pod, volumes[mount["name"]]), f"$root{mount['mountPath']}"
            yield f"mkdir -p {place}; mount --bind {shlex.quote(str(source))} {place}"
            if mount.get("readOnly"):
                yield f"mount -o remount,bind,ro {place}"
        yield "mount -o remount,bind,ro $root"

    def _volume(self, pod: str, volume: Document) -> Path:
        """A folder with what a volume has, as the kubelet makes it: links, and files of root's for one group."""
        group = self._pods[pod]["securityContext"]["fsGroup"]
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        folder = self.folder / "volumes" / (claim or f"{pod}.{volume['name']}")
        if folder.exists():
            return folder
        data = folder / "..data_1"
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        for source in sources:
            for one in filter(None, (source.get("secret"), source.get("configMap"))):
                files = self._files[one.get("secretName") or one["name"]]
                items = {item["path"]: item["key"] for item in one.get("items", [])} or {name: name for name in files}
                for name, key in items.items():
                    data.mkdir(parents=True, exist_ok=True)
                    (data / name).write_bytes(files[key])
                    os.chown(data / name, 0, group)
                    (data / name).chmod(0o440)
                    (folder / name).symlink_to(f"..data/{name}")
        folder.mkdir(parents=True, exist_ok=True)
        if data.exists():
            (folder / "..data").symlink_to(data.name)
            os.chown(data, 0, group)
            data.chmod(0o2750)
        os.chown(folder, 0, group)
        folder.chmod(0o2750 if data.exists() else 0o2777 if "emptyDir" in volume else 0o2770)
        return folder


def _succeeds(words: list[str]) -> bool:
    """Whether a command ends well, in time: what has just started may take a connection, and answer late."""
    try:
        return subprocess.run(words, capture_output=True, timeout=30).returncode == 0
    except subprocess.TimeoutExpired:
        return False
