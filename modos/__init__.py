"""modos: an object store for multi-omics data."""


DISTRIBUTION = "modos-store"
OTHER_DISTRIBUTION = "modos"  # on PyPI, of sdsc-ordes, with an import and a command of the same name


def __getattr__(name: str) -> str:
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    """That of what is installed; of a tree that is run as it lies the one that it says."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        import tomllib
        from pathlib import Path

        try:
            project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
        except (OSError, ValueError, KeyError):
            return "unknown"
        return project["version"] if project.get("name") == DISTRIBUTION else "unknown"
