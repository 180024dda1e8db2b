"""The mesh and the history of a service, from series."""

import pytest

from services.storefront.ops.mesh import MAX_POINTS, MeshView
from services.storefront.ops.tests.fakes import ALERT, NOW, FakeMetrics


def view(values=None, past=None):
    return MeshView(FakeMetrics(values or {}, past or {}), now=lambda: NOW)


def test_without_prometheus_nothing_is_monitored():
    nowhere = MeshView(None, now=lambda: NOW)
    assert not nowhere.read().is_monitored
    assert not nowhere.history("orders", 0).is_monitored


def test_a_service_has_its_instances_and_its_calls():
    mesh = view(
        {
            "processes": [({"service": "catalog"}, 4), ({"service": "control_plane"}, 1)],
            "healthy": [({"upstream": "catalog"}, 3), ({"upstream": "order-events"}, 2)],
            "rate": [({"service": "catalog"}, 12.5)],
            "p95": [({"service": "catalog"}, 0.004)],
        }
    ).read()
    catalog, control_plane = mesh.services
    assert (catalog.name, catalog.process_count, catalog.healthy_count) == ("catalog", 4, 3)
    assert (catalog.rate, catalog.error_rate, catalog.p95_seconds) == (12.5, 0, 0.004)
    assert (control_plane.name, control_plane.healthy_count) == ("control_plane", 1)
    assert not control_plane.HasField("p95_seconds")


def test_a_service_that_is_down_is_shown_with_no_instance():
    (service,) = view({"healthy": [({"upstream": "payments"}, 0)]}).read().services
    assert (service.name, service.process_count, service.healthy_count) == ("payments", 0, 0)


def test_a_call_is_between_two_services_or_from_the_edge():
    pair = {"service": "orders", "upstream": "payments"}
    mesh = view(
        {
            "call_rate": [(pair, 2)],
            "call_error_rate": [(pair, 0.5)],
            "call_p95": [(pair, 0.02)],
            "circuit_open": [(pair, 1), ({"service": "catalog", "upstream": "orders"}, 0)],
            "edge_rate": [
                ({"envoy_cluster_name": "users"}, 3),
                ({"envoy_cluster_name": "keys"}, 1),
                ({"envoy_cluster_name": "traces"}, 5),
            ],
            "edge_p95": [({"envoy_cluster_name": "users"}, 8)],
        }
    ).read()
    users, idle, payments = mesh.calls
    assert (users.caller, users.upstream, users.rate, users.p95_seconds) == (
        *("envoy", "users", 3),
        0.008,
    )
    assert (idle.caller, idle.upstream, idle.rate, idle.is_circuit_open) == (
        *("catalog", "orders", 0),
        False,
    )
    assert (payments.rate, payments.error_rate, payments.is_circuit_open) == (2, 0.5, True)


def test_bus_stores_and_alerts_are_shown():
    mesh = view(
        {
            "relay_age": [({"service": "orders"}, 0.4)],
            "messages": [({"queue": "notifications"}, 3)],
            "dead_letters": [({"queue": "notifications.dead"}, 1)],
            "stores": [({"service": "orders", "dependency": "mongodb"}, 0)],
        }
    ).read()
    assert mesh.outboxes[0].relay_age_seconds == 0.4
    assert [(each.message_count, each.is_dead_letters) for each in mesh.queues] == [
        (3, False),
        (1, True),
    ]
    assert not mesh.stores[0].is_healthy
    assert (mesh.alerts[0].name, mesh.alerts[0].runbook) == (ALERT.name, ALERT.runbook)


def test_the_history_of_a_service_has_no_duration_while_there_are_no_calls():
    of = {"service": "orders"}
    past = {
        "rate": [({"service": "users"}, {0.0: 9.0}), (of, {15.0: 1.0, 30.0: 0.0})],
        "p95": [(of, {15.0: 0.1})],
    }
    first, second = view(past=past).history("orders", 60).points
    assert (first.time.seconds, first.rate, first.p95_seconds) == (15, 1, 0.1)
    assert (second.rate, second.HasField("p95_seconds")) == (0, False)
    assert not view(past=past).history("nobody", 60).points


@pytest.mark.parametrize("minutes", [0, 1, 60, 61, 1440])
def test_a_history_has_no_more_points_than_can_be_drawn(minutes):
    metrics = FakeMetrics()
    MeshView(metrics, now=lambda: NOW).history("orders", minutes)
    start, end, step = metrics.asked[0]
    assert (end - start) / step + 1 <= MAX_POINTS
    assert 0 <= NOW.timestamp() - end < step
    assert (minutes or 60) * 60 - step <= end - start <= (minutes or 60) * 60
