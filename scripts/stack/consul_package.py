"""Finds Consul: on PATH, or in the package that Debian 11 had.

Debian 12 has no Consul. The older package holds one static binary that runs here; it is
fetched from the mirror that this machine uses, its signature checked by apt with a
configuration of its own, and unpacked without being installed.
"""

import shutil
import subprocess
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
HELP = """\
Consul is not on PATH, and Debian 11's package cannot be had here: {}
Install any Consul from 1.8 to 1.22, or set MAMIE_CONSUL_URL to a running agent."""


class ConsulMissingError(Exception):
    """There is no Consul to be had; the message says what to do."""


def find_consul(cache: Path) -> Path:
    """Return the path of a Consul binary; fetch it into `cache` when there is none."""
    if found := shutil.which("consul"):
        return Path(found)
    unpacked = cache / "usr/bin/consul"
    if not unpacked.exists():
        try:
            _fetch(cache)
        except (OSError, subprocess.CalledProcessError) as error:
            text = getattr(error, "stderr", "") or str(error)
            raise ConsulMissingError(HELP.format(text.strip())) from error
    return unpacked


def _fetch(cache: Path) -> None:
    for folder in ("lists/partial", "archives/partial"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    (cache / "status").touch()
    source = f"deb [signed-by={KEYRING}] {_mirror()} bullseye main\n"
    (cache / "sources.list").write_text(source)
    options = [
        f"-oDir::Etc::sourcelist={cache}/sources.list",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={cache}/lists",
        f"-oDir::State::status={cache}/status",
        f"-oDir::Cache={cache}",
        "-oAPT::Sandbox::User=root",
    ]
    _run(["apt-get", *options, "update"], cache)
    _run(["apt-get", *options, "download", "consul"], cache)
    (package,) = cache.glob("consul_*.deb")
    _run(["dpkg", "-x", str(package), str(cache)], cache)
    package.unlink()


def _mirror() -> str:
    """Return the address that this machine has Debian's main archive from."""
    listed = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN)"])
    for line in listed.splitlines():
        address, _codename, *origin = line.split()
        if (
            "security" not in address
            and "/debian" in address
            and "Debian" in (origin or ["Debian"])
        ):
            return address
    raise OSError("no Debian archive among the package sources of this machine")


def _run(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout
