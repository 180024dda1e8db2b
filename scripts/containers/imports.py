"""Compiles what containers run: `python -m scripts.containers.imports`, while an image is built.

Python stores the bytecode of what it imports, but not where the file system is read-only.
Compiling everything that is installed would make the image a sixth larger.
"""

from importlib import import_module

from scripts.paths import ROOT

MODULES = (
    "scripts.containers.__main__",
    "services.common.rpc.probe",
    "sqlalchemy.dialects.postgresql",
)


def main() -> None:
    """Import every service, and MODULES."""
    programs = sorted(ROOT.glob("services/*/__main__.py"))
    for module in (*(f"services.{each.parent.name}.__main__" for each in programs), *MODULES):
        import_module(module)


if __name__ == "__main__":
    main()
