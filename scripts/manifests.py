"""The manifests of all services: read from their folders, listed nowhere."""

import runpy
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.paths import ROOT
from services.common.manifest import Manifest

CONTROL_PLANE = "control_plane"


class ManifestError(ValueError):
    """A manifest is wrong, or contradicts another; the message names it."""


def read_services(root: Path = ROOT) -> Sequence[Manifest]:
    """Return the manifests of all services but the control plane, in the order of their ports.

    They are read anew each time: a running stack adopts services that were added.
    """
    return [each for each in _read_all(root) if each.name != CONTROL_PLANE]


def read_control_plane(root: Path = ROOT) -> Manifest:
    """Return the manifest of the control plane."""
    return next(each for each in _read_all(root) if each.name == CONTROL_PLANE)


def _read_all(root: Path) -> Sequence[Manifest]:
    files = (file for file in root.glob("services/*/manifest.py") if file.parent.name != "common")
    manifests = [_read(file) for file in files]
    if problems := list(_problems(manifests)):
        raise ManifestError("; ".join(problems))
    return sorted(manifests, key=lambda each: each.port)


def _read(file: Path) -> Manifest:
    try:
        manifest: Manifest = runpy.run_path(str(file))["MANIFEST"]
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{file}: {error}") from error
    if manifest.name != file.parent.name:
        raise ManifestError(f"{file}: the name is {manifest.name}, not that of the folder")
    return manifest


def _problems(manifests: Sequence[Manifest]) -> Iterator[str]:
    names = {each.name for each in manifests}
    for port, count in Counter(each.port for each in manifests).items():
        if count > 1:
            yield f"port {port} belongs to {count} services"
    for each in manifests:
        for upstream in sorted(set(each.upstreams) - names):
            yield f"{each.name}: there is no service {upstream}"
