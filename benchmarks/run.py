"""Benchmarks, side by side with what a user would use instead. Run with `make bench`; prints ratios and limits.

`make bench` runs all; `python benchmarks/run.py metadata` runs one.
"""

from __future__ import annotations

import sys

import blind
import catalog
import checks
import codes
import containers
import encryption
import installed_size
import metadata
import packing
import pages
import plans
import references
import regions
import served_slices
import slices
import stack
import startup
import streaming
import tables
import tracks
import trees
import verification

BENCHMARKS = {
    "startup": startup.main,
    "streaming": streaming.main,
    "regions": regions.main,
    "slices": slices.main,
    "served slices": served_slices.main,
    "encryption": encryption.main,
    "blind": blind.main,
    "checks": checks.main,
    "verification": verification.main,
    "metadata": metadata.main,
    "catalog": catalog.main,
    "tables": tables.main,
    "tracks": tracks.main,
    "trees": trees.main,
    "references": references.main,
    "codes": codes.main,
    "packing": packing.main,
    "pages": pages.main,
    "plans": plans.main,
    "stack": stack.main,
    "containers": containers.main,
    "installed size": installed_size.main,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"== {name}")
        BENCHMARKS[name]()
