"""Prometheus and Alertmanager watch the stack of the tests, which was started without them."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import requests

from scripts.monitoring.queries import all_queries, names_in
from scripts.stack import monitoring
from scripts.stack.environment import private_environment
from scripts.stack.figures import find_endpoints
from scripts.stack.monitoring import monitoring_units
from scripts.stack.ports import Ports
from scripts.stack.units import RunningUnit
from services.common import clock
from services.storefront.ops.mesh import MeshView
from services.storefront.ops.prometheus import Prometheus
from tests.faults.faults import down
from tests.support.commands import run_script
from tests.support.log_privacy import kinds_of_private_data
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

NEW_INSTANCE_SECONDS = 10
NIGHT_SHIFT = "night-shift@shop.example"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


class Monitoring:
    """The HTTP APIs of Prometheus and Alertmanager."""

    def __init__(self, prometheus: str, alertmanager: str) -> None:
        self._prometheus = f"http://{prometheus}/api/v1"
        self._alertmanager = f"http://{alertmanager}/api/v2"

    @property
    def mesh(self) -> MeshView:
        """Return what /ops shows of it."""
        prometheus = Prometheus(self._prometheus.removesuffix("/api/v1"))
        return MeshView(prometheus, now=clock.utc_now)

    def query(self, query: str) -> list:
        """Return the series that a query has now; requests.HTTPError when it is wrong."""
        answer = requests.get(f"{self._prometheus}/query", params={"query": query}, timeout=5)
        answer.raise_for_status()
        return answer.json()["data"]["result"]

    def names(self) -> set[str]:
        """Return the names of all series."""
        url = f"{self._prometheus}/label/__name__/values"
        return set(requests.get(url, timeout=5).json()["data"])

    def scraped(self) -> set[str]:
        """Return the processes of the shop whose last scrape succeeded."""
        return {each["metric"]["instance"] for each in self.query('up{job="services"} == 1')}

    def alerts(self) -> set[tuple[str, str]]:
        """Return the alerts that Alertmanager has, each with what it is about."""
        found = requests.get(f"{self._alertmanager}/alerts", params={"active": "true"}, timeout=5)
        return {
            (each["labels"]["alertname"], each["labels"].get("upstream", ""))
            for each in found.json()
        }


@pytest.fixture(scope="module")
def watching(stack, shop, tmp_path_factory) -> Iterator[Monitoring]:
    """Yield Prometheus and Alertmanager, as scripts/up runs them."""
    folder = tmp_path_factory.mktemp("monitoring")
    ports, urls = Ports(folder / "ports.json"), stack.describe()["urls"]
    bus = json.loads((stack.data / "ports.json").read_text())["rabbitmq-prometheus"]
    own = [f"127.0.0.1:{ports.take(name)}" for name in ("prometheus", "alertmanager")]
    addresses = dict(zip((monitoring.PROMETHEUS, monitoring.ALERTMANAGER), own, strict=True)) | {
        monitoring.CONSUL: urls["consul"].removeprefix("http://"),
        monitoring.ENVOY: urls["envoy_admin"].removeprefix("http://"),
        monitoring.RABBITMQ: f"127.0.0.1:{bus}",
    }
    units = monitoring_units(folder, addresses, smtp_url=urls["smtp"], admin=NIGHT_SHIFT)
    with ExitStack() as running:
        for unit in units:
            log = folder / f"{unit.name}.log"
            process = RunningUnit(unit, log, lambda: None, private_environment(folder))
            running.callback(process.stop)
            process.start()
        yield Monitoring(*own)


def processes(stack) -> set[str]:
    """Return the processes of the shop, from its runner."""
    units = [unit["name"] for unit in stack.describe()["units"] if not unit["task"]]
    return {"control_plane", *(name for name in units if name.rpartition("-")[2].isdigit())}


def test_every_process_is_scraped_and_a_new_one_within_ten_seconds(stack, watching, say):
    eventually(lambda: watching.scraped() == processes(stack), seconds=20)
    try:
        stack.scale("storefront", 2)
        eventually(lambda: "storefront-2" in watching.scraped(), seconds=NEW_INSTANCE_SECONDS)
        eventually(lambda: watching.scraped() == processes(stack))
    finally:
        stack.scale("storefront", 1)
    say(f"{len(processes(stack))} processes, {len(watching.names())} names of series")


def test_every_metric_that_a_dashboard_or_a_rule_names_exists(shop, customer, watching):
    customer.buy((shop.add_product(), 1))
    named = {name: where for where, query in all_queries() for name in names_in(query)}

    def missing() -> dict[str, str]:
        return {name: named[name] for name in named.keys() - watching.names()}

    with suppress(AssertionError):
        eventually(lambda: not missing(), seconds=30)
    assert missing() == {}
    for _, query in all_queries():
        watching.query(query)


def test_no_metric_has_personal_data_or_an_id(stack, shop, customer):
    order_id = customer.buy((shop.add_product(), 1))
    endpoints = find_endpoints(stack.url("consul"))
    assert endpoints.keys() == processes(stack)
    texts = {name: requests.get(url, timeout=5).text for name, url in endpoints.items()}
    assert 'mamie_orders_total{status="CONFIRMED"}' in texts["orders-1"]
    for name, text in texts.items():
        assert kinds_of_private_data(text) == set(), name
        assert not UUID.search(text), name
        assert order_id not in text
        assert customer.user_id not in text


@pytest.mark.timeout(240)
def test_ops_shows_the_mesh_as_it_is(stack, shop, customer, watching):
    customer.buy((shop.add_product(), 1))
    services = {name.rpartition("-")[0] or name for name in processes(stack)}

    def shown() -> dict[str, tuple[int, int]]:
        mesh = watching.mesh.read()
        return {each.name: (each.process_count, each.healthy_count) for each in mesh.services}

    # Instances of earlier tests that have ended are in Consul for a while.
    eventually(lambda: shown().keys() == services and all(map(all, shown().values())), seconds=90)

    def busy() -> set[tuple[str, str]]:
        mesh = watching.mesh.read()
        return {(each.caller, each.upstream) for each in mesh.calls if each.rate > 0}

    expected = {("envoy", "orders"), ("orders", "catalog"), ("orders", "payments")}
    eventually(lambda: expected <= busy(), seconds=20)
    mesh = watching.mesh.read()
    assert {each.service for each in mesh.outboxes} >= {"users", "catalog", "orders", "promotions"}
    assert {"notifications", "recommendations"} <= {each.service for each in mesh.stores}
    assert any(each.is_dead_letters for each in mesh.queues)

    def charted() -> bool:
        return any(each.rate > 0 for each in watching.mesh.history("orders", 5).points)

    eventually(charted, seconds=30)  # a point each 15 seconds


def test_an_alert_is_mailed_when_a_service_is_down_and_ends_when_it_is_back(stack, watching):
    alert = ("ServiceDown", "recommendations")
    assert alert not in watching.alerts()
    with down(stack, "recommendations-1", "recommendations-2"):
        eventually(lambda: alert in watching.alerts(), seconds=60)
        shown = {each.name: each for each in watching.mesh.read().alerts}
        assert shown["ServiceDown"].is_firing
        assert shown["ServiceDown"].runbook == "docs/runbook.md#no-instance-of-a-service"
        eventually(lambda: b"ServiceDown" in b"".join(stack.mails_to(NIGHT_SHIFT)), seconds=20)
    eventually(lambda: alert not in watching.alerts(), seconds=60)


def test_the_status_has_the_figures_of_each_instance(stack, customer):
    status, shown = run_script(stack, "status", "--json")
    assert status == 0
    figures = {unit["name"]: unit["figures"] for unit in json.loads(shown)["units"]}
    assert figures["catalog-1"]["version"] == "0.1.0"
    assert figures["catalog-1"]["queue"] == 0
    assert figures["postgres"] is None
    status, shown = run_script(stack, "status")
    assert status == 0
    assert "req/s" in shown
