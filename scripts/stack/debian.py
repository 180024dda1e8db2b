"""Packages of another Debian release, unpacked privately without being installed.

They are fetched from the mirror that this machine uses; apt verifies their signatures, with a
separate configuration.
"""

import subprocess
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpack(suite: str, *packages: str, into: Path) -> None:
    """Unpack packages of a release ("bullseye") below a folder.

    OSError or CalledProcessError when they cannot be fetched; the latter's `stderr` says why.
    """
    for folder in ("lists/partial", "archives/partial"):
        (into / folder).mkdir(parents=True, exist_ok=True)
    (into / "status").touch()
    source = f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n"
    (into / "sources.list").write_text(source)
    options = [
        f"-oDir::Etc::sourcelist={into}/sources.list",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={into}/lists",
        f"-oDir::State::status={into}/status",
        f"-oDir::Cache={into}",
        "-oAPT::Sandbox::User=root",
    ]
    _run(["apt-get", *options, "update"], into)
    _run(["apt-get", *options, "download", *packages], into)
    for package in into.glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(into)], into)
        package.unlink()


def mirror() -> str:
    """Return the address of Debian's main archive that this machine uses."""
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
