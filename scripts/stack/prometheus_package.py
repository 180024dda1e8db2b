"""Finds Prometheus, promtool and Alertmanager: on PATH, or in the packages that Debian 11 had.

Debian's later packages are built without the discovery of Consul; these find every instance.
`python -m scripts.stack.prometheus_package` fetches them, or prints what is missing.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scripts.paths import ROOT
from scripts.stack import debian

CACHE = ROOT / "build" / "prometheus"
SUITE = "bullseye"
PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
}
"""The names that each program has: upstream's, and Debian's."""
TEMPLATE = b"/usr/share/prometheus/alertmanager/default.tmpl"
"""The file that Debian's Alertmanager cannot start without, as its program names it."""
PRIVATE_TEMPLATE = b"build/prometheus/" + b"./" * 9 + b"default.tmpl"
"""The same, below the folder in which the stack's processes run; as long as TEMPLATE."""
HELP = """\
Prometheus and Alertmanager are not on PATH, and Debian's packages cannot be fetched: {}
Install both, or leave them out with MAMIE_MONITORING=off."""


class PrometheusMissingError(Exception):
    """A program cannot be found or fetched; the message says what to do."""


def find_programs(cache: Path = CACHE) -> Mapping[str, Path]:
    """Return the path of each of PROGRAMS; they are fetched into `cache` when one is missing.

    All are from one place: those of PATH may be older than what the configuration needs.
    """
    if found := _on_path():
        return found
    unpacked = {name: cache / "usr/bin" / names[-1] for name, names in PROGRAMS.items()}
    if not all(path.exists() for path in unpacked.values()):
        try:
            debian.unpack(SUITE, *PACKAGES, into=cache)
            _move_template(cache, unpacked["alertmanager"])
        except (OSError, subprocess.CalledProcessError) as error:
            text = getattr(error, "stderr", "") or str(error)
            raise PrometheusMissingError(HELP.format(text.strip())) from error
    return unpacked


def _move_template(cache: Path, program: Path) -> None:
    """Let Alertmanager read its template where it was unpacked, not where it would be installed.

    OSError when the program does not name it as expected.
    """
    content = program.read_bytes()
    if content.count(TEMPLATE) != 1:
        raise OSError(f"{program.name} does not read {TEMPLATE.decode()}")
    shutil.copy(cache / TEMPLATE.decode().lstrip("/"), cache / "default.tmpl")
    program.write_bytes(content.replace(TEMPLATE, PRIVATE_TEMPLATE))


def _on_path() -> Mapping[str, Path]:
    """Return the programs, if PATH has all of them; nothing otherwise."""
    found = {
        name: Path(path)
        for name, names in PROGRAMS.items()
        if (path := next(filter(None, map(shutil.which, names)), None))
    }
    return found if len(found) == len(PROGRAMS) else {}


def main() -> None:
    """Fetch the programs when they are not there."""
    try:
        find_programs()
    except PrometheusMissingError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
