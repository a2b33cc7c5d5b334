"""The documented import, `from modos.api import MODO`."""

from modos.genomics.region import Region
from modos.object.modo import MODO

__all__ = ["MODO", "Region"]
