"""What installing modos brings: packages, and megabytes on the disk and over the network; and what each extra adds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEFORE = (86, 430)  # packages, and MB without compiled Python, of 2026-11 when polars and the server's packages were no extras
SETS = {"plain": "", "with codes": "[codes]", "with polars": "[polars]", "with server": "[server]"}
GOAL = 0.5
MEASURE = """
import importlib.metadata, json
sizes = {}
for one in importlib.metadata.distributions():
    files = [one.locate_file(file) for file in one.files or () if file.suffix != ".pyc"]
    sizes[one.metadata["Name"]] = sum(file.stat().st_size for file in files if file.is_file())
print(json.dumps(sizes))
"""


def main() -> None:
    """Install each set in an environment of its own, and print what is there then, without pip and setuptools."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
        [wheel] = Path(folder).glob("modos_store*.whl")
        print(f"{'':<14}{'packages':>10}{'MB on disk':>12}{'MB to fetch':>13}   heaviest")
        sizes = {name: _measure(Path(folder), f"{wheel}{extra}") for name, extra in SETS.items()}
        for name, (own, fetched) in sizes.items():
            heaviest = ", ".join(f"{one} {size / 1e6:.0f}" for one, size in sorted(own.items(), key=lambda item: -item[1])[:6])
            print(f"{name:<14}{len(own):>10}{sum(own.values()) / 1e6:>12.0f}{fetched / 1e6:>13.0f}   {heaviest}")
    count, size = len(sizes["plain"][0]), sum(sizes["plain"][0].values()) / 1e6
    print(f"plain: {count / BEFORE[0]:.0%} of the packages and {size / BEFORE[1]:.0%} of the MB of before (goal: {GOAL:.0%})")


def _measure(folder: Path, wanted: str) -> tuple[dict[str, int], int]:
    """Return bytes on the disk by package, and bytes fetched."""
    name = re.sub(r"\W", "", wanted.partition(".whl")[2]) or "plain"
    environment, fetched = folder / name, folder / f"{name}-fetched"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [environment / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--wheel-dir", fetched, "--constraint", ROOT / "constraints.txt", wanted], check=True)
    subprocess.run([*pip, "install", "--no-compile", "--no-index", "--find-links", fetched, wanted], check=True)
    found = subprocess.run([environment / "bin/python", "-c", MEASURE], capture_output=True, text=True, check=True)
    sizes = {one: size for one, size in json.loads(found.stdout).items() if one not in ("pip", "setuptools")}
    return sizes, sum(file.stat().st_size for file in fetched.iterdir())
