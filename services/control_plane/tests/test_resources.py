"""The resources meet the requirements of Envoy and gRPC; each of these prevents a NACK."""

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType, ClusterLbPolicy
from envoy_data_plane.envoy.config.core.v3 import HealthStatus
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions

from services.common.mesh.consul import Instance
from services.control_plane.policy import read_policy
from services.control_plane.resources import (
    CLUSTER,
    ENDPOINTS,
    HTTP_OPTIONS,
    LISTENER,
    ROUTES,
    SnapshotBuilder,
    build,
)

FIRST, SECOND = Instance("catalog-1", "127.0.0.1", 8002), Instance("catalog-2", "10.0.0.2", 8003)
GRPC_RETRIES_ON = {
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
}


@pytest.fixture(scope="module")
def resources():
    return build({"catalog": [FIRST, SECOND], "orders": []}, read_policy())


@pytest.fixture(scope="module")
def cluster(resources):
    return Cluster.parse(resources[CLUSTER]["catalog"])


def assignment(resources, name):
    return ClusterLoadAssignment.parse(resources[ENDPOINTS][name])


@pytest.fixture(scope="module")
def manager(resources):
    listener = Listener.parse(resources[LISTENER]["catalog"])
    assert listener.name == "catalog"
    assert listener.api_listener
    assert listener.api_listener.api_listener
    return HttpConnectionManager.parse(listener.api_listener.api_listener.value)


@pytest.fixture(scope="module")
def host(resources):
    (host,) = RouteConfiguration.parse(resources[ROUTES]["catalog"]).virtual_hosts
    return host


def test_every_service_has_every_type_of_resource(resources):
    assert set(resources) == {CLUSTER, ENDPOINTS, LISTENER, ROUTES}
    assert {tuple(sorted(named)) for named in resources.values()} == {("catalog", "orders")}


def test_a_cluster_gets_its_endpoints_over_ads(cluster):
    assert (cluster.name, cluster.type) == ("catalog", ClusterDiscoveryType.EDS)
    assert cluster.eds_cluster_config.eds_config.ads is not None
    assert cluster.eds_cluster_config.eds_config.self is None


def test_a_cluster_uses_a_balancing_policy_that_grpc_supports(cluster):
    assert cluster.lb_policy is ClusterLbPolicy.ROUND_ROBIN


def test_a_cluster_uses_http2_and_pings_idle_connections(cluster):
    options = HttpProtocolOptions.parse(
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].value
    )
    assert options.to_dict()["explicitHttpConfig"] == {
        "http2ProtocolOptions": {"connectionKeepalive": {"interval": "30s", "timeout": "5s"}}
    }


def test_a_removed_host_goes_at_once_and_internal_errors_eject_none(cluster):
    assert cluster.ignore_health_on_host_removal
    ejection = cluster.outlier_detection
    assert (ejection.consecutive_gateway_failure, ejection.enforcing_consecutive_5xx) == (3, 0)


def test_endpoints_are_in_one_locality_with_a_weight(resources):
    (locality,) = assignment(resources, "catalog").endpoints
    assert locality.locality is not None
    assert (locality.load_balancing_weight, locality.priority) == (1, 0)


def test_endpoints_are_the_healthy_instances(resources):
    (locality,) = assignment(resources, "catalog").endpoints
    listed = [(each.endpoint.address.socket_address, each) for each in locality.lb_endpoints]
    assert [(address.address, address.port_value) for address, _ in listed] == [
        ("127.0.0.1", 8002),
        ("10.0.0.2", 8003),
    ]
    assert {each.health_status for _, each in listed} == {HealthStatus.HEALTHY}


def test_a_service_without_instances_has_an_empty_assignment(resources):
    empty = assignment(resources, "orders")
    assert (empty.cluster_name, empty.endpoints) == ("orders", [])


def test_a_listener_refers_to_the_routes_of_its_name_and_has_the_router_last(manager):
    assert manager.rds.route_config_name == "catalog"
    assert manager.rds.config_source.ads is not None
    assert manager.http_filters[-1].typed_config.type_url.endswith(".http.router.v3.Router")


def test_routes_match_every_domain_and_every_method(host):
    (route,) = host.routes
    assert (host.domains, route.match.prefix, route.route.cluster) == (["*"], "", "catalog")


def test_routes_retry_only_on_codes_that_grpc_supports(host):
    (route,) = host.routes
    assert set(route.route.retry_policy.retry_on.split(",")) <= GRPC_RETRIES_ON
    assert route.route.retry_policy.num_retries == 2


def test_routes_limit_the_duration_of_a_call(host):
    (route,) = host.routes
    assert route.route.max_stream_duration.max_stream_duration == timedelta(seconds=15)


def test_equal_services_have_equal_bytes(resources):
    again = build({"catalog": [FIRST, SECOND], "orders": []}, read_policy())
    assert again == resources


def test_only_what_has_changed_is_built_again():
    policy = read_policy()
    builder = SnapshotBuilder(policy)
    first = builder.build({"catalog": [FIRST], "orders": [SECOND]})
    changed = {"catalog": [FIRST, SECOND], "orders": [SECOND]}
    second = builder.build(changed)
    assert second == build(changed, policy)
    rebuilt = [
        (kind, name)
        for kind, resources in second.items()
        for name, resource in resources.items()
        if resource is not first[kind][name]
    ]
    assert rebuilt == [(ENDPOINTS, "catalog")]


def test_a_service_that_leaves_and_returns_is_as_it_was():
    builder = SnapshotBuilder(read_policy())
    before = builder.build({"catalog": [FIRST]})
    assert builder.build({}) == {kind: {} for kind in before}
    assert builder.build({"catalog": [FIRST]}) == before
