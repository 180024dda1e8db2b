"""Imports what containers run: `python -m scripts.containers.imports`, while an image is built.

Python keeps what it compiles for an import, and cannot later, where the file system is
read-only. Compiling all that is installed would make the image a sixth larger.
"""

from importlib import import_module

from scripts.paths import ROOT

OTHERS = (
    "scripts.containers.__main__",
    "services.common.rpc.probe",
    "sqlalchemy.dialects.postgresql",
)


def main() -> None:
    """Import every service, and what else runs."""
    programs = sorted(ROOT.glob("services/*/__main__.py"))
    for module in (*(f"services.{each.parent.name}.__main__" for each in programs), *OTHERS):
        import_module(module)


if __name__ == "__main__":
    main()
