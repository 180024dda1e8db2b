"""The checks of scripts/doctor on the machine, the checkout and the data directory."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from cryptography import x509

from scripts.edge.program import envoy_program
from scripts.manifests import read_control_plane, read_services
from scripts.operations.findings import Finding, good, warning, wrong
from scripts.paths import DESCRIPTORS, ROOT
from scripts.stack.consul_package import CACHE as CONSUL_CACHE
from scripts.stack.folder import MIN_FREE_BYTES
from scripts.stack.ports import is_free, owner
from scripts.stack.servers import RABBITMQ
from scripts.stack.settings import Settings

MB, GB = 10**6, 10**9
MIN_CPUS = 2
NEEDED_BYTES = 2_500 * MB
"""What a stack uses (docs/results/containers.md), and some room."""
MIN_AVAILABLE_BYTES = 300 * MB
"""What should be left while a stack runs."""
LOW_DISK_BYTES = 5 * GB
PYTHONS = ((3, 11), (3, 14))
RENEW_BEFORE = timedelta(days=14)
UP = "scripts/up"


def check_cpus(count: int, load: float) -> Iterator[Finding]:
    """Judge the number of CPUs, and the load of the last minute."""
    text = f"{count} CPUs, load {load:.1f}"
    if count < MIN_CPUS:
        yield warning("CPU", text, f"the shop is slow with fewer than {MIN_CPUS} CPUs")
    elif load > 4 * count:
        yield warning("CPU", text, "find what uses them: top; or run fewer: scripts/scale")
    else:
        yield good("CPU", text)


def check_memory(total: int, available: int, *, is_running: bool) -> Iterator[Finding]:
    """Judge the memory in bytes: what is left for a stack, or beside one that runs."""
    text = f"{available / GB:.1f} of {total / GB:.1f} GB available"
    needed = MIN_AVAILABLE_BYTES if is_running else NEEDED_BYTES
    if available >= needed:
        yield good("memory", text)
    elif is_running:
        yield wrong("memory", text, "see what grows: scripts/status; end it, or scripts/scale")
    else:
        yield wrong("memory", text, f"free memory: a shop needs {needed / GB:.1f} GB")


def check_disk(free: int, folder: Path) -> Iterator[Finding]:
    """Judge the bytes that are left on the disk of a folder."""
    text = f"{free / GB:.1f} GB left for {folder}"
    cure = f"delete what is large: du -xh {folder} | sort -h | tail; see docs/runbook.md"
    if free < MIN_FREE_BYTES:
        yield wrong("disk", text, cure)
    elif free < LOW_DISK_BYTES:
        yield warning("disk", text, cure)
    else:
        yield good("disk", text)


def check_python(version: tuple[int, int], locks: Path, installed: Path) -> Iterator[Finding]:
    """Judge the version, and whether what is installed is what a lock of a folder says."""
    text = f"Python {version[0]}.{version[1]}"
    oldest, first_unknown = PYTHONS
    if not oldest <= version < first_unknown:
        yield wrong("Python", text, f"install Python 3.11, 3.12 or 3.13, then {UP}")
    elif not (
        names := [lock.stem for lock in locks.glob("*.txt") if _is_installed(lock, installed)]
    ):
        yield warning("Python", f"{text}; the packages are not those of {locks.name}", UP)
    else:
        yield good("Python", f"{text}, packages as locked: {', '.join(sorted(names))}")


def _is_installed(lock: Path, installed: Path) -> bool:
    """Return whether scripts/bootstrap has installed a lock: its stamp is a copy of it."""
    stamp = installed / f"{lock.stem}.stamp"
    return stamp.exists() and stamp.read_bytes() == lock.read_bytes()


def check_programs(programs: Mapping[str, Path | None]) -> Iterator[Finding]:
    """Judge whether each program or file that a stack needs is there."""
    missing = [name for name, path in programs.items() if path is None or not path.exists()]
    for name in missing:
        yield wrong("tools", f"{name} is missing", f"{UP} fetches it")
    if not missing:
        yield good("tools", ", ".join(programs))


def check_ports(ports: Mapping[str, int]) -> Iterator[Finding]:
    """Judge whether the ports that a stack would use are free."""
    taken = {name: port for name, port in ports.items() if not is_free(port)}
    for name, port in taken.items():
        cure = "end that process, or choose another port (docs/settings.md)"
        yield wrong("ports", f"{port} of {name} is taken by {owner(port)}", cure)
    if ports and not taken:
        yield good("ports", f"{len(ports)} are free")


def check_certificate(file: Path, now: datetime) -> Iterator[Finding]:
    """Judge until when the certificate for HTTPS is valid; nothing when there is none."""
    if not file.exists():
        return
    cure = f"scripts/down, delete {file.parent}, {UP}; or put your own there"
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        yield wrong("certificate", f"{file} cannot be read: {error}", cure)
        return
    end = certificate.not_valid_after_utc
    if certificate.not_valid_before_utc > now:
        cure = "set the clock of this machine"
        yield wrong("certificate", f"not valid before {certificate.not_valid_before_utc}", cure)
    elif end <= now:
        yield wrong("certificate", f"expired on {end:%Y-%m-%d}", cure)
    elif end - now < RENEW_BEFORE:
        yield warning("certificate", f"expires on {end:%Y-%m-%d}", cure)
    else:
        yield good("certificate", f"valid until {end:%Y-%m-%d}")


def check_machine(settings: Settings, *, is_running: bool) -> Iterator[Finding]:
    """Check this machine as it is now; the ports only while nothing of ours listens there."""
    yield from check_cpus(os.cpu_count() or 1, os.getloadavg()[0])
    memory = psutil.virtual_memory()
    yield from check_memory(memory.total, memory.available, is_running=is_running)
    folder = settings.data if settings.data.exists() else ROOT
    yield from check_disk(shutil.disk_usage(folder).free, folder)
    version = (sys.version_info.major, sys.version_info.minor)
    yield from check_python(version, ROOT / "deploy" / "locks", Path(sys.prefix))
    yield from check_programs(_programs(settings))
    if not is_running:
        yield from check_ports(_fixed_ports(settings))
    yield from check_certificate(settings.data / "tls" / "cert.pem", datetime.now(UTC))


def _programs(settings: Settings) -> dict[str, Path | None]:
    consul = shutil.which("consul")
    found: dict[str, Path | None] = {"Envoy": envoy_program(), "generated code": DESCRIPTORS}
    if "consul" not in settings.urls:
        found["Consul"] = Path(consul) if consul else CONSUL_CACHE / "usr/bin/consul"
    if "rabbitmq" not in settings.urls:
        found["RabbitMQ"] = RABBITMQ
    return found


def _fixed_ports(settings: Settings) -> dict[str, int]:
    """Return the ports that are not any free ones, by who listens there."""
    if settings.free_ports:
        return {}
    ports = {
        "http": settings.http_port,
        "https": settings.https_port,
        "Envoy's admin pages": settings.envoy_admin_port,
        "Consul": settings.consul_port,
    }
    if settings.monitoring:
        ports |= {
            "Prometheus": settings.prometheus_port,
            "Alertmanager": settings.alertmanager_port,
        }
    services = [*read_services(), read_control_plane()]
    return ports | {service.name: service.port for service in services}
