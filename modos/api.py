"""The documented import: `from modos.api import MODO`."""

from modos.modo import MODO
from modos.region import Region

__all__ = ["MODO", "Region"]
