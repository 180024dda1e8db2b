"""Where installed packages keep the programs that they carry."""

import importlib.util
from pathlib import Path


def package_folder(name: str) -> Path:
    """Return where an installed package has its files, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))
