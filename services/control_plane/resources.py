"""The xDS resources that describe the mesh.

Envoy subscribes to clusters and endpoints; a gRPC client also to a listener and routes. Their
requirements are in https://grpc.io/docs/guides/custom-load-balancing and Envoy's xDS
reference; comments name those that are easy to miss.
"""

from collections.abc import Mapping, Sequence
from typing import Any as AnyValue

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import ApiListener, Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions
from envoy_data_plane.google.protobuf import Any

from services.common.mesh.consul import Instance
from services.control_plane.policy import Policy, PolicyError

TYPE = "type.googleapis.com/"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Both Envoy and gRPC accept "ads"; Envoy rejects "self".
ADS_SOURCE = {"ads": {}, "resourceApiVersion": "V3"}

Snapshot = Mapping[str, Mapping[str, bytes]]
"""All resources, serialized, by type URL and name."""

Services = Mapping[str, Sequence[Instance]]
"""The healthy instances of every service, by its name."""


class SnapshotBuilder:
    """Builds the snapshots of the mesh under one policy.

    To build a resource takes milliseconds, on the event loop that serves all streams. So each is
    kept, and built again only when what it describes has changed.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._constant: dict[str, Mapping[str, bytes]] = {}
        """The resources of a service that do not depend on its instances, by type."""
        self._endpoints: dict[str, tuple[Sequence[Instance], bytes]] = {}

    def build(self, services: Services) -> Snapshot:
        """Build the snapshot of some services."""
        constant = {name: self._constant_of(name) for name in services}
        snapshot = {
            kind: {name: built[kind] for name, built in constant.items()}
            for kind in (CLUSTER, LISTENER, ROUTES)
        }
        listed = {name: self._endpoints_of(name, found) for name, found in services.items()}
        return {**snapshot, ENDPOINTS: listed}

    def _constant_of(self, name: str) -> Mapping[str, bytes]:
        if name not in self._constant:
            self._constant[name] = {
                CLUSTER: bytes(cluster(name, self._policy)),
                LISTENER: bytes(listener(name)),
                ROUTES: bytes(routes(name, self._policy)),
            }
        return self._constant[name]

    def _endpoints_of(self, name: str, instances: Sequence[Instance]) -> bytes:
        known = self._endpoints.get(name)
        if known is None or known[0] != instances:
            self._endpoints[name] = known = (instances, bytes(endpoints(name, instances)))
        return known[1]


def build(services: Services, policy: Policy) -> Snapshot:
    """Build one snapshot of the mesh."""
    return SnapshotBuilder(policy).build(services)


def check(policy: Policy) -> None:
    """Raise PolicyError when the policy has a key or a value that Envoy's API does not know."""
    try:
        build({"any": ()}, policy)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise PolicyError(str(error.args[0])) from error


def cluster(name: str, policy: Policy) -> Cluster:
    """Build the cluster of a service: HTTP/2, with endpoints from EDS."""
    built = Cluster.from_dict(
        {
            "name": name,
            "type": "EDS",
            "edsClusterConfig": {"edsConfig": ADS_SOURCE},
            "lbPolicy": "ROUND_ROBIN",  # gRPC accepts only this and hashing
            "connectTimeout": policy.connect_timeout,
            "circuitBreakers": policy.circuit_breakers_of(name),
            "outlierDetection": policy.outlier_detection,
            # A host that is no longer in Consul is removed at once, even if it seems healthy.
            "ignoreHealthOnHostRemoval": True,
        }
    )
    http2 = {
        "explicitHttpConfig": {"http2ProtocolOptions": {"connectionKeepalive": policy.keepalive}}
    }
    if built.outlier_detection:  # from_dict() does not map this field
        built.outlier_detection.enforcing_consecutive_5xx = 0
    built.typed_extension_protocol_options = {
        HTTP_OPTIONS: pack(HttpProtocolOptions.from_dict(http2))
    }
    return built


def endpoints(name: str, instances: Sequence[Instance]) -> ClusterLoadAssignment:
    """Build the endpoints of a service.

    gRPC accepts only IP addresses, and requires a locality with a weight.
    """
    listed = [
        {
            "endpoint": {
                "address": {
                    "socketAddress": {"address": instance.address, "portValue": instance.port}
                }
            },
            "healthStatus": "HEALTHY",
        }
        for instance in instances
    ]
    locality = {"locality": {}, "loadBalancingWeight": 1, "lbEndpoints": listed}
    return ClusterLoadAssignment.from_dict(
        {"clusterName": name, "endpoints": [locality] if listed else []}
    )


def listener(name: str) -> Listener:
    """Build the listener that a gRPC client subscribes to for "xds:///name"."""
    router = HttpFilter(name="router", typed_config=pack(Router()))
    manager = HttpConnectionManager.from_dict(
        {"rds": {"routeConfigName": name, "configSource": ADS_SOURCE}}
    )
    manager.http_filters = [router]
    return Listener(name=name, api_listener=ApiListener(api_listener=pack(manager)))


def routes(name: str, policy: Policy) -> RouteConfiguration:
    """Build the routes of a gRPC client to a service, with the retry policy."""
    action: dict[str, AnyValue] = {
        "cluster": name,
        "retryPolicy": policy.retry_policy,
        # gRPC ignores `timeout`; this limits each call instead.
        "maxStreamDuration": {"maxStreamDuration": policy.max_stream_duration},
    }
    all_methods = {"match": {"prefix": ""}, "route": action}
    return RouteConfiguration.from_dict(
        {"name": name, "virtualHosts": [{"name": name, "domains": ["*"], "routes": [all_methods]}]}
    )


def pack(message: betterproto2.Message) -> Any:
    """Pack a message into google.protobuf.Any."""
    return Any.pack(message)
