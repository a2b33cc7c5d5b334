"""modos: an object store for multi-omics data."""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("modos")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
