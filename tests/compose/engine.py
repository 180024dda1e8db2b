"""A separate Docker engine for tests, beside any other on the machine.

It consists of Debian's packages, and shares nothing: neither folders and socket nor network.
It runs in a network namespace with a firewall of its own; published ports can be reached inside
only. Containers and volumes are removed with it; its images stay in build/compose.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.paths import ROOT
from scripts.stack import debian
from tests.support.waiting import eventually

FOLDER = ROOT / "build" / "compose"
SUITE = "trixie"
UNPACKED = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "containerd", "tini")
"""Packages of Debian 13, whatever this machine runs; they are unpacked, not installed."""
INSTALLED = {
    "runc": "runc",  # that of Debian 13 needs its C library
    "iptables": "iptables",
    "ip": "iproute2",
    # For the images:
    "debootstrap": "debootstrap",
    "java": "default-jre-headless",
    "mvn": "maven",
}


class EngineError(Exception):
    """A step of running the engine failed; the message names it."""


class NoEngineError(EngineError):
    """No engine can run here; the message has the reason."""


@dataclass(frozen=True)
class Engine:
    """A running engine: the environment of its clients, and its network's name."""

    environment: Mapping[str, str]
    network: str

    def inside(self, *command: str) -> list[str]:
        """Return a command that runs in the network of the engine's published ports."""
        return ["nsenter", f"--net=/run/netns/{self.network}", *command]


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield an engine without containers and volumes; NoEngineError when none can run."""
    with ExitStack() as held:
        try:
            running = held.enter_context(_started())
        except EngineError as error:
            raise NoEngineError(str(error)) from error
        yield running


@contextmanager
def _started() -> Iterator[Engine]:
    _require_root_and_cgroups()
    _install()
    programs = _unpack()
    with tempfile.TemporaryDirectory(prefix="mamie-") as short, _network() as network:
        environment = os.environ | {
            "DOCKER_HOST": f"unix://{short}/docker.sock",
            "DOCKER_CONFIG": str(FOLDER / "client"),
            "PATH": f"{programs}/bin:{programs}/sbin:{os.environ['PATH']}",
        }
        running = Engine(environment, network)
        with _running(Path(short), running):
            _clear(environment)
            try:
                yield running
            finally:
                _clear(environment)


def _require_root_and_cgroups() -> None:
    if os.geteuid() != 0:
        raise EngineError("A Docker engine needs root.")
    if "cgroup" not in Path("/proc/mounts").read_text():
        raise EngineError("A Docker engine needs control groups: /sys/fs/cgroup is not mounted.")


def _install() -> None:
    """Install what is missing."""
    missing = [program for program in INSTALLED if not shutil.which(program)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise EngineError(f"This is no Debian; install these yourself: {', '.join(missing)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    _run("apt-get", "update", "-qq", environment=environment)
    install = ("apt-get", "install", "-qq", "--yes", "--no-install-recommends")
    _run(*install, *map(INSTALLED.__getitem__, missing), environment=environment)


def _unpack() -> Path:
    """Unpack the engine, with Compose and Buildx for its client; return its folder."""
    unpacked, client = FOLDER / "docker", FOLDER / "client"
    if not (unpacked / "usr" / "bin" / "tini-static").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        debian.unpack(SUITE, *UNPACKED, into=unpacked)
    client.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        (client / "cli-plugins").symlink_to(unpacked / "usr" / "libexec" / "docker" / "cli-plugins")
    return unpacked / "usr"


@contextmanager
def _network() -> Iterator[str]:
    """Yield the name of a network namespace that is routed through this machine."""
    number = _free_number()
    name, outer, inner = f"mamie-{number}", f"mamie-{number}-o", f"mamie-{number}-i"
    subnet = f"10.{number}.255.0/30"
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before = forward.read_text()
    rules = (
        ("-t", "nat", "POSTROUTING", "-s", subnet, "!", "-d", subnet, "-j", "MASQUERADE"),
        ("-t", "filter", "FORWARD", "-i", outer, "-j", "ACCEPT"),
        ("-t", "filter", "FORWARD", "-o", outer, "-j", "ACCEPT"),
    )
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _run("ip", "address", "add", f"10.{number}.255.1/30", "dev", outer)
        _run("ip", "link", "set", outer, "up")
        _ip(name, "address", "add", f"10.{number}.255.2/30", "dev", inner)
        _ip(name, "link", "set", inner, "up")
        _ip(name, "link", "set", "lo", "up")
        _ip(name, "route", "add", "default", "via", f"10.{number}.255.1")
        for table, rule in ((rule[:2], rule[2:]) for rule in rules):
            _run("iptables", "--wait", *table, "-I", *rule)
        forward.write_text("1")
        yield name
    finally:
        forward.write_text(before)
        for table, rule in ((rule[:2], rule[2:]) for rule in rules):
            with suppress(EngineError):
                _run("iptables", "--wait", *table, "-D", *rule)
        _run("ip", "netns", "delete", name)  # the links go with it


def _ip(namespace: str, *arguments: str) -> None:
    _run("ip", "-netns", namespace, *arguments)


def _free_number() -> int:
    """Return a number between 200 and 254 so that nothing has a route into 10.NUMBER."""
    routes = _run("ip", "-4", "route", "show", "table", "all")
    return next(number for number in range(200, 255) if f" 10.{number}." not in f" {routes}")


@contextmanager
def _running(short: Path, engine: Engine) -> Iterator[None]:
    """Run an engine in its network inside the block."""
    log = FOLDER / "engine.log"
    (short / "daemon.json").write_text("{}")
    command = engine.inside(
        "setpriv",
        "--pdeathsig=TERM",
        "dockerd",
        f"--host={engine.environment['DOCKER_HOST']}",
        f"--config-file={short}/daemon.json",
        f"--exec-root={short}/exec",
        f"--pidfile={FOLDER}/engine.pid",
        f"--data-root={FOLDER}/engine",
        f"--init-path={FOLDER}/docker/usr/bin/tini-static",
    )
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=engine.environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        eventually(lambda: _answers(process, engine.environment, log), seconds=60)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(process: subprocess.Popen[bytes], environment: Mapping[str, str], log: Path) -> bool:
    if process.poll() is not None:
        last = log.read_text().splitlines()[-5:]
        raise EngineError("\n".join([f"The engine does not start ({log}):", *last]))
    version = ["docker", "version"]
    return not subprocess.run(version, env=environment, capture_output=True, check=False).returncode


def _clear(environment: Mapping[str, str]) -> None:
    """Remove containers, networks and volumes, also those of a killed run."""
    if containers := _run("docker", "ps", "--all", "--quiet", environment=environment).split():
        _run("docker", "rm", "--force", "--volumes", *containers, environment=environment)
    _run("docker", "network", "prune", "--force", environment=environment)
    # Without --all, volumes that have a name stay.
    if volumes := _run("docker", "volume", "ls", "--quiet", environment=environment).split():
        _run("docker", "volume", "rm", *volumes, environment=environment)


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
