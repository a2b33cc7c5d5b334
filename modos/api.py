"""The documented import: `from modos.api import MODO`."""

from modos.object.modo import MODO
from modos.genomics.region import Region

__all__ = ["MODO", "Region"]
