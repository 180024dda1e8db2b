"""The units of the whole stack, their settings and their order."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from scripts.edge.certificate import ensure_certificate
from scripts.edge.program import envoy_program
from scripts.edge.render import render_envoy
from scripts.manifests import CONTROL_PLANE, read_control_plane, read_services
from scripts.paths import DESCRIPTORS, ROOT
from scripts.stack import monitoring, neo4j, servers, traces
from scripts.stack.chosen_settings import chosen_settings
from scripts.stack.credentials import Secrets
from scripts.stack.environment import tuning
from scripts.stack.ports import Ports
from scripts.stack.readiness import answers, is_registered, is_serving
from scripts.stack.settings import Settings
from scripts.stack.units import Unit
from services.common.manifest import Manifest

PYTHONPATH = f"{ROOT}:{ROOT / 'build' / 'gen'}"

ENVOY_OPTIONS = {
    "--concurrency": "2",
    "--log-level": "warning",
    "--file-flush-interval-msec": "500",
    # It warns when two responses compete for one entry, which is harmless; and it reports each time
    # that the collector of traces takes nothing.
    "--component-log-level": "cache_filter:error,tracing:critical",
}
"""The same as in compose.yaml (scripts/check compares)."""


EDGE = ("http", "https", "envoy_admin")
"""The names of Envoy's URLs."""


@dataclass
class Plan:
    """The units of a stack; `urls` are where its parts are, by name."""

    settings: Settings
    secrets: Secrets
    ports: Ports
    services: Sequence[Manifest]
    units: list[Unit] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

    def add_server(self, name: str, unit: Unit, url: str) -> None:
        """Add a server under the name that its URL has."""
        self.units.append(unit)
        self.urls[name] = url


def make_plan(settings: Settings, scale: Mapping[str, int]) -> Plan:
    """Return the stack that the manifests, the settings and the instance counts ask for."""
    plan = Plan(
        settings=settings,
        secrets=Secrets(settings.data / "secrets.json"),
        ports=Ports(settings.data / "ports.json"),
        services=read_services(),
        urls=dict(settings.urls),
    )
    if settings.admin_password:
        plan.secrets.set("admin", settings.admin_password)
    _add_servers(plan)
    _add_control_plane(plan)
    for service in plan.services:
        take_port(plan, service)
        if service.tasks:
            plan.units.append(task_unit(plan, service))
    for service in plan.services:
        count = scale.get(service.name, service.instances)
        plan.units.extend(service_unit(plan, service, number) for number in range(1, count + 1))
    _add_edge(plan)
    if settings.monitoring:
        _add_monitoring(plan)
    return plan


def take_port(plan: Plan, service: Manifest) -> None:
    """Reserve the port of a service's first instance; PortTakenError when it is not free."""
    if port := _fixed(plan, service.port):
        plan.ports.take(service.name, port)


def _add_servers(plan: Plan) -> None:
    data, secrets, ports = plan.settings.data, plan.secrets, plan.ports
    consul_port = None if plan.settings.free_ports else plan.settings.consul_port
    graph = neo4j.community if plan.settings.neo4j == "community" else servers.bolt
    makers = {
        "postgres": lambda: servers.postgres(data / "postgres", ports, secrets, databases(plan)),
        "mongodb": lambda: servers.mongodb(data / "mongodb", ports),
        "redis": lambda: servers.redis_server(data / "redis", ports),
        "consul": lambda: servers.consul(data / "consul", ports, consul_port),
        "rabbitmq": lambda: servers.rabbitmq(data / "rabbitmq", ports),
        "neo4j": lambda: graph(data / plan.settings.neo4j, ports, secrets),
        "smtp": lambda: servers.mailbox(data / "mailbox", ports),
    }
    if plan.settings.trace_percent:
        makers["traces"] = lambda: traces.trace_store(data / "traces", ports)
    if "rabbitmq" not in plan.settings.urls:
        plan.units.append(servers.epmd(ports))
    for name, make in makers.items():
        if name not in plan.settings.urls:
            plan.add_server(name, *make())


def databases(plan: Plan) -> list[str]:
    """Return the services that have a PostgreSQL database of their own."""
    return [service.name for service in plan.services if service.store == "postgres"]


def _add_control_plane(plan: Plan) -> None:
    manifest = read_control_plane()
    port = plan.ports.take(CONTROL_PLANE, _fixed(plan, manifest.port))
    plan.urls[CONTROL_PLANE] = f"127.0.0.1:{port}"
    plan.units.append(
        Unit(
            name=CONTROL_PLANE,
            command=[sys.executable, "-m", manifest.module, "serve"],
            environment=_environment(plan, CONTROL_PLANE, port),
            ready=lambda: is_serving(f"127.0.0.1:{port}"),
            after=_started(plan, "consul"),
        )
    )


def task_unit(plan: Plan, service: Manifest) -> Unit:
    """Return the tasks of a service, which run before its instances start."""
    name = task_name(service.name)
    needed = [service.store, *(["rabbitmq"] if service.consumes else [])]
    environment = _environment(plan, name, 0) | _store_environment(plan, service)
    if service.consumes:
        environment["MAMIE_BUS_URL"] = plan.urls["rabbitmq"]
    return Unit(
        name=name,
        command=[sys.executable, "-m", service.module, *service.tasks],
        environment=environment | _chosen_settings(plan, *service.settings, *service.task_settings),
        after=[name for server in needed for name in _started(plan, server)],
        task=True,
    )


def units_of(plan: Plan, service: Manifest) -> list[Unit]:
    """Return all units of a service: its tasks, if any, and its instances."""
    tasks = [task_unit(plan, service)] if service.tasks else []
    numbers = range(1, service.instances + 1)
    return [*tasks, *(service_unit(plan, service, number) for number in numbers)]


def task_name(service: str) -> str:
    """Return the name of the unit that runs a service's tasks."""
    return f"{service}-prepare"


def service_unit(plan: Plan, service: Manifest, number: int) -> Unit:
    """Return one instance of a service; the first has the service's own port."""
    name = f"{service.name}-{number}"
    needed = [each for each in plan.services if each.consumes or (each is service and each.tasks)]
    port = (_fixed(plan, service.port) if number == 1 else None) or 0
    environment = _environment(plan, name, port) | _store_environment(plan, service)
    if service.uses_bus:
        environment["MAMIE_BUS_URL"] = plan.urls["rabbitmq"]
    return Unit(
        name=name,
        command=[sys.executable, "-m", service.module, "serve"],
        environment=environment | _chosen_settings(plan, *service.settings),
        ready=lambda: is_registered(plan.urls["consul"], service.name, name),
        after=[*(task_name(each.name) for each in needed), CONTROL_PLANE],
    )


def _add_edge(plan: Plan) -> None:
    settings, ports = plan.settings, plan.ports
    http = ports.take("http", _fixed(plan, settings.http_port))
    https = ports.take("https", _fixed(plan, settings.https_port))
    admin = ports.take("envoy-admin", _fixed(plan, settings.envoy_admin_port))
    plan.urls |= {
        "http": f"http://127.0.0.1:{http}",
        "https": f"https://127.0.0.1:{https}",
        "envoy_admin": f"http://127.0.0.1:{admin}",
    }
    plan.units.append(
        Unit(
            name="envoy",
            command=[
                str(envoy_program()),
                *("-c", str(render_edge(plan))),
                "--use-dynamic-base-id",
                *(part for option in ENVOY_OPTIONS.items() for part in option),
            ],
            ready=lambda: answers(plan.urls["http"]),
            after=[CONTROL_PLANE, "catalog-1"],
        )
    )


def _add_monitoring(plan: Plan) -> None:
    settings, ports, urls = plan.settings, plan.ports, plan.urls
    own = {
        "prometheus": ports.take("prometheus", _fixed(plan, settings.prometheus_port)),
        "alertmanager": ports.take("alertmanager", _fixed(plan, settings.alertmanager_port)),
    }
    addresses = {
        monitoring.PROMETHEUS: f"127.0.0.1:{own['prometheus']}",
        monitoring.ALERTMANAGER: f"127.0.0.1:{own['alertmanager']}",
        monitoring.CONSUL: urlsplit(urls["consul"]).netloc,
        monitoring.ENVOY: urlsplit(urls["envoy_admin"]).netloc,
    }
    if "rabbitmq" not in settings.urls:
        addresses[monitoring.RABBITMQ] = f"127.0.0.1:{ports.take('rabbitmq-prometheus')}"
    plan.units += monitoring.monitoring_units(
        settings.data / "monitoring", addresses, smtp_url=urls["smtp"], admin=settings.admin_email
    )
    urls |= {name: f"http://127.0.0.1:{port}" for name, port in own.items()}


def render_edge(plan: Plan) -> Path:
    """Write Envoy's configuration and return its file; Envoy reloads the listeners of it."""
    settings = plan.settings
    certificate, private_key = ensure_certificate(settings.data / "tls")
    host, port = plan.urls[CONTROL_PLANE].split(":")
    http, https, admin = (urlsplit(plan.urls[name]).port for name in EDGE)
    assert http and https and admin
    return render_envoy(
        output=settings.data / "envoy.json",
        listeners_file=listeners_file(plan),
        http_port=http,
        https_port=https,
        admin_port=admin,
        xds_addresses=[(host, int(port))],
        traces_url=traces_url(plan),
        trace_percent=settings.trace_percent,
        rate_limit_per_minute=settings.rate_limit_per_minute,
        login_rate_limit_per_minute=settings.login_rate_limit_per_minute,
        trusted_hops=settings.trusted_proxy_hops,
        certificate=certificate,
        private_key=private_key,
        descriptor_set=DESCRIPTORS,
    )


def listeners_file(plan: Plan) -> Path:
    """Return the file of Envoy's listeners."""
    return plan.settings.data / "listeners.json"


def traces_url(plan: Plan) -> str:
    """Return where traces are sent; empty when there are none."""
    return plan.urls.get("traces", "") if plan.settings.trace_percent else ""


def _fixed(plan: Plan, port: int) -> int | None:
    return None if plan.settings.free_ports else port


def _started(plan: Plan, server: str) -> list[str]:
    """Return the name of a server's unit, if this stack runs it."""
    return [] if server in plan.settings.urls else [server]


def _environment(plan: Plan, instance: str, port: int) -> dict[str, str]:
    return {
        **tuning(),
        "PYTHONPATH": PYTHONPATH,
        "MAMIE_INSTANCE": instance,
        "MAMIE_PORT": str(port),
        "MAMIE_CONSUL_URL": plan.urls["consul"],
        "MAMIE_XDS_SERVERS": plan.urls["control_plane"],
        "MAMIE_TRACES_URL": traces_url(plan),
    }


def _store_environment(plan: Plan, service: Manifest) -> dict[str, str]:
    return {"MAMIE_STORE_URL": store_url(plan, service)} if service.store else {}


def _chosen_settings(plan: Plan, *names: str) -> dict[str, str]:
    return chosen_settings(
        names, settings=plan.settings, secrets=plan.secrets, ports=plan.ports, urls=plan.urls
    )


def store_url(plan: Plan, service: Manifest) -> str:
    """Return the URL of a service's store."""
    if service.store == "postgres":
        return servers.database_url(plan.urls["postgres"], service.name, plan.secrets)
    return plan.urls[service.store]


def log_folder(data: Path) -> Path:
    """Return the folder of the logs of a stack's processes."""
    return data / "logs"
