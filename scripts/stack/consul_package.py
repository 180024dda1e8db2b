"""Finds Consul: on PATH, or in the package that Debian 11 had.

Debian 12 has no Consul. The older package holds one static binary that runs here.
`python -m scripts.stack.consul_package` fetches it, or prints what is missing.
"""

import shutil
import subprocess
from pathlib import Path

from scripts.paths import ROOT
from scripts.stack import debian

CACHE = ROOT / "build" / "consul"
HELP = """\
Consul is not on PATH, and Debian 11's package cannot be fetched: {}
Install any Consul from 1.8 to 1.22, or set MAMIE_CONSUL_URL to a running agent."""


class ConsulMissingError(Exception):
    """No Consul can be found or fetched; the message says what to do."""


def find_consul(cache: Path = CACHE) -> Path:
    """Return the path of a Consul binary; it is fetched into `cache` when there is none."""
    if found := shutil.which("consul"):
        return Path(found)
    unpacked = cache / "usr/bin/consul"
    if not unpacked.exists():
        try:
            debian.unpack("bullseye", "consul", into=cache)
        except (OSError, subprocess.CalledProcessError) as error:
            text = getattr(error, "stderr", "") or str(error)
            raise ConsulMissingError(HELP.format(text.strip())) from error
    return unpacked


def main() -> None:
    """Fetch Consul when there is none."""
    try:
        find_consul()
    except ConsulMissingError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
