"""What only containers have: separate networks, published ports, images, secrets in files."""

import json
import socket
import subprocess
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
import requests
import yaml

from scripts.paths import ROOT
from tests.support.waiting import eventually

pytestmark = pytest.mark.compose

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SECRETS = sorted(COMPOSE["secrets"])
LARGEST_IMAGE_BYTES = 250e6
CAN_CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)
"""
SERVERS = {"postgres": 5432, "mongodb": 27017, "redis": 6379, "neo4j": 7687, "rabbitmq": 5672}
REACHES = {
    "users": {"postgres", "rabbitmq"},
    "catalog": {"postgres", "rabbitmq"},
    "orders": {"mongodb", "rabbitmq"},
    "promotions": {"redis", "rabbitmq"},
    "recommendations": {"neo4j", "rabbitmq"},
    "notifications": {"postgres", "rabbitmq"},
    "payments": {"postgres"},
    "storefront": set(),
    "control-plane": set(),
}


def containers(stack):
    """Return the engine's description of every container of the project."""
    ids = stack.compose("ps", "--all", "--quiet").split()
    return json.loads(stack.docker("inspect", *ids))


def service_of(container):
    return container["Config"]["Labels"]["com.docker.compose.service"]


def test_compose_accepts_the_file_without_a_warning(stack):
    done = subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def own_address():
    """Return an address of this machine that is not its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.connect(("192.0.2.1", 9))  # nothing is sent
        return connection.getsockname()[0]


def is_open(host, port):
    with socket.socket() as connection:
        connection.settimeout(2)
        return connection.connect_ex((host, port)) == 0


def test_only_envoys_ports_are_public_and_admin_pages_are_on_loopback(stack):
    outside, inside = own_address(), "127.0.0.1"
    published = {
        (service_of(container), int(port.split("/")[0]), int(binding["HostPort"]))
        for container in containers(stack)
        for port, bindings in (container["NetworkSettings"]["Ports"] or {}).items()
        for binding in bindings or ()
    }
    is_reachable = {
        (name, port): (is_open(outside, at), is_open(inside, at)) for name, port, at in published
    }
    assert is_reachable == {
        ("envoy", 8080): (True, True),
        ("envoy", 8443): (True, True),
        ("envoy", 9901): (False, True),
        ("consul", 8500): (False, True),
        ("rabbitmq", 15672): (False, True),
        ("mail", 8025): (False, True),
        ("jaeger", 16686): (False, True),
    }


def test_no_service_listens_on_a_port_of_this_machine():
    assert not [port for port in range(8001, 8009) if is_open(own_address(), port)]


@pytest.mark.parametrize("service", REACHES)
def test_a_service_reaches_only_its_own_servers(stack, service):
    servers = [each for each in containers(stack) if service_of(each) in SERVERS]
    assert {service_of(each) for each in servers} == SERVERS.keys()
    assert {service_of(each) for each in servers if reaches(service, each)} == REACHES[service]


def reaches(service, server):
    """Return whether a service can connect to a server, by any of its addresses."""
    port = str(SERVERS[service_of(server)])
    return any(
        can_connect(service, network["IPAddress"], port)
        for network in server["NetworkSettings"]["Networks"].values()
    )


def can_connect(service, address, port):
    command = ["docker", "exec", f"mamie-rosa-{service}-1", "python", "-c", CAN_CONNECT]
    return not subprocess.run(
        [*command, address, port], check=False, capture_output=True
    ).returncode


def test_a_service_cannot_connect_to_the_outside(stack):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        stack.docker(
            "exec", "mamie-rosa-catalog-1", "python", "-c", CAN_CONNECT, own_address(), "9"
        )
    assert "Network is unreachable" in caught.value.stderr


def test_a_service_may_not_use_the_database_of_another(stack):
    own = urlsplit(stack.store_url("users"))
    psycopg2.connect(urlunsplit(own)).close()
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(urlunsplit(own._replace(path="/payments")))


def test_no_secret_is_in_an_image_or_an_environment(stack):
    secrets = [(ROOT / ".secrets" / name).read_text().strip() for name in SECRETS]
    images = {container["Image"] for container in containers(stack)}
    public = [
        *(stack.docker("history", "--no-trunc", image) for image in images),
        stack.docker("inspect", *images),
        json.dumps([container["Config"] for container in containers(stack)]),
    ]
    parts = [part for secret in secrets for part in secret.replace("@", ":").split(":")]
    passwords = [part.strip("/ ") for part in parts if len(part) >= 24]
    assert len(passwords) >= len(SECRETS)
    assert not [part for part in passwords if any(part in text for text in public)]


def test_the_image_is_small_and_has_no_build_tools(stack, say):
    (image,) = json.loads(stack.docker("inspect", COMPOSE["x-ours"]["image"]))
    say(f"image of the services: {image['Size'] / 1e6:.0f} MB")
    assert image["Size"] < LARGEST_IMAGE_BYTES
    assert image["Config"]["User"] == "10001:10001"
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == image["RepoTags"][0].partition(":")[2]
    assert {"org.opencontainers.image.source", "org.opencontainers.image.revision"} <= set(labels)
    look = "ls /root/.cache /var/lib/apt/lists/* /app/protos /app/services/*/tests 2>/dev/null"
    find = "import shutil; print([p for p in ('gcc', 'cc', 'make') if shutil.which(p)])"
    run = ("run", "--rm", "--user=0", "--network=none", "--entrypoint")
    name = COMPOSE["x-ours"]["image"]
    assert stack.docker(*run, "sh", name, "-c", f"{look} || true").strip() == ""
    assert stack.docker(*run, "python", name, "-c", find).strip() == "[]"


def test_containers_of_the_shop_are_read_only_and_without_capabilities(stack):
    checked = 0
    for container in containers(stack):
        if container["Config"]["Image"] == COMPOSE["x-ours"]["image"]:
            checked += 1
            host = container["HostConfig"]
            assert host["ReadonlyRootfs"]
            assert host["CapDrop"] == ["ALL"]
            assert "no-new-privileges:true" in host["SecurityOpt"]
            assert host["Memory"] > 0
    assert checked > 20


def test_every_container_is_healthy_or_has_completed_its_task(stack):
    for container in containers(stack):
        state = container["State"]
        if service_of(container).endswith("-prepare"):
            assert (state["Status"], state["ExitCode"]) == ("exited", 0)
        else:
            assert state["Health"]["Status"] == "healthy"


def test_orders_are_confirmed_after_a_service_was_stopped_and_started(stack, shop, customer):
    product = shop.add_product()
    stack.compose("stop", "catalog")
    stopped = [c for c in containers(stack) if service_of(c) == "catalog"]
    assert {c["State"]["ExitCode"] for c in stopped} == {0}
    assert customer.order((product, 1)).status_code == 503
    stack.compose("up", "--detach", "--wait", "--no-recreate")
    customer.buy((product, 1))


def test_new_instances_are_called_within_two_seconds(stack, customer):
    before = len(stack.instances("catalog"))
    stack.scale("catalog", before + 2)
    try:
        fresh = [stack.address(name) for name in stack.instances("catalog")[-2:]]
        eventually(partial(calls_reach, stack, customer, fresh), seconds=2)
    finally:
        stack.scale("catalog", before)


def calls_reach(stack, customer, addresses):
    """Read once; return whether Envoy has called every address."""
    customer.get("/api/products/prod_001")
    clusters = requests.get(f"{stack.url('envoy_admin')}/clusters", timeout=5).text
    called = dict(line.rsplit("::", 1) for line in clusters.splitlines() if "::rq_total::" in line)
    return all(int(called.get(f"catalog::{address}::rq_total", 0)) for address in addresses)
