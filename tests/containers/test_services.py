"""The stack as `docker compose up` starts it: what README.md says of it, who runs in it, and what it survives."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import requests

from tests.support.waiting import wait_until

from .conftest import MODOS, PROJECT, SERVER, SERVICES

pytestmark = pytest.mark.containers
REGION, READS = "chr1:20,001-25,000", 969
DEMO = "s3://modos-demo/ex"


def streams(stack) -> None:
    """Whether a region of the demo object comes whole, through Caddy, htsget-rs and MinIO."""
    found = stack.modos("stream", "-c", "-r", REGION, f"{DEMO}/demo1.cram")
    assert (found.returncode, found.stdout) == (0, f"{READS}\n"), found.stderr


def processes(stack, service: str) -> list[int]:
    """The processes of a container, as this machine numbers them."""
    first, found = stack.inspect(service)["State"]["Pid"], []
    waiting = [first]
    while waiting:
        found.append(waiting.pop())
        for task in Path(f"/proc/{found[-1]}/task").iterdir():
            waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def status(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def when(text: str) -> datetime:
    """A time that podman prints, which has nanoseconds."""
    return datetime.fromisoformat(text[:26].rstrip("Z+").ljust(26, "0") + "+00:00")


# --- what the guide says ---


def test_the_readme_s_commands(stack):
    assert stack.modos("remote", "list").stdout == f"{DEMO}\n"
    stream = subprocess.Popen(
        [*MODOS, "--endpoint", stack.url, "stream", "--region", REGION, f"{DEMO}/demo1.cram"], stdout=subprocess.PIPE
    )
    counted = subprocess.run(["samtools", "view", "-c"], stdin=stream.stdout, capture_output=True, text=True)
    assert (counted.stdout, stream.wait(60)) == (f"{READS}\n", 0)
    doctor = stack.modos("doctor")
    assert doctor.returncode == 0 and "htsget       http://localhost/htsget answers" in doctor.stdout, doctor.stdout


def test_the_ticket_is_of_htsget_rs_and_its_addresses_are_the_gateway_s(stack):
    ticket = requests.get(f"{stack.url}/htsget/reads/ex/demo2?referenceName=chr1", timeout=20).json()["htsget"]
    assert all(url["url"].startswith((f"{stack.url}/modos-demo/", "data:")) for url in ticket["urls"])
    assert "htsget" in stack.podman("top", f"{PROJECT}_htsget_1", "args")


def test_what_is_inside_stays_inside(stack):
    for path in ("/metrics", "/authorize", "/minio/health/live", "/s3/minio/v2/metrics/cluster"):
        assert requests.get(stack.url + path, timeout=20).status_code == 404, path
    found = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in found.splitlines() if line.split()[3].endswith((":9000", ":8000", ":8081"))]
    assert requests.put(f"{stack.url}/modos-demo/x", data=b"x", timeout=20).status_code == 403


# --- who runs, and with what rights ---


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_is_root_or_could_become_it(stack, service):
    found = processes(stack, service)
    assert found
    for pid in found:
        now = status(pid)
        assert set(now["Uid"].split()) == set(now["Gid"].split()) == {str(SERVER)}, now["Name"]
        assert now["NoNewPrivs"].strip() == "1"
        allowed = 1 << 10 if service == "gateway" else 0  # CAP_NET_BIND_SERVICE
        assert int(now["CapEff"], 16) | int(now["CapBnd"], 16) | allowed == allowed


@pytest.mark.parametrize("service", SERVICES)
def test_file_systems_are_read_only_but_for_volumes_and_tmp(stack, service):
    lines = Path(f"/proc/{processes(stack, service)[0]}/mounts").read_text().splitlines()
    mounts = {fields[1]: fields for fields in map(str.split, lines)}
    assert "ro" in mounts["/"][3].split(",")
    writable = {
        path
        for path, (_, _, kind, options, *_) in mounts.items()
        if "rw" in options.split(",") and kind not in ("proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2")
    }
    volumes = {"s3": {"/s3-data", "/data"}, "modos": {"/var/log/modos-reads"}, "gateway": {"/data"}, "htsget": set()}[service]
    given = {"/dev", "/dev/shm", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/sys/fs/cgroup"}
    # what podman itself puts there is not what the service can change; /run and /var/tmp are podman's for every read-only container
    own = {path for path in writable if not path.startswith(("/proc", "/dev/", "/sys"))} - given - {"/run", "/var/tmp", "/tmp"}
    assert own == volumes, own


@pytest.mark.parametrize("service", SERVICES)
def test_memory_and_processors_are_bounded(stack, service):
    limits = stack.inspect(service)["HostConfig"]
    assert limits["Memory"] > 0 and limits["NanoCpus"] + limits["CpuQuota"] > 0


# --- order ---


def test_each_service_starts_when_what_it_needs_is_ready(stack):
    states = {name: stack.inspect(name)["State"] for name in ("volumes", "secrets", "init", *SERVICES)}
    for job in ("volumes", "secrets", "init"):
        assert (states[job]["Status"], states[job]["ExitCode"]) == ("exited", 0), job
    begun = {name: when(state["StartedAt"]) for name, state in states.items()}
    ended = {name: when(states[name]["FinishedAt"]) for name in ("volumes", "secrets", "init")}
    assert max(ended["volumes"], ended["secrets"]) < begun["s3"] < begun["init"]
    assert ended["init"] < begun["modos"] < begun["gateway"] < begun["htsget"]
    for earlier, later in (("s3", "init"), ("modos", "gateway")):
        healthy = [when(entry["End"]) for entry in states[earlier]["Health"]["Log"] if entry["ExitCode"] == 0]
        assert healthy and min(healthy) < begun[later], f"{later} did not wait until {earlier} was healthy"


# --- what it survives ---


def test_without_s3_the_exit_code_is_5_and_all_is_well_when_it_is_back(stack):
    stack.run("stop", "s3")
    try:
        found = stack.modos("stream", "-c", "-r", REGION, f"{DEMO}/demo1.cram")
        assert found.returncode == 5 and found.stdout == "" and found.stderr.startswith("error: "), found.stderr
        assert "Traceback" not in found.stderr
    finally:
        stack.run("start", "s3")
        stack.run("check")
    streams(stack)


def test_htsget_is_there_when_the_gateway_was_stopped(stack):
    """With a network of the gateway's own htsget-rs was left in one that was gone: it ran, and nobody reached it."""
    stack.run("stop", "gateway")
    stack.run("start", "gateway")
    stack.run("check")
    assert requests.get(f"{stack.url}/htsget/reads/ex/demo2", timeout=20).status_code == 200


def test_a_bucket_of_an_earlier_start_is_closed_by_rules(stack):
    """The gateway passes on what is asked of any bucket under /s3."""
    init = stack.inspect("init")["Config"]["Env"]
    former = f"{stack.url}/s3/modos-demo/ex/demo1.cram"
    assert requests.get(former, timeout=20).status_code == 200
    kept = dict(one.split("=", 1) for one in init if one.startswith(("S3_URL=", "MODOS_")))
    image, network = stack.inspect("init")["ImageName"], next(iter(stack.inspect("s3")["NetworkSettings"]["Networks"]))

    def again(**settings: str) -> str:
        words = [word for name, value in (kept | settings).items() for word in ("--env", f"{name}={value}")]
        volume = f"{PROJECT}_secrets:/secrets:ro"
        step = ["python", "-m", "modos.demo.init", "s3", "/secrets"]
        return stack.podman("run", "--rm", "--network", network, "--volume", volume, *words, image, *step)

    try:
        assert "closed the bucket modos-demo" in again(MODOS_BUCKET="lab", MODOS_DEMO="0", MODOS_ACCESS="/etc/modos/access.toml")
        assert requests.get(former, timeout=20).status_code == 403
    finally:
        again()
    assert requests.get(former, timeout=20).status_code == 200


@pytest.mark.parametrize("service", ["s3", "modos", "htsget"])
def test_what_is_killed_comes_back_by_itself(stack, service):
    before = processes(stack, service)[0]
    subprocess.run(["kill", "-9", str(before)], check=True)
    wait_until(lambda: stack.inspect(service)["State"]["Pid"] not in (0, before))
    stack.run("check")
    wait_until(lambda: stack.modos("stream", "-c", "-r", REGION, f"{DEMO}/demo1.cram").returncode == 0)
    streams(stack)


def test_a_new_image_finds_the_data_and_the_passwords_of_the_old(stack):
    """`docker compose down`, another image, `docker compose up`: objects, users, secrets are as they were."""
    names = ("s3-root-user", "s3-root-password", "session-key", "server-credentials", "demo-credentials")
    secrets, server = {name: stack.read(name) for name in names}, stack.credentials("server")
    added = stack.modos("add", DEMO, "sample", "-e", json.dumps({"id": "later"}), **server)
    assert added.returncode == 0, added.stderr
    stack.run("down")
    image = next(
        line.split("image: ")[1]
        for line in (stack.root / "docker-compose.yml").read_text().splitlines()
        if "image: modos:" in line
    )
    newer = "localhost/modos:next"
    stack.podman("tag", f"localhost/{image.replace('${MODOS_VERSION:-', '').rstrip('}')}", newer)
    stack.settings["MODOS_VERSION"] = "next"
    try:
        stack.run("up")
        assert stack.inspect("modos")["ImageName"] == newer
        assert {name: stack.read(name) for name in names} == secrets
        assert "sample/later" in stack.modos("show", DEMO, "--json", **stack.credentials("demo")).stdout
        streams(stack)
    finally:
        del stack.settings["MODOS_VERSION"]
        stack.run("down")
        stack.podman("rmi", newer)
        stack.run("up")


def test_two_servers_behind_the_gateway(stack):
    """One of them ends, and nobody sees it."""
    stack.run("up")  # so that there is one
    stack.run("compose", "up", "--detach", "--no-build", "--no-deps", "--scale", "modos=2", "modos")
    second = f"{PROJECT}_modos_2"
    try:
        check = ["podman", "healthcheck", "run", second]
        wait_until(lambda: subprocess.run(check, env=stack.engine, capture_output=True).returncode == 0, 120)

        def served() -> list[int]:
            names = (f"{PROJECT}_modos_1", second)
            return [
                subprocess.run(["podman", "logs", name], env=stack.engine, capture_output=True).stderr.count(b"/list")
                for name in names
            ]

        for _ in range(200):
            assert requests.get(f"{stack.url}/list", timeout=20).json()["data"] == [DEMO]
            if all(served()):
                break
        assert all(served()), served()
        stack.podman("stop", "--time", "25", f"{PROJECT}_modos_1")
        for _ in range(5):
            assert requests.get(f"{stack.url}/list", timeout=20).json()["data"] == [DEMO]
        streams(stack)
    finally:
        stack.podman("rm", "--force", second)
        stack.run("start", "modos")
        stack.run("check")
    streams(stack)
