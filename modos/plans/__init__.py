"""Queries over the objects of a catalogue: plans of partitions, run in threads or on a cluster.

In: a catalogue of elements (anything with its tables; see `scanning.Catalogue`),
regions, and a condition. Out: a `Plan`, a sequence of partitions that can be pickled,
with the ways to run them; and the answers of a few questions that are asked often.

`scanning` makes the plan from the catalogue alone, `splitting` cuts large regions by
the indexes, `partition` reads one, `running` and `clusters` run all. It imports objects
and what is below them, and no catalogue: that is given.
"""

from modos.plans.alleles import allele_counts
from modos.plans.matrices import track_matrix
from modos.plans.panels import panel_completeness
from modos.plans.partition import Partition
from modos.plans.scan_plan import Plan
from modos.plans.scanning import scan

__all__ = ["Partition", "Plan", "allele_counts", "panel_completeness", "scan", "track_matrix"]
