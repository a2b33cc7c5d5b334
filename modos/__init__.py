"""modos: an object store for multi-omics data."""

from importlib.metadata import version

__version__ = version("modos")
