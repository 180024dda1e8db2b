"""Finds Consul: on PATH, or in the package that Debian 11 had.

Debian 12 has no Consul. The older package holds one static binary that runs here.
"""

import shutil
import subprocess
from pathlib import Path

from scripts.stack import debian

HELP = """\
Consul is not on PATH, and Debian 11's package cannot be fetched: {}
Install any Consul from 1.8 to 1.22, or set MAMIE_CONSUL_URL to a running agent."""


class ConsulMissingError(Exception):
    """No Consul can be found or fetched; the message says what to do."""


def find_consul(cache: Path) -> Path:
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
